import Crypto
import Foundation
import Gateway
import Identity
import Testing

struct SigningKeyTests {
    /// The key of RFC 7517, appendix A.2.
    let published = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE="

    private func publishedKey() async throws -> SigningKey {
        let scalar = try #require(Data(base64Encoded: published.replacing("-", with: "+").replacing("_", with: "/")))
        return try await SigningKey(pem: Secret(P256.Signing.PrivateKey(rawRepresentation: scalar).pemRepresentation))
    }

    @Test func `the id is the thumbprint of RFC 7638`() async throws {
        #expect(try await publishedKey().id == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s")
    }

    @Test func `the published members are those of RFC 7517 and never the private one`() async throws {
        let key = try await publishedKey()
        let members = Dictionary(key.publicMembers.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        #expect(members.count == key.publicMembers.count)
        #expect(
            members == [
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id, "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            ])
    }

    @Test func `a key comes back from its PEM the same`() async throws {
        let key = try await SigningKey.generate()
        let again = try await SigningKey(pem: key.pem)
        #expect(again.id == key.id)
        let issuer = Authenticator(keys: TokenKeys(signing: key), instance: .fixed, users: .fixed(.ada)) { Gatehouse.origin }
        let reader = Authenticator(keys: TokenKeys(signing: again), instance: .fixed, users: .fixed(.ada)) { Gatehouse.origin }
        let token = try await issuer.issue(to: .ada, for: [.mcp], at: .now)
        #expect(try await reader.verify(["Bearer \(token.revealed)"], for: .mcp, at: .now) == User.ada.principal)
    }

    @Test func `two generated keys differ`() async throws {
        #expect(try await SigningKey.generate().id != SigningKey.generate().id)
    }

    @Test(arguments: ["", "no PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
    func `what is no P-256 key in PEM is not taken`(_ text: String) async {
        await #expect(throws: (any Error).self) { try await SigningKey(pem: Secret(text)) }
    }

    @Test func `neither the key nor a token shows itself when printed`() async throws {
        let gatehouse = try await Gatehouse()
        let token = try await gatehouse.authenticator.issue(to: .ada, for: [.mcp], at: .now)
        #expect("\(gatehouse.key.pem) \(token)" == "redacted redacted")
    }

    @Test func `a token can be verified by anybody with the published key and RFC 7515 alone`() async throws {
        let gatehouse = try await Gatehouse()
        let members = Dictionary(gatehouse.key.publicMembers.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let point = try #require(members["x"].flatMap(decoded)) + #require(members["y"].flatMap(decoded))
        let parts = try await gatehouse.token()[0].dropFirst("Bearer ".count).split(separator: ".")
        let signature = try P256.Signing.ECDSASignature(rawRepresentation: #require(decoded(String(parts[2]))))
        #expect(try P256.Signing.PublicKey(rawRepresentation: point).isValidSignature(signature, for: Data("\(parts[0]).\(parts[1])".utf8)))
    }

    private func decoded(_ text: String) -> Data? {
        let padding = String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        return Data(base64Encoded: text.replacing("-", with: "+").replacing("_", with: "/") + padding)
    }
}
