import Gateway
import Testing

@testable import FakeEntra

struct SignInTests {
    @Test func `the page has a button for every user and no script, and whoever is picked is signed in`() throws {
        let rig = try Rig()
        let page = try rig.authorize()
        #expect(page.status == 200)
        #expect(page.text.components(of: #"<button name="user""#) == 6)
        #expect(!page.text.contains("<script"))
        #expect(page["content-security-policy"]?.contains("default-src 'none'") == true)
        // Browsers hold it against the redirects that follow too, which lead to clients nobody knows here.
        #expect(page["content-security-policy"]?.contains("form-action") == false)

        let admin = try found(FakeEntra.Directory.evaluation().users.first)
        let form = ["request": try found(page.request), "user": admin.id]
        let reply = try rig.post("/\(rig.tenant)/login", form, headers: [("origin", "http://127.0.0.1")])
        #expect(reply.status == 302)
        #expect(reply["location"]?.hasPrefix(Rig.redirectURI + "?") == true)
        #expect(reply.redirect["state"] == "s t&te")
        let tokens = try found(try rig.redeem(try found(reply.redirect["code"])).json)
        #expect(try claims(tokens["id_token"]?.string)["oid"]?.string == admin.id)

        // The page is good once.
        let again = try rig.post("/\(rig.tenant)/login", form)
        #expect(again.status == 400 && again["location"] == nil)
    }

    @Test func `names in the page are text, whatever stands in them`() throws {
        var directory = FakeEntra.Directory.evaluation()
        directory.users[0].displayName = #"<script>alert("x")</script>'&"#
        let page = try Rig(directory: directory).authorize()
        #expect(!page.text.contains("<script"))
        #expect(page.text.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39;&amp;"))
    }

    @Test func `a page elsewhere cannot answer for the user`() throws {
        let rig = try Rig()
        let form = ["request": try found(try rig.authorize().request), "user": "5e000000-0000-4000-8000-000000000001"]
        for origin in ["https://evil.example", "null", "http://127.0.0.1:9"] {
            #expect(try rig.post("/\(rig.tenant)/login", form, headers: [("origin", origin)]).status == 403)
        }
        #expect(try rig.post("/\(rig.tenant)/login", ["request": "guessed", "user": form["user"]!]).status == 400)
    }

    @Test func `a page that was left open too long is not answered`() throws {
        let rig = try Rig()
        let form = ["request": try found(try rig.authorize().request), "user": "5e000000-0000-4000-8000-000000000001"]
        rig.clock.advance(.seconds(900))
        #expect(try rig.post("/\(rig.tenant)/login", form)["location"] == nil)
    }

    @Test func `who declines is sent back with access_denied`() throws {
        let rig = try Rig()
        let reply = try rig.post("/\(rig.tenant)/login", ["request": try found(try rig.authorize().request), "cancel": "1"])
        #expect(reply.redirect["error"] == "access_denied")
        #expect(reply.redirect["error_subcode"] == "cancel")
        #expect(reply.redirect["state"] == "s t&te")
        #expect(reply.failure == 65004)
    }

