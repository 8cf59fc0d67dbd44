import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

/// Who may use which tools, over the wire.
struct ToolRuleTests {
    private static let rules = "/api/v1/admin/tool-rules"
    private static let everything = ["demo-http__echo", "demo-http__clock", "demo-http__slow", "demo-http__flaky", "demo-http__ask"]

    @Test func `a new gateway lets everyone use everything, and without that rule nobody may use anything`() async throws {
        try await RunningGateway.with { gateway in
            let (user, admin) = (try await gateway.token(), try await gateway.token("admin", .admin))
            let all = try await gateway.tools(user)
            #expect(all.count == 5)
            #expect(try await gateway.tools(admin) == all)
            let first = try #require(try await gateway.api(.GET, Self.rules, token: admin).json?["rules"]?.elements.first)
            #expect(first["words"]?.string == "everyone may use every tool of every server")
            let id = try #require(first["id"]?.integer)
            #expect(try await gateway.api(.DELETE, Self.rules + "/default/\(id)", token: admin).status == 204)
            for token in [user, admin] {
                #expect(try await gateway.tools(token).isEmpty)
                #expect(try await gateway.call("demo-http__echo", token: token).json?["result"] == nil)
            }
            #expect(
                try await gateway.api(.POST, Self.rules, ["effect": "allow", "role": "user", "server": "demo-http", "tool": "clock"], token: admin)
                    .status == 201)
            #expect(try await gateway.tools(user) == ["demo-http__clock"])
            #expect(try await gateway.tools(admin).isEmpty)
        }
    }

    @Test func `a hidden tool is answered as one that does not exist, and the record knows better`() async throws {
        try await RunningGateway.with { gateway in
            let (user, admin) = (try await gateway.token(), try await gateway.token("admin", .admin))
            _ = try await gateway.tools(user)
            let added = try await gateway.api(
                .POST, Self.rules, ["effect": "deny", "role": "user", "server": "demo-http", "tool": "echo"], token: admin)
            let id = try #require(added.json?["id"]?.integer)
            #expect(try await !gateway.tools(user).contains("demo-http__echo"))
            #expect(try await gateway.tools(user).count == 4)
            for isModern in [false, true] {
                let hidden = try await gateway.call("demo-http__echo", token: user, isModern: isModern)
                let absent = try await gateway.call("demo-http__ohce", token: user, isModern: isModern)
                #expect(hidden.status == absent.status)
                #expect(hidden.text.replacing("echo", with: "ohce") == absent.text)
                #expect(hidden.json?["error"]?["code"]?.integer == -32602)
                let names = { (answer: Answer) in
                    answer.headers.map(\.name).filter { !$0.lowercased().hasPrefix("ratelimit") }.sorted()
                }
                #expect(names(hidden) == names(absent))
            }
            let rows = try await gateway.api(.GET, "/api/v1/admin/audit", token: admin).json?["rows"]?.elements ?? []
            let refused = rows.filter { $0["target"]?.string == "demo-http__echo" }
            #expect(refused.count == 2)
            #expect(refused.allSatisfy { $0["reason"]?.string == "forbidden.rule_\(id)" && $0["outcome"]?.string == "refused" })
        }
    }

    @Test func `the endpoint of a hidden server is refused in the same words as that of none, and those who may use it are served`() async throws {
        let handshake = #"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#
        let questions: [(String, String)] = [
            ("initialize", handshake), ("tools/list", "{}"), ("resources/list", "{}"), ("prompts/list", "{}"), ("resources/templates/list", "{}"),
        ]
        try await RunningGateway.with { gateway in
            let (user, admin) = (try await gateway.token(), try await gateway.token("admin", .admin))
            @Sendable func answers(_ alias: String, _ token: String) async throws -> [Answer] {
                let path = "/servers/\(alias)/mcp"
                var answers: [Answer] = []
                for (method, params) in questions {
                    let body = #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#
                    answers.append(try await gateway.mcp(body, to: path, token: token))
                }
                for method in ["server/discover", "tools/list"] { answers.append(try await gateway.modern(method, to: path, token: token)) }
                answers.append(
                    try await gateway.modern("subscriptions/listen", [("notifications", ["toolsListChanged": true])], to: path, token: token))
                return answers
            }
            let draft: JSONText = ["alias": "at-rest", "endpoint": .string(try await gateway.demoEndpoint()), "status": "disabled"]
            #expect(try await gateway.api(.POST, "/api/v1/servers", draft, token: admin).status == 201)
            #expect(
                try await gateway.api(.POST, Self.rules, ["effect": "deny", "role": "user", "server": "demo-http"], token: admin).status == 201)
            let absent = try await answers("nowhere", user)
            for answer in absent {
                #expect(answer.status == 200)
                #expect(answer.json?["error"]?["code"]?.integer == -32602)
                #expect(answer.json?["error"]?["message"]?.string?.hasPrefix("There is no server “nowhere” that you may use;") == true)
                #expect(answer.headers.first(name: "mcp-session-id") == nil)
            }
            for alias in ["demo-http", "at-rest"] {
                for (hidden, absent) in zip(try await answers(alias, user), absent) {
                    #expect(hidden.status == absent.status)
                    #expect(hidden.text == absent.text.replacing("nowhere", with: alias))
                }
            }
            for (method, params) in questions {
                let body = #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#
                #expect(try await gateway.mcp(body, to: "/servers/demo-http/mcp", token: admin).json?["result"] != nil, "\(method)")
            }
            for method in ["server/discover", "tools/list"] {
                #expect(try await gateway.modern(method, to: "/servers/demo-http/mcp", token: admin).json?["result"] != nil)
            }
            #expect(try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, to: "/servers/nowhere/mcp", token: user).status == 200)
        }
    }

    @Test func `a server that cannot be reached is there all the same`() async throws {
        try await RunningGateway.with { gateway in
            #expect(try await gateway.register("down", "http://127.0.0.1:9/mcp", credential: ["mode": "none"]).status == 201)
            let list = #"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#
            let answer = try await gateway.mcp(list, to: "/servers/down/mcp", token: gateway.token())
            #expect(answer.json?["result"]?["tools"]?.elements.isEmpty == true)
        }
    }

    @Test func `administrators and the server's owner are told which rule decides, and who can change it`() async throws {
        try await RunningGateway.with { gateway in
            let (owner, colleague) = (try await gateway.token("server_owner", .serverOwner), try await gateway.token("colleague", .serverOwner))
            let admin = try await gateway.token("admin", .admin)
            let body: JSONText = ["alias": "mine", "endpoint": .string(try await gateway.demoEndpoint())]
            #expect(try await gateway.api(.POST, "/api/v1/servers", body, token: owner).status == 201)
            #expect(try await gateway.tools(owner).contains("mine__echo"))
            let added = try await gateway.api(
                .POST, Self.rules, ["effect": "deny", "everyone": true, "server": "mine", "tool": "echo"], token: owner)
            let id = try #require(added.json?["id"]?.integer)
            for token in [owner, admin] {
                let answer = try await gateway.call("mine__echo", token: token)
                #expect(answer.json?["error"]?["code"]?.integer == 1002)
                let sentence = answer.json?["error"]?["message"]?.string ?? ""
                #expect(sentence.contains("rule \(id): everyone may not use the tool “echo” of “mine”"))
                #expect(sentence.contains("An administrator or the owner of “mine” can change that"))
                #expect(try await gateway.call("mine__echo", token: token, isModern: true).status == 403)
            }
            #expect(try await gateway.call("mine__echo", token: colleague).json?["error"]?["code"]?.integer == -32602)
        }
    }

    @Test func `an owner writes and reads the rules of their own servers only`() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let admin = try await gateway.token("admin", .admin)
            let body: JSONText = ["alias": "mine", "endpoint": .string(try await gateway.demoEndpoint())]
            #expect(try await gateway.api(.POST, "/api/v1/servers", body, token: owner).status == 201)
            let own = try await gateway.api(.POST, Self.rules, ["effect": "deny", "user": "user", "server": "mine"], token: owner)
            #expect(own.status == 201)
            for refused in [
                ["effect": "deny", "everyone": true, "server": "demo-http"], ["effect": "deny", "everyone": true, "every_server": true],
                ["effect": "allow", "user": "nobody-there", "server": "nowhere"],
            ] as [JSONText] {
                #expect(try await gateway.api(.POST, Self.rules, refused, token: owner).status == 403)
            }
            let theirs = try await gateway.api(.POST, Self.rules, ["effect": "deny", "everyone": true, "server": "demo-http"], token: admin)
            let id = try #require(theirs.json?["id"]?.integer)
            #expect(try await gateway.api(.DELETE, Self.rules + "/default/\(id)", token: owner).status == 403)
            let seen = try await gateway.api(.GET, Self.rules, token: owner).json?["rules"]?.elements.compactMap { $0["words"]?.string }
            #expect(seen == ["everyone may use every tool of every server", "the user “user” may not use any tool of “mine”"])
            let mine = try #require(own.json?["id"]?.integer)
            #expect(try await gateway.api(.DELETE, Self.rules + "/default/\(mine)", token: owner).status == 204)
            // Explaining has the same bounds.
            let explain = "/api/v1/admin/explain?user=user&tool="
            #expect(try await gateway.api(.GET, explain + "mine__echo", token: owner).json?["allowed"]?.bool == true)
            #expect(try await gateway.api(.GET, explain + "demo-http__echo", token: owner).status == 403)
        }
    }

    @Test func `what is decided is explained`() async throws {
        try await RunningGateway.with { gateway in
            let (admin, auditor) = (try await gateway.token("admin", .admin), try await gateway.token("auditor", .auditor))
            _ = try await gateway.tools(admin)
            _ = try await gateway.api(.POST, Self.rules, ["effect": "deny", "user": "user", "server": "demo-http", "tool": "echo"], token: admin)
            @Sendable func explain(_ user: String, _ tool: String) async throws -> JSON? {
                try await gateway.api(.GET, "/api/v1/admin/explain?user=\(user)&tool=\(tool)", token: auditor).json
            }
            let denied = try await explain("user", "demo-http__echo")
            #expect(denied?["allowed"]?.bool == false)
            #expect(denied?["rule"]?["user"]?.string == "user")
            #expect(denied?["because"]?.string?.contains("the user “user” may not use the tool “echo” of “demo-http”") == true)
            #expect(try await explain("user", "demo-http__clock")?["allowed"]?.bool == true)
            #expect(try await explain("auditor", "demo-http__clock")?["because"]?.string?.contains("uses no tools") == true)
            let unlisted = try await explain("user", "demo-http__nothing")
            #expect(unlisted?["listed"]?.bool == false)
            #expect(try await explain("nobody", "demo-http__clock")?["code"]?.string == "not_found")
            #expect(try await explain("user", "nonsense")?["code"]?.string == "invalid")
            // The command line says the same.
            let told = try await gateway.control("GET", "/explain?user=user&tool=demo-http__echo")
            #expect(told?["because"]?.string == denied?["because"]?.string)
        }
    }

    @Test func `a key sees and calls what it is for, and no more`() async throws {
        try await RunningGateway.with { gateway in
            let user = try await gateway.token("admin", .admin)
            _ = try await gateway.tools(user)
            let made = try await gateway.api(.POST, "/api/v1/keys", ["name": "agent", "tools": ["demo-http__echo"]], token: user)
            let key = try #require(made.json?["key"]?.string)
            #expect(try await gateway.tools(key) == ["demo-http__echo"])
            #expect(try await gateway.call("demo-http__echo", token: key).json?["result"] != nil)
            #expect(try await gateway.call("demo-http__clock", token: key).json?["error"]?["code"]?.integer == -32602)
            // It widens nothing either.
            _ = try await gateway.api(.POST, Self.rules, ["effect": "deny", "everyone": true, "every_server": true], token: user)
            #expect(try await gateway.tools(key).isEmpty)
        }
    }

    @Test func `rules of one tenant say nothing about another's, and an admin who crosses is on record there`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "other"])
            let issued = try await gateway.control("POST", "/tokens", ["tenant": "other", "user": "them", "role": "server_owner"])
            let them = try #require(issued?["access_token"]?.string)
            let eve = try #require(
                try await gateway.control("POST", "/tokens", ["tenant": "other", "user": "eve", "role": "auditor"])?["access_token"]?.string)
            let body: JSONText = ["alias": "demo-http", "endpoint": .string(try await gateway.demoEndpoint())]
            #expect(try await gateway.api(.POST, "/api/v1/servers", body, token: them).status == 201)
            #expect(try await gateway.tools(them).count == 5)
            let admin = try await gateway.token("admin", .admin)
            _ = try await gateway.api(.POST, Self.rules, ["effect": "deny", "everyone": true, "server": "demo-http"], token: admin)
            #expect(try await gateway.tools(them).count == 5)
            #expect(try await gateway.tools(try await gateway.token()).isEmpty)

            // Nobody else names a tenant, and a number leads nowhere from the wrong one.
            for path in ["/default", "/none"] {
                #expect(try await gateway.api(.GET, Self.rules + path, token: them).status == 403)
                #expect(
                    try await gateway.api(.POST, Self.rules + path, ["effect": "deny", "everyone": true, "server": "demo-http"], token: them).status
                        == 403)
                #expect(try await gateway.api(.DELETE, Self.rules + path + "/1", token: them).status == 403)
            }
            let theirs = try await gateway.api(.GET, Self.rules + "/other", token: admin).json?["rules"]?.elements ?? []
            let id = try #require(theirs.first?["id"]?.integer)
            #expect(try await gateway.api(.DELETE, Self.rules + "/default/\(id)", token: admin).status == 404)
            #expect(try await gateway.api(.DELETE, Self.rules + "/other/\(id)", token: admin).status == 204)
            #expect(try await gateway.tools(them).isEmpty)
            #expect(try await gateway.api(.GET, "/api/v1/admin/explain?user=them&tool=demo-http__echo&tenant=other", token: admin).status == 200)
            let rows = try await gateway.api(.GET, "/api/v1/admin/audit", token: eve).json?["rows"]?.elements ?? []
            for action in ["tool_rule.list", "tool_rule.delete", "tool_rule.explain"] {
                #expect(rows.contains { $0["action"]?.string == action && $0["outcome"]?.string == "ok" }, "\(action)")
            }
        }
    }

    @Test(arguments: [
        (#"{}"#, "effect"), (#"{"effect":"allow"}"#, "whom"), (#"{"effect":"permit","everyone":true,"every_server":true}"#, "effect"),
        (#"{"effect":"allow","everyone":true}"#, "what the rule is about"), (#"{"effect":"allow","everyone":false,"server":"x"}"#, "whom"),
        (#"{"effect":"allow","everyone":true,"user":"user","server":"x"}"#, "whom"),
        (#"{"effect":"allow","user":"user","role":"user","server":"x"}"#, "whom"),
        (#"{"effect":"allow","everyone":true,"server":"x","every_server":true}"#, "what the rule is about"),
        (#"{"effect":"allow","everyone":true,"tool":"t"}"#, "server"),
        (#"{"effect":"allow","everyone":true,"tool":"t","every_server":true}"#, "server"),
        (#"{"effect":"allow","role":"auditor","server":"x"}"#, "use no tools"),
        (#"{"effect":"allow","role":"anonymous","server":"x"}"#, "use no tools"),
        (#"{"effect":"allow","role":"root","server":"x"}"#, "role"), (#"{"effect":"allow","everyone":true,"server":"X"}"#, "alias"),
        (#"{"effect":"allow","everyone":true,"server":"*"}"#, "alias"), (#"{"effect":"allow","everyone":true,"server":"x","tool":""}"#, "tool"),
        (#"{"effect":"allow","everyone":true,"server":"x","tool":"a\u0000b"}"#, "tool"),
        (#"{"effect":"allow","everyone":true,"server":"x","tool":"a\u202Eb"}"#, "tool"),
        (#"{"effect":"allow","everyone":"yes","server":"x"}"#, "true or false"), (#"{"effect":["allow"],"everyone":true,"server":"x"}"#, "effect"),
        (#"{"effect":"allow","everyone":true,"server":"x","tools":["t"]}"#, "tools"),
        (#"{"effect":"allow","effect":"deny","everyone":true,"server":"x"}"#, "member name"), ("[]", "object"), ("", "not JSON"),
    ])
    func `a rule that could be misread is refused with what is missing`(_ body: String, word: String) async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer \(admin)")]
            let answer = try await gateway.send(.POST, Self.rules, headers: headers, body: Array(body.utf8))
            #expect(answer.status == 422)
            #expect(answer.json?["detail"]?.string?.contains(word) == true, "\(answer.text)")
            #expect(try await gateway.api(.GET, Self.rules, token: admin).json?["rules"]?.elements.count == 1)
        }
    }

    @Test func `names that are too long, and numbers that are none, lead nowhere`() async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let long: JSONText = ["effect": "deny", "everyone": true, "server": "x", "tool": .string(String(repeating: "a", count: 257))]
            #expect(try await gateway.api(.POST, Self.rules, long, token: admin).status == 422)
            let fits: JSONText = ["effect": "deny", "everyone": true, "server": "x", "tool": .string(String(repeating: "\u{1F600}", count: 256))]
            #expect(try await gateway.api(.POST, Self.rules, fits, token: admin).status == 201)
            #expect(try await gateway.api(.POST, Self.rules, fits, token: admin).status == 409)
            for id in ["0", "-1", "x", "99999", "9223372036854775808", "%00", "1%2F2"] {
                #expect(try await gateway.api(.DELETE, Self.rules + "/default/" + id, token: admin).status == 404, "\(id)")
            }
            for query in ["?tenant=other", "?x=1"] { #expect(try await gateway.api(.GET, Self.rules + query, token: admin).status == 422) }
            for query in [
                "", "?user=user", "?tool=demo-http__echo", "?user=user&tool=", "?user=user&user=admin&tool=a__b", "?user=user&tool=a__b&x=1",
            ] {
                #expect(try await gateway.api(.GET, "/api/v1/admin/explain" + query, token: admin).status == 422, "\(query)")
            }
        }
    }

    @Test func `rules are there after a restart, and the operator writes them too`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await RunningGateway.with(folder: folder) { gateway in
            let rule = try await gateway.control("POST", "/tool-rules", ["effect": "deny", "everyone": true, "server": "demo-http", "tool": "echo"])
            #expect(rule?["words"]?.string == "everyone may not use the tool “echo” of “demo-http”")
            let extra = try #require(
                try await gateway.control("POST", "/tool-rules", ["effect": "deny", "everyone": true, "every_server": true])?["id"]?.integer)
            #expect(try await gateway.tools(try await gateway.token()).isEmpty)
            _ = try await gateway.control("DELETE", "/tool-rules/\(extra)")
            #expect(try await gateway.control("GET", "/tool-rules")?["rules"]?.elements.count == 2)
        }
        try await RunningGateway.with(folder: folder) { gateway in
            let tools = try await gateway.tools(try await gateway.token())
            #expect(tools == Self.everything.filter { $0 != "demo-http__echo" })
        }
    }

    @Test func `while rules come and go, every call is allowed or denied, and after the last change all are alike`() async throws {
        try await RunningGateway.with(["MREG_FASTMCP_RATE_LIMIT_USER_RPM": "0", "MREG_FASTMCP_RATE_LIMIT_ADMIN_RPM": "0"]) { gateway in
            let (user, admin) = (try await gateway.token(), try await gateway.token("admin", .admin))
            _ = try await gateway.tools(user)
            let body: JSONText = ["effect": "deny", "everyone": true, "server": "demo-http", "tool": "echo"]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<30 {
                            let answer = try await gateway.call("demo-http__echo", token: user).json
                            #expect(answer?["result"]?["isError"]?.bool == false || answer?["error"]?["code"]?.integer == -32602)
                            let tools = try await gateway.tools(user)
                            #expect(tools.count == 5 || (tools.count == 4 && !tools.contains("demo-http__echo")))
                        }
                    }
                }
                group.addTask {
                    for _ in 0..<15 {
                        let id = try #require(try await gateway.api(.POST, Self.rules, body, token: admin).json?["id"]?.integer)
                        // Effective on the next request.
                        #expect(try await gateway.call("demo-http__echo", token: user).json?["error"]?["code"]?.integer == -32602)
                        #expect(try await gateway.api(.DELETE, Self.rules + "/default/\(id)", token: admin).status == 204)
                        #expect(try await gateway.call("demo-http__echo", token: user).json?["result"] != nil)
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}

extension RunningGateway {
    /// Calls a tool with arguments that suit every tool of the demo server, with the same id each time.
    func call(_ tool: String, token: String, isModern: Bool = false) async throws -> Answer {
        let arguments: JSONText = ["text": "x", "milliseconds": 1]
        if isModern { return try await modern("tools/call", [("name", .string(tool)), ("arguments", arguments)], name: tool, token: token) }
        let body: JSONText = ["jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ["name": .string(tool), "arguments": arguments]]
        return try await mcp(body.description, token: token)
    }
}
