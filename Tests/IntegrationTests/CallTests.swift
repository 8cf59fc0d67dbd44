import Forwarding
import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Storage
import Testing

@testable import mreg

struct CallTests {
    @Test func `a call of each era reaches its server and is on record when it is answered`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await RunningGateway.with(folder: folder) { gateway in
            let token = try await gateway.token()
            let legacy = try await gateway.mcp(
                #"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"demo-http__echo","arguments":{"text":"héllo"}}}"#, token: token)
            #expect(legacy.status == 200)
            #expect(legacy.json?["id"]?.string == "a")
            #expect(legacy.json?["result"]?["content"]?.elements.first?["text"]?.string == "héllo")
            #expect(legacy.json?["result"]?["resultType"] == nil)

            let arguments: JSONText = ["text": "hi"]
            let modern = try await gateway.modern(
                "tools/call", [("name", "demo-http__echo"), ("arguments", arguments)], name: "demo-http__echo", token: token)
            #expect(modern.status == 200)
            #expect(modern.json?["result"]?["resultType"]?.string == "complete")
            #expect(modern.json?["result"]?["_meta"]?["io.modelcontextprotocol/serverInfo"]?["name"]?.string == "mcp-registry-gateway")
        }
        let key = try #require(try RecordKeyFile.read(RecordKeyFile.path(in: folder + "/state")))
        let database = try Database(path: folder + "/state/gateway.sqlite", key: key) { Clocks.now().wall }
        let calls = try await database.auditRecords(of: nil, since: Timestamp(microseconds: 0), limit: 100).filter { $0.action == "tools/call" }
        #expect(calls.count == 2)
        #expect(calls.allSatisfy { $0.target == "demo-http__echo" && $0.outcome == .ok && $0.user != nil && $0.duration > .zero })
    }

