import Gateway
import JWTKit
import Testing

@testable import FakeEntra

struct TokenTests {
    // MARK: - Claims

    @Test func `a code brings tokens in the form of v2.0, signed with a published key`() async throws {
        let rig = try Rig()
        let reply = try rig.redeem(rig.code(for: "admin"))
        let tokens = try found(reply.json)
        #expect(reply.status == 200)
        #expect(reply["cache-control"]?.contains("no-store") == true)
        #expect(tokens["token_type"] == "Bearer")
        #expect(tokens["scope"]?.string == rig.scope)
        #expect(tokens["expires_in"] == 4500)

        let access = try claims(tokens["access_token"]?.string)
        #expect(access["aud"]?.string == rig.client)
        #expect(access["iss"]?.string == "http://127.0.0.1/\(rig.tenant)/v2.0")
        #expect(access["ver"] == "2.0")
        #expect(access["azp"]?.string == rig.client && access["appid"] == nil)
        #expect(access["scp"] == "access_as_user")
        #expect(access["roles"]?.strings == ["admin"])
        #expect(access["oid"] == "5e000000-0000-4000-8000-000000000001")
        #expect(access["tid"]?.string == rig.tenant)
        #expect(access["groups"]?.strings?.count == 2)
        #expect(access["exp"]?.integer == Rig.start.seconds + 4500)
        #expect(access["nonce"] == nil)

        let identity = try claims(tokens["id_token"]?.string)
        #expect(identity["aud"]?.string == rig.client)
        #expect(identity["nonce"] == "n-0S6")
        #expect(identity["preferred_username"] == "admin@evaluation.example")
        #expect(identity["name"] == "Ada Administrator")
        #expect(identity["email"] == "admin@evaluation.example")
        #expect(identity["sub"] == access["sub"])

        for token in [tokens["access_token"], tokens["id_token"]] {
            let verified = try await rig.keySet().verify(try found(token?.string), as: AnyClaims.self)
            #expect(verified.aud == rig.client)
            #expect(try header(token?.string)["typ"] == "JWT")
        }
    }

    @Test func `a resource that asked for v1 tokens gets them`() async throws {
        let rig = try Rig(v1Issuer: "https://sts.windows.net")
        let scope = "api://files.evaluation.example/Files.Read"
        let reply = try rig.redeem(rig.code(for: "user", ["scope": "openid \(scope)"]), ["scope": scope])
        let token = try found(reply.json?["access_token"]?.string)
        let access = try claims(token)
        #expect(access["aud"] == "api://files.evaluation.example")
        #expect(access["iss"]?.string == "https://sts.windows.net/\(rig.tenant)/")
        #expect(access["ver"] == "1.0")
        #expect(access["appid"]?.string == rig.client && access["azp"] == nil)
        #expect(access["upn"] == "user@evaluation.example")
        #expect(try header(token)["x5t"] == header(token)["kid"])
        _ = try await rig.keySet().verify(token, as: AnyClaims.self)
        // No `offline_access` was asked for.
        #expect(reply.json?["refresh_token"] == nil)
        // The subject is another one at each application.
        #expect(try access["sub"] != claims(rig.signIn("user")["access_token"]?.string)["sub"])
    }

    @Test func `groups are told up to 200, and above that only where to ask`() throws {
        let rig = try Rig()
        let many = FakeEntra.Directory.evaluation().groups.map(\.id)
        rig.fake.change("user") { $0.groups = Array(many.prefix(200)) }
        #expect(try claims(rig.signIn("user")["access_token"]?.string)["groups"]?.strings?.count == 200)

        for token in ["access_token", "id_token"] {
            let overage = try claims(rig.signIn("many.groups")[token]?.string)
            #expect(overage["groups"] == nil)
            #expect(overage["_claim_names"]?["groups"] == "src1")
            let endpoint = try found(overage["_claim_sources"]?["src1"]?["endpoint"]?.string)
            #expect(endpoint == "https://graph.windows.net/\(rig.tenant)/users/5e000000-0000-4000-8000-000000000005/getMemberObjects")
        }
        rig.fake.change(application: rig.client) { $0.groupClaims = .listOrFlag }
        let flagged = try claims(rig.signIn("many.groups")["access_token"]?.string)
        #expect(flagged["hasgroups"] == true && flagged["groups"] == nil && flagged["_claim_names"] == nil)
        #expect(try claims(rig.signIn("guest")["access_token"]?.string)["groups"] == nil)
    }

