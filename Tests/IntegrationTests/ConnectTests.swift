import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import OAuth
import Testing

@testable import mreg

/// Users connect accounts of their own, over the assembled program, with evaluation's issuer and an authorization server of a
/// server's.
struct ConnectTests {
    /// Runs the body with a server that each user has an account at.
    static func withServer(
        _ prepare: (inout FakeAuthority.State) -> Void = { _ in }, folder: String? = nil,
        _ body: @Sendable (RunningGateway, FakeUpstream, FakeAuthority) async throws -> Void
    ) async throws {
        let authority = FakeAuthority()
        authority.state.change(prepare)
        try await FakeUpstream.running(authority.script) { upstream in
            try await RunningGateway.with(folder: folder) { gateway in
                let made = try await gateway.register("up", upstream.endpoint, credential: ["mode": "per_user"])
                #expect(made.status == 201, "\(made.text)")
                try await body(gateway, upstream, authority)
            }
        }
    }

    /// Connects one of evaluation's users to an account, and says what the last page is.
    @discardableResult static func connect(
        _ user: String, to account: String, _ gateway: RunningGateway, _ authority: FakeAuthority, _ browser: TestBrowser = TestBrowser(),
        link: String? = nil
    ) async throws -> TestBrowser.Page {
        authority.state.change { $0.account = account }
        let picking = try await browser.open(link ?? gateway.origin + "/connect/up")
        let asking = try await browser.signIn(as: user, at: picking)
        guard asking.status == 200, asking.action != nil else { return asking }
        return try await browser.submit(asking, [("decision", "approve")])
    }

    /// Signs one of evaluation's users in for the first time.
    static func appear(_ user: String, _ gateway: RunningGateway) async throws {
        let browser = TestBrowser()
        _ = try await browser.signIn(as: user, at: try await browser.open(gateway.origin + "/connect/up"))
    }

    /// A token of the user whom evaluation's issuer calls so, as a client of theirs has one.
    static func token(_ user: String, _ gateway: RunningGateway) async throws -> String {
        try await gateway.token("\(user)@evaluation.example", user == "server_owner" ? .serverOwner : .user)
    }

