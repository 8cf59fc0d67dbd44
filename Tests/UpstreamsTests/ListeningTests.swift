import Gateway
import MCP
import NIOHTTP1
import NIOPosix
import Pacing
import Synchronization
import Testing

@testable import Upstreams

/// What an upstream told of changes, in the order in which it came.
final class Notes: Sendable {
    private let stream: AsyncStream<UpstreamNotice>
    private let continuation: AsyncStream<UpstreamNotice>.Continuation
    private let kept = Mutex<[UpstreamNotice]>([])

    init() { (stream, continuation) = AsyncStream.makeStream() }

    var all: [UpstreamNotice] { kept.withLock { $0 } }

    func take(_ notice: UpstreamNotice) {
        kept.withLock { $0.append(notice) }
        continuation.yield(notice)
    }

    /// Returns when it came, or the test's time is up. One reader at a time.
    func wait(for notice: UpstreamNotice) async { for await each in stream where each == notice { return } }

    func surroundings(keeper: ProcessKeeper = ProcessKeeper()) throws -> UpstreamSurroundings {
        try .testing(keeper: keeper) { _, notice in self.take(notice) }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct ListeningTests {
    private static let offer: JSONText = [
        "tools": ["listChanged": true], "prompts": ["listChanged": true], "resources": ["listChanged": true, "subscribe": true],
    ]

    /// A server with a handshake; what happens on its GET stream is the closure's.
    private static func legacy(_ stream: @escaping @Sendable (ScriptedServer.Reply) async throws -> Void) -> ScriptedServer.Script {
        { request, reply in
            switch (request.method, request.rpc) {
            case (.GET, _): try await stream(reply)
            case (.DELETE, _): try await reply.ok("")
            case (_, "server/discover"): try await reply.send("404 Not Found", "")
            case (_, "initialize"):
                try await reply.result(
                    ["protocolVersion": "2025-11-25", "capabilities": offer, "serverInfo": ["name": "l", "version": "1"]],
                    headers: ["Mcp-Session-Id: s1"])
            case (_, "resources/subscribe"), (_, "resources/unsubscribe"):
                if request.json?["params"]?["uri"]?.string == "nowhere" { return try await reply.error(-32002, "Not found", status: "200 OK") }
                try await reply.result([:])
            default: try await reply.accept()
            }
        }
    }

    private static func modern(_ listen: @escaping ScriptedServer.Script) -> ScriptedServer.Script {
        { request, reply in
            switch request.rpc {
            case "server/discover":
                try await reply.result(["resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": offer])
            case "subscriptions/listen":
                try await reply.startEvents()
                try await listen(request, reply)
            default: try await reply.send("404 Not Found", "")
            }
        }
    }

    private static func note(_ method: String, of request: ScriptedServer.Request? = nil, _ params: [(String, JSONText?)] = []) -> JSONText {
        let meta: JSONText? = request.map { ["io.modelcontextprotocol/subscriptionId": $0.id] }
        return Message.notification(method: "notifications/\(method)", params: .object(params + [("_meta", meta)]))
    }

    private static func acknowledge(_ request: ScriptedServer.Request, _ reply: ScriptedServer.Reply) async throws {
        try await reply.event(note("subscriptions/acknowledged", of: request, [("notifications", request.json?["params"]?["notifications"]?.text)]))
    }

    // MARK: Talking without end

    /// What is written at full speed on a stream that is only listened to: messages, and what is none. How much fits into the sockets is the
    /// system's affair, so what counts is what was read.
    @Test(
        .serialized, arguments: [EraChoice.legacy, .modern],
        ["data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"x\"}}\n\n", ": still here\n"])
    func `a server that talks without end beside its answers has to wait, and then is not listened to`(_ era: EraChoice, _ text: String) async throws
    {
        let (burst, pace) = (64 << 10, 128 << 10)
        let closed = Signal()
        let piece = Array(String(repeating: text, count: 1000).utf8)
        let flood: @Sendable (ScriptedServer.Reply) async throws -> Void = { reply in
            defer { closed.fire() }
            while true { try await reply.chunk(piece) }
        }
        let script =
            era == .modern
            ? Self.modern { request, reply in
                try await Self.acknowledge(request, reply)
                try await flood(reply)
            }
            : Self.legacy { reply in
                try await reply.startEvents()
                try await flood(reply)
            }
        try await ScriptedServer.running(script) { server in
            let chatter = Chatter.Bound(burst: burst, perSecond: pace, longest: .seconds(2))
            let upstream = try Upstream(server, era: era, surroundings: .testing(chatter: chatter))
            let start = ContinuousClock.now
            await upstream.listen(true)
            await closed.wait()
            let elapsed = Double((ContinuousClock.now - start).components.seconds + 1)
            // Few reads may be under way when it is too much.
            #expect(upstream.strayMessages * text.utf8.count <= burst + Int(elapsed * Double(pace)) + 512 << 10)
            await upstream.close()
        }
    }

    // MARK: Lists

    @Test func `a server with a handshake is heard on its stream`() async throws {
        let notes = Notes()
        let script = Self.legacy { reply in
            try await reply.startEvents()
            for list in ["tools", "prompts", "resources"] { try await reply.event(Self.note("\(list)/list_changed")) }
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            await upstream.listen(true)
            await upstream.listen(true)
            await notes.wait(for: .listChanged(.resourceTemplates))
            #expect(Set(notes.all) == [.listChanged(.tools), .listChanged(.prompts), .listChanged(.resources), .listChanged(.resourceTemplates)])
            #expect(server.requests.filter { $0.method == .GET }.map { $0.headers["Mcp-Session-Id"] } == [["s1"]])
            await upstream.close()
        }
    }

    @Test func `a stateless server is heard on a stream of its own, of what it announces`() async throws {
        let notes = Notes()
        let script = Self.modern { request, reply in
            try await Self.acknowledge(request, reply)
            try await reply.event(Self.note("tools/list_changed", of: request))
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            await upstream.listen(true)
            await notes.wait(for: .listChanged(.tools))
            let request = try #require(server.requests("subscriptions/listen").first)
            let filter = request.json?["params"]?["notifications"]
            #expect(filter?.text == ["toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true])
            #expect(request.headers["Mcp-Method"] == ["subscriptions/listen"])
            #expect(request.json?["params"]?["_meta"]?["io.modelcontextprotocol/protocolVersion"]?.string == "2026-07-28")
            await upstream.close()
        }
    }

    /// Closing the stream says it all.
    @Test(arguments: [true, false])
    func `who listens no more is not told`(_ closes: Bool) async throws {
        let (open, closed) = (Signal(), Signal())
        let script = Self.modern { request, reply in
            try await Self.acknowledge(request, reply)
            open.fire()
            await reply.closedByPeer()
            closed.fire()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            await upstream.listen(true)
            await open.wait()
            if closes { await upstream.close() } else { await upstream.listen(false) }
            await closed.wait()
            #expect(!Task.isCancelled)
        }
    }

    @Test func `a stream that breaks off is opened again, and what may have been missed counts as changed`() async throws {
        let (notes, count, reopened) = (Notes(), Shared(0), Signal())
        let script = Self.modern { request, reply in
            try await Self.acknowledge(request, reply)
            let number = count.change { count in
                count += 1
                return count
            }
            if number == 1 { throw ScriptedServer.Hangup() }
            reopened.fire()
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            await upstream.listen(true)
            await reopened.wait()
            // What may have changed before it was heard, and what may have while it was not.
            for _ in 0..<2 { await notes.wait(for: .listChanged(.prompts)) }
            #expect(server.requests("subscriptions/listen").count == 2)
            await upstream.close()
        }
    }

    @Test func `a server that announces nothing is not listened to`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            let upstream = try Upstream(server)
            await upstream.listen(true)
            _ = await server.arrival(of: "server/discover")
            await upstream.close()
            #expect(!server.asked.contains("subscriptions/listen"))
        }
    }

