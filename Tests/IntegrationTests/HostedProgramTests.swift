import FoundationEssentials
import Gateway
import MCP
import NIOCore
import NIOHTTP1
import Testing

@testable import Upstreams
@testable import mreg

/// A program on the host that is there twice: as a file to be run, and as a count of how often it was.
///
/// It lists one thing of each kind, and its tool says what the variable TOKEN holds. While the file `broken` lies beside it, it ends at once.
private struct HostedProgram {
    private static let text = """
        import json, os, sys
        folder = os.path.dirname(sys.argv[0])
        with open(folder + "/starts", "a") as starts:
            starts.write("x")
        if os.path.exists(folder + "/broken"):
            sys.exit(9)
        offer = {"tools": {"listChanged": True}, "prompts": {"listChanged": True}, "resources": {"listChanged": True}}
        results = {
            "server/discover": {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": offer},
            "tools/list": {"tools": [{"name": "token", "inputSchema": {"type": "object"}}]},
            "prompts/list": {"prompts": [{"name": "verse"}]},
            "resources/list": {"resources": [{"uri": "file:///leaf", "name": "leaf"}]},
            "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "file:///{tree}", "name": "tree"}]},
            "tools/call": {"content": [{"type": "text", "text": os.environ.get("TOKEN", "none")}]},
        }
        for line in sys.stdin:
            question = json.loads(line)
            if question.get("method") in results:
                print(json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": results[question["method"]]}), flush=True)
        """

    let folder: String

    static func with(_ body: (HostedProgram) async throws -> Void) async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Self.text.write(toFile: folder + "/program.py", atomically: true, encoding: .utf8)
        try await body(HostedProgram(folder: folder))
    }

    var starts: Int { (try? String(contentsOfFile: folder + "/starts", encoding: .utf8))?.count ?? 0 }

    func setBroken(_ isBroken: Bool) throws {
        if isBroken {
            try "".write(toFile: folder + "/broken", atomically: true, encoding: .utf8)
        } else {
            try FileManager.default.removeItem(atPath: folder + "/broken")
        }
    }

    /// Registers it as `kept`, and has it asked for its lists.
    func register(at gateway: RunningGateway, _ members: [(String, JSONText?)] = []) async throws -> JSON? {
        let command: [(String, JSONText?)] = [
            ("alias", "kept"), ("path", "/usr/bin/python3"), ("arguments", ["-I", "-S", .string(folder + "/program.py")]),
        ]
        return try await gateway.control("POST", "/servers", .object(command + members))
    }
}

extension RunningGateway {
    /// Ends the processes of `kept` that run, as happens when nobody used them for long.
    fileprivate func endIdle() async throws -> Upstream {
        let upstream = try #require(running.upstreams().first { $0.server.alias.description == "kept" })
        await upstream.conversations.closeIdle(keeping: [], after: .zero)
        #expect(upstream.conversations.opened.isEmpty)
        return upstream
    }

    fileprivate func said(_ token: String) async throws -> String? { try await callBare("kept__token", token: token).said }
}

/// Programs that the gateway runs, over the assembled program.
@Suite(.timeLimit(.minutes(5)), .serialized)
struct HostedProgramTests {
    /// Nobody is held up by how much one user may ask.
    private static let openHanded = ["USER", "ADMIN", "SERVER_OWNER", "GLOBAL"].reduce(into: [:]) { settings, name in
        settings["MREG_FASTMCP_RATE_LIMIT_\(name)_RPM"] = "0"
    }

    // MARK: Warm starts

    @Test func `of a program that nobody used for long, no list starts a process, nor does whoever hears of changes; a call does`() async throws {
        try await HostedProgram.with { program in
            var mode = try Evaluation.mode(isWithStdioDemo: false)
            // All lists are old at once.
            mode.listsAreFreshFor = .zero
            try await RunningGateway.with(Self.openHanded, mode: mode) { gateway in
                #expect(try await program.register(at: gateway)?["tools"]?.integer == 1)
                #expect(program.starts == 1)
                let upstream = try await gateway.endIdle()
                let user = try await gateway.token("user")
                func seeLists() async throws {
                    for (method, known) in [
                        ("tools/list", "kept__token"), ("prompts/list", "kept__verse"), ("resources/list", "leaf"),
                        ("resources/templates/list", "tree"),
                    ] {
                        #expect(try await gateway.modern(method, token: user).text.contains(known), "\(method)")
                        let alone = #"{"jsonrpc":"2.0","id":1,"method":"\#(method)"}"#
                        #expect(try await gateway.mcp(alone, token: user).text.contains(known), "\(method)")
                    }
                    let discovered = try await gateway.api(.GET, "/api/v1/discovery/tools?tools=kept__token", token: user).json
                    #expect(discovered?["tools"]?.elements.count == 1)
                }
                try await seeLists()
                // The stream stays open until the gateway ends.
                async let stream = try? gateway.modern("subscriptions/listen", [("notifications", ["toolsListChanged": true])], token: user)
                while !upstream.listenings.wantsLists { try await seeLists() }
                try await seeLists()
                #expect(program.starts == 1)

                #expect(try await gateway.said(user) == "none")
                #expect(program.starts >= 2)
                await gateway.stop()
                _ = await stream
            }
        }
    }