    /// The link in what a tool said.
    static func link(in answer: Answer) throws -> String {
        let text = try #require(answer.said)
        return String(try #require(text.split(separator: " ").first { $0.hasPrefix("http://localhost:") }))
    }

    @Test func `whoever calls before anybody is connected is told where to be the first`() async throws {
        try await Self.withServer { gateway, upstream, authority in
            let user = try await Self.token("user", gateway)
            let answer = try await gateway.callBare("up__whoami", token: user)
            #expect(answer.json?["error"]?["code"]?.integer == 1003, "\(answer.text)")
            let sentence = answer.json?["error"]?["message"]?.string ?? ""
            #expect(sentence.split(separator: " ").contains("\(gateway.origin)/connect/up"), "\(sentence)")
            // Where no server stands behind the name, the name is what is wrong.
            let unknown = try await gateway.callBare("nowhere__whoami", token: user)
            #expect(unknown.json?["error"]?["code"]?.integer == -32602)
        }
    }

    @Test(arguments: [true, false])
    func `each user acts with the account they connected, and with no other`(isLegacy: Bool) async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await Self.withServer({ $0.isLegacy = isLegacy }, folder: folder) { gateway, upstream, authority in
            let first = try await Self.connect("user", to: "alice", gateway, authority)
            #expect(first.text.contains("is connected"), "\(first.text)")
            let user = try await Self.token("user", gateway)
            let mine = try await gateway.callBare("up__whoami", token: user, headers: UpstreamCredentialTests.canaries)
            #expect(mine.said == "you are alice", "\(mine.text)")

            // Somebody who has not connected is told how, by a link of their own.
            try await Self.appear("server_owner", gateway)
            let owner = try await Self.token("server_owner", gateway)
            let untold = try await gateway.callBare("up__whoami", token: owner)
            #expect(untold.status == 200 && untold.isToolError)
            let link = try Self.link(in: untold)
            #expect(link.hasPrefix(gateway.origin + "/connect/up?for="))
            let modern = try await gateway.modern("tools/call", [("name", "up__whoami")], name: "up__whoami", token: owner)
            #expect(modern.isToolError && modern.said?.contains(link) == true, "\(modern.text)")

            // A link that leads another user to an account of the sender's, or the other way round, leads nowhere.
            let foreign = try await Self.connect("user", to: "mallory", gateway, authority, link: link)
            #expect(foreign.status == 400 && foreign.text.contains("made for another user"))
            #expect(try await gateway.callBare("up__whoami", token: owner).isToolError)

            let second = try await Self.connect("server_owner", to: "bob", gateway, authority, link: link)
            #expect(second.text.contains("is connected"), "\(second.text)")
            for _ in 0..<3 {
                #expect(try await gateway.callBare("up__whoami", token: owner).said == "you are bob")
                #expect(try await gateway.callBare("up__whoami", token: user).said == "you are alice")
            }

            // Nothing that callers showed, nothing in the clear on disk, nothing told.
            #expect(!upstream.has("canary-"))
            for token in [user, owner] { #expect(!upstream.has(token)) }
            #expect(try UpstreamCredentialTests.files(of: folder, holding: authority.mark) == [])
            let listed = try await gateway.api(.GET, "/api/v1/connections", token: user)
            let entry = try #require(listed.json?["connections"]?.elements.first)
            #expect(entry["state"]?.string == "connected" && entry["server"]?.string == "up")
            #expect(entry["issuer"]?.string == authority.issuer(upstream) && entry["scope"]?.string?.contains("files:read") == true)
            #expect(!listed.text.contains(authority.mark))

            // Whoever disconnects is out, and nobody else.
            #expect(try await gateway.api(.DELETE, "/api/v1/connections/up", token: user).status == 204)
            #expect(try await gateway.api(.DELETE, "/api/v1/connections/up", token: user).status == 404)
            #expect(try await gateway.callBare("up__whoami", token: user).isToolError)
            #expect(try await gateway.callBare("up__whoami", token: owner).said == "you are bob")
            let left = try await gateway.api(.GET, "/api/v1/connections", token: user)
            #expect(left.json?["connections"]?.elements.first?["state"]?.string == "not_connected")

            // The account may be another one afterwards; no conversation of before goes on.
            try await Self.connect("user", to: "carol", gateway, authority)
            #expect(try await gateway.callBare("up__whoami", token: user).said == "you are carol")
            let rows = try await gateway.api(.GET, "/api/v1/admin/audit?limit=100", token: try await gateway.token("admin", .admin))
            let actions = (rows.json?["rows"]?.elements ?? []).compactMap { $0["action"]?.string }
            #expect(actions.count { $0 == "connection.create" } == 3 && actions.count { $0 == "connection.delete" } == 2)
        }
    }

    @Test func `an access token that is over is renewed once for all who call, and its successor is kept`() async throws {
        try await Self.withServer({ $0.lifetime = 20 }) { gateway, upstream, authority in
            try await Self.connect("user", to: "alice", gateway, authority)
            authority.state.change { $0.lifetime = 3600 }
            let before = upstream.requests(to: "/token").count
            let user = try await Self.token("user", gateway)
            try await withThrowingTaskGroup(of: String?.self) { group in
                for _ in 0..<20 { group.addTask { try await gateway.callBare("up__whoami", token: user).said } }
                for try await said in group { #expect(said == "you are alice") }
            }
            #expect(upstream.requests(to: "/token").count - before <= 1)

            // The server forgets it before its time: renewed, and the call goes again.
            authority.state.change { $0.accessTokens = [:] }
            #expect(try await gateway.callBare("up__whoami", token: user).said == "you are alice")

            // Now nothing is of use any more: the user is told once, and the server is left alone.
            authority.state.change { ($0.accessTokens, $0.refreshTokens) = ([:], [:]) }
            let refused = try await gateway.callBare("up__whoami", token: user)
            #expect(refused.isToolError, "\(refused.text)")
            _ = try Self.link(in: refused)
            let asked = upstream.requests(to: "/mcp").count
            #expect(try await gateway.callBare("up__whoami", token: user).isToolError)
            #expect(upstream.requests(to: "/mcp").count == asked)
            let listed = try await gateway.api(.GET, "/api/v1/connections", token: user)
            #expect(listed.json?["connections"]?.elements.first?["state"]?.string == "refused")

            try await Self.connect("user", to: "alice", gateway, authority)
            #expect(try await gateway.callBare("up__whoami", token: user).said == "you are alice")
        }
    }

    @Test func `a server that wants more is answered by asking the user for all of it at once`() async throws {
        try await Self.withServer { gateway, upstream, authority in
            try await Self.connect("user", to: "alice", gateway, authority)
            authority.state.change { $0.neededScope = "files:write" }
            let user = try await Self.token("user", gateway)
            let refused = try await gateway.callBare("up__whoami", token: user)
            #expect(refused.isToolError && refused.said?.contains("allow more") == true, "\(refused.text)")
            let browser = TestBrowser()
            let asking = try await browser.signIn(as: "user", at: try await browser.open(try Self.link(in: refused)))
            for scope in ["files:read", "files:write"] { #expect(asking.text.contains("<code>\(scope)</code>")) }
        }
    }

    @Test func `without the user's own browser, form and answer nothing is connected`() async throws {
        try await Self.withServer { gateway, _, authority in
            let isAway: @Sendable (String) -> Bool = { $0.contains("/connect/callback") }
            let browser = TestBrowser()
            let asking = try await browser.signIn(as: "user", at: try await browser.open(gateway.origin + "/connect/up"))
            #expect(asking.answer.headers.first(name: "x-frame-options") == "DENY")
            #expect(asking.answer.headers.first(name: "content-security-policy")?.contains("frame-ancestors 'none'") == true)
            // Somebody else's browser, and somebody else's page.
            #expect(try await TestBrowser().open(asking.url).status == 400)
            #expect(try await TestBrowser().submit(asking, [("decision", "approve")]).status == 400)
            #expect(try await browser.submit(asking, [("decision", "approve")], headers: [("Origin", "https://evil.example")]).status == 403)
            #expect(try await browser.submit(asking, [("decision", "approve")], headers: [("Sec-Fetch-Site", "cross-site")]).status == 400)
            let forged = TestBrowser.Page(
                url: asking.url,
                answer: Answer(
                    status: 200, headers: [:],
                    body: Array(asking.text.replacing(#/name="token" value="[^"]*"/#, with: "name=\"token\" value=\"AAAA\"").utf8)))
            #expect(try await browser.submit(forged, [("decision", "approve")]).status == 400)

            let away = try await browser.submit(asking, [("decision", "approve")], until: isAway)
            #expect(away.answer.headers.first(name: "location") != nil)
            // The answer belongs to the browser that left, and is good once.
            #expect(try await TestBrowser().open(away.url).status == 400)
            #expect(try await browser.submit(asking, [("decision", "approve")]).status == 400)
            let done = try await browser.open(away.url)
            #expect(done.text.contains("is connected"), "\(done.text)")
            #expect(try await browser.open(away.url).status == 400)

            let denying = try await browser.signIn(as: "server_owner", at: try await browser.open(gateway.origin + "/connect/up"))
            let denied = try await browser.submit(denying, [("decision", "deny")])
            #expect(denied.status == 200 && denied.text.contains("Nothing was connected"))
            try await Self.connect("user", to: "alice", gateway, authority)
            #expect(try await gateway.callBare("up__whoami", token: try await Self.token("server_owner", gateway)).isToolError)
        }
    }

    @Test func `an answer of another issuer, or of none where one is announced, connects nothing`() async throws {
        try await Self.withServer { gateway, upstream, authority in
            for iss in ["http://127.0.0.1:1/as", authority.issuer(upstream) + "/", nil] as [String?] {
                authority.state.change { $0.iss = .some(iss) }
                let page = try await Self.connect("user", to: "mallory", gateway, authority)
                #expect(page.status == 400 && page.text.contains("does not come from the authorization server"), "\(page.text)")
            }
            #expect(upstream.requests(to: "/token").isEmpty)
            // An error is looked at only after its sender is.
            authority.state.change { $0.iss = nil }
            #expect(try await Self.connect("user", to: "alice", gateway, authority).text.contains("is connected"))
        }
    }

    @Test func `an authorization server that sends browsers on to another one does not get that one's code`() async throws {
        let (honest, evil) = (FakeAuthority(), FakeAuthority())
        try await FakeUpstream.running(honest.script) { honestServer in
            let script: FakeUpstream.Script = { request, upstream in
                guard request.path == "/authorize" else { return evil.script(request, upstream) }
                var query = request.query
                query["resource"] = honestServer.endpoint
                let pairs = query.map { (name: $0.key, value: $0.value) }
                return .init(status: .found, headers: [("location", honestServer.origin + "/authorize?" + FormURLEncoded.encode(pairs))])
            }
            evil.state.change { $0.metadata["authorization_response_iss_parameter_supported"] = .some(nil) }
            try await FakeUpstream.running(script) { evilServer in
                try await RunningGateway.with { gateway in
                    for (alias, server) in [("up", evilServer), ("good", honestServer)] {
                        let made = try await gateway.register(alias, server.endpoint, credential: ["mode": "per_user"])
                        #expect(made.status == 201)
                    }
                    let page = try await Self.connect("user", to: "alice", gateway, honest)
                    #expect(page.status == 400 && page.text.contains("does not come from the authorization server"), "\(page.text)")
                    #expect(honestServer.requests(to: "/authorize").count == 1)
                    #expect(evilServer.requests(to: "/token").isEmpty && !evilServer.has("code-\(honest.mark)"))
                }
            }
        }
    }

    @Test(
        arguments: [
            ["code_challenge_methods_supported": ["plain"]], ["code_challenge_methods_supported": nil], ["issuer": "http://127.0.0.1:9/other"],
            ["authorization_endpoint": "javascript:alert(1)"], ["authorization_endpoint": "data:text/html,x"], ["authorization_endpoint": nil],
            ["token_endpoint": "http://as.example/token"], ["token_endpoint": "http://169.254.169.254/latest"], ["token_endpoint": nil],
            ["authorization_endpoint": "http://user@as.example/"], ["registration_endpoint": nil],
            ["registration_endpoint": "https://169.254.169.254/r"],
            ["response_types_supported": ["token"]],
        ] as [[String: JSONText?]])
    func `hostile words of an authorization server lead nowhere`(changes: [String: JSONText?]) async throws {
        try await Self.withServer({ $0.metadata = changes }) { gateway, upstream, authority in
            let page = try await Self.connect("user", to: "alice", gateway, authority)
            #expect(page.status == 400 && page.text.contains("Nothing was connected"), "\(page.text)")
            #expect(!page.text.contains("javascript:") && !page.text.contains("169.254"))
            #expect(upstream.requests(to: "/authorize").isEmpty && upstream.requests(to: "/token").isEmpty)
        }
    }

    @Test(
        arguments: [
            ["resource": "http://127.0.0.1:9/mcp"], ["resource": "https://victim.example/mcp"], ["authorization_servers": []],
            ["authorization_servers": ["http://10.0.0.1/as"]], ["authorization_servers": ["https://[::ffff:10.0.0.1]/as"]],
            ["authorization_servers": ["javascript:alert(1)"]], ["authorization_servers": ["https://as.example/as?x=1"]],
        ] as [[String: JSONText?]])
    func `hostile words of a server about who gives its tokens lead nowhere`(changes: [String: JSONText?]) async throws {
        try await Self.withServer({ $0.resourceMetadata = changes }) { gateway, upstream, authority in
            let page = try await Self.connect("user", to: "alice", gateway, authority)
            #expect(page.status == 400 && page.text.contains("Nothing was connected"), "\(page.text)")
            #expect(upstream.requests(to: "/register").isEmpty && upstream.requests(to: "/authorize").isEmpty)
        }
    }

    @Test func `a client that an administrator registered is used where it is registered, and nowhere else`() async throws {
        let authority = FakeAuthority()
        try await FakeUpstream.running(authority.script) { upstream in
            try await RunningGateway.with { gateway in
                let wrong = try await gateway.register(
                    "up", upstream.endpoint, credential: ["mode": "per_user", "issuer": "http://127.0.0.1:9/as", "client_id": "mine"])
                #expect(wrong.status == 201)
                #expect(try await Self.connect("user", to: "alice", gateway, authority).status == 400)
                #expect(upstream.requests(to: "/register").isEmpty && upstream.requests(to: "/authorize").isEmpty)
                let id = try #require(wrong.json?["id"]?.integer)
                let credential: JSONText = [
                    "mode": "per_user", "issuer": .string(authority.issuer(upstream)), "client_id": "mine", "secret": "s3cret",
                ]
                let changed = try await gateway.api(
                    .PATCH, "/api/v1/servers/\(id)", ["credential": credential], token: try await gateway.token("admin", .admin))
                #expect(changed.status == 200, "\(changed.text)")
                // Its token endpoint takes the id in the form only.
                authority.state.change { $0.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"] }
                #expect(try await Self.connect("user", to: "alice", gateway, authority).text.contains("is connected"))
                #expect(upstream.requests(to: "/authorize").allSatisfy { $0.query["client_id"] == "mine" })
                #expect(upstream.requests(to: "/token").allSatisfy { $0.form["client_secret"] == "s3cret" })
                #expect(upstream.requests(to: "/register").isEmpty)
                #expect(try await gateway.callBare("up__whoami", token: try await Self.token("user", gateway)).said == "you are alice")
            }
        }
    }

    @Test func `the gateway says what it is as a client of others, and knows no server of another's`() async throws {
        try await RunningGateway.with { gateway in
            let document = try await gateway.send(.GET, "/oauth/client.json").json
            #expect(document?["client_id"]?.string == gateway.origin + "/oauth/client.json")
            #expect(document?["redirect_uris"]?.elements.map(\.string) == [gateway.origin + "/connect/callback"])
            #expect(document?["token_endpoint_auth_method"]?.string == "private_key_jwt")
            let keys = try #require(document?["jwks_uri"]?.string)
            #expect(try await gateway.send(.GET, String(keys.dropFirst(gateway.origin.count))).json?["keys"]?.elements.isEmpty == false)
            let open = try await gateway.send(.GET, "/oauth/public-client.json").json
            #expect(open?["client_id"]?.string == gateway.origin + "/oauth/public-client.json")
            #expect(open?["token_endpoint_auth_method"]?.string == "none" && open?["jwks_uri"] == nil)
            #expect(try await gateway.send(.GET, "/connect/NOT_AN_ALIAS").status == 400)
            #expect(try await gateway.send(.GET, "/connect/callback").status == 400)
            #expect(try await gateway.send(.GET, "/connect/up?step=none").status == 400)
            let browser = TestBrowser()
            let page = try await browser.signIn(as: "user", at: try await browser.open(gateway.origin + "/connect/demo-http"))
            #expect(page.status == 400 && page.text.contains("no server"))
            #expect(try await gateway.api(.GET, "/api/v1/connections", token: nil).status == 401)
        }
    }

    @Test(arguments: [HTTPResponseStatus.ok, .serviceUnavailable, .notFound])
    func `who disconnects is disconnected, and the authorization server hears of it if it listens`(status: HTTPResponseStatus) async throws {
        try await Self.withServer({ $0.revocationStatus = status }) { gateway, upstream, authority in
            #expect(try await Self.connect("user", to: "alice", gateway, authority).text.contains("is connected"))
            let user = try await Self.token("user", gateway)
            #expect(try await gateway.api(.DELETE, "/api/v1/connections/up", token: user).status == 204)
            let revoked = upstream.requests(to: "/revoke").map(\.form)
            #expect(revoked.count == 1 && revoked.first?["token"] == "refresh-\(authority.mark)-2" && revoked.first?["client_id"] == "client-1")
            #expect(revoked.first?["token_type_hint"] == "refresh_token")
            #expect(authority.state.value.refreshTokens.isEmpty == (status == .ok))
            #expect(try await gateway.api(.DELETE, "/api/v1/connections/up", token: user).status == 404)
        }
    }

    @Test func `an authorization server that takes nothing back is not asked to`() async throws {
        try await Self.withServer({ $0.metadata["revocation_endpoint"] = .some(nil) }) { gateway, upstream, authority in
            #expect(try await Self.connect("user", to: "alice", gateway, authority).text.contains("is connected"))
            let user = try await Self.token("user", gateway)
            #expect(try await gateway.api(.DELETE, "/api/v1/connections/up", token: user).status == 204)
            #expect(upstream.requests(to: "/revoke").isEmpty)
        }
    }
}