    /// A message that names no stream of ours, or another's, is nobody's.
    @Test func `a stateless server's changes count only on the stream that was opened for them`() async throws {
        let notes = Notes()
        let script = Self.modern { request, reply in
            try await Self.acknowledge(request, reply)
            try await reply.event(Self.note("tools/list_changed"))
            try await reply.event(
                Self.note("resources/list_changed", [("_meta", ["io.modelcontextprotocol/subscriptionId": .string("\(request.id)")])]))
            try await reply.event(Self.note("prompts/list_changed", of: request))
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            await upstream.listen(true)
            // Whatever can have changed before it was heard is told once; after that, what changed.
            for _ in 0..<2 { await notes.wait(for: .listChanged(.prompts)) }
            #expect(notes.all.count { $0 == .listChanged(.tools) } == 1)
            #expect(notes.all.count { $0 == .listChanged(.resources) } == 1)
            await upstream.close()
        }
    }

    @Test func `ten thousand notices cost a few, and the last change is told`() async throws {
        let notes = Notes()
        let script = Self.legacy { reply in
            try await reply.startEvents()
            let one = EventStream.event(Self.note("tools/list_changed"))
            for _ in 0..<100 { try await reply.chunk(Array(repeatElement(one, count: 100).joined())) }
            try await reply.event(Self.note("prompts/list_changed"))
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            await upstream.listen(true)
            await notes.wait(for: .listChanged(.prompts))
            await notes.wait(for: .listChanged(.tools))
            #expect(notes.all.count < 100)
            await upstream.close()
        }
    }

