import Gateway
import Identity
import Synchronization
import Testing

struct AuthenticatorTests {
    @Test(arguments: [(Resource.mcp, Resource.api), (.api, .mcp)])
    func `a token for one resource is refused at the other`(_ pair: (own: Resource, other: Resource)) async throws {
        let gatehouse = try await Gatehouse()
        let header = try await gatehouse.token([pair.own])
        #expect(try await gatehouse.authenticator.verify(header, for: pair.own, at: .now) == User.ada.principal)
        await #expect(throws: Refusal.unauthenticated(.wrongAudience)) { try await gatehouse.authenticator.verify(header, for: pair.other, at: .now) }
        #expect(throws: Refusal.unauthenticated(.wrongAudience)) { try gatehouse.authenticator.recognize(header, for: pair.other, at: .now) }
        #expect(try gatehouse.authenticator.recognize(header, for: pair.own, at: .now) == User.ada.principal)
    }

    @Test(arguments: Resource.allCases)
    func `a token for both resources is good at each`(_ resource: Resource) async throws {
        let gatehouse = try await Gatehouse()
        let header = try await gatehouse.token(Resource.allCases)
        #expect(try await gatehouse.authenticator.verify(header, for: resource, at: .now) == User.ada.principal)
    }

    @Test func `a token made up elsewhere is told from ours at a glance`() async throws {
        let (here, there) = (try await Gatehouse(), try await Gatehouse(instance: .other))
        let (own, foreign) = (try await here.token(), try await there.token())
        #expect(here.authenticator.isPlausible(own))
        #expect(!here.authenticator.isPlausible(foreign))
        let token = try #require(own.first)
        for bad in ["", "Bearer", "Bearer bad", "Bearer a.b.c", "Bearer ...", token.replacing(".", with: "_"), String(token.reversed())] {
            #expect(!here.authenticator.isPlausible([bad]), "\(bad)")
        }
        #expect(!here.authenticator.isPlausible([]))
        #expect(!here.authenticator.isPlausible([token, token]))
    }

    @Test func `two tokens of one second differ`() async throws {
        let gatehouse = try await Gatehouse()
        #expect(try await gatehouse.token() != gatehouse.token())
    }

    @Test func `another gateway's key does not sign for this one`() async throws {
        let (here, there) = (try await Gatehouse(), try await Gatehouse())
        let header = try await there.token()
        await #expect(throws: Refusal.unauthenticated(.unknown)) { try await here.authenticator.verify(header, for: .mcp, at: .now) }
    }

    // MARK: What is remembered

    @Test func `a token is recognized only after it was verified`() async throws {
        let gatehouse = try await Gatehouse()
        let header = try await gatehouse.token()
        #expect(try gatehouse.authenticator.recognize(header, for: .mcp, at: .now) == nil)
        _ = try await gatehouse.authenticator.verify(header, for: .mcp, at: .now)
        #expect(try gatehouse.authenticator.recognize(header, for: .mcp, at: .now) == User.ada.principal)
    }

    @Test func `one letter more is another token`() async throws {
        let gatehouse = try await Gatehouse()
        let header = try await gatehouse.token()
        _ = try await gatehouse.authenticator.verify(header, for: .mcp, at: .now)
        #expect(try gatehouse.authenticator.recognize([header[0] + "A"], for: .mcp, at: .now) == nil)
    }

    @Test(arguments: [(Duration.milliseconds(59_999), true), (.seconds(60), false), (.seconds(61), false)])
    func `what was verified is trusted for sixty seconds`(_ wait: Duration, _ isKnown: Bool) async throws {
        let gatehouse = try await Gatehouse()
        let header = try await gatehouse.token()
        _ = try await gatehouse.authenticator.verify(header, for: .mcp, at: .now)
        #expect(try gatehouse.authenticator.recognize(header, for: .mcp, at: .now + wait) == (isKnown ? User.ada.principal : nil))
    }

    @Test func `a token that expires while it is trusted is refused from that moment`() async throws {
        let gatehouse = try await Gatehouse()
        let header = ["Bearer " + (try gatehouse.forged(claims: ["exp": "1800000010"]))]
        let end = Timestamp(microseconds: 1_800_000_010_000_000)
        _ = try await gatehouse.authenticator.verify(header, for: .mcp, at: .now)
        #expect(try gatehouse.authenticator.recognize(header, for: .mcp, at: Timestamp(microseconds: end.microseconds - 1)) == User.ada.principal)
        #expect(throws: Refusal.unauthenticated(.expired)) { try gatehouse.authenticator.recognize(header, for: .mcp, at: end) }
        await #expect(throws: Refusal.unauthenticated(.expired)) { try await gatehouse.authenticator.verify(header, for: .mcp, at: end) }
    }

