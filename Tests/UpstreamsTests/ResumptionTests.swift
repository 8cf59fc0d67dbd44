import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

/// A stream that broke off is gone on with where it was; the request is never sent again (C-10).
@Suite(.timeLimit(.minutes(1)))
struct ResumptionTests {
    private static let words: JSONText = ["content": [["type": "text", "text": "late"]]]

    private static func event(_ id: String, _ message: JSONText? = nil, retry: Int? = nil) -> [UInt8] {
        let data = message?.description ?? ""
        return Array("\(retry.map { "retry: \($0)\n" } ?? "")id: \(id)\ndata: \(data)\n\n".utf8)
    }

    /// - Parameters:
    ///   - call: the stream of the call.
    ///   - rest: what a GET is answered with, and the call it goes on with.
    private static func script(
        call: @escaping ScriptedServer.Script,
        rest: @escaping @Sendable (ScriptedServer.Request, ScriptedServer.Reply, _ call: JSONText) async throws -> Void
    ) -> ScriptedServer.Script {
        let id = Shared<JSONText>(.null)
        return ScriptedServer.legacy(session: "s1") { request, reply in
            if request.method == .GET { return try await rest(request, reply, id.current) }
            guard request.rpc == "tools/call" else { return try await reply.accept() }
            id.change { $0 = request.id }
            try await call(request, reply)
        }
    }

    private static let primedAndEnded: ScriptedServer.Script = { _, reply in
        try await reply.startEvents()
        try await reply.chunk(event("e1", retry: 1))
        try await reply.end()
    }

    @Test(arguments: [true, false])
    func `a stream that ended before its answer is gone on with`(_ breaks: Bool) async throws {
        let script = Self.script { request, reply in
            try await reply.startEvents()
            try await reply.chunk(Self.event("e1", retry: 1))
            let progress = Message.notification(method: "notifications/progress", params: ["progressToken": request.id, "progress": 1])
            try await reply.chunk(Self.event("e2", progress))
            if breaks { throw ScriptedServer.Hangup() }
            try await reply.end()
        } rest: { request, reply, call in
            #expect(request.headers["Last-Event-ID"] == ["e2"])
            #expect(request.headers["Mcp-Session-Id"] == ["s1"])
            #expect(request.headers["Accept"] == ["text/event-stream"])
            try await reply.startEvents()
            let progress = Message.notification(method: "notifications/progress", params: ["progressToken": call, "progress": 2])
            try await reply.chunk(Self.event("e3", progress))
            try await reply.chunk(Self.event("e4", ScriptedServer.Reply.answer(Self.words, to: call)))
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start(token: "mine")
            var values: [Double?] = []
            while let event = try await call.next() {
                switch event {
                case .progress(let params): values.append(params["progress"]?.double)
                case .answer(let result): #expect(try result.get().text == Self.words)
                default: Issue.record("something else")
                }
            }
            #expect(values == [1, 2])
            #expect(server.requests("tools/call").count == 1)
            #expect(server.resumptions.count == 1)
        }
    }

    @Test func `after five resumptions the call is lost`() async throws {
        let count = Shared(0)
        let script = Self.script(call: Self.primedAndEnded) { _, reply, _ in
            let number = count.change { count in
                count += 1
                return count
            }
            try await reply.startEvents()
            try await reply.chunk(Self.event("r\(number)"))
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let failure = await failure { try await Upstream(server).ask() }
            #expect(failure?.kind == "lost")
            #expect(server.resumptions == ["e1", "r1", "r2", "r3", "r4"].map { [$0] })
            #expect(server.requests("tools/call").count == 1)
        }
    }

    /// A server that lost its mind, or its store, may send what belongs to another request.
    @Test func `an answer for another request is nobody's there, even one that is waiting`() async throws {
        let (first, arrived, ready) = (Shared<JSONText>(.null), Signal(), Signal())
        let script = Self.script { request, reply in
            try await reply.startEvents()
            guard request.arguments?["resumed"] != nil else {
                first.change { $0 = request.id }
                try await reply.chunk(Array(": hello\n\n".utf8))
                arrived.fire()
                await ready.wait()
                try await reply.event(result: ["structuredContent": "right"])
                return try await reply.end()
            }
            try await reply.chunk(Self.event("e1", retry: 1))
            try await reply.end()
        } rest: { _, reply, call in
            try await reply.startEvents()
            for id in [first.current, "x", .null, .number(0)] {
                try await reply.event(ScriptedServer.Reply.answer(["structuredContent": "stolen"], to: id))
                try await reply.event(["jsonrpc": "2.0", "id": id, "error": ["code": -1, "message": "stolen"]])
            }
            ready.fire()
            try await reply.event(ScriptedServer.Reply.answer(["structuredContent": "resumed"], to: call))
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            let other = try await upstream.start()
            await arrived.wait()
            #expect(try await upstream.ask("echo", ["resumed": true])["structuredContent"]?.string == "resumed")
            #expect(try await other.answer().get()["structuredContent"]?.string == "right")
        }
    }

    /// The call was sent, whatever comes of going on with its stream: it is not a session lost before, and is not made again.
    @Test(arguments: ["400 Bad Request", "401 Unauthorized", "404 Not Found", "405 Method Not Allowed", "500 Internal Server Error"])
    func `a stream that cannot be gone on with loses the call, and nothing is sent again`(_ status: String) async throws {
        let script = Self.script(call: Self.primedAndEnded) { _, reply, _ in try await reply.send(status, "") }
        try await ScriptedServer.running(script) { server in
            let failure = await failure { try await Upstream(server).ask() }
            #expect(failure?.kind == "lost")
            #expect(failure?.mayHaveActed == true)
            #expect(server.requests("tools/call").count == 1)
        }
    }

    @Test(arguments: ["id:", "id: a b", "id: \u{E9}", ""])
    func `a server that numbers nothing is not asked for the rest`(_ line: String) async throws {
        let script = Self.script { _, reply in
            try await reply.startEvents()
            try await reply.chunk(Array("\(line)\ndata:\n\n".utf8))
            try await reply.end()
        } rest: { _, reply, _ in
            try await reply.send("405 Method Not Allowed", "")
        }
        try await ScriptedServer.running(script) { server in
            #expect(await failure { try await Upstream(server).ask() }?.kind == "lost")
            #expect(server.resumptions.isEmpty)
        }
    }

    @Test func `a stateless server's streams are not gone on with`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(Self.primedAndEnded)) { server in
            #expect(await failure { try await Upstream(server).ask() }?.kind == "lost")
            #expect(server.resumptions.isEmpty)
        }
    }

    @Test func `a call given up while its stream is broken is not gone on with`() async throws {
        let script = Self.script { _, reply in
            try await reply.startEvents()
            try await reply.chunk(Self.event("e1", retry: 20_000))
            try await reply.end()
        } rest: { _, _, _ in
            Issue.record("it was gone on with")
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start()
            #expect(try await call.next(orSilenceAfter: .milliseconds(1)).map { if case .silence = $0 { true } else { false } } == true)
            call.abandon()
            #expect(await failure { try await call.next() } == .abandoned)
            _ = await server.arrival(of: "notifications/cancelled")
        }
    }
}