    @Test func `a user without a role has no roles in the token, and roles of no meaning to the application are left out`() throws {
        let rig = try Rig()
        #expect(try claims(rig.signIn("guest")["access_token"]?.string)["roles"] == nil)
        rig.fake.change("guest") { $0.roles = ["owner-of-the-moon", "auditor"] }
        #expect(try claims(rig.signIn("guest")["access_token"]?.string)["roles"]?.strings == ["auditor"])
    }

    // MARK: - Codes

    @Test func `a code is good once`() throws {
        let rig = try Rig()
        let code = try rig.code(for: "user")
        #expect(try rig.redeem(code).status == 200)
        let again = try rig.redeem(code)
        #expect(again.status == 400)
        #expect(again.json?["error"] == "invalid_grant")
        #expect(again.failure == 54005)
    }

    @Test func `a client may show its secret in the header too`() throws {
        let rig = try Rig()
        let basic = Base64URL.encode("\(rig.client):\(rig.registration.clientSecret.revealed)".utf8)
            .replacing("-", with: "+").replacing("_", with: "/")
        let padded = basic + String(repeating: "=", count: (4 - basic.count % 4) % 4)
        let form: [String: String?] = [
            "grant_type": "authorization_code", "code": try rig.code(for: "user"), "redirect_uri": Rig.redirectURI, "code_verifier": Rig.verifier,
            "scope": rig.scope,
        ]
        #expect(try rig.token(form, headers: [("authorization", "Basic \(padded)")]).status == 200)
        #expect(rig.fake.requests.last?.authentication == "basic")
    }

    struct Wrong: Sendable {
        let changes: [String: String?]
        let error: Int
        let oauth: FakeEntra.Value
        var status = 400
    }

    @Test(arguments: [
        Wrong(changes: ["grant_type": nil], error: 900144, oauth: "invalid_request"),
        Wrong(changes: ["grant_type": "password"], error: 70003, oauth: "unsupported_grant_type"),
        Wrong(changes: ["client_id": nil], error: 900144, oauth: "invalid_request"),
        Wrong(changes: ["client_id": "00000000-0000-0000-0000-000000000000"], error: 700016, oauth: "unauthorized_client"),
        Wrong(changes: ["client_secret": "wrong"], error: 7_000_215, oauth: "invalid_client", status: 401),
        Wrong(changes: ["client_secret": nil], error: 7_000_218, oauth: "invalid_client", status: 401),
        Wrong(changes: ["code": nil], error: 900144, oauth: "invalid_request"),
        Wrong(changes: ["code": "made-up"], error: 9_002_313, oauth: "invalid_grant"),
        Wrong(changes: ["redirect_uri": "http://127.0.0.1:8001/oauth/callback"], error: 500112, oauth: "invalid_client", status: 401),
        Wrong(changes: ["code_verifier": nil], error: 50148, oauth: "invalid_grant"),
        Wrong(changes: ["code_verifier": Rig.challenge], error: 501481, oauth: "invalid_grant"),
        Wrong(changes: ["scope": nil], error: 28003, oauth: "invalid_request"),
        Wrong(changes: ["scope": "openid"], error: 90009, oauth: "invalid_request"),
        Wrong(
            changes: ["scope": "https://graph.microsoft.com/User.Read api://files.evaluation.example/Files.Read"], error: 28000,
            oauth: "invalid_scope"),
    ])
    func `a code is not redeemed by a wrong request, and stays good for the right one`(wrong: Wrong) throws {
        let rig = try Rig()
        let code = try rig.code(for: "user")
        let reply = try rig.redeem(code, wrong.changes)
        #expect(reply.failure == wrong.error)
        #expect(reply.json?["error"] == wrong.oauth)
        #expect(reply.status == wrong.status)
        #expect(try rig.redeem(code).status == 200)
    }