    // MARK: Crashes

    @Test func `a program that keeps crashing is put to rest, which its owner, its callers and the record are told, until somebody looks after it`()
        async throws
    {
        try await HostedProgram.with { program in
            try await RunningGateway.with(Self.openHanded) { gateway in
                let server = try await program.register(at: gateway)
                let path = "/api/v1/servers/\(server?["id"]?.integer ?? 0)"
                let admin = try await gateway.token("admin", .admin)
                let users = try await (0..<7).asyncMap { try await gateway.token("user\($0)") }
                _ = try await gateway.endIdle()
                try program.setBroken(true)
                // Each has a process of their own, so nobody waits for the pause of another's.
                for user in users {
                    #expect(try await gateway.callBare("kept__token", token: user).json?["error"]?["code"]?.integer == 1003)
                }
                #expect(program.starts == 6)
                let error = try await gateway.callBare("kept__token", token: users[0]).json?["error"]?["message"]?.string
                #expect(error?.contains("put to rest") == true && error?.contains("mreg server check") == true, "\(error ?? "-")")
                for shown in [
                    try await gateway.api(.GET, path, token: admin).json,
                    try await gateway.control("GET", "/servers")?["servers"]?.elements.first { $0["alias"]?.string == "kept" },
                ] {
                    #expect(shown?["health"]?.string == "resting")
                    #expect(shown?["last_failure"]?.string?.contains("put to rest") == true)
                }
                // What it listed before is still listed.
                #expect(try await gateway.modern("tools/list", token: users[0]).text.contains("kept__token"))
                var rows: [JSON] = []
                while rows.isEmpty {
                    let all = try await gateway.api(.GET, "/api/v1/admin/audit", token: admin).json?["rows"]?.elements ?? []
                    rows = all.filter { $0["action"]?.string == "server.rest" }
                }
                #expect(rows.count == 1 && rows[0]["target"]?.string == "kept")

                // A look at it while it is broken is one start more, and no more than that.
                let checked = try await gateway.control("POST", "/servers/kept/check")
                #expect(checked?["health"]?.string == "failing")
                #expect(program.starts == 7)

                try program.setBroken(false)
                #expect(try await gateway.api(.PATCH, path, ["title": "Mended"], token: admin).status == 200)
                #expect(try await gateway.said(admin) == "none")
            }
        }
    }

    @Test func `any change of a program that was put to rest has it started again`() async throws {
        try await HostedProgram.with { program in
            try await RunningGateway.with(Self.openHanded) { gateway in
                let server = try await program.register(at: gateway)
                let path = "/api/v1/servers/\(server?["id"]?.integer ?? 0)"
                let admin = try await gateway.token("admin", .admin)
                let upstream = try await gateway.endIdle()
                try program.setBroken(true)
                for number in 0..<5 { _ = try await gateway.said(try await gateway.token("user\(number)")) }
                #expect(upstream.rest != nil)
                try program.setBroken(false)
                #expect(try await gateway.said(admin) == nil)
                #expect(program.starts == 6)
                #expect(try await gateway.api(.PATCH, path, ["status": "active"], token: admin).status == 200)
                #expect(upstream.rest == nil)
                #expect(try await gateway.said(admin) == "none")
            }
        }
    }

    // MARK: Sealed variables

