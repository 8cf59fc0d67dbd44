import Gateway
import MCP
import NIOCore
import NIOHTTP1
import Pacing
import Testing

@testable import Upstreams

/// A server of the transport of 2024-11-05: one stream, and an endpoint to post to.
private final class OldServer: Sendable {
    let stream = Shared<ScriptedServer.Reply?>(nil)
    private let endpoint: String
    private let call: ScriptedServer.Script

    /// - Parameter call: what a tool call leads to, after its POST was accepted; `reply` is that of the POST.
    init(endpoint: String = "/messages?session=1", call: @escaping ScriptedServer.Script) {
        self.endpoint = endpoint
        self.call = call
    }

    func say(_ message: JSONText) async throws { try await #require(stream.current).event(message) }
    func answer(_ result: JSONText, to request: ScriptedServer.Request) async throws {
        try await say(ScriptedServer.Reply.answer(result, to: request.id))
    }

    var script: ScriptedServer.Script {
        { request, reply in
            switch (request.method, request.rpc) {
            case (.GET, _):
                try await reply.startEvents()
                try await reply.chunk(Array("event: endpoint\ndata: \(self.endpoint)\n\n".utf8))
                self.stream.change { $0 = reply }
                await reply.closedByPeer()
            case (_, _) where request.path == "/mcp": try await reply.send("405 Method Not Allowed", "")
            case (_, "initialize"):
                try await reply.send("202 Accepted", "Accepted", type: "text/plain")
                try await self.answer(ScriptedServer.handshake("2024-11-05"), to: request)
            case (_, "tools/call"):
                try await reply.send("202 Accepted", "Accepted", type: "text/plain")
                try await self.call(request, reply)
            default: try await reply.send("202 Accepted", "Accepted", type: "text/plain")
            }
        }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct SSETests {
    private static let words: JSONText = ["content": []]

    @Test(arguments: [(EraChoice.auto, ["server/discover", "initialize", ""]), (.sse, [""])])
    func `a server of the first revision is found, or spoken to on the operator's word`(_ era: EraChoice, _ first: [String]) async throws {
        let box = Shared<OldServer?>(nil)
        let old = OldServer { request, _ in try await box.current?.answer(["structuredContent": request.arguments?.text], to: request) }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let upstream = try Upstream(server, era: era)
            #expect(try await upstream.ask("echo", ["word": "hello"])["structuredContent"]?["word"]?.string == "hello")
            #expect(try await upstream.ask("echo", ["word": "again"])["structuredContent"]?["word"]?.string == "again")
            #expect(upstream.revision == .november2024)
            #expect(server.requests.map(\.rpc) == first + ["initialize", "notifications/initialized", "tools/call", "tools/call"])
            #expect(server.requests("tools/call").allSatisfy { $0.path == "/messages?session=1" })
        }
    }

    @Test func `what one user found out spares the next one the search, not the stream`() async throws {
        let box = Shared<OldServer?>(nil)
        let old = OldServer { request, _ in try await box.current?.answer(Self.words, to: request) }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask(as: 1)
            _ = try await upstream.ask(as: 2)
            #expect(server.requests("server/discover").count == 1)
            #expect(server.requests.count { $0.method == .GET } == 2)
        }
    }

    /// A conversation lasts for as long as it is had.
    @Test func `what all answers on the stream take together is not bounded`() async throws {
        let large = JSONText.string(String(repeating: "x", count: 15 << 20))
        let box = Shared<OldServer?>(nil)
        let old = OldServer { request, _ in try await box.current?.answer(["content": [["type": "text", "text": large]]], to: request) }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let upstream = try Upstream(server, era: .sse)
            for _ in 0...(HTTPConnection.longestStream / (15 << 20)) { _ = try await upstream.ask() }
            #expect(server.requests.count { $0.method == .GET } == 1)
        }
    }

