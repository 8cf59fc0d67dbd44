import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

@Suite(.timeLimit(.minutes(1)))
struct EraTests {
    @Test func `a modern server is asked to introduce itself once, then called`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            let upstream = try Upstream(server)
            #expect(upstream.revision == nil)
            #expect(try await upstream.ask("echo", ["word": "hello"])["structuredContent"]?["word"]?.string == "hello")
            _ = try await upstream.ask()
            #expect(server.asked == ["server/discover", "tools/call", "tools/call"])
            #expect(upstream.revision == .july2026)
        }
    }

    @Test func `requests of the modern era carry the envelope and the headers that mirror it`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            _ = try await Upstream(server).ask("grüße")
            for request in server.requests {
                let meta = request.json?["params"]?["_meta"]
                #expect(request.method == .POST)
                #expect(request.headers["MCP-Protocol-Version"] == ["2026-07-28"])
                #expect(request.headers["Mcp-Method"] == [request.rpc])
                #expect(request.headers["Content-Type"] == ["application/json"])
                #expect(request.headers["Accept"] == ["application/json, text/event-stream"])
                #expect(request.headers["Host"] == ["127.0.0.1:\(server.port)"])
                #expect(request.headers["Mcp-Session-Id"].isEmpty)
                #expect(meta?["io.modelcontextprotocol/protocolVersion"]?.string == "2026-07-28")
                #expect(meta?["io.modelcontextprotocol/clientCapabilities"]?.isObject == true)
                #expect(meta?["io.modelcontextprotocol/clientInfo"]?["name"]?.string == "gateway")
            }
            #expect(server.requests("tools/call").first?.headers["Mcp-Name"] == ["=?base64?Z3LDvMOfZQ==?="])
        }
    }

    @Test(arguments: ["abc-123", nil])
    func `a server that turns the probe away under a foreign id gets the handshake`(_ session: String?) async throws {
        try await ScriptedServer.running(ScriptedServer.legacy(session: session, revision: "2025-06-18", ScriptedServer.echo)) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask("echo", ["word": "hello"])
            #expect(server.asked == ["server/discover", "initialize", "notifications/initialized", "tools/call"])
            #expect(upstream.revision == .june2025)
            #expect(server.requests[1].headers["Mcp-Session-Id"].isEmpty)
            #expect(server.requests[1].json?["params"]?["protocolVersion"]?.string == "2025-11-25")
            for request in server.requests[2...] {
                #expect(request.headers["MCP-Protocol-Version"] == ["2025-06-18"])
                #expect(request.headers["Mcp-Session-Id"] == (session.map { [$0] } ?? []))
                #expect(request.headers["Mcp-Method"].isEmpty)
            }
            #expect(server.requests[3].json?["params"]?["_meta"] == nil)
        }
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let status: String
        let body: String
    }

    @Test(arguments: [
        Refused(testDescription: "404 without a word", status: "404 Not Found", body: ""),
        Refused(testDescription: "405", status: "405 Method Not Allowed", body: "no"),
        Refused(testDescription: "406", status: "406 Not Acceptable", body: #"{"jsonrpc":"2.0","error":{"code":-32000,"message":"x"},"id":null}"#),
        Refused(testDescription: "500", status: "500 Internal Server Error", body: "<html>"),
        Refused(testDescription: "400 and no JSON", status: "400 Bad Request", body: "Bad Request"),
        Refused(testDescription: "200, method not found", status: "200 OK", body: #"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}"#),
        Refused(
            testDescription: "200, a list without this era", status: "200 OK",
            body: #"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-11-25"]}}"#),
        Refused(testDescription: "200, an empty result", status: "200 OK", body: #"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Refused(
            testDescription: "-32022 that lists only revisions with a handshake", status: "400 Bad Request",
            body: #"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"x","data":{"supported":["2025-11-25","2025-06-18"]}}}"#),
    ])
    func `every way of not understanding the probe means legacy`(_ refused: Refused) async throws {
        let legacy = ScriptedServer.legacy(ScriptedServer.echo)
        try await ScriptedServer.running { request, reply in
            if request.rpc == "server/discover" { return try await reply.send(refused.status, refused.body) }
            try await legacy(request, reply)
        } _: { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            #expect(upstream.revision == .november2025)
        }
    }

    @Test(arguments: [-32020, -32021, -32022])
    func `an error of the modern era means modern`(_ code: Int) async throws {
        try await ScriptedServer.running { request, reply in
            if request.rpc == "server/discover" { return try await reply.error(code, "no", data: ["supported": ["2026-07-28", "2025-11-25"]]) }
            try await ScriptedServer.echo(request, reply)
        } _: { server in
            _ = try await Upstream(server).ask()
            #expect(server.asked == ["server/discover", "tools/call"])
        }
    }

    @Test(arguments: [(401, "401 Unauthorized"), (403, "403 Forbidden")])
    func `being turned away for want of credentials says nothing of the era`(_ code: Int, _ status: String) async throws {
        let isOpen = Shared(false)
        let modern = ScriptedServer.modern(ScriptedServer.echo)
        try await ScriptedServer.running { request, reply in
            guard isOpen.current else { return try await reply.send(status, "{}") }
            try await modern(request, reply)
        } _: { server in
            let upstream = try Upstream(server)
            let failure = await failure { try await upstream.ask() }
            #expect(failure == .rejected(status: code, error: nil))
            #expect(failure?.reason == "it wants credentials the gateway does not have for it")
            #expect(failure?.mayHaveActed == false)
            #expect(upstream.revision == nil)
            #expect(server.asked == ["server/discover"])
            isOpen.change { $0 = true }
            _ = try await upstream.ask()
            #expect(upstream.revision == .july2026)
        }
    }

    @Test(arguments: [(EraChoice.modern, ["tools/call"]), (.legacy, ["initialize", "notifications/initialized", "tools/call"])])
    func `the operator's word spares the probe`(_ era: EraChoice, _ asked: [String]) async throws {
        try await ScriptedServer.running(ScriptedServer.legacy(ScriptedServer.echo)) { server in
            _ = try await Upstream(server, era: era).ask()
            #expect(server.asked == asked)
        }
    }

    @Test(arguments: [true, false])
    func `twenty calls at once wait for one introduction`(_ isModern: Bool) async throws {
        let script = isModern ? ScriptedServer.modern(ScriptedServer.echo) : ScriptedServer.legacy(session: "s", ScriptedServer.echo)
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            try await withThrowingTaskGroup(of: JSONText.self) { group in
                for _ in 0..<20 { group.addTask { try await upstream.ask() } }
                try await group.waitForAll()
            }
            #expect(server.requests("server/discover").count == 1)
            #expect(server.requests("initialize").count == (isModern ? 0 : 1))
            #expect(server.requests("tools/call").count == 20)
        }
    }

    @Test func `what one user found out spares the next one the probe, not the session`() async throws {
        try await ScriptedServer.running(ScriptedServer.legacy(session: "s", ScriptedServer.echo)) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask(as: 1)
            _ = try await upstream.ask(as: 2)
            #expect(
                server.asked == [
                    "server/discover", "initialize", "notifications/initialized", "tools/call", "initialize", "notifications/initialized",
                    "tools/call",
                ])
        }
    }

    @Test(arguments: ["2026-07-28", "2020-01-01", "", "latest"])
    func `a handshake that agrees on no revision with a handshake fails`(_ revision: String) async throws {
        try await ScriptedServer.running(ScriptedServer.legacy(revision: revision, ScriptedServer.echo)) { server in
            #expect(await failure { try await Upstream(server).ask() }?.mayHaveActed == false)
            #expect(!server.asked.contains("tools/call"))
        }
    }

    @Test func `a handshake refused in modern words means modern after all`() async throws {
        try await ScriptedServer.running { request, reply in
            switch request.rpc {
            case "server/discover": try await reply.error(-32601, "still starting", status: "200 OK")
            case "initialize": try await reply.error(-32022, "no", status: "200 OK", data: ["supported": ["2026-07-28"]])
            default: try await ScriptedServer.echo(request, reply)
            }
        } _: { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            #expect(upstream.revision == .july2026)
            #expect(server.requests("tools/call").first?.headers["MCP-Protocol-Version"] == ["2026-07-28"])
        }
    }

    /// Some servers acknowledge with a friendly word where the protocol wants 202 and nothing.
    @Test(arguments: [("200 OK", "ok"), ("200 OK", "{}"), ("200 OK", ""), ("204 No Content", ""), ("202 Accepted", "null")])
    func `whatever a server says to a notification, the handshake goes on`(_ status: String, _ body: String) async throws {
        let legacy = ScriptedServer.legacy(ScriptedServer.echo)
        try await ScriptedServer.running { request, reply in
            guard request.rpc == "notifications/initialized" else { return try await legacy(request, reply) }
            if status.hasPrefix("204") { return try await reply.write("HTTP/1.1 204 No Content\r\n\r\n") }
            try await reply.send(status, body, type: "text/plain")
        } _: { server in
            #expect(await failure { try await Upstream(server).ask() } == nil)
        }
    }

    /// ERA-7: the verdict is kept, and asked for anew when it turns out wrong.
    @Test func `a server that was replaced by an older one is found out by the next call`() async throws {
        let isOld = Shared(false)
        let (modern, legacy) = (ScriptedServer.modern(ScriptedServer.echo), ScriptedServer.legacy(session: "s", ScriptedServer.echo))
        try await ScriptedServer.running { request, reply in
            guard isOld.current else { return try await modern(request, reply) }
            guard request.rpc == "tools/call", request.headers["Mcp-Session-Id"].isEmpty else { return try await legacy(request, reply) }
            try await reply.error(-32600, "Bad Request: Missing session ID", id: "server-error")
        } _: { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            isOld.change { $0 = true }
            _ = try? await upstream.ask()
            _ = try await upstream.ask()
            #expect(upstream.revision == .november2025)
        }
    }

    @Test func `a server that learned the modern era is found out by the next call`() async throws {
        let isNew = Shared(false)
        let (modern, legacy) = (ScriptedServer.modern(ScriptedServer.echo), ScriptedServer.legacy(session: "s", ScriptedServer.echo))
        try await ScriptedServer.running { request, reply in
            guard isNew.current else { return try await legacy(request, reply) }
            if request.headers["MCP-Protocol-Version"] == ["2026-07-28"] { return try await modern(request, reply) }
            try await reply.error(-32022, "no", data: ["supported": ["2026-07-28"]])
        } _: { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            isNew.change { $0 = true }
            _ = try? await upstream.ask()
            _ = try await upstream.ask()
            #expect(upstream.revision == .july2026)
        }
    }

    // MARK: A call that never left did not act

    struct Broken: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let script: ScriptedServer.Script
    }

    @Test(arguments: [
        Broken(testDescription: "the probe's connection is closed") { _, _ in throw ScriptedServer.Hangup() },
        Broken(testDescription: "the probe is answered with garbage") { _, reply in try await reply.ok("<html>", type: "text/html") },
        Broken(testDescription: "the probe is answered with no HTTP") { _, reply in try await reply.write("SSH-2.0-OpenSSH_9.6\r\n\r\n") },
        Broken(testDescription: "the handshake's connection is closed") { request, reply in
            if request.rpc == "initialize" { throw ScriptedServer.Hangup() }
            try await reply.send("404 Not Found", "")
        },
        Broken(testDescription: "the handshake is refused") { _, reply in try await reply.error(-32601, "no", status: "200 OK") },
    ])
    func `a failure before the call was sent does not say that it may have acted`(_ broken: Broken) async throws {
        try await ScriptedServer.running(broken.script) { server in
            let failure = try #require(await failure { try await Upstream(server).ask() })
            #expect(!server.asked.contains("tools/call"))
            #expect(!failure.mayHaveActed, "\(failure)")
        }
    }

    @Test func `a caller who goes away during the introduction is not called for`() async throws {
        let (asked, released) = (Signal(), Signal())
        try await ScriptedServer.running { request, reply in
            if request.rpc == "server/discover" {
                asked.fire()
                await released.wait()
                return try await reply.result(ScriptedServer.discovery)
            }
            try await ScriptedServer.echo(request, reply)
        } _: { server in
            let upstream = try Upstream(server)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = try? await upstream.ask() }
                await asked.wait()
                group.cancelAll()
                released.fire()
            }
            #expect(server.asked == ["server/discover"])
        }
    }
}