    @Test func `that an elicitation by URL is over is told wherever it comes`() async throws {
        let notes = Notes()
        let script = ScriptedServer.legacy { request, reply in
            try await reply.startEvents()
            try await reply.event(Self.note("elicitation/complete", [("elicitationId", "e-1")]))
            try await reply.event(Self.note("elicitation/complete", [("elicitationId", .string(String(repeating: "x", count: 10_000)))]))
            try await reply.event(result: ["content": []])
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            _ = try await Upstream(server, surroundings: notes.surroundings()).ask()
            #expect(notes.all == [.elicitationComplete(id: "e-1", user: UserID(1))])
        }
    }

    // MARK: Resources

    @Test func `a resource is subscribed to once for all who want it, and no more when nobody does`() async throws {
        let (notes, stream) = (Notes(), Shared<ScriptedServer.Reply?>(nil))
        let script = Self.legacy { reply in
            try await reply.startEvents()
            stream.change { $0 = reply }
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            try await upstream.subscribe("file:///a", for: .test(1))
            try await upstream.subscribe("file:///a", for: .test(1))
            let update = try #require(stream.current)
            for uri in ["file:///b", "file:///a", "file:///a/part"] {
                try await update.event(Self.note("resources/updated", [("uri", .string(uri))]))
            }
            await notes.wait(for: .resourceUpdated(uri: "file:///a/part", user: UserID(1)))
            #expect(notes.all == ["file:///a", "file:///a/part"].map { .resourceUpdated(uri: $0, user: UserID(1)) })
            await upstream.unsubscribe("file:///a", for: .test(1))
            #expect(!server.asked.contains("resources/unsubscribe"))
            await upstream.unsubscribe("file:///a", for: .test(1))
            _ = await server.arrival(of: "resources/unsubscribe")
            #expect(server.requests("resources/subscribe").map { $0.json?["params"]?["uri"]?.string } == ["file:///a"])
            await upstream.unsubscribe("file:///a", for: .test(1))
            await upstream.close()
        }
    }

    @Test func `a stateless server is asked on a stream, and users do not share one`() async throws {
        let notes = Notes()
        let script = Self.modern { request, reply in
            try await Self.acknowledge(request, reply)
            try await reply.event(Self.note("resources/updated", of: request, [("uri", "file:///a")]))
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            for user in [1, 2] as [Int64] {
                try await upstream.subscribe("file:///a", for: .test(user))
                await notes.wait(for: .resourceUpdated(uri: "file:///a", user: UserID(user)))
            }
            let filters = server.requests("subscriptions/listen").map { $0.json?["params"]?["notifications"]?.text }
            #expect(filters == [["resourceSubscriptions": ["file:///a"]], ["resourceSubscriptions": ["file:///a"]]])
            await upstream.close()
        }
    }

