import Foundation
import Gateway
import Identity
import OAuth
import Testing

struct IssuerSignInTests {
    // MARK: The way out

    private func query(_ url: String) -> [String: String] {
        let pairs = url.split(separator: "?", maxSplits: 1)[1].split(separator: "&").map {
            $0.split(separator: "=", omittingEmptySubsequences: false)
        }
        return Dictionary(pairs.map { (String($0[0]), String($0[1]).removingPercentEncoding ?? "") }) { _, _ in "twice" }
    }

    @Test func `the browser goes to the issuer with PKCE, state and nonce`() async throws {
        let rig = try IssuerRig.oidc()
        let url = try await rig.issuer.authorizationURL(
            state: "state-1", nonce: "nonce-1", codeChallenge: "challenge-1", loginHint: "ada+x@example.test")
        #expect(url.hasPrefix("https://issuer.example/authorize?"))
        #expect(
            query(url) == [
                "response_type": "code", "client_id": IssuerRig.client, "redirect_uri": IssuerRig.redirect,
                "scope": "openid profile email offline_access",
                "state": "state-1", "nonce": "nonce-1", "code_challenge": "challenge-1", "code_challenge_method": "S256",
                "login_hint": "ada+x@example.test",
            ])
    }

    @Test func `a hint that is no name is left out`() async throws {
        let rig = try IssuerRig.oidc()
        for hint in ["", "a\nb", String(repeating: "a", count: 257)] {
            let url = try await rig.issuer.authorizationURL(state: "s", nonce: "n", codeChallenge: "c", loginHint: hint)
            #expect(query(url)["login_hint"] == nil)
        }
    }

    @Test func `an endpoint with a query of its own keeps it`() async throws {
        let rig = try IssuerRig.oidc(metadata: ["authorization_endpoint": #""https://issuer.example/authorize?policy=a""#])
        let url = try await rig.issuer.authorizationURL(state: "s", nonce: "n", codeChallenge: "c")
        #expect(query(url)["policy"] == "a")
        #expect(query(url)["state"] == "s")
    }

    @Test func `an issuer that does not list offline access is not asked for it`() async throws {
        let rig = try IssuerRig.oidc(metadata: ["scopes_supported": #"["openid","email"]"#])
        #expect(query(try await rig.issuer.authorizationURL(state: "s", nonce: "n", codeChallenge: "c"))["scope"] == "openid profile email")
    }

    @Test func `Entra ID hears the API's scope and no resource, and lets people choose their account`() async throws {
        let rig = try IssuerRig.entra { $0.apiScope = "api://gateway-client/.default" }
        let fields = query(try await rig.issuer.authorizationURL(state: "s", nonce: "n", codeChallenge: "c"))
        #expect(fields["scope"] == "openid profile email offline_access api://gateway-client/.default")
        #expect(fields["prompt"] == "select_account")
        #expect(fields["resource"] == nil)
        let hinted = query(try await rig.issuer.authorizationURL(state: "s", nonce: "n", codeChallenge: "c", loginHint: "ada@contoso.test"))
        #expect(hinted["prompt"] == nil)
    }

    // MARK: Who answered (RFC 9207)

    struct Response: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let announces: Bool
        let iss: String?
        let isGood: Bool
    }

    @Test(arguments: [
        Response(testDescription: "announced and right", announces: true, iss: "https://issuer.example", isGood: true),
        Response(testDescription: "announced and absent", announces: true, iss: nil, isGood: false),
        Response(testDescription: "announced and empty", announces: true, iss: "", isGood: false),
        Response(testDescription: "announced and another's", announces: true, iss: "https://evil.example", isGood: false),
        Response(testDescription: "not announced and absent", announces: false, iss: nil, isGood: true),
        Response(testDescription: "not announced and right", announces: false, iss: "https://issuer.example", isGood: true),
        Response(testDescription: "not announced and another's", announces: false, iss: "https://evil.example", isGood: false),
        Response(testDescription: "with a slash", announces: true, iss: "https://issuer.example/", isGood: false),
        Response(testDescription: "in capitals", announces: true, iss: "https://ISSUER.example", isGood: false),
        Response(testDescription: "with its port", announces: true, iss: "https://issuer.example:443", isGood: false),
        Response(testDescription: "escaped", announces: true, iss: "https://issuer.exampl%65", isGood: false),
        Response(testDescription: "over http", announces: true, iss: "http://issuer.example", isGood: false),
        Response(testDescription: "with a space", announces: true, iss: " https://issuer.example", isGood: false),
    ])
    func `an authorization response is from the issuer that was asked`(_ response: Response) async throws {
        let rig = try IssuerRig.oidc(metadata: ["authorization_response_iss_parameter_supported": response.announces ? "true" : nil])
        do {
            try await rig.issuer.checkResponse(iss: response.iss)
            #expect(response.isGood)
        } catch {
            #expect(!response.isGood)
            #expect(error.kind == .mixUp)
        }
    }

    @Test func `with several tenants each allowed one may have answered`() async throws {
        let rig = try IssuerRig.entra(tenant: "organizations", allowed: [IssuerRig.tenant])
        try await rig.issuer.checkResponse(iss: nil)
        try await rig.issuer.checkResponse(iss: "https://login.microsoftonline.com/\(IssuerRig.tenant)/v2.0")
        for iss in ["https://login.microsoftonline.com/{tenantid}/v2.0", "https://login.microsoftonline.com/\(IssuerRig.user)/v2.0"] {
            await #expect(throws: IssuerFailure.self) { try await rig.issuer.checkResponse(iss: iss) }
        }
    }

    // MARK: The way back

    @Test func `a code is redeemed for tokens and for who signed in`() async throws {
        let rig = try IssuerRig.oidc()
        rig.grant(
            idToken: try await IDTokenText.oidc(claims: [
                "roles": #"["Gateway.Admin","Gateway.User"]"#, "groups": #"["g-1","g-2"]"#, "auth_time": "1799999000",
            ]), ["scope": #""openid email""#])
        let (identity, tokens) = try await rig.redeem()
        #expect(
            identity
                == ExternalIdentity(
                    issuer: IssuerRig.issuer, subjectKey: "https://issuer.example|ada", subject: "ada", displayName: "Ada Lovelace",
                    email: "ada@example.test", tenantKey: nil, roles: ["Gateway.Admin", "Gateway.User"], groups: .listed(["g-1", "g-2"]),
                    authTime: Timestamp(microseconds: 1_799_999_000_000_000)))
        #expect(tokens.accessToken.revealed == "access-1")
        #expect(tokens.refreshToken?.revealed == "refresh-1")
        #expect(tokens.scope == "openid email")
        #expect(tokens.obtainedAt == .now)
        #expect(tokens.expiresAt == .now + .seconds(3600))
        #expect(tokens.issuer == IssuerRig.issuer)
        #expect(
            rig.form == [
                "grant_type": "authorization_code", "code": "the-code", "redirect_uri": IssuerRig.redirect, "code_verifier": "the-verifier",
            ])
    }

    @Test(
        arguments: [
            (nil, nil, "Basic"), (#"["client_secret_basic","client_secret_post"]"#, nil, "Basic"),
            (#"["client_secret_post"]"#, IssuerRig.secret, nil),
        ] as [(String?, String?, String?)])
    func `the client proves itself as the issuer wants`(_ methods: String?, _ inForm: String?, _ scheme: String?) async throws {
        let rig = try IssuerRig.oidc(metadata: ["token_endpoint_auth_methods_supported": methods])
        _ = try await rig.signIn(IDTokenText.oidc())
        #expect(rig.form["client_secret"] == inForm)
        #expect(rig.form["client_id"] == (inForm == nil ? nil : IssuerRig.client))
        let header = rig.requests.last { $0.method == .post }?.headers.first { $0.name == "authorization" }?.value
        if scheme == nil {
            #expect(header == nil)
        } else {
            let pair = Data(base64Encoded: String(try #require(header).dropFirst("Basic ".count))).map { String(decoding: $0, as: UTF8.self) }
            #expect(pair == "gateway-client:s3cr~t/%2B%3Dvalue")
        }
    }

    @Test func `a public client names itself and has no secret`() async throws {
        let rig = try IssuerRig.oidc(secret: nil, metadata: ["token_endpoint_auth_methods_supported": #"["none"]"#])
        _ = try await rig.signIn(IDTokenText.oidc())
        #expect(rig.form["client_id"] == IssuerRig.client)
        #expect(rig.form["client_secret"] == nil)
        #expect(rig.requests.allSatisfy { request in !request.headers.contains { $0.name == "authorization" } })
    }

    @Test(
        arguments: [
            ("groups", ["groups": #""one""#], [], .listed(["one"])),
            ("realm_access.roles", ["realm_access": #"{"roles":["a","b"]}"#], ["a", "b"], .absent),
            ("https://example.test/roles", [#"https://example.test/roles"#: #"["x"]"#], ["x"], .absent),
            ("roles", ["roles": "null", "groups": "[]"], [], .listed([])),
            ("roles", ["_claim_names": #"{"groups":"src1"}"#], [], .overage), ("roles", ["hasgroups": "true"], [], .overage),
            ("roles", ["hasgroups": #""true""#, "groups": #"["some"]"#], [], .overage), ("roles", ["hasgroups": "1"], [], .overage),
            ("roles", ["hasgroups": "false"], [], .absent), ("roles", ["_claim_names": #"["groups"]"#], [], .overage),
        ] as [(String, [String: String], [String], ExternalIdentity.GroupMembership)])
    func `roles and groups are read as the issuer writes them`(
        _ claim: String, _ claims: [String: String], _ roles: [String], _ groups: ExternalIdentity.GroupMembership
    ) async throws {
        let rig = try IssuerRig.oidc { $0.roleClaim = claim == "groups" ? "roles" : claim }
        let identity = try await rig.signIn(IDTokenText.oidc(claims: claims.mapValues { Optional($0) }))
        #expect(identity.roles == roles)
        #expect(identity.groups == groups)
    }

    @Test func `a tenant claim that is wanted must be there`() async throws {
        let rig = try IssuerRig.oidc { $0.tenantClaim = "org" }
        #expect(try await rig.signIn(IDTokenText.oidc(claims: ["org": #""acme""#])).tenantKey == "acme")
        for claim in [nil, "null", #""""#, #"["a","b"]"#, #""a\u0000b""#] as [String?] {
            let token = try await IDTokenText.oidc(claims: ["org": claim])
            await #expect(performing: { try await rig.signIn(token) }, throws: { ($0 as? IssuerFailure)?.kind == .token(.tenant) })
        }
    }

    @Test func `names are shown without what would move a cursor, and cut`() async throws {
        let rig = try IssuerRig.oidc()
        let identity = try await rig.signIn(IDTokenText.oidc(claims: ["name": "\"\\u202eAda\\u0007\(String(repeating: "a", count: 1000))\""]))
        #expect(!identity.displayName.hasControls)
        #expect(identity.displayName.utf8.count <= 256)
    }

    // MARK: Entra ID

    @Test func `somebody of Entra ID is their tenant and their object in it`() async throws {
        for rig in [try IssuerRig.entra(), try IssuerRig.entra(tenant: "organizations", allowed: [IssuerRig.tenant, IssuerRig.user])] {
            rig.grant(idToken: try await IDTokenText.entra(claims: ["roles": #"["Gateway.User"]"#]))
            let (identity, tokens) = try await rig.redeem()
            #expect(identity.subjectKey == "\(IssuerRig.tenant)/\(IssuerRig.user)")
            #expect(identity.subject == IssuerRig.user)
            #expect(identity.tenantKey == IssuerRig.tenant)
            #expect(identity.issuer == "https://login.microsoftonline.com/\(IssuerRig.tenant)/v2.0")
            #expect(identity.email == "ada@contoso.test")
            #expect(identity.roles == ["Gateway.User"])
            #expect(tokens.issuer == rig.settings.issuer)
            #expect(rig.form["scope"] == "openid profile email offline_access")
            #expect(rig.form["client_secret"] == IssuerRig.secret)
            #expect(rig.form["resource"] == nil)
        }
    }

    @Test func `tokens of the first version are read in their shape`() async throws {
        let rig = try IssuerRig.entra()
        let token = try await IDTokenText.entra(claims: [
            "ver": #""1.0""#, "iss": "\"https://sts.windows.net/\(IssuerRig.tenant)/\"", "preferred_username": nil, "name": nil,
            "unique_name": #""ada@contoso.test""#, "upn": #""ada@contoso.test""#,
        ])
        let identity = try await rig.signIn(token)
        #expect(identity.subjectKey == "\(IssuerRig.tenant)/\(IssuerRig.user)")
        #expect(identity.displayName == "ada@contoso.test")
        #expect(identity.email == "ada@contoso.test")
    }

    @Test func `personal accounts sign in where their tenant is listed`() async throws {
        let personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
        let token = try await IDTokenText.entra(claims: [
            "tid": "\"\(personal)\"", "iss": "\"https://login.microsoftonline.com/\(personal)/v2.0\"",
        ])
        #expect(try await IssuerRig.entra(tenant: "common", allowed: [personal]).signIn(token).tenantKey == personal)
    }

    // MARK: Afterwards

    @Test func `a refresh sends the scope again, and keeps what it was not given anew`() async throws {
        let rig = try IssuerRig.entra()
        rig.grant(refreshToken: "refresh-2")
        let tokens = try await rig.issuer.refresh(Secret("refresh-1"), scope: "openid api://x/.default")
        #expect(tokens.refreshToken?.revealed == "refresh-2")
        #expect(tokens.scope == "openid api://x/.default")
        #expect(rig.form["grant_type"] == "refresh_token")
        #expect(rig.form["refresh_token"] == "refresh-1")
        #expect(rig.form["scope"] == "openid api://x/.default")
        rig.grant(refreshToken: nil)
        #expect(try await rig.issuer.refresh(Secret("refresh-2"), scope: "").refreshToken == nil)
        #expect(rig.form["scope"] == nil)
    }

    @Test func `a refresh may say who the user is by now, but not that it is another`() async throws {
        let rig = try IssuerRig.oidc()
        let key = "https://issuer.example|ada"
        rig.grant(idToken: try await IDTokenText.oidc(claims: ["nonce": nil, "roles": #"["promoted"]"#]))
        let promoted = try await rig.issuer.refresh(Secret("r"), scope: "", of: key)
        #expect(try promoted.1.get()?.roles == ["promoted"])
        rig.grant()
        let silent = try await rig.issuer.refresh(Secret("r"), scope: "", of: key)
        #expect(try silent.1.get() == nil)
        rig.grant(idToken: try await IDTokenText.oidc(claims: ["sub": #""grace""#]))
        let other = try await rig.issuer.refresh(Secret("r"), scope: "", of: key)
        #expect(throws: IssuerFailure(.token(.subject), "")) { try other.1.mapError { IssuerFailure($0.kind, "") }.get() }
    }

    @Test func `new tokens are not lost because the keys cannot be fetched`() async throws {
        let rig = try IssuerRig.oidc()
        rig.fail("https://issuer.example/keys", .unreachable("refused"))
        rig.grant(idToken: try await IDTokenText.oidc(), refreshToken: "refresh-2")
        let (tokens, identity) = try await rig.issuer.refresh(Secret("refresh-1"), scope: "", of: "https://issuer.example|ada")
        #expect(tokens.refreshToken?.revealed == "refresh-2")
        #expect(throws: IssuerFailure.self) { try identity.get() }
    }

    @Test func `the gateway gets tokens for itself, and on behalf of a user of Entra ID`() async throws {
        let rig = try IssuerRig.entra()
        rig.grant(refreshToken: nil)
        _ = try await rig.issuer.clientCredentials(scope: "https://graph.microsoft.com/.default")
        #expect(rig.form["grant_type"] == "client_credentials")
        #expect(rig.form["scope"] == "https://graph.microsoft.com/.default")
        _ = try await rig.issuer.onBehalfOf(assertion: Secret("user-token"), scope: "https://api.example/.default")
        #expect(rig.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer")
        #expect(rig.form["assertion"] == "user-token")
        #expect(rig.form["requested_token_use"] == "on_behalf_of")
    }

    @Test func `what takes a secret is not tried without one`() async throws {
        let open = try IssuerRig.entra(secret: nil)
        await #expect(throws: IssuerFailure.self) { try await open.issuer.clientCredentials(scope: "x/.default") }
        await #expect(throws: IssuerFailure.self) { try await open.issuer.onBehalfOf(assertion: Secret("t"), scope: "x/.default") }
        let other = try IssuerRig.oidc()
        await #expect(throws: IssuerFailure.self) { try await other.issuer.onBehalfOf(assertion: Secret("t"), scope: "x") }
        #expect(open.requests.allSatisfy { $0.method == .get })
        #expect(other.requests.isEmpty)
    }
}
