import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Synchronization
import Testing

@testable import mreg

struct RegistryTests {
    @Test func `a server lives from its registration to its end`() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let endpoint = try await gateway.demoEndpoint()
            let created = try await gateway.api(
                .POST, "/api/v1/servers", ["alias": "mine", "title": "Mine", "endpoint": .string(endpoint), "tags": ["a"]], token: owner)
            #expect(created.status == 201)
            let path = try #require(created.headers.first(name: "location"))

            let again = try await gateway.api(.POST, "/api/v1/servers", ["alias": "mine", "endpoint": .string(endpoint)], token: owner)
            #expect(again.status == 409)
            #expect(try await gateway.api(.POST, path + "/check", token: owner).json?["tools"]?.integer == 5)
            #expect(try await gateway.api(.GET, "/api/v1/servers?tag=a", token: owner).json?["servers"]?.elements.count == 1)
            #expect(try await gateway.tools(owner).contains("mine__echo"))

            #expect(try await gateway.api(.PATCH, path, ["status": "disabled", "title": "Ours"], token: owner).json?["title"]?.string == "Ours")
            #expect(try await !gateway.tools(owner).contains("mine__echo"))
            #expect(try await gateway.api(.PATCH, path, ["status": "active"], token: owner).status == 200)
            #expect(try await gateway.tools(owner).contains("mine__echo"))

