import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

@Suite(.timeLimit(.minutes(1)))
struct ToolsTests {
    static func tools(_ names: some Sequence<Int>) -> JSONText { .array(names.map { ["name": .string("t\($0)"), "inputSchema": [:]] }) }

    @Test func `tools are gathered over all pages, each cursor handed back as it came`() async throws {
        let script = ScriptedServer.modern { request, reply in
            switch request.json?["params"]?["cursor"]?.string {
            case nil: try await reply.result(["tools": Self.tools(0..<2), "nextCursor": "a\"\\ü"])
            case "a\"\\ü": try await reply.result(["tools": Self.tools(2..<4), "nextCursor": ""])
            case "": try await reply.result(["tools": Self.tools(4..<5)])
            default: try await reply.error(-32602, "Invalid cursor")
            }
        }
        try await ScriptedServer.running(script) { server in
            let tools = try await Upstream(server).list(.tools)
            #expect(tools.map { $0["name"]?.string } == ["t0", "t1", "t2", "t3", "t4"])
            #expect(server.requests("tools/list").first?.json?["params"]?["cursor"] == nil)
            #expect(server.requests("tools/list").allSatisfy { $0.headers["Mcp-Method"] == ["tools/list"] && $0.headers["Mcp-Name"].isEmpty })
        }
    }

    @Test(arguments: [1, 2, 7])
    func `a circle of cursors is walked once`(_ length: Int) async throws {
        let script = ScriptedServer.modern { request, reply in
            let at = request.json?["params"]?["cursor"]?.string.flatMap { Int($0) } ?? 0
            try await reply.result(["tools": Self.tools(at...at), "nextCursor": .string(String((at + 1) % length))])
        }
        try await ScriptedServer.running(script) { server in
            var cuts: [ListCut] = []
            _ = try await Upstream(server).list(.tools) { cuts.append($0) }
            #expect(server.requests("tools/list").count == length + 1)
            #expect(cuts == [ListCut(.tools, kept: length + 1, .circle)])
        }
    }

    @Test func `no more than a hundred pages are asked for`() async throws {
        let script = ScriptedServer.modern { request, reply in
            let at = request.json?["params"]?["cursor"]?.string.flatMap { Int($0) } ?? 0
            try await reply.result(["tools": [], "nextCursor": .string(String(at + 1))])
        }
        try await ScriptedServer.running(script) { server in
            var cuts: [ListCut] = []
            let tools = try await Upstream(server).list(.tools) { cuts.append($0) }
            #expect(tools.isEmpty)
            #expect(server.requests("tools/list").count == 100)
            #expect(cuts.map(\.sentence) == ["of its tools the first 0 are used: it has more than 100 pages of them, and no more are read"])
        }
    }

    @Test func `no more than two thousand tools are taken`() async throws {
        let script = ScriptedServer.modern { _, reply in
            try await reply.result(["tools": Self.tools(0..<1500), "nextCursor": .string(String(Int.random(in: 0..<Int.max)))])
        }
        try await ScriptedServer.running(script) { server in
            var cuts: [ListCut] = []
            let tools = try await Upstream(server).list(.tools) { cuts.append($0) }
            #expect(tools.count == 2000)
            #expect(server.requests("tools/list").count == 2)
            #expect(cuts.map(\.sentence) == ["of its tools the first 2000 are used: it lists more, and no more are taken"])
        }
    }

    @Test(arguments: [(1999, true, 0), (2000, false, 0), (2000, true, 1), (2001, false, 1)])
    func `a list is told as cut if anything of it was left out, and only then`(_ tools: Int, _ goesOn: Bool, _ cuts: Int) async throws {
        let script = ScriptedServer.modern { request, reply in
            if request.json?["params"]?["cursor"] != nil { return try await reply.result(["tools": []]) }
            try await reply.result(["tools": Self.tools(0..<tools), "nextCursor": goesOn ? "more" : nil])
        }
        try await ScriptedServer.running(script) { server in
            var told: [ListCut] = []
            let taken = try await Upstream(server).list(.tools) { told.append($0) }
            #expect(taken.count == min(tools, 2000))
            #expect(told.count == cuts)
        }
    }

    @Test(arguments: [JSONText.number(3), .null, [:], []])
    func `a cursor that is no string ends the list`(_ cursor: JSONText) async throws {
        let script = ScriptedServer.modern { _, reply in try await reply.result(["tools": Self.tools(0..<2), "nextCursor": cursor]) }
        try await ScriptedServer.running(script) { server in
            let tools = try await Upstream(server).list(.tools)
            #expect(tools.count == 2)
        }
    }

    /// An empty list and no list are different things to whoever reads that a server has no tools.
    @Test(arguments: [["resultType": "complete"], ["tools": [:]], ["tools": .null], []] as [JSONText])
    func `a result without a list of tools is garbled`(_ result: JSONText) async throws {
        try await ScriptedServer.running(ScriptedServer.modern { _, reply in try await reply.result(result) }) { server in
            #expect(await failure { try await Upstream(server).list(.tools) }?.kind == "garbled")
        }
    }