    @Test func `a server that declines a subscription is told on`() async throws {
        try await ScriptedServer.running(Self.legacy { reply in try await reply.send("405 Method Not Allowed", "") }) { server in
            let upstream = try Upstream(server)
            for _ in 0..<2 {
                let failure = await failure { try await upstream.subscribe("nowhere", for: .test(1)) }
                #expect(failure == .rejected(status: 200, error: ProtocolError(code: -32002, message: "Not found")))
            }
            try await upstream.subscribe("file:///a", for: .test(1))
            await upstream.close()
        }
        let silent = Self.modern { request, reply in
            try await reply.event(Self.note("subscriptions/acknowledged", of: request, [("notifications", [:])]))
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(silent) { server in
            let upstream = try Upstream(server)
            #expect(await failure { try await upstream.subscribe("file:///a", for: .test(1)) }?.kind == "rejected")
            await upstream.close()
        }
    }

    @Test(arguments: [true, false])
    func `a server that knows no subscriptions is told on`(_ isModern: Bool) async throws {
        let refuse: ScriptedServer.Script = { request, reply in
            if request.method == .GET { return try await reply.send("405 Method Not Allowed", "") }
            try await reply.error(-32601, "Method not found", status: isModern ? "404 Not Found" : "200 OK")
        }
        try await ScriptedServer.running(isModern ? ScriptedServer.modern(refuse) : ScriptedServer.legacy(session: "s", refuse)) { server in
            let upstream = try Upstream(server)
            guard case .rejected(_, let error) = await failure(of: { try await upstream.subscribe("file:///a", for: .test(1)) }) else {
                Issue.record("it was not told")
                return
            }
            #expect(error?.code == -32601)
            await upstream.close()
        }
    }

    @Test func `one caller's subscriptions are bounded`() async throws {
        let script = Self.legacy { reply in try await reply.send("405 Method Not Allowed", "") }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            for number in 0..<64 { try await upstream.subscribe("file:///\(number)", for: .test(1)) }
            #expect(await failure { try await upstream.subscribe("file:///64", for: .test(1)) }?.kind == "unreachable")
            try await upstream.subscribe("file:///0", for: .test(1))
            try await upstream.subscribe("file:///64", for: .test(2))
            await upstream.close()
            #expect(await failure { try await upstream.subscribe("file:///1", for: .test(3)) }?.kind == "unreachable")
        }
    }

    @Test func `a subscription outlives the session it was made in`() async throws {
        let (notes, streams) = (Notes(), Shared(0))
        let script = Self.legacy { reply in
            let number = streams.change { count in
                count += 1
                return count
            }
            switch number {
            case 1:
                try await reply.startEvents()
                throw ScriptedServer.Hangup()
            // It came back without its sessions.
            case 2: try await reply.send("404 Not Found", "")
            default:
                try await reply.startEvents()
                try await reply.event(Self.note("resources/updated", [("uri", "file:///a/new")]))
                await reply.closedByPeer()
            }
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server, surroundings: notes.surroundings())
            try await upstream.subscribe("file:///a", for: .test(1))
            await notes.wait(for: .resourceUpdated(uri: "file:///a/new", user: UserID(1)))
            for _ in 0..<2 { _ = await server.arrival(of: "resources/subscribe") }
            #expect(server.requests("initialize").count == 2)
            await upstream.close()
        }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct NoticesTests {
    @Test func `of many alike the first is told at once, and one more when the pause is over`() async throws {
        let notes = Notes()
        let notices = Notices(loop: MultiThreadedEventLoopGroup.singleton.any()) { notes.take($0) }
        for _ in 0..<10_000 { notices.take(.listChanged(.tools)) }
        #expect(notes.all == [.listChanged(.tools)])
        for _ in 0..<2 { await notes.wait(for: .listChanged(.tools)) }
        #expect(notes.all.count == 2)
    }

    @Test func `beyond its bound of different ones, notices are dropped and counted`() {
        let notes = Notes()
        let notices = Notices(loop: MultiThreadedEventLoopGroup.singleton.any()) { notes.take($0) }
        for number in 0..<10_000 { notices.take(.resourceUpdated(uri: "file:///\(number)", user: nil)) }
        #expect(notes.all.count >= Notices.most)
        #expect(notes.all.count + notices.dropped == 10_000)
    }
}