            #expect(try await gateway.api(.DELETE, path, token: owner).status == 204)
            #expect(try await gateway.api(.GET, path, token: owner).status == 404)
            #expect(try await !gateway.tools(owner).contains("mine__echo"))
        }
    }

    @Test func `owners change their own servers, admins all, users none`() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let colleague = try await gateway.token("colleague", .serverOwner)
            let admin = try await gateway.token("admin", .admin)
            let user = try await gateway.token("user", .user)
            let endpoint = JSONText.string(try await gateway.demoEndpoint())
            #expect(try await gateway.api(.POST, "/api/v1/servers", ["alias": "no", "endpoint": endpoint], token: user).status == 403)
            let created = try await gateway.api(.POST, "/api/v1/servers", ["alias": "mine", "endpoint": endpoint], token: owner)
            let path = try #require(created.headers.first(name: "location"))
            for (token, status) in [(user, 403), (colleague, 403), (owner, 200), (admin, 200)] {
                #expect(try await gateway.api(.PATCH, path, ["title": "New"], token: token).status == status)
                #expect(try await gateway.api(.GET, path, token: token).status == 200)
            }
        }
    }

    @Test func `of a server with too many tools its owner is told that some are left out, until they are not`() async throws {
        let isCut = Atomic(true)
        let script: FakeUpstream.Script = { request, _ in
            guard request.rpc == "tools/list", let id = request.json?["id"]?.text else {
                return FakeServer { _ in "somebody" }.answer(request)
            }
            let tools = (0..<(isCut.load(ordering: .relaxed) ? 2001 : 2000)).map {
                ["name": .string("t\($0)"), "inputSchema": ["type": "object"]] as JSONText
            }
            return .json([
                "jsonrpc": "2.0", "id": id, "result": ["resultType": "complete", "tools": .array(tools), "ttlMs": 0, "cacheScope": "private"],
            ])
        }
        try await FakeUpstream.running(script) { upstream in
            try await RunningGateway.with { gateway in
                let owner = try await gateway.token("server_owner", .serverOwner)
                let created = try await gateway.api(
                    .POST, "/api/v1/servers", ["alias": "many", "endpoint": .string(upstream.endpoint)], token: owner)
                let path = try #require(created.headers.first(name: "location"))
                let checked = try await gateway.api(.POST, path + "/check", token: owner).json
                let sentence = "of its tools the first 2000 are used: it lists more, and no more are taken"
                #expect(checked?["tools"]?.integer == 2000)
                #expect(checked?["health"]?.string == "healthy")
                #expect(checked?["cut_lists"]?.elements.map(\.string) == [sentence])
                #expect(try await gateway.control("POST", "/servers/many/check")?["cut_lists"]?.elements.map(\.string) == [sentence])
                let all = try await gateway.control("GET", "/servers")?["servers"]?.elements ?? []
                #expect(all.filter { $0["cut_lists"]?.elements.isEmpty == false }.map { $0["alias"]?.string } == ["many"])

                isCut.store(false, ordering: .relaxed)
                #expect(try await gateway.api(.POST, path + "/check", token: owner).json?["cut_lists"]?.elements.isEmpty == true)
                #expect(try await gateway.api(.GET, path, token: owner).json?["tools"]?.integer == 2000)
            }
        }
    }

    @Test func `where a server is, is told to those alone who look after it`() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let endpoint = JSONText.string(try await gateway.demoEndpoint() + "?key=for-its-owner")
            let created = try await gateway.api(.POST, "/api/v1/servers", ["alias": "mine", "endpoint": endpoint], token: owner)
            let path = try #require(created.headers.first(name: "location"))
            for (name, role, isTold) in [
                ("server_owner", Role.serverOwner, true), ("admin", .admin, true), ("auditor", .auditor, true), ("user", .user, false),
                ("colleague", .serverOwner, false),
            ] {
                let token = try await gateway.token(name, role)
                for path in [path, "/api/v1/servers"] {
                    let answer = try await gateway.api(.GET, path, token: token)
                    #expect(answer.status == 200)
                    #expect(String(decoding: answer.body, as: UTF8.self).contains("for-its-owner") == isTold, "\(name) \(path)")
                }
            }
        }
    }

    @Test func `tenants do not see each other`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "other"])
            let issued = try await gateway.control("POST", "/tokens", ["tenant": "other", "user": "them", "role": "server_owner"])
            let them = try #require(issued?["access_token"]?.string)
            let admin = try await gateway.token("admin", .admin)
            let own = try await gateway.api(.GET, "/api/v1/servers", token: admin).json?["servers"]?.elements ?? []
            let id = try #require(own.first?["id"]?.integer)

            #expect(try await gateway.api(.GET, "/api/v1/servers", token: them).json?["servers"]?.elements.isEmpty == true)
            for (method, body) in [(HTTPMethod.GET, nil), (.PATCH, ["title": "Ha"]), (.DELETE, nil)] as [(HTTPMethod, JSONText?)] {
                #expect(try await gateway.api(method, "/api/v1/servers/\(id)", body, token: them).status == 404)
            }
            #expect(try await gateway.tools(them).isEmpty)
            let call = try await gateway.mcp(
                #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo-http__echo","arguments":{"text":"x"}}}"#, token: them)
            #expect(call.json?["error"]?["code"]?.integer == -32602)
            // The same alias in two tenants is two servers.
            let body: JSONText = ["alias": "demo-http", "endpoint": .string(try await gateway.demoEndpoint())]
            #expect(try await gateway.api(.POST, "/api/v1/servers", body, token: them).status == 201)
        }
    }

    @Test(arguments: [
        (#"{"alias":"x"}"#, "endpoint"), (#"{"endpoint":"https://a.example/"}"#, "alias"),
        (#"{"alias":"UPPER","endpoint":"https://a.example/"}"#, "alias"),
        (#"{"alias":"thirteen-long","endpoint":"https://a.example/"}"#, "alias"), (#"{"alias":"x","endpoint":"ftp://a.example/"}"#, "endpoint"),
        (#"{"alias":"x","endpoint":"https://user@a.example/"}"#, "endpoint"), (#"{"alias":"x","endpoint":"https://a.example/#f"}"#, "endpoint"),
        (#"{"alias":"x","endpoint":"http://169.254.169.254/latest"}"#, "169.254.0.0/16"),
        (#"{"alias":"x","endpoint":"http://10.1.2.3/"}"#, "10.0.0.0/8"),
        (#"{"alias":"x","endpoint":"https://[::ffff:10.1.2.3]/"}"#, "10.0.0.0/8"), (#"{"alias":"x","endpoint":"http://0x0a.1/"}"#, "usual form"),
        (#"{"alias":"x","endpoint":"https://a.example/","color":"red"}"#, "color"),
        (#"{"alias":"x","endpoint":"https://a.example/","tags":"a"}"#, "tags"),
        (#"{"alias":"x","alias":"y","endpoint":"https://a.example/"}"#, "member name"), ("[]", "object"), ("", "not JSON"),
    ])
    func `a registration that is wrong says what is wrong`(_ body: String, word: String) async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer \(admin)")]
            let answer = try await gateway.send(.POST, "/api/v1/servers", headers: headers, body: Array(body.utf8))
            #expect(answer.status == 422)
            #expect(answer.json?["code"]?.string == "invalid")
            #expect(answer.json?["detail"]?.string?.contains(word) == true, "\(answer.text)")
        }
    }

    @Test func `nobody can name a program to run over the network`() async throws {
        try await RunningGateway.with { gateway in
            let admin = try await gateway.token("admin", .admin)
            let answer = try await gateway.api(.POST, "/api/v1/servers", ["alias": "x", "transport": "stdio"], token: admin)
            #expect(answer.status == 403)
            #expect(answer.json?["detail"]?.string?.contains("mreg server add") == true)
            let hidden = try await gateway.api(.POST, "/api/v1/servers", ["alias": "x", "path": "/bin/sh"], token: admin)
            #expect(hidden.status == 422)
            let demo = try await gateway.api(.GET, "/api/v1/servers", token: admin).json?["servers"]?.elements.first?["id"]?.integer ?? 0
            #expect(try await gateway.api(.PATCH, "/api/v1/servers/\(demo)", ["command": "/bin/sh"], token: admin).status == 422)
        }
    }

    @Test func `what is registered is there after a restart, and a second gateway is refused by name`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        try await RunningGateway.with(folder: folder) { gateway in
            let admin = try await gateway.token("admin", .admin)
            let body: JSONText = ["alias": "kept", "endpoint": .string(try await gateway.demoEndpoint())]
            #expect(try await gateway.api(.POST, "/api/v1/servers", body, token: admin).status == 201)
            let error = await #expect(throws: (any Error).self) {
                try await RunningGateway.with(folder: folder) { _ in }
            }
            #expect(error.map { "\($0)" }?.contains("in use by another mreg (process ") == true)
        }
        try await RunningGateway.with(folder: folder) { gateway in
            let admin = try await gateway.token("admin", .admin)
            let servers = try await gateway.api(.GET, "/api/v1/servers", token: admin).json?["servers"]?.elements ?? []
            #expect(servers.compactMap { $0["alias"]?.string }.sorted() == ["demo-http", "kept"])
        }
    }

    @Test func `the operator's file registers programs, follows its changes, and stops the start when it is wrong`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/servers.json"
        let settings = ["MREG_STDIO_SERVERS_FILE": file]
        for title in ["Cat", "Another cat"] {
            let text = #"{"servers": [{"alias": "cat", "title": "\#(title)", "path": "/bin/cat", "arguments": ["--secret"], "era": "legacy"}]}"#
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            try await RunningGateway.with(settings, isEvaluation: false, folder: folder) { gateway in
                let answer = try await gateway.api(.GET, "/api/v1/servers", token: try await gateway.token("admin", .admin))
                let servers = answer.json?["servers"]?.elements ?? []
                #expect(servers.map { $0["title"]?.string } == [title])
                #expect(servers.first?["command"]?.string == "/bin/cat")
                #expect(!answer.text.contains("--secret"))
            }
        }
        for wrong in [
            #"{"servers": [{"alias": "cat", "path": "cat"}]}"#, #"{"servers": [{"alias": "cat", "path": "/bin/cat", "shell": true}]}"#, "{",
        ] {
            try wrong.write(toFile: file, atomically: true, encoding: .utf8)
            let error = await #expect(throws: (any Error).self) {
                try await RunningGateway.with(settings, isEvaluation: false, folder: folder) { _ in }
            }
            #expect(error.map { "\($0)" }?.hasPrefix(file) == true)
        }
    }

    @Test func `a call under way when the gateway stops is answered`() async throws {
        try await RunningGateway.with { gateway in
            let token = try await gateway.token()
            let body = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo-http__slow","arguments":{"seconds":1,"steps":2},"#
            // Stopped when the first progress arrives: from then on the call is surely under way.
            let answer = try await gateway.mcp(body + #""_meta":{"progressToken":1}}}"#, token: token) { await gateway.stop() }
            #expect(answer.events.last?["result"]?["isError"]?.bool == false)
        }
    }
}

extension RunningGateway {
    /// Where the HTTP demo server listens, as the registry knows it.
    func demoEndpoint() async throws -> String {
        let servers = try await api(.GET, "/api/v1/servers", token: try await token("admin", .admin)).json?["servers"]?.elements ?? []
        guard let endpoint = servers.first(where: { $0["alias"]?.string == "demo-http" })?["endpoint"]?.string else { throw Failed("no demo server") }
        return endpoint
    }

    func tools(_ token: String) async throws -> [String] {
        let answer = try await mcp(#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, token: token)
        return (answer.json?["result"]?["tools"]?.elements ?? []).compactMap { $0["name"]?.string }
    }
}