    @Test func `a code of a request without a challenge is not redeemed with a verifier`() throws {
        let rig = try Rig()
        let code = try rig.code(for: "user", ["code_challenge": nil, "code_challenge_method": nil])
        #expect(try rig.redeem(code).failure == 501481)
        #expect(try rig.redeem(code, ["code_verifier": nil]).status == 200)
    }

    @Test func `a code expires, and belongs to its client`() throws {
        let rig = try Rig()
        rig.fake.change(application: "d2b1f8c3-405e-4f6b-9c7d-0e1f2a3b4c5d") { $0.secrets = [.init(Secret("other"))] }
        let other: [String: String?] = ["client_id": "d2b1f8c3-405e-4f6b-9c7d-0e1f2a3b4c5d", "client_secret": "other"]
        let code = try rig.code(for: "user")
        #expect(try rig.redeem(code, other).failure == 70000)
        rig.clock.advance(.seconds(600))
        #expect(try rig.redeem(code).failure == 70008)
    }

    @Test func `an expired secret is told from a wrong one`() throws {
        let rig = try Rig()
        rig.fake.change(application: rig.client) {
            $0.secrets = [.init(Secret("old"), expiresAt: Rig.start), .init(Secret("new"))]
        }
        let code = try rig.code(for: "user")
        let expired = try rig.redeem(code, ["client_secret": "old"])
        #expect(expired.failure == 7_000_222)
        #expect(expired.status == 401)
        #expect(try rig.redeem(code, ["client_secret": "new"]).status == 200)
    }

    @Test func `an error has the shape of Entra's`() throws {
        let rig = try Rig()
        let correlation = "6678C42E-6935-4F53-86E9-F00F5A31F8C2"
        let reply = try rig.post("/\(rig.tenant)/oauth2/v2.0/token", [:], headers: [("client-request-id", correlation)])
        let error = try found(reply.json)
        #expect(error["error_codes"] == [900144])
        #expect(error["timestamp"] == "2027-01-15 08:00:00Z")
        #expect(error["correlation_id"]?.string == correlation.lowercased())
        #expect(error["error_uri"] == "http://127.0.0.1/error?code=900144")
        let lines = try found(error["error_description"]?.string).split(separator: "\r\n").map(String.init)
        #expect(lines.count == 4)
        #expect(lines[0].hasPrefix("AADSTS900144: "))
        #expect(lines[1] == "Trace ID: \(error["trace_id"]?.string ?? "")")
        #expect(lines[2] == "Correlation ID: \(correlation.lowercased())")
        #expect(lines[3] == "Timestamp: 2027-01-15 08:00:00Z")
        #expect(try rig.send("GET", "/\(rig.tenant)/oauth2/v2.0/token").failure == 900561)
    }

    // MARK: - Refreshing

    @Test func `a refresh brings a new refresh token, and the old one stays good`() throws {
        let rig = try Rig()
        let first = try found(try rig.signIn("user")["refresh_token"]?.string)
        let second = try found(try rig.refresh(first).json)
        #expect(second["refresh_token"]?.string != first)
        #expect(try claims(second["access_token"]?.string)["scp"] == "access_as_user")
        #expect(try claims(second["id_token"]?.string)["nonce"] == nil)
        #expect(try rig.refresh(first).status == 200)
        #expect(try rig.refresh(try found(second["refresh_token"]?.string)).status == 200)
    }

    @Test func `a refresh token is good for every resource`() throws {
        let rig = try Rig()
        let token = try found(try rig.signIn("user")["refresh_token"]?.string)
        let graph = try rig.refresh(token, ["scope": "https://graph.microsoft.com/User.Read"])
        #expect(try claims(graph.json?["access_token"]?.string)["aud"] == "https://graph.microsoft.com")
    }