    @Test func `a server that talks without end on the stream has to wait, and then the conversation is over`() async throws {
        let flood = Message.notification(method: "notifications/progress", params: ["progressToken": "nobody's", "progress": 1])
        let box = Shared<OldServer?>(nil)
        let piece = [[UInt8]](repeating: EventStream.event(flood), count: 1000).flatMap(\.self)
        let old = OldServer { _, _ in while true { try await box.current?.stream.current?.chunk(piece) } }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let chatter = Chatter.Bound(burst: 64 << 10, perSecond: 128 << 10, longest: .seconds(1))
            let upstream = try Upstream(server, era: .sse, surroundings: .testing(chatter: chatter))
            let start = ContinuousClock.now
            #expect(await failure { try await upstream.ask() }?.kind == "lost")
            let elapsed = Int((ContinuousClock.now - start).components.seconds + 1)
            #expect(upstream.strayMessages * flood.bytes.count <= 64 << 10 + elapsed * 128 << 10 + 512 << 10)
        }
    }

    /// Credentials go where messages are posted.
    @Test(arguments: [
        "http://127.0.0.2:1/messages", "//127.0.0.2/messages", "https://127.0.0.1/messages", "http://evil.example/", "ftp://127.0.0.1/x", "", " ",
        "javascript:alert(1)", "http://127.0.0.1:80@evil.example/", "/messages\u{7F}",
    ])
    func `an endpoint at another origin, or none, is not posted to`(_ endpoint: String) async throws {
        let old = OldServer(endpoint: endpoint) { _, _ in }
        try await ScriptedServer.running(old.script) { server in
            let failure = try #require(await failure { try await Upstream(server, era: .sse).ask() })
            #expect(!failure.mayHaveActed)
            #expect(server.requests.allSatisfy { $0.method == .GET })
        }
    }

    @Test(arguments: [
        ("/messages", "http://a.example/messages"), ("/messages?a=b", "http://a.example/messages?a=b"), ("messages", "http://a.example/x/messages"),
        ("?session=1", "http://a.example/x/sse?session=1"), ("http://a.example/m", "http://a.example/m"),
        ("http://A.example:80/m", "http://a.example/m"),
        ("//a.example/m", "http://a.example/m"), ("m?u=http://b", "http://a.example/x/m?u=http://b"),
    ])
    func `a reference is read against the URL it came from`(_ reference: String, _ expected: String) throws {
        let base = try #require(Endpoint("http://a.example/x/sse?token=1"))
        #expect(HTTPWithSSE.resolve(reference, against: base) == Endpoint(expected))
    }

    @Test func `a second endpoint changes nothing`() async throws {
        let box = Shared<OldServer?>(nil)
        let old = OldServer { request, _ in
            try await box.current?.stream.current?.chunk(Array("event: endpoint\ndata: /elsewhere\n\n".utf8))
            try await box.current?.answer(Self.words, to: request)
        }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let upstream = try Upstream(server, era: .sse)
            for _ in 0..<2 { _ = try await upstream.ask() }
            #expect(!server.requests.contains { $0.path == "/elsewhere" })
        }
    }

    @Test func `answers come to whom they are for, in whatever order, and those to nobody to nobody`() async throws {
        let (box, waiting) = (Shared<OldServer?>(nil), Shared<[ScriptedServer.Request]>([]))
        let old = OldServer { request, _ in
            let all = waiting.change { waiting in
                waiting.append(request)
                return waiting
            }
            guard all.count == 20, let old = box.current else { return }
            for id in [999_999, "1", .null] as [JSONText] { try await old.say(ScriptedServer.Reply.answer(["structuredContent": "stolen"], to: id)) }
            for request in all.reversed() {
                for _ in 0..<2 { try await old.answer(["structuredContent": request.arguments?.text], to: request) }
            }
        }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let upstream = try Upstream(server, era: .sse)
            try await withThrowingTaskGroup(of: (Int, Int64?).self) { group in
                for number in 0..<20 {
                    group.addTask { (number, try await upstream.ask("echo", ["n": .number(number)], id: 1)["structuredContent"]?["n"]?.integer) }
                }
                for try await (asked, answered) in group { #expect(answered == Int64(asked)) }
            }
        }
    }

    @Test func `when the stream ends, calls are lost, and the next one opens another`() async throws {
        let box = Shared<OldServer?>(nil)
        let old = OldServer { request, _ in
            if request.arguments?["end"] == nil { return try await box.current?.answer(Self.words, to: request) ?? () }
            try await box.current?.stream.current?.channel.close().get()
        }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let upstream = try Upstream(server, era: .sse)
            #expect(await failure { try await upstream.ask("echo", ["end": true]) }?.kind == "lost")
            _ = try await upstream.ask()
            #expect(server.requests.count { $0.method == .GET } == 2)
            #expect(server.requests("tools/call").count == 2)
        }
    }

    @Test(arguments: ["404 Not Found", "400 Bad Request", "500 Internal Server Error"])
    func `a message that the endpoint does not take ends its call`(_ status: String) async throws {
        let old = OldServer { _, _ in }
        let script = old.script
        try await ScriptedServer.running { request, reply in
            if request.rpc == "tools/call" { return try await reply.send(status, "no", type: "text/plain") }
            try await script(request, reply)
        } _: { server in
            let failure = await failure { try await Upstream(server, era: .sse).ask() }
            #expect(failure?.kind == "rejected")
            #expect(server.requests("tools/call").count == 1)
        }
    }

    @Test func `a question is put to the caller, and its answer posted`() async throws {
        let (box, pending) = (Shared<OldServer?>(nil), Shared<ScriptedServer.Request?>(nil))
        let old = OldServer { request, _ in
            pending.change { $0 = request }
            try await box.current?.say(Message.request(id: MessageID(9), method: "elicitation/create", params: ["message": "?"]))
        }
        box.change { $0 = old }
        let script = old.script
        try await ScriptedServer.running { request, reply in
            try await script(request, reply)
            if request.rpc.isEmpty, request.method == .POST, let call = pending.current {
                try await old.answer(["structuredContent": request.json?["result"]?.text], to: call)
            }
        } _: { server in
            let call = try await Upstream(server, era: .sse).start { $0.capabilities = .forms }
            await call.answer(try await call.question().0, .success(["action": "cancel"]))
            #expect(try await call.answer().get()["structuredContent"]?["action"]?.string == "cancel")
        }
    }

    @Test func `a cancelled call is told of, and the stream stays`() async throws {
        let (box, called) = (Shared<OldServer?>(nil), Signal())
        let old = OldServer { request, _ in
            if request.arguments?["wait"] != nil { return called.fire() }
            try await box.current?.answer(Self.words, to: request)
        }
        box.change { $0 = old }
        try await ScriptedServer.running(old.script) { server in
            let upstream = try Upstream(server, era: .sse)
            let call = try await upstream.start("echo", ["wait": true])
            await called.wait()
            call.abandon()
            let notice = await server.arrival(of: "notifications/cancelled")
            #expect(notice?.json?["params"]?["requestId"]?.text == server.requests("tools/call").first?.id)
            _ = try await upstream.ask()
            #expect(server.requests.count { $0.method == .GET } == 1)
        }
    }

    @Test func `a server that speaks neither transport is reported as it declined`() async throws {
        try await ScriptedServer.running { _, reply in
            try await reply.send("405 Method Not Allowed", "")
        } _: { server in
            #expect(await failure { try await Upstream(server).ask() } == .rejected(status: 405, error: nil))
            #expect(server.requests.map(\.method) == [.POST, .POST, .GET])
        }
    }
}