    @Test func `sealed variables are set, replaced and taken away, and the next process has them`() async throws {
        try await HostedProgram.with { program in
            try await RunningGateway.with(Self.openHanded) { gateway in
                let server = try await program.register(at: gateway, [("secret_environment", ["TOKEN": "first-canary"])])
                let path = "/api/v1/servers/\(server?["id"]?.integer ?? 0)"
                let admin = try await gateway.token("admin", .admin)
                #expect(try await gateway.said(admin) == "first-canary")

                let changed = try await gateway.api(.PATCH, path, ["secret_environment": ["TOKEN": "second-canary"]], token: admin)
                #expect(changed.status == 200 && !changed.text.contains("canary"))
                #expect(changed.json?["secret_environment"]?.elements.map(\.string) == ["TOKEN"])
                #expect(try await gateway.said(admin) == "second-canary")

                // A title is no reason to forget, nor is another variable.
                #expect(try await gateway.api(.PATCH, path, ["title": "T"], token: admin).status == 200)
                let more = try await gateway.control("PATCH", "/servers/kept", ["secret_environment": ["OTHER": "third-canary"]])
                #expect(more?["secret_environment"]?.elements.map(\.string) == ["OTHER", "TOKEN"])
                #expect(more?.text.description.contains("canary") == false)
                #expect(try await gateway.said(admin) == "second-canary")

                #expect(try await gateway.api(.PATCH, path, ["secret_environment": ["TOKEN": .null]], token: admin).status == 200)
                #expect(try await gateway.said(admin) == "none")
                // Gone is gone: naming it again brings nothing back.
                #expect(try await gateway.api(.PATCH, path, ["secret_environment": ["TOKEN": .null]], token: admin).status == 422)
                _ = try await gateway.control("PATCH", "/servers/kept", ["secret_environment": ["TOKEN": "fourth-canary", "OTHER": .null]])
                #expect(try await gateway.said(admin) == "fourth-canary")
                #expect(try await gateway.api(.GET, "/api/v1/admin/audit", token: admin).text.contains("canary") == false)
                #expect(try await gateway.api(.DELETE, path, token: admin).status == 204)
            }
        }
    }

    @Test func `nobody names a variable over HTTP, and what does not fit is refused and changes nothing`() async throws {
        try await HostedProgram.with { program in
            try await RunningGateway.with(Self.openHanded) { gateway in
                let server = try await program.register(
                    at: gateway, [("secret_environment", ["TOKEN": "kept"]), ("environment", ["OPEN": "value"])])
                let path = "/api/v1/servers/\(server?["id"]?.integer ?? 0)"
                let admin = try await gateway.token("admin", .admin)
                #expect(try await gateway.said(admin) == "kept")
                for named in ["LD_PRELOAD", "PYTHONPATH", "token", "NEW"] {
                    let answer = try await gateway.api(
                        .PATCH, path, ["secret_environment": .object([(named, .string("/tmp/evil.so"))])], token: admin)
                    #expect(answer.status == 403, "\(named)")
                    #expect(answer.json?["detail"]?.string?.contains("mreg server secret") == true)
                }
                let long = JSONText.string(String(repeating: "x", count: 16 << 10))
                let refused: [JSONText] = [
                    "x", ["x"], ["TOKEN": 1], ["TOKEN": ""], ["TOKEN": "a\u{0}b"], ["TOKEN": long], ["TOKEN": ["a": "b"]],
                ]
                for changes in refused {
                    #expect(try await gateway.api(.PATCH, path, ["secret_environment": changes], token: admin).status == 422)
                }
                let stranger = try await gateway.token("stranger", .serverOwner)
                #expect(try await gateway.api(.PATCH, path, ["secret_environment": ["TOKEN": "theirs"]], token: stranger).status == 403)

                // Also the operator's changes are bounded: over all of them, not each for itself.
                let many = (0..<16).map { ("V\($0)", JSONText?.some("v")) }
                let half = JSONText.string(String(repeating: "y", count: 15 << 10))
                for changes in [.object(many), ["OPEN": "twice"], ["A": half, "B": half, "C": half], ["NONE": .null]] as [JSONText] {
                    await #expect(throws: OperatorError.self) { try await gateway.control("PATCH", "/servers/kept", ["secret_environment": changes]) }
                }
                _ = try await gateway.control("PATCH", "/servers/kept", ["secret_environment": ["A": half, "B": half]])
                await #expect(throws: OperatorError.self) { try await gateway.control("PATCH", "/servers/kept", ["secret_environment": ["C": half]]) }
                #expect(try await gateway.said(admin) == "kept")

                let elsewhere = try await gateway.api(
                    .POST, "/api/v1/servers", ["alias": "far", "endpoint": .string(try await gateway.demoEndpoint())], token: admin)
                let far = try #require(elsewhere.headers.first(name: "location"))
                #expect(try await gateway.api(.PATCH, far, ["secret_environment": ["TOKEN": "x"]], token: admin).status == 422)
                let body: JSONText = ["alias": "no", "endpoint": "https://example.com/mcp", "secret_environment": ["TOKEN": "x"]]
                #expect(try await gateway.api(.POST, "/api/v1/servers", body, token: admin).status == 422)
                #expect(try await gateway.api(.PATCH, path, ["weight": 2], token: admin).status == 422)
            }
        }
    }
}

extension Sequence {
    fileprivate func asyncMap<Value>(_ body: (Element) async throws -> Value) async rethrows -> [Value] {
        var values: [Value] = []
        for element in self { values.append(try await body(element)) }
        return values
    }
}