    @Test func `a server that has none says so in its own words`() async throws {
        let script = ScriptedServer.modern { _, reply in try await reply.error(-32601, "Method not found", status: "200 OK") }
        try await ScriptedServer.running(script) { server in
            let failure = await failure { try await Upstream(server).list(.tools) }
            #expect(failure == .rejected(status: 200, error: ProtocolError(code: -32601, message: "Method not found")))
        }
    }

    @Test func `a list whose connection broke is asked for once more`() async throws {
        let hasBroken = Shared(false)
        let script = ScriptedServer.modern { request, reply in
            let isFirst = hasBroken.change { broken in
                defer { broken = true }
                return !broken
            }
            if isFirst { throw ScriptedServer.Hangup() }
            try await reply.result(["tools": Self.tools(0..<1)])
        }
        try await ScriptedServer.running(script) { server in
            let tools = try await Upstream(server).list(.tools)
            #expect(tools.count == 1)
            #expect(server.requests("tools/list").count == 2)
        }
    }

    @Test func `a ping in the stream of a list is answered`() async throws {
        let answered = Signal()
        let script = ScriptedServer.legacy { request, reply in
            if request.rpc.isEmpty {
                try await reply.accept()
                return answered.fire()
            }
            try await reply.startEvents()
            try await reply.event(LegacyRequest.ping(id: MessageID(4711)))
            await answered.wait()
            try await reply.event(result: ["tools": Self.tools(0..<1)])
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let tools = try await Upstream(server).list(.tools)
            #expect(tools.count == 1)
        }
    }

    // MARK: Other lists

    private static func offering(_ capabilities: JSONText, _ script: @escaping ScriptedServer.Script) -> ScriptedServer.Script {
        { request, reply in
            guard request.rpc == "server/discover" else { return try await script(request, reply) }
            try await reply.result(["resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities])
        }
    }

    @Test(arguments: ListKind.allCases)
    func `each list is asked for under its own name, over all pages`(_ kind: ListKind) async throws {
        let script = Self.offering(["tools": [:], "prompts": [:], "resources": [:]]) { request, reply in
            guard request.rpc == kind.method else { return try await reply.error(-32601, "no", status: "200 OK") }
            let isFirst = request.json?["params"]?["cursor"] == nil
            let items: JSONText = [["name": isFirst ? "a" : "b"]]
            try await reply.result(.object([(kind.member, items), ("nextCursor", isFirst ? "x" : nil)]))
        }
        try await ScriptedServer.running(script) { server in
            let items = try await Upstream(server).list(kind)
            #expect(items.map { $0["name"]?.string } == ["a", "b"])
            #expect(server.requests(kind.method).allSatisfy { $0.headers["Mcp-Method"] == [kind.method] })
        }
    }

    @Test(arguments: ListKind.allCases)
    func `what is not offered is not asked for`(_ kind: ListKind) async throws {
        let member = kind == .resourceTemplates ? "resources" : kind.member
        let others: [(String, JSONText?)] = ["tools", "prompts", "resources"].filter { $0 != member }.map { ($0, [:]) }
        try await ScriptedServer.running(Self.offering(.object(others)) { _, reply in try await reply.send("500 Oops", "") }) { server in
            let items = try await Upstream(server).list(kind)
            #expect(items.isEmpty)
            #expect(server.asked == ["server/discover"])
        }
    }

    @Test func `a server that says nothing of what it offers is asked for its tools alone`() async throws {
        try await ScriptedServer.running(Self.offering([:]) { _, reply in try await reply.result(["tools": Self.tools(0..<1)]) }) { server in
            let upstream = try Upstream(server)
            #expect(try await upstream.list(.tools).count == 1)
            #expect(try await upstream.list(.prompts).isEmpty)
        }
    }

    @Test(arguments: [EraChoice.auto, .modern, .legacy])
    func `what a server offers is known after it was asked`(_ era: EraChoice) async throws {
        let capabilities: JSONText = ["prompts": ["listChanged": true], "logging": [:]]
        let modern = Self.offering(capabilities) { _, reply in try await reply.send("404 Not Found", "") }
        try await ScriptedServer.running { request, reply in
            switch request.rpc {
            case "initialize":
                try await reply.result(["protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": ["name": "o", "version": "1"]])
            case "notifications/initialized": try await reply.accept()
            default: try await modern(request, reply)
            }
        } _: { server in
            let upstream = try Upstream(server, era: era)
            #expect(upstream.knownOffer == nil)
            for _ in 0..<2 {
                let offer = try await upstream.offer()
                #expect(offer.kinds == [.prompts] && offer.announced == [.prompts] && offer.logs)
            }
            #expect(upstream.knownOffer != nil)
            #expect(server.asked.count { $0 == "server/discover" || $0 == "initialize" } == 1)
        }
    }
}