    @Test(arguments: ["admin", "admin@evaluation.example", "ADMIN@evaluation.example"])
    func `a user who is hinted at comes first, or is signed in without a page`(hint: String) throws {
        let rig = try Rig()
        let page = try rig.authorize(["login_hint": hint, "prompt": "select_account", "domain_hint": "organizations"])
        let first = try found(page.text.firstRange(of: #"name="user" value=""#))
        #expect(page.text[first.upperBound...].hasPrefix("5e000000-0000-4000-8000-000000000001"))
        #expect(try rig.authorize(["login_hint": hint, "prompt": "none"]).redirect["code"] != nil)
    }

    @Test(arguments: [nil, "nobody@evaluation.example"])
    func `nobody to sign in without a page is login_required`(hint: String?) throws {
        let reply = try Rig().authorize(["prompt": "none", "login_hint": hint])
        #expect(reply.redirect["error"] == "login_required")
        #expect(reply.failure == 50058)
    }

    @Test func `what no administrator consented to, the user is asked for once`() throws {
        var directory = FakeEntra.Directory.evaluation()
        directory.applications[0].consented = []
        let rig = try Rig(directory: directory)
        #expect(try rig.authorize(["prompt": "none", "login_hint": "user"]).failure == 65001)

        let picked = ["request": try found(try rig.authorize().request), "user": directory.users[2].id]
        let consent = try rig.post("/\(rig.tenant)/login", picked)
        #expect(consent.text.contains(rig.scope))
        let declined = try rig.post("/\(rig.tenant)/login", ["request": try found(consent.request), "cancel": "1"])
        #expect(declined.failure == 65004)

        let again = ["request": try found(try rig.authorize().request), "user": directory.users[2].id]
        let asked = try rig.post("/\(rig.tenant)/login", again)
        let accepted = try rig.post("/\(rig.tenant)/login", ["request": try found(asked.request), "consent": "accept"])
        #expect(accepted.redirect["code"] != nil)
        #expect(try rig.authorize(["prompt": "none", "login_hint": "user"]).redirect["code"] != nil)
        // And again, where the client wants it.
        let wanted = ["request": try found(try rig.authorize(["prompt": "consent"]).request), "user": directory.users[2].id]
        #expect(try rig.post("/\(rig.tenant)/login", wanted).text.contains("Permissions requested"))
    }

    @Test func `an answer can come in the fragment`() throws {
        let reply = try Rig().authorize(["prompt": "none", "login_hint": "user", "response_mode": "fragment"])
        #expect(reply["location"]?.hasPrefix(Rig.redirectURI + "#code=") == true)
    }

    struct Wrong: Sendable {
        let changes: [String: String?]
        let error: Int
        /// `error` in the redirect, or nil if it stays on a page of the issuer's.
        let redirected: String?
    }

    @Test(arguments: [
        Wrong(changes: ["client_id": nil], error: 900144, redirected: nil),
        Wrong(changes: ["client_id": "00000000-0000-0000-0000-000000000000"], error: 700016, redirected: nil),
        Wrong(changes: ["redirect_uri": nil], error: 900144, redirected: nil),
        Wrong(changes: ["redirect_uri": Rig.redirectURI + "/"], error: 50011, redirected: nil),
        Wrong(changes: ["redirect_uri": "http://localhost:8001/OAuth/callback"], error: 50011, redirected: nil),
        Wrong(changes: ["redirect_uri": "https://evil.example/"], error: 50011, redirected: nil),
        Wrong(changes: ["response_type": nil], error: 900144, redirected: "invalid_request"),
        Wrong(changes: ["response_type": "token"], error: 70005, redirected: "unsupported_response_type"),
        Wrong(changes: ["response_mode": "web_message"], error: 90023, redirected: "invalid_request"),
        Wrong(changes: ["prompt": "sometimes"], error: 90023, redirected: "invalid_request"),
        Wrong(changes: ["scope": nil], error: 900144, redirected: "invalid_request"),
        Wrong(changes: ["scope": "openid sco\"pe"], error: 70011, redirected: "invalid_scope"),
        Wrong(
            changes: ["scope": "api://files.evaluation.example/.default api://files.evaluation.example/Files.Read"], error: 70011,
            redirected: "invalid_scope"),
        Wrong(changes: ["scope": "openid mcp.read"], error: 650053, redirected: "invalid_client"),
        Wrong(changes: ["scope": "api://nobody.example/read"], error: 500011, redirected: "invalid_resource"),
        Wrong(
            changes: ["scope": "api://files.evaluation.example/Files.Read https://graph.microsoft.com/User.Read"], error: 28000,
            redirected: "invalid_scope"),
        Wrong(changes: ["scope": "api://c1a0e7b2-3f4d-4e5a-8b6c-9d0e1f2a3b4c/.default"], error: 90009, redirected: "invalid_request"),
        Wrong(changes: ["resource": "http://localhost:8001/mcp"], error: 9_010_010, redirected: nil),
        Wrong(changes: ["resource": "api://c1a0e7b2-3f4d-4e5a-8b6c-9d0e1f2a3b4c/"], error: 9_010_010, redirected: nil),
        Wrong(changes: ["code_challenge": "short"], error: 90023, redirected: "invalid_request"),
        Wrong(changes: ["code_challenge": nil], error: 900144, redirected: "invalid_request"),
        Wrong(changes: ["code_challenge_method": "S512"], error: 90023, redirected: "invalid_request"),
    ])
    func `a wrong request is refused where its sender can be trusted to hear it`(wrong: Wrong) throws {
        let reply = try Rig().authorize(wrong.changes)
        #expect(reply.failure == wrong.error)
        if let error = wrong.redirected {
            #expect(reply.status == 302)
            #expect(reply["location"]?.hasPrefix(Rig.redirectURI + "?error=") == true)
            #expect(reply.redirect["error"] == error)
            #expect(reply.redirect["state"] == "s t&te")
        } else {
            #expect(reply.status == 400)
            #expect(reply["location"] == nil)
        }
    }

    @Test func `the very App ID URI of the scopes is good as resource`() throws {
        let rig = try Rig()
        #expect(try rig.code(for: "user", ["resource": rig.registration.appIDURI]).isEmpty == false)
    }

    @Test func `a parameter that stands there twice is refused`() throws {
        let rig = try Rig()
        let query = Rig.encoded(["client_id": rig.client, "redirect_uri": Rig.redirectURI]) + "&client_id=\(rig.client)"
        guard case .reply(let reply, _) = rig.fake.answer(.init("GET", "/\(rig.tenant)/oauth2/v2.0/authorize", query: query)) else {
            throw Failed("no reply")
        }
        #expect(reply.failure == 9_000_411)
    }

    @Test func `a disabled user and one of another tenant do not come in`() throws {
        var directory = FakeEntra.Directory.evaluation()
        let other = FakeEntra.Directory.Tenant(id: "7d0d4a2e-51c5-4f6c-9b5a-6f1e2a3b4c5e", name: "Other")
        directory.tenants.append(other)
        directory.users.append(
            .init(
                id: "5e000000-0000-4000-8000-0000000000ff", tenant: other.id, name: "stranger", displayName: "Stranger",
                principalName: "stranger@other.example"))
        let rig = try Rig(directory: directory)
        rig.fake.change("user") { $0.isDisabled = true }
        #expect(try rig.authorize(["prompt": "none", "login_hint": "user"]).failure == 50057)
        #expect(try rig.authorize(["prompt": "none", "login_hint": "stranger"]).failure == 50020)
        #expect(try rig.authorize(at: other.id).failure == 700016)
        #expect(try rig.authorize(at: "common").failure == 50194)

        rig.fake.change(application: rig.client) { $0.isMultiTenant = true }
        let code = try rig.code(for: "stranger", at: "organizations")
        let tokens = try found(try rig.redeem(code).json)
        let token = try claims(tokens["access_token"]?.string)
        #expect(token["tid"]?.string == other.id)
        #expect(token["iss"]?.string == "http://127.0.0.1/\(other.id)/v2.0")
    }

    @Test func `an application for assigned users turns others away`() throws {
        var directory = FakeEntra.Directory.evaluation()
        directory.applications[0].needsAssignment = true
        let rig = try Rig(directory: directory)
        #expect(try rig.authorize(["prompt": "none", "login_hint": "guest"]).failure == 50105)
        #expect(try rig.authorize(["prompt": "none", "login_hint": "user"]).redirect["code"] != nil)
    }

    @Test func `signing out leads back only to an address that is registered`() throws {
        let rig = try Rig()
        let path = "/\(rig.tenant)/oauth2/v2.0/logout"
        #expect(try rig.send("GET", path, query: ["post_logout_redirect_uri": Rig.redirectURI])["location"] == Rig.redirectURI)
        #expect(try rig.send("GET", path, query: ["post_logout_redirect_uri": "https://evil.example/"]).status == 200)
    }
}

extension String {
    fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