    @Test func `progress comes under the caller's own token and before the answer`() async throws {
        try await RunningGateway.with { gateway in
            let body = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo-http__slow","arguments":{"seconds":0,"steps":3},"#
            let answer = try await gateway.mcp(body + #""_meta":{"progressToken":"mine"}}}"#, token: try await gateway.token())
            let events = answer.events
            #expect(answer.headers.first(name: "content-type") == "text/event-stream")
            #expect(events.count == 4)
            #expect(events.dropLast().allSatisfy { $0["params"]?["progressToken"]?.string == "mine" })
            #expect(events.last?["id"]?.integer == 1)
        }
    }

    @Test func `every way to be refused at the door of the endpoint has its own status`() async throws {
        try await RunningGateway.with { gateway in
            let token = try await gateway.token()
            let ping = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
            let json = ("Content-Type", "application/json")
            let bearer = ("Authorization", "Bearer \(token)")
            func status(_ headers: [(String, String)], _ body: String = ping) async throws -> Int {
                try await gateway.send(.POST, "/mcp", headers: headers, body: Array(body.utf8)).status
            }
            #expect(try await status([json, bearer]) == 200)
            #expect(try await status([bearer]) == 415)
            #expect(try await status([("Content-Type", "text/plain"), bearer]) == 415)
            #expect(try await status([json, bearer, ("Accept", "text/html")]) == 406)
            #expect(try await status([json, bearer, ("Host", "evil.example")]) == 421)
            #expect(try await status([json, bearer, ("Host", "127.0.0.1:\(gateway.port)")]) == 200)
            #expect(try await status([json, bearer, ("Origin", "https://evil.example")]) == 403)
            #expect(try await status([json, bearer, ("Origin", gateway.origin)]) == 200)
            #expect(try await status([json, bearer], String(repeating: " ", count: 4 << 20) + ping) == 413)
            #expect(try await gateway.send(.GET, "/mcp", headers: [bearer]).status == 405)
            #expect(try await gateway.send(.DELETE, "/mcp", headers: [bearer]).headers.first(name: "allow") == "POST")
        }
    }

    @Test func `without a token the challenge names a document that names the gateway`() async throws {
        try await RunningGateway.with { gateway in
            let answer = try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, token: nil)
            #expect(answer.status == 401)
            let challenge = try #require(answer.headers.first(name: "www-authenticate"))
            #expect(challenge == "Bearer resource_metadata=\"\(gateway.origin)/.well-known/oauth-protected-resource/mcp\", scope=\"mcp:tools\"")
            let document = try await gateway.send(.GET, "/.well-known/oauth-protected-resource/mcp").json
            #expect(document?["resource"]?.string == "\(gateway.origin)/mcp")
            #expect(document?["authorization_servers"]?.elements.map(\.string) == [gateway.origin])

            let wrong = try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, token: "not.a.token")
            #expect(wrong.status == 401)
            #expect(wrong.headers.first(name: "www-authenticate")?.contains("error=\"invalid_token\"") == true)
        }
    }

    @Test(arguments: [
        (#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32700), (#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#, -32700),
        ("\u{FEFF}" + #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, -32700), ("", -32700), (#"{"a":"\ud800"}"#, -32700),
        (String(repeating: "[", count: 65) + String(repeating: "]", count: 65), -32700), (#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600), (#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}"#, -32600), (#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
    ])
    func `a body that two parsers could read differently is refused`(_ body: String, code: Int) async throws {
        try await RunningGateway.with { gateway in
            let answer = try await gateway.mcp(body, token: try await gateway.token())
            #expect(answer.status == 400)
            #expect(answer.json?["error"]?["code"]?.integer == Int64(code))
        }
    }

    @Test(arguments: [
        (#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, 7), (#"{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}"#, 7),
        (#"{"jsonrpc":"2.0","id":7,"method":5}"#, 7), (#"{"jsonrpc":"2.0","id":7,"method":""}"#, 7), (#"{"id":7,"method":"ping"}"#, 7),
        // Under these the client may have a request of its own under way, which this does not answer.
        (#"{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}"#, nil), (#"{"jsonrpc":"2.0","id":7,"error":{}}"#, nil),
        (#"{"jsonrpc":"2.0","id":7}"#, nil), (#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, nil),
    ])
    func `what is refused for its form is refused under its id where that can be read`(_ body: String, id: Int64?) async throws {
        try await RunningGateway.with { gateway in
            let answer = try await gateway.mcp(body, token: try await gateway.token())
            #expect(answer.status == 400)
            #expect(answer.json?["id"]?.integer == id)
            #expect(answer.json?["error"]?["code"] != nil)
        }
    }

    @Test func `the envelope of the stateless revision is checked against its headers`() async throws {
        try await RunningGateway.with { gateway in
            let token = try await gateway.token()
            func answer(_ version: String, headers: [(String, String)], method: String = "tools/list") async throws -> (Int, Int64?) {
                let body =
                    #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"\#(version)","#
                    + #""io.modelcontextprotocol/clientCapabilities":{}}}}"#
                let answer = try await gateway.mcp(body, token: token, headers: headers)
                return (answer.status, answer.json?["error"]?["code"]?.integer)
            }
            let version = ("MCP-Protocol-Version", "2026-07-28")
            #expect(try await answer("2026-07-28", headers: [version, ("Mcp-Method", "tools/list")]) == (200, nil))
            #expect(try await answer("2026-07-28", headers: [("Mcp-Method", "tools/list")]) == (400, -32020))
            #expect(try await answer("2026-07-28", headers: [version]) == (400, -32020))
            #expect(try await answer("2026-07-28", headers: [version, ("Mcp-Method", "tools/call")]) == (400, -32020))
            #expect(try await answer("2027-01-01", headers: [("MCP-Protocol-Version", "2027-01-01"), ("Mcp-Method", "tools/list")]) == (400, -32022))
            #expect(try await answer("2026-07-28", headers: [version, ("Mcp-Method", "ping")], method: "ping") == (404, -32601))
            let missing = try await gateway.mcp(
                #"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#, token: token, headers: [version, ("Mcp-Method", "tools/list")])
            #expect(missing.status == 400)
            #expect(missing.json?["error"]?["code"]?.integer == -32602)
        }
    }

    @Test func `an unknown tool is the caller's mistake, in both eras`() async throws {
        try await RunningGateway.with { gateway in
            let token = try await gateway.token()
            let legacy = try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo-http__no"}}"#, token: token)
            let modern = try await gateway.modern("tools/call", [("name", "demo-http__no")], name: "demo-http__no", token: token)
            for answer in [legacy, modern] {
                #expect(answer.status == 200)
                #expect(answer.json?["error"]?["code"]?.integer == -32602)
            }
        }
    }

    @Test func `a server that is down is named, and the list still holds the others`() async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let created = try await gateway.api(.POST, "/api/v1/servers", ["alias": "down", "endpoint": "http://127.0.0.1:9/mcp"], token: admin)
            #expect(created.status == 201)
            let list = try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, token: admin)
            #expect(list.json?["result"]?["tools"]?.elements.count == 5)
            #expect(list.json?["result"]?["_meta"]?["localhost/origin"]?["unavailable"]?.elements.map(\.string) == ["down"])
            // A tool of it may be there all the same, so it is not called unknown; to whom the server is hidden, it is.
            let call = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"down__any"}}"#
            let unasked = try await gateway.mcp(call, token: admin)
            #expect(unasked.json?["error"]?["code"]?.integer == 1003)
            #expect(unasked.json?["error"]?["message"]?.string?.hasPrefix("The server “down” could not be asked: ") == true)
            let rule: JSONText = ["effect": "deny", "user": "eve", "server": "down"]
            let eve = try await gateway.token("eve")
            #expect(try await gateway.api(.POST, "/api/v1/admin/tool-rules", rule, token: admin).status == 201)
            #expect(try await gateway.mcp(call, token: eve).json?["error"]?["code"]?.integer == -32602)
            let health = try await gateway.send(.GET, "/health")
            #expect(health.status == 200)
            #expect(health.json?["status"]?.string == "degraded")
        }
    }

    @Test func `a user who is too fast is told when to come back, and nobody else is`() async throws {
        try await RunningGateway.with(["MREG_FASTMCP_RATE_LIMIT_USER_RPM": "2", "MREG_FASTMCP_RATE_LIMIT_BURST_FACTOR": "1.0"]) { gateway in
            let ping = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
            let (fast, other) = (try await gateway.token("fast"), try await gateway.token("other"))
            #expect(try await gateway.mcp(ping, token: fast).headers.first(name: "x-ratelimit-remaining") == "1")
            #expect(try await gateway.mcp(ping, token: fast).status == 200)
            let refused = try await gateway.mcp(ping, token: fast)
            #expect(refused.status == 429)
            // Two a minute: at most half a minute, less what the calls took.
            #expect((1...30).contains(refused.headers.first(name: "retry-after").flatMap { Int($0) } ?? 0))
            #expect(refused.json?["error"]?["code"]?.integer == 1001)
            #expect(refused.json?["error"]?["data"]?["code"]?.string == "throttled")
            #expect(try await gateway.mcp(ping, token: other).status == 200)
        }
    }

    @Test func `an auditor reads and calls nothing`() async throws {
        try await RunningGateway.with { gateway in
            let auditor = try await gateway.token("auditor", .auditor)
            let modern = try await gateway.modern("tools/list", token: auditor)
            #expect(modern.status == 403)
            #expect(modern.json?["error"]?["code"]?.integer == 1002)
            #expect(try await gateway.api(.GET, "/api/v1/servers", token: auditor).status == 200)
            #expect(try await gateway.api(.POST, "/api/v1/servers", ["alias": "x"], token: auditor).status == 403)
        }
    }

    @Test func `only evaluation lets anybody sign in, and takes requests without a version`() async throws {
        let shorthand = #"{"method":"tools/list"}"#
        try await RunningGateway.with { gateway in
            let login = try await gateway.api(.POST, "/oauth/login", ["user_id": "somebody"], token: nil)
            let token = try #require(login.json?["access_token"]?.string)
            let answer = try await gateway.mcp(shorthand, token: token)
            #expect(answer.status == 200)
            #expect(answer.json?["id"]?.isNull == true)
            #expect(answer.json?["result"]?["tools"]?.elements.count == 5)
        }
        try await RunningGateway.with(isEvaluation: false) { gateway in
            #expect(try await gateway.api(.POST, "/oauth/login", ["user_id": "somebody"], token: nil).status == 404)
            let answer = try await gateway.mcp(shorthand, token: try await gateway.token())
            #expect(answer.status == 400)
            #expect(answer.json?["error"]?["code"]?.integer == -32600)
        }
    }
}
