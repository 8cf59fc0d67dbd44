import Crypto
import Foundation
import Gateway
import Identity
import Testing

/// Authorization headers that must not be believed, each with what its sender is told.
struct WrongToken: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let reason: Refusal.UnauthenticatedReason
    let headers: @Sendable (Gatehouse) async throws -> [String]

    init(_ description: String, _ reason: Refusal.UnauthenticatedReason, _ headers: @escaping @Sendable (Gatehouse) async throws -> [String]) {
        testDescription = description
        self.reason = reason
        self.headers = headers
    }

    static func forged(
        _ description: String, _ reason: Refusal.UnauthenticatedReason = .unknown, header: [String: String?] = [:], claims: [String: String?] = [:]
    ) -> Self {
        Self(description, reason) { ["Bearer " + (try $0.forged(header: header, claims: claims))] }
    }

    static func signed(
        _ description: String, _ reason: Refusal.UnauthenticatedReason = .unknown, header: [String: String?] = [:],
        _ sign: @escaping @Sendable (Gatehouse, Data) throws -> Data
    ) -> Self {
        Self(description, reason) { gatehouse in ["Bearer " + (try gatehouse.forged(header: header, sign: { try sign(gatehouse, $0) }))] }
    }

    static func literal(_ description: String, _ headers: String...) -> Self { Self(description, .malformed) { _ in headers } }

    static let algorithms: [Self] =
        ["none", "None", "nOnE", "NONE", "", "es256", "ES384", "RS256", "EdDSA"].map { algorithm in
            signed("alg \(algorithm), no signature", header: ["alg": "\"\(algorithm)\""]) { _, _ in Data() }
        } + [
            signed("HS256 under the public key's PEM", header: ["alg": #""HS256""#]) { gatehouse, text in
                mac(text, Data(try gatehouse.privateKey.publicKey.pemRepresentation.utf8))
            },
            signed("HS256 under the public key's point", header: ["alg": #""HS256""#]) { gatehouse, text in
                mac(text, try gatehouse.privateKey.publicKey.x963Representation)
            },
            signed("HS256 under the key's id", header: ["alg": #""HS256""#]) { gatehouse, text in mac(text, Data(gatehouse.key.id.utf8)) },
            forged("no alg", .malformed, header: ["alg": nil]),
            forged("alg is a number", .malformed, header: ["alg": "256"]),
        ]

    static let headers: [Self] = [
        forged("another kid", header: ["kid": #""other""#]),
        forged("no kid", header: ["kid": nil]),
        forged("kid is a path", header: ["kid": #""../../etc/passwd""#]),
        forged("kid is SQL", header: ["kid": #""' OR 1=1 --""#]),
        forged("no typ", header: ["typ": nil]),
        forged("typ of an ID token", header: ["typ": #""JWT""#]),
        forged("typ of a refresh token", header: ["typ": #""rt+jwt""#]),
        forged("a critical extension", header: ["crit": #"["b64"]"#, "b64": "false"]),
        forged("an empty list of critical extensions", header: ["crit": "[]"]),
        forged("crit is no list", .malformed, header: ["crit": #""exp""#]),
    ]

    static let signatures: [Self] = [
        signed("another P-256 key") { _, text in try P256.Signing.PrivateKey().signature(for: text).rawRepresentation },
        signed("another key, its public half in the header", header: ["jwk": #"{"kty":"EC","crv":"P-256"}"#, "jku": #""http://127.0.0.1:9/""#]) {
            _, text in
            try P256.Signing.PrivateKey().signature(for: text).rawRepresentation
        },
        signed("r and s are zero") { _, _ in Data(count: 64) },
        signed("no signature") { _, _ in Data() },
        signed("a signature in DER") { gatehouse, text in try gatehouse.privateKey.signature(for: text).derRepresentation },
        signed("a signature cut short") { gatehouse, text in try gatehouse.privateKey.signature(for: text).rawRepresentation.dropLast() },
        signed("a signature one bit off") { gatehouse, text in
            var signature = try gatehouse.privateKey.signature(for: text).rawRepresentation
            signature[signature.startIndex + 40] ^= 1
            return signature
        },
        signed("the signature of something else") { gatehouse, text in
            try gatehouse.privateKey.signature(for: text + Data("x".utf8)).rawRepresentation
        },
        Self("claims changed after signing", .unknown) { gatehouse in
            let parts = try gatehouse.forged().split(separator: ".")
            let others = try gatehouse.forged(claims: ["sub": #""8""#]).split(separator: ".")
            return ["Bearer \(parts[0]).\(others[1]).\(parts[2])"]
        },
    ]

    static let claims: [Self] = [
        forged("another issuer", claims: ["iss": #""https://elsewhere.example""#]),
        forged("the issuer on another port", claims: ["iss": #""http://localhost:8002""#]),
        forged("the issuer over https", claims: ["iss": #""https://localhost:8001""#]),
        forged("the issuer with a slash", claims: ["iss": #""http://localhost:8001/""#]),
        forged("no issuer", claims: ["iss": nil]),
        forged("expires this second", .expired, claims: ["exp": "1800000000"]),
        forged("expired long ago", .expired, claims: ["exp": "0"]),
        forged("expired before 1970", .expired, claims: ["exp": "-1"]),
        forged("no expiry", claims: ["exp": nil]),
        forged("expiry in quotes", claims: ["exp": #""1800003600""#]),
        forged("issued 61 s ahead", claims: ["iat": "1800000061"]),
        forged("no time of issue", claims: ["iat": nil]),
        forged("for another resource", .wrongAudience, claims: ["aud": #"["http://localhost:8001/api"]"#]),
        forged("for another gateway", .wrongAudience, claims: ["aud": #"["https://elsewhere.example/mcp"]"#]),
        forged("for the origin alone", .wrongAudience, claims: ["aud": #"["http://localhost:8001"]"#]),
        forged("for a longer path", .wrongAudience, claims: ["aud": #"["http://localhost:8001/mcp/x"]"#]),
        forged("for nothing", .wrongAudience, claims: ["aud": "[]"]),
        forged("no audience", claims: ["aud": nil]),
        forged("a user nobody knows", claims: ["sub": #""99""#]),
        forged("a user who is no number", claims: ["sub": #""ada""#]),
        forged("a user beyond 64 bits", claims: ["sub": #""9223372036854775808""#]),
        forged("an empty user", claims: ["sub": #""""#]),
        forged("a user without quotes", claims: ["sub": "7"]),
        forged("no user", claims: ["sub": nil]),
        forged("a user who signed out everywhere", .revoked, claims: ["sub": #""9""#, "iat": "1799999930"]),
    ]

    static let texts: [Self] = [
        Self("no header", .missing) { _ in [] },
        literal("an empty header", ""),
        literal("the scheme alone", "Bearer"),
        literal("the scheme and a space", "Bearer "),
        literal("another scheme", "Basic YWRhOnNlY3JldA=="),
        literal("garbage", "Bearer garbage"),
        literal("two parts", "Bearer e30.e30"),
        literal("four parts", "Bearer e30.e30.e30.e30"),
        literal("dots", "Bearer .."),
        literal("a header that is no JSON", "Bearer YQ.e30.e30"),
        literal("a header that is no object", "Bearer W10.e30.e30"),
        literal("padded base64", "Bearer e30=.e30=.e30="),
        literal("a comma", "Bearer a,b"),
        literal("a control character", "Bearer a\u{0}b"),
        literal("letters beyond ASCII", "Bearer é"),
        literal("over-long", "Bearer " + String(repeating: "a", count: 8193)),
        Self("two headers", .malformed) { try await $0.token() + $0.token() },
        Self("the same header twice", .malformed) { gatehouse in
            let header = try await gatehouse.token()
            return header + header
        },
        Self("two tokens in one header", .malformed) { [try await $0.token()[0] + " x"] },
        Self("two spaces", .malformed) { ["Bearer  " + (try $0.forged())] },
        Self("a tab", .malformed) { ["Bearer\t" + (try $0.forged())] },
        Self("no scheme", .malformed) { [try $0.forged()] },
    ]

    private static func mac(_ text: Data, _ key: Data) -> Data {
        Data(HMAC<SHA256>.authenticationCode(for: text, using: SymmetricKey(data: key)))
    }
}

struct WrongTokenTests {
    @Test(arguments: WrongToken.algorithms + WrongToken.headers + WrongToken.signatures + WrongToken.claims + WrongToken.texts)
    func `a wrong token is refused by its reason and stays unknown`(_ wrong: WrongToken) async throws {
        let gatehouse = try await Gatehouse()
        let headers = try await wrong.headers(gatehouse)
        await #expect(throws: Refusal.unauthenticated(wrong.reason)) {
            try await gatehouse.authenticator.verify(headers, for: .mcp, at: .now)
        }
        let known = try? gatehouse.authenticator.recognize(headers, for: .mcp, at: .now)
        #expect(known == nil)
    }

    @Test func `the forger's unchanged token is a good one, so each change is what was refused`() async throws {
        let gatehouse = try await Gatehouse()
        let principal = try await gatehouse.authenticator.verify(["Bearer " + (try gatehouse.forged())], for: .mcp, at: .now)
        #expect(principal == User.ada.principal)
    }

    @Test(arguments: ["jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/cert", "cty": "JWT"])
    func `header members that name other keys are read over`(_ member: (key: String, value: String)) async throws {
        let gatehouse = try await Gatehouse()
        let token = try gatehouse.forged(header: [member.key: "\"\(member.value)\""])
        #expect(try await gatehouse.authenticator.verify(["Bearer \(token)"], for: .mcp, at: .now) == User.ada.principal)
    }

    @Test(arguments: [
        ["iat": "1800000060"], ["exp": "1800000001"], ["iss": #""http://127.0.0.1:8001""#], ["iss": #""http://[::1]:8001""#],
        ["aud": #"["https://elsewhere.example/mcp","http://127.0.0.1:8001/mcp"]"#],
    ])
    func `what is just inside the bounds is good`(_ claims: [String: String]) async throws {
        let gatehouse = try await Gatehouse()
        let token = try gatehouse.forged(claims: claims.mapValues { Optional($0) })
        #expect(try await gatehouse.authenticator.verify(["Bearer \(token)"], for: .mcp, at: .now) == User.ada.principal)
    }

    @Test(arguments: ["bearer", "BEARER", "bEaReR"])
    func `the scheme is read in any case`(_ scheme: String) async throws {
        let gatehouse = try await Gatehouse()
        let header = ["\(scheme) \(try gatehouse.forged())"]
        #expect(try await gatehouse.authenticator.verify(header, for: .mcp, at: .now) == User.ada.principal)
        #expect(try gatehouse.authenticator.recognize(header, for: .mcp, at: .now) == User.ada.principal)
    }

    @Test func `a fault of the directory is not called the token's`() async throws {
        struct Unreadable: Error {}
        let gatehouse = try await Gatehouse(users: UserDirectory { _ in throw Unreadable() })
        let header = try await gatehouse.token()
        await #expect(throws: Unreadable.self) { try await gatehouse.authenticator.verify(header, for: .mcp, at: .now) }
        #expect(try gatehouse.authenticator.recognize(header, for: .mcp, at: .now) == nil)
    }
}
