import Gateway
import Identity
import Testing

/// Metadata that must not be believed, and a word of the sentence that says why.
struct WrongMetadata: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let metadata: String
    let word: String

    init(_ description: String, _ word: String, _ changes: [String: String?]) {
        self.init(description, word, text: IssuerRig.metadata(changes))
    }

    init(_ description: String, _ word: String, text: String) {
        testDescription = description
        metadata = text
        self.word = word
    }

    static let elsewhere: [Self] = [
        "https://evil.example/token", "https://issuer.example.evil.test/token", "https://issuer.example:8443/token",
        "https://login.issuer.example/token",
        "http://issuer.example/token", "http://127.0.0.1/token", "https://127.0.0.1/token", "https://localhost/token", "https://[::1]/token",
        "http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "https://[::ffff:169.254.169.254]/", "https://10.0.0.1/",
        "https://0x7f.0.0.1/", "https://017700000001/", "https://2130706433/", "https://issuer.example./token",
    ].map { Self("a token endpoint at \($0)", "token_endpoint", ["token_endpoint": "\"\($0)\""]) }

    static let noURLs: [Self] = [
        "file:///etc/passwd", "gopher://issuer.example/", "javascript:alert(1)", "//issuer.example/keys", "/keys", "",
        "https://user@issuer.example/keys", "https://issuer.example/keys#a", #"https://issuer.example\\@evil.example/keys"#,
        "https://issuer.example/ keys",
        "https://issuer.еxample/keys",
    ].map { Self("keys at “\($0)”", "jwks_uri", ["jwks_uri": "\"\($0)\""]) }

    static let members: [Self] = [
        Self("another issuer", "https://elsewhere.example", ["issuer": #""https://elsewhere.example""#]),
        Self("the issuer with a slash", "to the letter", ["issuer": #""https://issuer.example/""#]),
        Self("the issuer in capitals", "to the letter", ["issuer": #""https://Issuer.example""#]),
        Self("no issuer", "names no issuer", ["issuer": nil]),
        Self("an issuer that is no text", "names no issuer", ["issuer": #"["https://issuer.example"]"#]),
        Self("no authorization endpoint", "has no authorization_endpoint", ["authorization_endpoint": nil]),
        Self("no token endpoint", "has no token_endpoint", ["token_endpoint": nil]),
        Self("no keys", "has no jwks_uri", ["jwks_uri": nil]),
        Self("keys that are no text", "jwks_uri", ["jwks_uri": "1"]),
        Self("sign-in elsewhere", "authorization_endpoint", ["authorization_endpoint": #""https://evil.example/authorize""#]),
        Self("sign-out elsewhere", "end_session_endpoint", ["end_session_endpoint": #""https://evil.example/logout""#]),
        Self("user info elsewhere", "userinfo_endpoint", ["userinfo_endpoint": #""https://evil.example/me""#]),
        Self("revocation elsewhere", "revocation_endpoint", ["revocation_endpoint": #""https://evil.example/revoke""#]),
        Self("silence about PKCE", "PKCE", ["code_challenge_methods_supported": nil]),
        Self("PKCE in plain only", "S256", ["code_challenge_methods_supported": #"["plain"]"#]),
        Self("no method of PKCE", "S256", ["code_challenge_methods_supported": "[]"]),
        Self("PKCE that is no list", "no list", ["code_challenge_methods_supported": #""S256""#]),
        Self("no codes", "response type", ["response_types_supported": #"["id_token"]"#]),
        Self("no way for a secret", "client_secret_basic", ["token_endpoint_auth_methods_supported": #"["private_key_jwt"]"#]),
    ]

    static let texts: [Self] = [
        Self("nothing", "not JSON", text: ""),
        Self("a page", "not JSON", text: "<!doctype html><title>Sign in</title>"),
        Self("a list", "no JSON object", text: "[]"),
        Self("an issuer that stands twice", "not JSON", text: String(IssuerRig.metadata().dropLast()) + #","issuer":"https://evil.example"}"#),
        Self("cut off", "not JSON", text: String(IssuerRig.metadata().dropLast(10))),
        Self("deep", "not JSON", text: String(repeating: "[", count: 50_000)),
        Self("huge", "more than", text: IssuerRig.metadata(["x": "\"\(String(repeating: "x", count: 70_000))\""])),
    ]
}

struct IssuerMetadataTests {
    static let url = "\(IssuerRig.issuer)/.well-known/openid-configuration"

    @Test(arguments: WrongMetadata.elsewhere + WrongMetadata.noURLs + WrongMetadata.members + WrongMetadata.texts)
    func `wrong metadata is refused with a sentence for the operator, and nothing in it is followed`(_ wrong: WrongMetadata) async throws {
        let rig = try IssuerRig.oidc()
        rig.publish(metadata: wrong.metadata)
        let failure = await #expect(throws: IssuerFailure.self) {
            try await rig.issuer.authorizationURL(state: "s", nonce: "n", codeChallenge: "c")
        }
        let text = failure?.sentence ?? ""
        #expect(failure?.kind == .configuration)
        #expect(text.contains(wrong.word) || wrong.word == "not JSON" && text.contains("is not JSON"), "\(text)")
        await #expect(throws: IssuerFailure.self) { try await rig.issuer.check() }
        #expect(rig.requests.map(\.endpoint.description) == [Self.url])
    }

    @Test(arguments: [301, 302, 303, 307, 308])
    func `a redirect is a failure, and is not followed`(_ status: Int) async throws {
        let rig = try IssuerRig.oidc()
        rig.answer(Self.url, status, "", [("location", "http://169.254.169.254/")])
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.issuer.check() }
        #expect(failure?.kind == .configuration)
        #expect(failure?.sentence.contains("redirect") == true)
        #expect(rig.requests.count == 1)
    }

    @Test(arguments: [(404, false), (401, false), (204, false), (429, true), (500, true), (503, true), (408, true)])
    func `another status than 200 is a failure, of somebody's making`(_ status: Int, _ isWorthRepeating: Bool) async throws {
        let rig = try IssuerRig.oidc()
        rig.answer(Self.url, status, IssuerRig.metadata())
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.issuer.check() }
        #expect(failure?.isWorthRepeating == isWorthRepeating)
    }

    @Test(arguments: [FetchFailure.unreachable("refused"), .lost("reset"), .timedOut(.seconds(10))])
    func `an issuer that is away is worth asking again`(_ reason: FetchFailure) async throws {
        let rig = try IssuerRig.oidc()
        rig.fail(Self.url, reason)
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.issuer.check() }
        #expect(failure?.kind == .later(after: nil))
        rig.publish(metadata: IssuerRig.metadata())
        let again = await #expect(throws: IssuerFailure.self) { try await rig.issuer.check() }
        #expect(again == failure)
        rig.pass(.seconds(5))
        try await rig.issuer.check()
        #expect(rig.count("/.well-known/openid-configuration") == 2)
    }

    @Test func `what is optional is read, and what is unknown read over`() async throws {
        let rig = try IssuerRig.oidc(metadata: [
            "end_session_endpoint": #""https://issuer.example/logout""#, "revocation_endpoint": #""https://issuer.example/revoke?a=b""#,
            "userinfo_endpoint": "null", "authorization_response_iss_parameter_supported": "true", "jwks_uri_2": #""http://evil.example""#,
        ])
        let metadata = try await rig.issuer.metadata()
        #expect(metadata.endSessionEndpoint?.description == "https://issuer.example/logout")
        #expect(metadata.revocationEndpoint?.description == "https://issuer.example/revoke?a=b")
        #expect(metadata.userInfoEndpoint == nil)
        #expect(metadata.announcesIssuerInResponses)
        #expect(metadata.clientAuthentication == .basic)
    }

    @Test func `endpoints may be where the settings allow`() async throws {
        let other = try #require(Origin("https://keys.example"))
        let rig = try IssuerRig.oidc(metadata: ["jwks_uri": #""https://keys.example/keys""#]) { $0.otherOrigins = [other] }
        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk()), at: "https://keys.example/keys")
        #expect(try await rig.signIn(IDTokenText.oidc()).subject == "ada")
    }

    @Test func `an issuer that is silent about PKCE is good if that is allowed, but not one that offers plain alone`() async throws {
        let silent = try IssuerRig.oidc(metadata: ["code_challenge_methods_supported": nil]) { $0.allowsMissingPKCEMetadata = true }
        try await silent.issuer.check()
        let plain = try IssuerRig.oidc(metadata: ["code_challenge_methods_supported": #"["plain"]"#]) { $0.allowsMissingPKCEMetadata = true }
        await #expect(throws: IssuerFailure.self) { try await plain.issuer.check() }
    }

    @Test func `plain http is for an issuer on loopback, at its own port`() async throws {
        let issuer = "http://127.0.0.1:9400"
        let settings = try IssuerSettings(.oidc(issuer: issuer), clientID: IssuerRig.client, redirectURI: "http://localhost:8001/oauth/callback")
        func metadata(_ changes: [String: String?] = [:]) -> String {
            IssuerRig.object(
                [
                    "issuer": "\"\(issuer)\"", "authorization_endpoint": "\"\(issuer)/a\"", "token_endpoint": "\"\(issuer)/t\"",
                    "jwks_uri": "\"\(issuer)/k\"",
                    "code_challenge_methods_supported": #"["S256"]"#,
                ], changes)
        }
        #expect(try IssuerMetadata(reading: Array(metadata().utf8), for: settings).tokenEndpoint.port == 9400)
        for url in ["http://127.0.0.1:9401/t", "http://localhost:9400/t", "http://10.0.0.1:9400/t"] {
            #expect(throws: IssuerFailure.self) {
                try IssuerMetadata(reading: Array(metadata(["token_endpoint": "\"\(url)\""]).utf8), for: settings)
            }
        }
    }

    @Test func `a sovereign cloud has its own hosts`() async throws {
        let rig = try IssuerRig.entra(authority: "https://login.microsoftonline.us")
        #expect(try await rig.issuer.metadata().tokenEndpoint.host == "login.microsoftonline.us")
        let mixed = try IssuerRig.entra(
            authority: "https://login.microsoftonline.us", metadata: ["token_endpoint": #""https://login.microsoftonline.com/x/token""#])
        await #expect(throws: IssuerFailure.self) { try await mixed.issuer.metadata() }
    }

    @Test func `several tenants share metadata with a template for an issuer, one tenant does not`() async throws {
        let template = #""https://login.microsoftonline.com/{tenantid}/v2.0""#
        _ = try await IssuerRig.entra(tenant: "common", allowed: [IssuerRig.tenant]).issuer.metadata()
        await #expect(throws: IssuerFailure.self) { try await IssuerRig.entra(metadata: ["issuer": template]).issuer.metadata() }
        let fixed = try IssuerRig.entra(
            tenant: "organizations", allowed: [IssuerRig.tenant],
            metadata: ["issuer": "\"https://login.microsoftonline.com/\(IssuerRig.tenant)/v2.0\""])
        await #expect(throws: IssuerFailure.self) { try await fixed.issuer.metadata() }
    }
}

struct IssuerSettingsTests {
    @Test(arguments: [
        "http://issuer.example", "issuer.example", "ftp://issuer.example", "https://issuer.example?x=1", "https://issuer.example#f", "https://127.1",
        "https://issuer.example.", "https://u@issuer.example", "",
    ])
    func `an issuer is an https URL that everybody reads alike`(_ issuer: String) {
        #expect(throws: IssuerFailure.self) { try IssuerSettings(.oidc(issuer: issuer), clientID: "c", redirectURI: IssuerRig.redirect) }
    }

    @Test func `several tenants need a list of the allowed`() throws {
        for tenant in ["organizations", "common"] {
            #expect(throws: IssuerFailure.self) { try IssuerSettings.Entra(tenant: tenant) }
            _ = try IssuerSettings.Entra(tenant: tenant, allowedTenants: [IssuerRig.tenant])
        }
        for tenant in ["", "consumers", "contoso.com", "{tenantid}", "../common"] {
            #expect(throws: IssuerFailure.self) { try IssuerSettings.Entra(tenant: tenant) }
        }
        #expect(throws: IssuerFailure.self) { try IssuerSettings.Entra(tenant: IssuerRig.tenant, allowedTenants: [IssuerRig.user]) }
        #expect(throws: IssuerFailure.self) { try IssuerSettings.Entra(tenant: "common", allowedTenants: ["*"]) }
        #expect(try IssuerSettings.Entra(tenant: IssuerRig.tenant.uppercased()).allowedTenants == [IssuerRig.tenant])
    }

    @Test func `what would fail later is said at once`() {
        #expect(throws: IssuerFailure.self) { try IssuerSettings(.oidc(issuer: IssuerRig.issuer), clientID: "", redirectURI: IssuerRig.redirect) }
        #expect(throws: IssuerFailure.self) {
            try IssuerSettings(.oidc(issuer: IssuerRig.issuer), clientID: "c", clientSecret: Secret("line\n"), redirectURI: IssuerRig.redirect)
        }
        #expect(throws: IssuerFailure.self) {
            try IssuerSettings(.oidc(issuer: IssuerRig.issuer), clientID: "c", redirectURI: "http://gateway.example/callback")
        }
        #expect(throws: IssuerFailure.self) {
            try IssuerSettings(.oidc(issuer: IssuerRig.issuer), clientID: "c", redirectURI: IssuerRig.redirect, scopes: ["profile"])
        }
    }
}
