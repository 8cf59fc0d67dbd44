import Crypto
import Foundation
import Gateway
import Identity
import JWTKit
import Testing

/// ID tokens that must not be believed, each with what is found wrong first.
struct WrongIDToken: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let defect: IDTokenDefect
    let token: @Sendable () async throws -> String

    init(_ description: String, _ defect: IDTokenDefect, _ token: @escaping @Sendable () async throws -> String) {
        testDescription = description
        self.defect = defect
        self.token = token
    }

    static func oidc(
        _ description: String, _ defect: IDTokenDefect, header: [String: String?] = [:], claims: [String: String?] = [:],
        sign: @escaping IDTokenText.Signer = IDTokenText.rsa
    ) -> Self {
        Self(description, defect) { try await IDTokenText.oidc(header: header, claims: claims, sign: sign) }
    }

    static func entra(_ description: String, _ defect: IDTokenDefect, _ claims: [String: String?]) -> Self {
        Self(description, defect) { try await IDTokenText.entra(claims: claims) }
    }

    private static let nothing: IDTokenText.Signer = { _ in Data() }
    private static let zeroes: IDTokenText.Signer = { _ in Data(count: 64) }
    private static let other: IDTokenText.Signer = { try await IssuerTestKeys.otherRSA.sign($0) }
    private static func mac(_ key: Data) -> IDTokenText.Signer {
        { Data(HMAC<SHA256>.authenticationCode(for: $0, using: SymmetricKey(data: key))) }
    }
    private static let foreignJWK = IssuerTestKeys.otherRSA.jwk()

    static let algorithms: [Self] =
        ["none", "None", "nOnE", "NONE", "", "rs256", "HS256", "HS512", "RS1", "RSA-OAEP", "dir"].map { name in
            oidc("alg “\(name)”, no signature", .algorithm, header: ["alg": "\"\(name)\""], sign: nothing)
        }
        + ["none", "nOnE"].map { name in
            oidc("alg “\(name)” over a good signature", .algorithm, header: ["alg": "\"\(name)\""])
        } + [
            oidc("HS256 under the public key's PEM", .algorithm, header: ["alg": #""HS256""#], sign: mac(Data(IssuerTestKeys.rsa.publicPEM.utf8))),
            oidc(
                "HS256 under the client secret", .algorithm, header: ["alg": #""HS256""#], sign: mac(Data(IssuerRig.secret.utf8))),
            oidc("no alg", .algorithm, header: ["alg": nil]),
            oidc("alg is a number", .algorithm, header: ["alg": "256"]),
            oidc("alg is a list", .algorithm, header: ["alg": #"["RS256"]"#]),
            oidc("an algorithm that is known and not allowed", .algorithm, header: ["alg": #""RS512""#]) {
                try await IssuerTestKeys.rsa.sign($0, .sha512)
            },
            oidc("PSS where PKCS #1 is allowed", .signature) { try await IssuerTestKeys.rsa.sign($0, pss: true) },
            oidc("ES256 by the name of the RSA key", .unknownKey, header: ["alg": #""ES256""#], sign: IDTokenText.p256),
            oidc("RS256 by the name of the EC key", .unknownKey, header: ["kid": #""key-ec""#]),
            oidc("ES256, r and s are zero", .signature, header: ["alg": #""ES256""#, "kid": #""key-ec""#], sign: zeroes),
            oidc("ES256, no signature", .signature, header: ["alg": #""ES256""#, "kid": #""key-ec""#], sign: nothing),
            oidc("ES256, a signature in DER", .signature, header: ["alg": #""ES256""#, "kid": #""key-ec""#]) {
                try IssuerTestKeys.p256.signature(for: $0).derRepresentation
            },
            oidc("ES256 by another key", .signature, header: ["alg": #""ES256""#, "kid": #""key-ec""#]) {
                try P256.Signing.PrivateKey().signature(for: $0).rawRepresentation
            },
        ]

    static let keys: [Self] = [
        oidc("another kid", .unknownKey, header: ["kid": #""key-2""#], sign: other),
        oidc("the right key by another kid", .unknownKey, header: ["kid": #""key-2""#]),
        oidc("kid in another case", .unknownKey, header: ["kid": #""KEY-1""#]),
        oidc("kid is a path", .unknownKey, header: ["kid": #""../../../../dev/null""#], sign: other),
        oidc("kid is SQL", .unknownKey, header: ["kid": #""' OR 1=1 --""#], sign: other),
        oidc("kid is a URL", .unknownKey, header: ["kid": #""http://127.0.0.1:9/key""#], sign: other),
        oidc("kid is a command", .unknownKey, header: ["kid": #""key-1|/usr/bin/id""#], sign: other),
        oidc("an empty kid", .unknownKey, header: ["kid": #""""#], sign: other),
        oidc("kid of 129 bytes", .keyID, header: ["kid": "\"\(String(repeating: "k", count: 129))\""]),
        oidc("kid is a number", .malformed, header: ["kid": "1"]),
        oidc("kid is null", .malformed, header: ["kid": "null"]),
        oidc("jku to another key set", .signature, header: ["jku": #""http://127.0.0.1:9/keys""#], sign: other),
        oidc("x5u to another certificate", .signature, header: ["x5u": #""http://169.254.169.254/latest/meta-data""#], sign: other),
        oidc("another key in the header", .signature, header: ["jwk": foreignJWK], sign: other),
        oidc("another certificate in the header", .signature, header: ["x5c": #"["MIIB"]"#], sign: other),
        oidc("a critical extension", .critical, header: ["crit": #"["b64"]"#, "b64": "false"]),
        oidc("a critical extension nobody knows", .critical, header: ["crit": #"["http://example.test/x"]"#]),
        oidc("an empty list of critical extensions", .critical, header: ["crit": "[]"]),
        oidc("crit is null", .critical, header: ["crit": "null"]),
        oidc("the key of another issuer", .signature, sign: other),
        oidc("no signature", .signature, sign: nothing),
        oidc("a signature of zeroes", .signature) { _ in Data(count: 256) },
        oidc("a signature cut short", .signature) { try await IssuerTestKeys.rsa.sign($0).dropLast() },
        oidc("a signature one byte longer", .signature) { try await IssuerTestKeys.rsa.sign($0) + Data([0]) },
        oidc("a signature one bit off", .signature) {
            var signature = try await IssuerTestKeys.rsa.sign($0)
            signature[signature.startIndex + 100] ^= 1
            return signature
        },
        Self("claims changed after signing", .signature) {
            let parts = try await IDTokenText.oidc().split(separator: ".")
            let others = try await IDTokenText.oidc(claims: ["sub": #""grace""#]).split(separator: ".")
            return "\(parts[0]).\(others[1]).\(parts[2])"
        },
    ]

    static let types: [Self] = [
        oidc("typ of an access token", .type, header: ["typ": #""at+jwt""#]),
        oidc("typ of an access token, in full", .type, header: ["typ": #""application/at+jwt""#]),
        oidc("typ of a logout token", .type, header: ["typ": #""logout+jwt""#]),
        oidc("typ of an ID-JAG", .type, header: ["typ": #""oauth-id-jag+jwt""#]),
        oidc("typ is null", .type, header: ["typ": "null"]),
        oidc("typ is a number", .type, header: ["typ": "1"]),
    ]

    static let texts: [Self] = [
        Self("an empty token", .malformed) { "" },
        Self("dots", .malformed) { ".." },
        Self("two parts", .malformed) { try await IDTokenText.oidc().split(separator: ".").prefix(2).joined(separator: ".") },
        Self("an empty signature", .signature) { try await IDTokenText.oidc().split(separator: ".").prefix(2).joined(separator: ".") + "." },
        Self("a dot too many", .malformed) { try await IDTokenText.oidc() + "." },
        Self("a dot before", .malformed) { "." + (try await IDTokenText.oidc()) },
        Self("five parts, as encrypted tokens have", .malformed) { "e30.e30.e30.e30.e30" },
        Self("truncated in the claims", .malformed) { String(try await IDTokenText.oidc().prefix(120)) },
        Self("a space before", .malformed) { " " + (try await IDTokenText.oidc()) },
        Self("a space behind", .signature) { try await IDTokenText.oidc() + " " },
        Self("a space after the first dot", .malformed) { try await IDTokenText.oidc().replacing(".", with: ". ", maxReplacements: 1) },
        Self("padded base64", .malformed) { "e30=.e30=.e30=" },
        Self("base64 that could be written otherwise", .malformed) { "e31.e30.e30" },
        Self("base64 of another alphabet", .malformed) { "e+0.e30.e30" },
        Self("a header that is no JSON", .malformed) { "YQ.e30.e30" },
        Self("a header that is a list", .malformed) { "W10.e30.e30" },
        Self("claims that are no object", .malformed) { try await IDTokenText.signed(IssuerRig.object(IDTokenText.header), "[]") },
        Self("claims with something behind", .malformed) {
            try await IDTokenText.signed(IssuerRig.object(IDTokenText.header), IssuerRig.object(IDTokenText.claims) + "{}")
        },
        Self("a claim that stands twice", .malformed) {
            let claims = IssuerRig.object(IDTokenText.claims).dropLast() + #","sub":"grace"}"#
            return try await IDTokenText.signed(IssuerRig.object(IDTokenText.header), String(claims))
        },
        Self("a claim that stands twice, once escaped", .malformed) {
            let claims = IssuerRig.object(IDTokenText.claims).dropLast() + #","\u0073ub":"grace"}"#
            return try await IDTokenText.signed(IssuerRig.object(IDTokenText.header), String(claims))
        },
        Self("alg that stands twice", .malformed) {
            let header = IssuerRig.object(IDTokenText.header).dropLast() + #","alg":"none"}"#
            return try await IDTokenText.signed(String(header), IssuerRig.object(IDTokenText.claims))
        },
        Self("claims nested too deeply", .malformed) {
            let deep = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
            return try await IDTokenText.oidc(claims: ["deep": deep])
        },
        Self("oversized", .oversized) { try await IDTokenText.oidc(claims: ["name": "\"\(String(repeating: "a", count: 33_000))\""]) },
    ]

    static let claims: [Self] = [
        oidc("another issuer", .issuer, claims: ["iss": #""https://elsewhere.example""#]),
        oidc("the issuer with a slash", .issuer, claims: ["iss": #""https://issuer.example/""#]),
        oidc("the issuer in capitals", .issuer, claims: ["iss": #""https://ISSUER.example""#]),
        oidc("the issuer over http", .issuer, claims: ["iss": #""http://issuer.example""#]),
        oidc("the issuer as the beginning", .issuer, claims: ["iss": #""https://issuer.example.evil.test""#]),
        oidc("no issuer", .issuer, claims: ["iss": nil]),
        oidc("the issuer in a list", .claims, claims: ["iss": #"["https://issuer.example"]"#]),
        oidc("another audience", .audience, claims: ["aud": #""other-client""#]),
        oidc("no audience", .audience, claims: ["aud": nil]),
        oidc("an empty audience", .audience, claims: ["aud": "[]"]),
        oidc("the audience as the beginning", .audience, claims: ["aud": #""gateway-client-2""#]),
        oidc("the audience with something behind that cannot be seen", .audience, claims: ["aud": #""gateway-client\u0000""#]),
        oidc("an audience that is no text", .claims, claims: ["aud": #"["gateway-client",1]"#]),
        oidc("several audiences and no azp", .authorizedParty, claims: ["aud": #"["gateway-client","api"]"#]),
        oidc("several audiences and another azp", .authorizedParty, claims: ["aud": #"["gateway-client","api"]"#, "azp": #""api""#]),
        oidc("one audience and another azp", .authorizedParty, claims: ["azp": #""other-client""#]),
        oidc("expired sixty seconds ago", .expired, claims: ["exp": "1799999940"]),
        oidc("expired long ago", .expired, claims: ["exp": "0"]),
        oidc("expired before 1970", .expired, claims: ["exp": "-1"]),
        oidc("no expiry", .claims, claims: ["exp": nil]),
        oidc("expiry in quotes", .claims, claims: ["exp": #""1800003600""#]),
        oidc("expiry beyond all time", .claims, claims: ["exp": "1e300"]),
        oidc("issued 61 s ahead", .notYetValid, claims: ["iat": "1800000061"]),
        oidc("no time of issue", .claims, claims: ["iat": nil]),
        oidc("not before 61 s ahead", .notYetValid, claims: ["nbf": "1800000061"]),
        oidc("not before is no number", .claims, claims: ["nbf": "true"]),
        oidc("no nonce", .nonce, claims: ["nonce": nil]),
        oidc("an empty nonce", .nonce, claims: ["nonce": #""""#]),
        oidc("another nonce", .nonce, claims: ["nonce": #""n-another""#]),
        oidc("a nonce that goes on", .nonce, claims: ["nonce": "\"\(IssuerRig.nonce)0\""]),
        oidc("a nonce that is a number", .claims, claims: ["nonce": "0"]),
        oidc("no subject", .subject, claims: ["sub": nil]),
        oidc("an empty subject", .subject, claims: ["sub": #""""#]),
        oidc("a subject of 256 bytes", .subject, claims: ["sub": "\"\(String(repeating: "s", count: 256))\""]),
        oidc("a subject with a line break", .subject, claims: ["sub": #""ada\nadmin""#]),
        oidc("a subject that is a number", .claims, claims: ["sub": "7"]),
        oidc("roles that are an object", .claims, claims: ["roles": #"{"admin":true}"#]),
        oidc("groups that are numbers", .claims, claims: ["groups": "[1]"]),
    ]

    static let entra: [Self] = [
        entra(
            "a tenant that is not allowed", .tenant,
            [
                "tid": #""99999999-2f4b-4b1e-9a55-0d2c3f4a5b6c""#,
                "iss": #""https://login.microsoftonline.com/99999999-2f4b-4b1e-9a55-0d2c3f4a5b6c/v2.0""#,
            ]),
        entra(
            "a foreign tenant that says it is ours", .issuer,
            [
                "iss": #""https://login.microsoftonline.com/99999999-2f4b-4b1e-9a55-0d2c3f4a5b6c/v2.0""#
            ]),
        entra("our issuer and a foreign tenant", .tenant, ["tid": #""99999999-2f4b-4b1e-9a55-0d2c3f4a5b6c""#]),
        entra(
            "personal accounts", .tenant,
            [
                "tid": #""9188040d-6c67-4c5b-b112-36a304b66dad""#,
                "iss": #""https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0""#,
            ]),
        entra("no tenant", .tenant, ["tid": nil]),
        entra("a tenant that is no GUID", .tenant, ["tid": #""contoso.onmicrosoft.com""#]),
        entra("a tenant that is a path", .tenant, ["tid": "\"../\(IssuerRig.tenant)\""]),
        entra("the template for an issuer", .issuer, ["iss": #""https://login.microsoftonline.com/{tenantid}/v2.0""#]),
        entra("the issuer of the other version", .issuer, ["iss": "\"https://sts.windows.net/\(IssuerRig.tenant)/\""]),
        entra("the version of the other issuer", .issuer, ["ver": #""1.0""#]),
        entra("a version nobody knows", .issuer, ["ver": #""3.0""#]),
        entra("another cloud", .issuer, ["iss": "\"https://login.microsoftonline.us/\(IssuerRig.tenant)/v2.0\""]),
        entra("no user", .objectID, ["oid": nil]),
        entra("a user who is no GUID", .objectID, ["oid": #""ada""#]),
        entra("the application's URI for an audience", .audience, ["aud": "\"api://\(IssuerRig.client)\""]),
    ]
}

struct WrongIDTokenTests {
    @Test(arguments: WrongIDToken.algorithms + WrongIDToken.keys + WrongIDToken.types + WrongIDToken.texts + WrongIDToken.claims)
    func `a wrong ID token is refused by its defect, and nobody is asked about it but the issuer`(_ wrong: WrongIDToken) async throws {
        let rig = try IssuerRig.oidc()
        let token = try await wrong.token()
        await #expect(performing: { try await rig.signIn(token) }, throws: { ($0 as? IssuerFailure)?.kind == .token(wrong.defect) })
        #expect(Set(rig.requests.map(\.endpoint.origin.description)) == [IssuerRig.issuer])
    }

    @Test(arguments: WrongIDToken.entra)
    func `a wrong ID token of Entra ID is refused by its defect`(_ wrong: WrongIDToken) async throws {
        let token = try await wrong.token()
        for rig in [try IssuerRig.entra(), try IssuerRig.entra(tenant: "organizations", allowed: [IssuerRig.tenant])] {
            await #expect(performing: { try await rig.signIn(token) }, throws: { ($0 as? IssuerFailure)?.kind == .token(wrong.defect) })
        }
    }

    @Test func `the unchanged token is a good one, so each change is what was refused`() async throws {
        #expect(try await IssuerRig.oidc().signIn(IDTokenText.oidc()).subjectKey == "https://issuer.example|ada")
        #expect(try await IssuerRig.entra().signIn(IDTokenText.entra()).subjectKey == "\(IssuerRig.tenant)/\(IssuerRig.user)")
    }

    /// The Kelvin sign and K are equal to `==`.
    @Test(arguments: [
        ("https://issuer.example/K", "Klient"), ("https://issuer.example/\u{212A}", "Klient"), ("https://issuer.example/K", "\u{212A}lient"),
    ])
    func `a text that only looks alike is another`(_ pair: (issuer: String, audience: String)) async throws {
        let settings = try IssuerSettings(.oidc(issuer: "https://issuer.example/K"), clientID: "Klient", redirectURI: IssuerRig.redirect)
        let rig = IssuerRig(settings)
        rig.publish(
            metadata: IssuerRig.metadata(["issuer": #""https://issuer.example/K""#]), at: "https://issuer.example/K/.well-known/openid-configuration")
        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(["kid": "Key"]), IssuerTestKeys.otherRSA.jwk()))
        let claims = ["iss": "\"\(pair.issuer)\"", "aud": "\"\(pair.audience)\""]
        let isAlike = pair.issuer.utf8.count > 24 || pair.audience.utf8.count > 6
        for (key, isOther) in [("Key", isAlike), ("\u{212A}ey", true)] {
            let token = try await IDTokenText.oidc(header: ["kid": "\"\(key)\""], claims: claims)
            do {
                _ = try await rig.signIn(token)
                #expect(!isOther)
            } catch {
                #expect(isOther)
            }
        }
    }

    @Test func `no ID token at all is no sign-in`() async throws {
        let rig = try IssuerRig.oidc()
        rig.grant()
        await #expect(performing: { try await rig.redeem() }, throws: { ($0 as? IssuerFailure)?.kind == .token(.missing) })
    }

    @Test(arguments: [
        ["iat": "1800000060"], ["nbf": "1800000060"], ["exp": "1799999941"], ["exp": "1799999999.25"], ["aud": #"["gateway-client"]"#],
        ["aud": #"["api","gateway-client"]"#, "azp": #""gateway-client""#], ["azp": #""gateway-client""#], ["name": nil, "email": nil],
    ])
    func `what is just inside the bounds is good`(_ claims: [String: String?]) async throws {
        #expect(try await IssuerRig.oidc().signIn(IDTokenText.oidc(claims: claims)).subject == "ada")
    }

    @Test(arguments: [["typ": nil], ["typ": #""jwt""#], ["jku": #""http://127.0.0.1:9/""#], ["x5c": #"["MIIB"]"#]] as [[String: String?]])
    func `a header may leave out its type, and name keys nobody looks at`(_ header: [String: String?]) async throws {
        let rig = try IssuerRig.oidc()
        #expect(try await rig.signIn(IDTokenText.oidc(header: header)).subject == "ada")
        #expect(Set(rig.requests.map(\.endpoint.origin.description)) == [IssuerRig.issuer])
    }

    @Test(arguments: [SignatureAlgorithm.rs256, .rs384, .rs512, .ps256, .es256, .es384, .edDSA])
    func `each allowed algorithm verifies, and is refused where it is not allowed`(_ algorithm: SignatureAlgorithm) async throws {
        let (id, sign): (String, IDTokenText.Signer) =
            switch algorithm {
            case .rs384: ("key-1", { try await IssuerTestKeys.rsa.sign($0, .sha384) })
            case .rs512: ("key-1", { try await IssuerTestKeys.rsa.sign($0, .sha512) })
            case .ps256: ("key-1", { try await IssuerTestKeys.rsa.sign($0, pss: true) })
            case .es256: ("key-ec", IDTokenText.p256)
            case .es384: ("key-384", { try IssuerTestKeys.p384.signature(for: $0).rawRepresentation })
            case .edDSA: ("key-ed", { try IssuerTestKeys.ed25519.signature(for: $0) })
            default: ("key-1", IDTokenText.rsa)
            }
        let token = try await IDTokenText.oidc(header: ["alg": "\"\(algorithm.rawValue)\"", "kid": "\"\(id)\""], sign: sign)
        let keys = JWKText.set(IssuerTestKeys.rsa.jwk(), JWKText.p256(), JWKText.p384(), JWKText.ed25519())

        let open = try IssuerRig.oidc { $0.algorithms = Set(SignatureAlgorithm.allCases) }
        open.publish(keys: keys)
        #expect(try await open.signIn(token).subject == "ada")

        let closed = try IssuerRig.oidc { $0.algorithms = Set(SignatureAlgorithm.allCases).subtracting([algorithm]) }
        closed.publish(keys: keys)
        await #expect(performing: { try await closed.signIn(token) }, throws: { ($0 as? IssuerFailure)?.kind == .token(.algorithm) })
    }
}