    @Test(arguments: [nil, "openid profile offline_access", "api://c1a0e7b2-3f4d-4e5a-8b6c-9d0e1f2a3b4c/.default"])
    func `a refresh that names no scope of the API is taken for one by the API for itself`(scope: String?) throws {
        let rig = try Rig()
        let reply = try rig.refresh(try found(try rig.signIn("user")["refresh_token"]?.string), ["scope": scope])
        #expect(reply.failure == 90009)
        #expect(reply.json?["error"] == "invalid_request")
    }

    @Test func `roles and groups are those of the moment of the refresh`() throws {
        let rig = try Rig()
        let token = try found(try rig.signIn("user")["refresh_token"]?.string)
        rig.fake.change("user") { $0.roles = ["admin"] }
        #expect(try claims(rig.refresh(token).json?["access_token"]?.string)["roles"]?.strings == ["admin"])
    }

    @Test func `a refresh token expires when it is not used for 90 days`() throws {
        let rig = try Rig()
        let token = try found(try rig.signIn("user")["refresh_token"]?.string)
        rig.clock.advance(.seconds(90 * 86_400 - 1))
        #expect(try rig.refresh(token).status == 200)
        rig.clock.advance(.seconds(1))
        let reply = try rig.refresh(token)
        #expect(reply.failure == 700082)
        #expect(reply.json?["error"] == "invalid_grant")
    }

    @Test func `a changed password and a disabled account end what was issued before`() throws {
        let rig = try Rig()
        let token = try found(try rig.signIn("user")["refresh_token"]?.string)
        rig.clock.advance(.seconds(1))
        rig.fake.change("user") { $0.tokensValidFrom = rig.clock.now }
        #expect(try rig.refresh(token).failure == 50173)
        let fresh = try found(try rig.signIn("user")["refresh_token"]?.string)
        #expect(try rig.refresh(fresh).status == 200)
        rig.fake.change("user") { $0.isDisabled = true }
        #expect(try rig.refresh(fresh).failure == 50057)
    }

    @Test func `a refresh token is its client's`() throws {
        let rig = try Rig()
        let token = try found(try rig.signIn("user")["refresh_token"]?.string)
        rig.fake.change(application: "d2b1f8c3-405e-4f6b-9c7d-0e1f2a3b4c5d") { $0.secrets = [.init(Secret("other"))] }
        #expect(try rig.refresh(token, ["client_id": "d2b1f8c3-405e-4f6b-9c7d-0e1f2a3b4c5d", "client_secret": "other"]).failure == 70000)
        #expect(try rig.refresh("made-up").failure == 9_002_313)
    }

    // MARK: - Without and on behalf of a user

    @Test func `client credentials bring roles and no scopes`() throws {
        let rig = try Rig()
        let reply = try rig.token(["grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"])
        let access = try claims(reply.json?["access_token"]?.string)
        #expect(access["scp"] == nil)
        #expect(access["roles"]?.strings == ["User.Read.All", "GroupMember.Read.All"])
        #expect(access["idtyp"] == "app")
        #expect(access["oid"] == access["sub"])
        #expect(reply.json?["refresh_token"] == nil && reply.json?["id_token"] == nil)

        let own = try rig.token(["grant_type": "client_credentials", "scope": "\(rig.registration.appIDURI)/.default"])
        #expect(try claims(own.json?["access_token"]?.string)["aud"]?.string == rig.client)
        #expect(try claims(own.json?["access_token"]?.string)["roles"]?.strings == ["user"])
    }

    @Test(
        arguments: [
            (["scope": "https://graph.microsoft.com/User.Read"], 1_002_012), (["scope": nil], 900144),
            (["scope": "api://nobody.example/.default"], 500011),
            (["client_secret": "wrong"], 7_000_215),
        ] as [([String: String?], Int)])
    func `client credentials are for everything at one resource`(changes: [String: String?], error: Int) throws {
        let form: [String: String?] = ["grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"]
        #expect(try Rig().token(form.merging(changes) { $1 }).failure == error)
    }