    @Test func `an issued token lives for an hour`() async throws {
        let gatehouse = try await Gatehouse()
        let header = try await gatehouse.token()
        #expect(try await gatehouse.authenticator.verify(header, for: .mcp, at: .now + .seconds(3599)) == User.ada.principal)
        await #expect(throws: Refusal.unauthenticated(.expired)) {
            try await gatehouse.authenticator.verify(header, for: .mcp, at: .now + .seconds(3600))
        }
    }

    @Test func `forgetting a user forgets all their tokens and nobody else's`() async throws {
        let gatehouse = try await Gatehouse()
        let (first, second) = (try await gatehouse.token(), try await gatehouse.token([.mcp, .api]))
        let other = try await gatehouse.token(for: .grace)
        for header in [first, second, other] { _ = try await gatehouse.authenticator.verify(header, for: .mcp, at: .now) }
        gatehouse.authenticator.forget(User.ada.id)
        #expect(try gatehouse.authenticator.recognize(first, for: .mcp, at: .now) == nil)
        #expect(try gatehouse.authenticator.recognize(second, for: .mcp, at: .now) == nil)
        #expect(try gatehouse.authenticator.recognize(other, for: .mcp, at: .now) == User.grace.principal)
    }

    @Test func `after forgetting, the new role and the revocation count`() async throws {
        let users = Users(.ada)
        let gatehouse = try await Gatehouse(users: UserDirectory { id in users.find(id) })
        let header = try await gatehouse.token()
        _ = try await gatehouse.authenticator.verify(header, for: .mcp, at: .now)

        let promoted = User.number(7, role: .admin)
        users.replace(promoted)
        gatehouse.authenticator.forget(promoted.id)
        #expect(try await gatehouse.authenticator.verify(header, for: .mcp, at: .now) == promoted.principal)

        users.replace(.number(7, revokedBefore: .now + .seconds(1)))
        gatehouse.authenticator.forget(promoted.id)
        await #expect(throws: Refusal.unauthenticated(.revoked)) { try await gatehouse.authenticator.verify(header, for: .mcp, at: .now) }
    }

    /// Whoever forgets a user while their token is being looked up must not find the old answer remembered after it.
    @Test(.timeLimit(.minutes(1)))
    func `a look-up that began before the user was forgotten is not remembered`() async throws {
        let (asked, ask) = AsyncStream<Void>.makeStream()
        let (released, release) = AsyncStream<Void>.makeStream()
        let gatehouse = try await Gatehouse(
            users: UserDirectory { _ in
                ask.yield()
                for await _ in released { break }
                return .ada
            })
        let header = try await gatehouse.token()
        async let principal = gatehouse.authenticator.verify(header, for: .mcp, at: .now)
        for await _ in asked { break }
        gatehouse.authenticator.forget(User.ada.id)
        release.yield()
        _ = try? await principal
        #expect(try gatehouse.authenticator.recognize(header, for: .mcp, at: .now) == nil)
    }

    @Test func `what was issued to a client that is ended is refused, whether or not it was seen before`() async throws {
        let gatehouse = try await Gatehouse()
        func token(_ client: String) async throws -> [String] {
            ["Bearer " + (try await gatehouse.authenticator.issue(to: .ada, for: [.mcp], client: client, session: .random(), at: .now).revealed)]
        }
        let (seen, unseen, other) = (try await token("c"), try await token("c"), try await token("C"))
        #expect(try await gatehouse.authenticator.verify(seen, for: .mcp, at: .now).client == "c")
        let own = try await gatehouse.token()
        gatehouse.authenticator.end(client: "c", at: .now)
        #expect(try gatehouse.authenticator.recognize(seen, for: .mcp, at: .now) == nil)
        for header in [seen, unseen] {
            await #expect(throws: Refusal.unauthenticated(.revoked)) { try await gatehouse.authenticator.verify(header, for: .mcp, at: .now) }
        }
        #expect(try await gatehouse.authenticator.verify(other, for: .mcp, at: .now).client == "C")
        #expect(try await gatehouse.authenticator.verify(own, for: .mcp, at: .now).client == "")
        // As long as a token may be about, whatever else is ended meanwhile.
        let last = Timestamp.now + Authenticator.lifetime
        gatehouse.authenticator.end(client: "another", at: last)
        let late = try await gatehouse.authenticator.issue(to: .ada, for: [.mcp], client: "c", at: .now + .seconds(1)).revealed
        await #expect(throws: Refusal.unauthenticated(.revoked)) {
            try await gatehouse.authenticator.verify(["Bearer " + late], for: .mcp, at: last)
        }
    }

    @Test func `a token issued in the second of a revocation but before it is revoked`() async throws {
        let users = Users(.ada)
        let gatehouse = try await Gatehouse(users: UserDirectory { id in users.find(id) })
        let header = try await gatehouse.token(at: .now)
        users.replace(.number(7, revokedBefore: .now + .milliseconds(400)))
        await #expect(throws: Refusal.unauthenticated(.revoked)) {
            try await gatehouse.authenticator.verify(header, for: .mcp, at: .now + .milliseconds(450))
        }
    }

    /// Ten thousand tokens later somebody has to be forgotten, and what comes then is remembered again.
    @Test func `what is remembered has a bound`() async throws {
        let gatehouse = try await Gatehouse()
        var headers: [[String]] = []
        for _ in 0...10_000 {
            headers.append(try await gatehouse.token())
            _ = try await gatehouse.authenticator.verify(headers[headers.count - 1], for: .mcp, at: .now)
        }
        let known = try headers.filter { try gatehouse.authenticator.recognize($0, for: .mcp, at: .now) != nil }
        #expect((1...10_000).contains(known.count))
        #expect(known.last == headers.last)
    }

    @Test func `making room forgets what is no longer trusted before anything else`() async throws {
        let gatehouse = try await Gatehouse()
        let early = try await gatehouse.token()
        _ = try await gatehouse.authenticator.verify(early, for: .mcp, at: .now)
        let later = Timestamp.now + .seconds(60)
        var headers: [[String]] = []
        for _ in 0..<10_000 {
            headers.append(try await gatehouse.token())
            _ = try await gatehouse.authenticator.verify(headers[headers.count - 1], for: .mcp, at: later)
        }
        let known = try headers.count { try gatehouse.authenticator.recognize($0, for: .mcp, at: later) != nil }
        #expect(known == 10_000)
    }
}

/// A directory whose one user changes.
private final class Users: Sendable {
    private let user: Mutex<User>
    init(_ user: User) { self.user = Mutex(user) }
    func find(_ id: UserID) -> User? { user.withLock { $0.id == id ? $0 : nil } }
    func replace(_ user: User) { self.user.withLock { $0 = user } }
}
