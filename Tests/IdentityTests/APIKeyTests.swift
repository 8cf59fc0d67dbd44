import Crypto
import Gateway
import OAuth
import Testing

@testable import Identity

struct APIKeyTests {
    private static let reach = Reach.only(servers: [ServerAlias("files")!], tools: ["notes__read"])

    private struct Keyring {
        let authenticator: Authenticator
        let header: [String]
        let hint: String

        init(_ change: (inout Fields) -> Void = { _ in }, users: [User] = [.ada]) async throws {
            var fields = Fields()
            change(&fields)
            let maker = Authenticator(keys: TokenKeys(signing: try await .generate()), instance: .fixed, users: .fixed()) { Gatehouse.origin }
            let (secret, hash, hint) = maker.makeKey()
            let key = APIKey(
                id: APIKeyID(3), user: fields.user, tenant: TenantID(1), name: "ci", hint: hint, scopes: [.tools], reach: APIKeyTests.reach,
                createdAt: .now + fields.age, expiresAt: .now + fields.life, revokedAt: fields.revokedAt)
            authenticator = Authenticator(
                keys: TokenKeys(signing: try await .generate()), instance: .fixed,
                users: UserDirectory(find: { id in users.first { $0.id == id } }, key: { $0 == hash ? key : nil })
            ) { Gatehouse.origin }
            header = ["Bearer " + secret.revealed]
            self.hint = hint
        }
    }

    private struct Fields {
        var user = User.ada.id
        var age = Duration.seconds(-60)
        var life = Duration.seconds(3600)
        var revokedAt: Timestamp?
    }

    @Test(arguments: Resource.allCases)
    func `a key is its owner, for what it was given for, at every resource`(_ resource: Resource) async throws {
        let ring = try await Keyring()
        let principal = try await ring.authenticator.verify(ring.header, for: resource, at: .now)
        #expect(principal == User.ada.principal(in: .none, key: APIKeyID(3), scopes: [.tools], reach: Self.reach))
        #expect(try ring.authenticator.recognize(ring.header, for: resource, at: .now) == principal)
        #expect(ring.authenticator.takeUsedKeys() == [APIKeyID(3): .now])
        #expect(ring.authenticator.takeUsedKeys().isEmpty)
    }

    @Test func `a key that was taken back, has expired, or whose owner was signed out since, is refused with which it was`() async throws {
        let revoked = try await Keyring { $0.revokedAt = .now }
        let expired = try await Keyring { $0.life = .zero }
        let old = try await Keyring(
            {
                $0.user = User.revoked.id; $0.age = .seconds(-61)
            }, users: [.revoked])
        let orphan = try await Keyring({ _ in }, users: [])
        for (ring, reason) in [(revoked, Refusal.UnauthenticatedReason.revoked), (expired, .expired), (old, .revoked), (orphan, .unknown)] {
            await #expect(throws: Refusal.unauthenticated(reason)) { try await ring.authenticator.verify(ring.header, for: .mcp, at: .now) }
        }
    }

    @Test func `a key whose owner is disabled is refused`() async throws {
        let disabled = User(
            id: User.ada.id, name: "ada", tenant: TenantID(1), role: .user, revokedBefore: Timestamp(microseconds: 0), disabledAt: .now)
        let ring = try await Keyring({ _ in }, users: [disabled])
        await #expect(throws: Refusal.unauthenticated(.revoked)) { try await ring.authenticator.verify(ring.header, for: .mcp, at: .now) }
    }

    @Test func `taken back, it is refused on the next request, though it was known`() async throws {
        let ring = try await Keyring()
        _ = try await ring.authenticator.verify(ring.header, for: .mcp, at: .now)
        ring.authenticator.end(APIKeyID(3))
        #expect(try ring.authenticator.recognize(ring.header, for: .mcp, at: .now) == nil)
    }

    @Test func `what only looks like a key is told from ours without asking anybody`() async throws {
        let ring = try await Keyring()
        #expect(ring.authenticator.isPlausible(ring.header))
        let text = ring.header[0]
        for number in text.indices.dropFirst("Bearer mreg_".count) {
            var forged = Array(text)
            forged[text.distance(from: text.startIndex, to: number)] = forged[text.distance(from: text.startIndex, to: number)] == "0" ? "1" : "0"
            #expect(!ring.authenticator.isPlausible([String(forged)]))
            await #expect(throws: Refusal.unauthenticated(.unknown)) { try await ring.authenticator.verify([String(forged)], for: .mcp, at: .now) }
        }
        for bad in ["Bearer mreg_", text + "0", text.uppercased(), String(text.dropLast())] {
            #expect(!ring.authenticator.isPlausible([bad]), "\(bad)")
        }
    }

    @Test func `the hint shows the beginning and no more`() async throws {
        let ring = try await Keyring()
        #expect(ring.header[0].hasPrefix("Bearer " + ring.hint) && ring.hint.count == "mreg_".count + 6)
    }
}