    @Test func `client credentials need a tenant`() throws {
        let rig = try Rig()
        rig.fake.change(application: rig.client) { $0.isMultiTenant = true }
        let form: [String: String?] = ["grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"]
        #expect(try rig.token(form, at: "common").failure == 50059)
    }

    private func onBehalfOf(_ rig: Rig, _ assertion: String, _ changes: [String: String?] = [:]) throws -> FakeEntra.Reply {
        let form: [String: String?] = [
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion, "requested_token_use": "on_behalf_of",
            "scope": "api://files.evaluation.example/Files.Read offline_access",
        ]
        return try rig.token(form.merging(changes) { $1 })
    }

    @Test func `a client acts on a user's behalf with the user's token for it`() throws {
        let rig = try Rig()
        let assertion = try found(try rig.signIn("user")["access_token"]?.string)
        let reply = try found(try onBehalfOf(rig, assertion).json)
        let access = try claims(reply["access_token"]?.string)
        #expect(access["aud"] == "api://files.evaluation.example")
        #expect(access["scp"] == "Files.Read")
        #expect(access["oid"] == "5e000000-0000-4000-8000-000000000003")
        #expect(access["appid"]?.string == rig.client)
        #expect(reply["refresh_token"] != nil)
    }

    @Test func `an assertion has to be good, for the client, and for a user`() throws {
        let rig = try Rig()
        let assertion = try found(try rig.signIn("user")["access_token"]?.string)
        let app = try rig.token(["grant_type": "client_credentials", "scope": "\(rig.registration.appIDURI)/.default"])
        #expect(try onBehalfOf(rig, assertion + "x").failure == 50013)
        #expect(try onBehalfOf(rig, "a.b.c").failure == 50013)
        #expect(try onBehalfOf(rig, try rig.graphToken("user")).failure == 500131)
        #expect(try onBehalfOf(rig, try found(app.json?["access_token"]?.string)).failure == 7_000_114)
        #expect(try onBehalfOf(rig, assertion, ["scope": nil]).failure == 900144)
        #expect(try onBehalfOf(rig, assertion, ["requested_token_use": nil]).failure == 900144)
        #expect(try onBehalfOf(rig, assertion, ["requested_token_use": "other"]).failure == 90023)

        rig.fake.change(application: rig.client) { $0.consented = [rig.scope] }
        let unconsented = try onBehalfOf(rig, assertion)
        #expect(unconsented.failure == 65001)
        #expect(unconsented.json?["error"] == "invalid_grant")
        #expect(unconsented.json?["suberror"] == "consent_required")

        rig.fake.change("user") { $0.tokensValidFrom = rig.clock.now.advanced(by: .seconds(1)) }
        #expect(try onBehalfOf(rig, assertion).failure == 50173)
        rig.clock.advance(.seconds(4500))
        #expect(try onBehalfOf(rig, assertion).failure == 500133)
    }

    @Test func `a public client presents no secret, and gets no token for itself`() throws {
        let rig = try Rig()
        rig.fake.change(application: rig.client) { $0.secrets = [] }
        let code = try rig.code(for: "user")
        let secret = try rig.redeem(code)
        #expect(secret.failure == 700025)
        #expect(try rig.redeem(code, ["client_secret": nil]).status == 200)
        let form: [String: String?] = ["grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default", "client_secret": nil]
        #expect(try rig.token(form).failure == 7_000_218)
    }

    @Test func `tokens nobody would issue can be made to be refused`() async throws {
        let rig = try Rig()
        let token = try rig.fake.token(
            claims: ["iss": "https://evil.example", "aud": "x"], header: ["alg": "none", "jku": "https://evil.example/keys"])
        #expect(try header(token)["alg"] == "none")
        #expect(try header(token)["jku"] == "https://evil.example/keys")
        #expect(try claims(token)["iss"] == "https://evil.example")
        let plain = try rig.fake.token(claims: ["iss": "https://evil.example", "aud": "x"])
        #expect(try await rig.keySet().verify(plain, as: AnyClaims.self).iss == "https://evil.example")
    }
}
