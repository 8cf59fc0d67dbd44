import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

/// Servers that run in several places, over the assembled program.
struct ReplicaTests {
    private let open: FakeUpstream.Script = { request, _ in FakeServer { _ in "somebody" }.answer(request) }

    @Test func `a server with replicas is registered, shown with their state, changed, and asked at each of them`() async throws {
        try await FakeUpstream.running(open) { first in
            try await FakeUpstream.running(open) { second in
                try await RunningGateway.with { gateway in
                    let owner = try await gateway.token("server_owner", .serverOwner)
                    let created = try await gateway.api(
                        .POST, "/api/v1/servers",
                        [
                            "alias": "two", "endpoint": .string(first.endpoint), "replicas": [["endpoint": .string(second.endpoint), "weight": 2]],
                            "weight": 1,
                            "strategy": "weighted",
                        ], token: owner)
                    #expect(created.status == 201)
                    let path = try #require(created.headers.first(name: "location"))
                    for _ in 0..<6 { #expect(try await gateway.callBare("two__whoami", token: owner).said == "you are somebody") }
                    #expect(first.requests.contains { $0.rpc == "tools/call" })
                    #expect(second.requests.count { $0.rpc == "tools/call" } > first.requests.count { $0.rpc == "tools/call" })

                    let shown = try await gateway.api(.GET, path, token: owner).json
                    #expect(shown?["strategy"]?.string == "weighted")
                    #expect(shown?["replicas"]?.elements.map { $0["endpoint"]?.string } == [first.endpoint, second.endpoint])
                    #expect(shown?["replicas"]?.elements.map { $0["weight"]?.integer } == [1, 2])
                    #expect(shown?["replicas"]?.elements.map { $0["state"]?.string } == ["closed", "closed"])

                    let auditor = try await gateway.token("auditor", .auditor)
                    let upstreams = try await gateway.api(.GET, "/api/v1/admin/upstreams", token: auditor).json?["servers"]?.elements ?? []
                    let two = upstreams.first { $0["alias"]?.string == "two" }
                    #expect(two?["replicas"]?.elements.count == 2)
                    let listed = try await gateway.control("GET", "/servers")?["servers"]?.elements.first { $0["alias"]?.string == "two" }
                    #expect(listed?["replicas"]?.elements.count == 2)

                    let heavier = try await gateway.api(.PATCH, path, ["weight": 9], token: owner).json
                    #expect(heavier?["weight"]?.integer == 9)
                    #expect(heavier?["replicas"]?.elements.map { $0["weight"]?.integer } == [9, 2])
                    for weight in [0, 101, -1, "2", .number(1.5), .null] as [JSONText] {
                        #expect(try await gateway.api(.PATCH, path, ["weight": weight], token: owner).status == 422, "\(weight)")
                    }

                    let changed = try await gateway.api(.PATCH, path, ["replicas": [], "strategy": "random"], token: owner)
                    #expect(changed.status == 200)
                    #expect(changed.json?["replicas"]?.elements.count == 1)
                    #expect(changed.json?["strategy"]?.string == "random")
                }
            }
        }
    }

    @Test func `a replica passes the same checks as an endpoint`() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let endpoint = JSONText.string(try await gateway.demoEndpoint())
            let replica: JSONText = ["endpoint": "http://127.0.0.1:9/mcp"]
            let refused: [JSONText] = [
                [["endpoint": "http://10.0.0.1/mcp"]], [["endpoint": "http://169.254.169.254/mcp"]], [["endpoint": "not a url"]],
                [["endpoint": "ftp://127.0.0.1/"]], [["weight": 2]], [["endpoint": "http://127.0.0.1:9/mcp", "weight": 0]],
                [["endpoint": "http://127.0.0.1:9/mcp", "weight": 101]], [["endpoint": "http://127.0.0.1:9/mcp", "colour": "red"]],
                [["endpoint": endpoint]], [replica, replica], ["x"], "x", .array(Array(repeating: replica, count: 17)),
            ]
            for replicas in refused {
                let answer = try await gateway.api(
                    .POST, "/api/v1/servers", ["alias": "no", "endpoint": endpoint, "replicas": replicas], token: owner)
                #expect(answer.status == 422, "\(replicas)")
            }
            let unknown = try await gateway.api(.POST, "/api/v1/servers", ["alias": "no", "endpoint": endpoint, "strategy": "best"], token: owner)
            #expect(unknown.status == 422)
        }
    }

    @Test func `a secret is not taken along to a new place`() async throws {
        try await FakeUpstream.running(open) { first in
            try await FakeUpstream.running(open) { second in
                try await RunningGateway.with { gateway in
                    let credential: JSONText = ["mode": "static", "secret": "Bearer canary"]
                    let created = try await gateway.register("kept", first.endpoint, credential: credential)
                    let path = try #require(created.headers.first(name: "location"))
                    let admin = try await gateway.token("admin", .admin)
                    let replicas: JSONText = [["endpoint": .string(second.endpoint)]]
                    #expect(try await gateway.api(.PATCH, path, ["replicas": replicas], token: admin).status == 422)
                    #expect(try await gateway.api(.PATCH, path, ["replicas": replicas, "credential": credential], token: admin).status == 200)
                }
            }
        }
    }

    @Test func `a call on an open circuit is refused at once, with the time to come back`() async throws {
        let flaky: FakeUpstream.Script = { request, _ in
            if request.rpc == "tools/call" { return .init(status: .serviceUnavailable) }
            return FakeServer { _ in "somebody" }.answer(request)
        }
        try await FakeUpstream.running(flaky) { upstream in
            try await RunningGateway.with { gateway in
                let user = try await gateway.token("user")
                #expect(try await gateway.register("flaky", upstream.endpoint, credential: ["mode": "none"]).status == 201)
                var (error, calls): (JSON?, Int) = (nil, 0)
                // A list that is answered meanwhile is a sign of life.
                for _ in 0..<20 where error?["code"]?.integer != 1003 {
                    calls = upstream.requests.count { $0.rpc == "tools/call" }
                    error = try await gateway.callBare("flaky__whoami", token: user).json?["error"]
                }
                #expect(error?["code"]?.integer == 1003)
                #expect(calls >= 3)
                #expect(error?["message"]?.string?.contains("circuit is open") == true)
                #expect((1...60).contains(error?["data"]?["retryAfterSeconds"]?.integer ?? 0))
                #expect(upstream.requests.count { $0.rpc == "tools/call" } == calls)
            }
        }
    }

    @Test(arguments: [1, 2])
    func `a server whose endpoints are all down is not called healthy, and one that has another is`(_ failing: Int) async throws {
        // From the third call on nothing is answered there, so that no look of the gateway's finds it well.
        let flaky: FakeUpstream.Script = { request, upstream in
            if request.rpc == "tools/call" || upstream.requests.count(where: { $0.rpc == "tools/call" }) >= 3 {
                return .init(status: .serviceUnavailable)
            }
            return FakeServer { _ in "somebody" }.answer(request)
        }
        try await FakeUpstream.running(flaky) { first in
            try await FakeUpstream.running(failing == 2 ? flaky : open) { second in
                try await RunningGateway.with { gateway in
                    let owner = try await gateway.token("server_owner", .serverOwner)
                    let created = try await gateway.api(
                        .POST, "/api/v1/servers",
                        ["alias": "two", "endpoint": .string(first.endpoint), "replicas": [["endpoint": .string(second.endpoint)]]], token: owner)
                    let path = try #require(created.headers.first(name: "location"))
                    for _ in 0..<8 { _ = try await gateway.callBare("two__whoami", token: owner) }

                    let auditor = try await gateway.token("auditor", .auditor)
                    let told = [
                        try await gateway.api(.GET, path, token: owner).json,
                        try await gateway.control("GET", "/servers")?["servers"]?.elements.first { $0["alias"]?.string == "two" },
                        try await gateway.api(.GET, "/api/v1/admin/upstreams", token: auditor).json?["servers"]?.elements.first {
                            $0["alias"]?.string == "two"
                        },
                    ]
                    for server in told {
                        #expect(server?["replicas"]?.elements.count { $0["state"]?.string != "closed" } == failing)
                        #expect(server?["health"]?.string == (failing == 2 ? "failing" : "healthy"))
                        #expect((server?["last_failure"]?.string?.contains("all its 2 endpoints keep failing (") == true) == (failing == 2))
                    }
                    let components = try await gateway.send(.GET, "/health").json?["components"]
                    #expect(components?.text.description.contains("1 of 2 servers cannot be asked") == (failing == 2))
                }
            }
        }
    }

    @Test func `a program's sealed variables are not shown, and its stderr is the operator's to read`() async throws {
        try await RunningGateway.with { gateway in
            let program = "import os,sys; sys.stderr.write('token is ' + os.environ['TOKEN'] + '\\n')"
            let server = try await gateway.control(
                "POST", "/servers",
                [
                    "alias": "noisy", "path": "/usr/bin/python3", "arguments": ["-c", .string(program)],
                    "secret_environment": ["TOKEN": "canary-value"],
                ])
            #expect(server?["secret_environment"]?.elements.map(\.string) == ["TOKEN"])
            #expect(server?.text.description.contains("canary-value") == false)
            #expect(server?["last_failure"]?.string != nil)
            // It ended at once, which is seen in what is said of it next.
            let processes = try await gateway.control("GET", "/servers/noisy/log")?["processes"]?.elements ?? []
            #expect(processes.first?["stderr"]?.string == "token is [hidden]\n")
            #expect(try await gateway.control("GET", "/servers")?.text.description.contains("canary-value") == false)
        }
    }
}
