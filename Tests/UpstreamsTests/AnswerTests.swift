import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

@Suite(.timeLimit(.minutes(1)))
struct AnswerTests {
    static let words: JSONText = ["content": [["type": "text", "text": "grüße 👋"]]]

    // MARK: Streams

    @Test(arguments: [1, 2, 3, 5, 17, 4096])
    func `a streamed answer is read however its bytes are cut`(_ size: Int) async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { request, reply in
                let noise = Array(": hello\r\nid: 7\r\nretry: 10\r\n\r\nevent: message\ndata:\n\n".utf8)
                let log = EventStream.event(Message.notification(method: "notifications/message", params: ["level": "info", "data": "x"]))
                let bytes = noise + log + EventStream.event(ScriptedServer.Reply.answer(Self.words, to: request.id))
                try await reply.startEvents()
                for start in stride(from: 0, to: bytes.count, by: size) {
                    try await reply.chunk(Array(bytes[start..<min(start + size, bytes.count)]))
                }
                try await reply.end()
            }
        ) { server in
            let answer = try await Upstream(server).ask()
            #expect(answer == Self.words)
        }
    }

    @Test(arguments: [1, 3, 64])
    func `a document is read however its bytes are cut`(_ size: Int) async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { request, reply in
                let bytes = ScriptedServer.Reply.answer(Self.words, to: request.id).bytes
                try await reply.write("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in stride(from: 0, to: bytes.count, by: size) {
                    try await reply.chunk(Array(bytes[start..<min(start + size, bytes.count)]))
                }
                try await reply.end()
            }
        ) { server in
            let answer = try await Upstream(server).ask()
            #expect(answer == Self.words)
        }
    }

    @Test func `progress comes before the answer, under the gateway's own token`() async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { request, reply in
                let token = request.json?["params"]?["_meta"]?["progressToken"]?.text
                try await reply.startEvents()
                for step in 1...3 {
                    try await reply.event(
                        Message.notification(method: "notifications/progress", params: ["progressToken": token, "progress": .number(step)]))
                    try await reply.event(Message.notification(method: "notifications/message", params: ["data": "between"]))
                }
                try await reply.event(result: Self.words)
                try await reply.end()
            }
        ) { server in
            let call = try await Upstream(server).start(token: "mine")
            var steps: [Int64?] = []
            var answer: JSONText?
            while let event = try await call.next() {
                switch event {
                case .progress(let params):
                    #expect(params["progressToken"]?.text == server.requests("tools/call").first?.id)
                    steps.append(params["progress"]?.integer)
                case .answer(let result): answer = try result.get().text
                default: Issue.record("nobody wanted to know that")
                }
            }
            #expect(steps == [1, 2, 3])
            #expect(answer == Self.words)
        }
    }

    @Test func `who wants no progress asks for none`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            _ = try await Upstream(server).ask()
            #expect(server.requests("tools/call").first?.json?["params"]?["_meta"]?["progressToken"] == nil)
        }
    }

    @Test func `a flood of notifications leaves room for the answer`() async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { request, reply in
                try await reply.startEvents()
                for step in 1...2000 {
                    try await reply.event(
                        Message.notification(method: "notifications/progress", params: ["progressToken": 1, "progress": .number(step)]))
                }
                try await reply.event(result: Self.words)
                try await reply.end()
            }
        ) { server in
            let answer = try await Upstream(server).ask()
            #expect(answer == Self.words)
        }
    }

    @Test func `a stream that stays open after its answer is closed`() async throws {
        let closed = Signal()
        try await ScriptedServer.running(
            ScriptedServer.modern { request, reply in
                try await reply.startEvents()
                try await reply.event(result: Self.words)
                await reply.closedByPeer()
                closed.fire()
            }
        ) { server in
            let answer = try await Upstream(server).ask()
            #expect(answer == Self.words)
            await closed.wait()
            #expect(!Task.isCancelled)
        }
    }

    // MARK: Questions of the server

    @Test(arguments: [("ping", "result"), ("elicitation/create", "error"), ("sampling/createMessage", "error"), ("roots/list", "error")])
    func `a question in the stream is answered with a POST of its own`(_ method: String, _ member: String) async throws {
        let answered = Signal()
        let script = ScriptedServer.legacy(session: "s1") { request, reply in
            if request.rpc.isEmpty {
                try await reply.accept()
                return answered.fire()
            }
            try await reply.startEvents()
            try await reply.event(Message.request(id: MessageID(4711), method: method, params: [:]))
            await answered.wait()
            try await reply.event(result: Self.words)
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let result = try await Upstream(server).ask()
            #expect(result == Self.words)
            let answer = try #require(server.requests.first { $0.method == .POST && $0.rpc.isEmpty })
            #expect(answer.json?["id"]?.integer == 4711)
            #expect(answer.json?[member]?.isObject == true)
            #expect(answer.headers["Mcp-Session-Id"] == ["s1"])
            #expect(answer.headers["MCP-Protocol-Version"] == ["2025-11-25"])
        }
    }

    /// The call was sent and its stream lives: what becomes of the answer to a ping is no reason to give it up.
    @Test(arguments: ["lost", "200 OK", "400 Bad Request", "500 Internal Server Error"])
    func `an answer to the server that goes wrong does not end the call`(_ outcome: String) async throws {
        let answered = Signal()
        let script = ScriptedServer.legacy { request, reply in
            if request.rpc.isEmpty {
                answered.fire()
                if outcome == "lost" { throw ScriptedServer.Hangup() }
                return try await reply.send(outcome, "thanks", type: "text/plain")
            }
            try await reply.startEvents()
            try await reply.event(LegacyRequest.ping(id: MessageID(4711)))
            await answered.wait()
            try await reply.event(result: Self.words)
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let answer = try await Upstream(server).ask()
            #expect(answer == Self.words)
        }
    }

    @Test func `a call cancelled while it answers the server closes its stream`() async throws {
        let (answering, closed) = (Signal(), Signal())
        let script = ScriptedServer.legacy { request, reply in
            if request.rpc.isEmpty {
                answering.fire()
                return await reply.closedByPeer()
            }
            guard request.rpc == "tools/call" else { return try await reply.accept() }
            try await reply.startEvents()
            try await reply.event(LegacyRequest.ping(id: MessageID(4711)))
            await reply.closedByPeer()
            closed.fire()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = try? await upstream.ask() }
                await answering.wait()
                group.cancelAll()
            }
            await closed.wait()
            #expect(!Task.isCancelled)
        }
    }

    // MARK: Errors

    @Test(arguments: ["200 OK", "400 Bad Request", "500 Internal Server Error"])
    func `a JSON-RPC error is the answer, whatever status it comes with`(_ status: String) async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { _, reply in try await reply.error(-32602, "Unknown tool: echo", status: status, data: ["tool": "echo"]) }
        ) { server in
            let answer = try await Upstream(server).start().answer()
            #expect(answer.failure == ProtocolError(code: -32602, message: "Unknown tool: echo", data: ["tool": "echo"]))
        }
    }

    struct Garbage: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let script: ScriptedServer.Script

        init(_ description: String, _ script: @escaping ScriptedServer.Script) {
            testDescription = description
            self.script = script
        }

        init(_ description: String, body: String, type: String = "application/json") {
            self.init(description) { _, reply in try await reply.ok(body, type: type) }
        }

        init(_ description: String, event: String) {
            self.init(description) { _, reply in
                try await reply.startEvents()
                try await reply.chunk(Array("data: \(event)\n\n".utf8))
                await reply.closedByPeer()
            }
        }
    }

    @Test(arguments: [
        Garbage("a page", body: "<html></html>", type: "text/html"),
        Garbage("no JSON", body: "{", type: "application/json"),
        Garbage("no UTF-8") { _, reply in try await reply.write(Array("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n".utf8) + [0x22, 0xFF, 0x22]) },
        Garbage("a list", body: #"[{"jsonrpc":"2.0","id":2,"result":{}}]"#),
        Garbage("no version", body: #"{"id":2,"result":{}}"#),
        Garbage("both result and error", body: #"{"jsonrpc":"2.0","id":2,"result":{},"error":{"code":1,"message":"x"}}"#),
        Garbage("neither result nor error", body: #"{"jsonrpc":"2.0","id":2}"#),
        Garbage("a repeated member", body: #"{"jsonrpc":"2.0","id":2,"result":{},"result":{"a":1}}"#),
        Garbage("a notification in place of the answer", body: #"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#),
        Garbage("a request in place of the answer", body: #"{"jsonrpc":"2.0","id":9,"method":"ping"}"#),
        Garbage("an event that is no JSON", event: "hello"),
        Garbage("an event that is a list", event: "[]"),
        Garbage("a document beyond 16 MiB") { _, reply in
            try await reply.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20000000\r\n\r\n\"")
            let piece = [UInt8](repeating: 0x61, count: 1 << 20)
            for _ in 0..<18 { try await reply.write(piece) }
            await reply.closedByPeer()
        },
        Garbage("an error beyond 64 KiB") { _, reply in try await reply.send("400 Bad Request", String(repeating: "x", count: 70_000)) },
    ])
    func `what is not MCP is garbled`(_ garbage: Garbage) async throws {
        try await ScriptedServer.running(ScriptedServer.modern(garbage.script)) { server in
            let failure = await failure { try await Upstream(server).ask() }
            #expect(failure?.kind == "garbled")
            #expect(failure?.mayHaveActed == true)
        }
    }

    /// An answer under another request's id may be another user's; the probe alone is matched by its exchange.
    @Test(arguments: ["7777", #""1""#, "null"])
    func `a result under a foreign id is nobody's`(_ id: String) async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { _, reply in try await reply.ok(#"{"jsonrpc":"2.0","id":\#(id),"result":{"content":[]}}"#) }
        ) { server in
            #expect(await failure { try await Upstream(server).ask() }?.kind == "garbled")
        }
    }

    @Test(arguments: [
        Garbage("a body cut short") { _, reply in
            try await reply.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"")
            throw ScriptedServer.Hangup()
        },
        Garbage("chunks cut short") { _, reply in
            try await reply.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"jso")
            throw ScriptedServer.Hangup()
        },
        Garbage("a head cut short") { _, reply in
            try await reply.write("HTTP/1.1 200 O")
            throw ScriptedServer.Hangup()
        },
        Garbage("no byte at all") { _, _ in throw ScriptedServer.Hangup() },
        Garbage("no HTTP") { _, reply in try await reply.write("SSH-2.0-OpenSSH_9.6\r\n\r\n") },
        Garbage("an event cut short") { _, reply in
            try await reply.startEvents()
            try await reply.chunk(Array("data: {\"jsonrpc\"".utf8))
            throw ScriptedServer.Hangup()
        },
        Garbage("a stream that ends without an answer") { _, reply in
            try await reply.startEvents()
            try await reply.event(Message.notification(method: "notifications/message", params: [:]))
            try await reply.end()
        },
    ])
    func `a connection that ends before the answer loses the call`(_ garbage: Garbage) async throws {
        try await ScriptedServer.running(ScriptedServer.modern(garbage.script)) { server in
            let failure = await failure { try await Upstream(server).ask() }
            #expect(failure?.kind == "lost")
            #expect(failure?.mayHaveActed == true)
            #expect(server.requests("tools/call").count == 1)
        }
    }

    /// A server that took the request and said no more may be at work; so may one behind a proxy that gave up.
    @Test(arguments: ["200 OK", "202 Accepted", "500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout"])
    func `a status that leaves open what happened says so`(_ status: String) async throws {
        try await ScriptedServer.running(ScriptedServer.modern { _, reply in try await reply.send(status, "") }) { server in
            #expect(await failure { try await Upstream(server).ask() }?.mayHaveActed == true)
        }
    }

    @Test(arguments: [400, 401, 403, 405, 413, 415, 429])
    func `a status that declines the request is a rejection`(_ status: Int) async throws {
        try await ScriptedServer.running(ScriptedServer.modern { _, reply in try await reply.send("\(status) No", "") }) { server in
            let failure = await failure { try await Upstream(server).ask() }
            #expect(failure == .rejected(status: status, error: nil))
            #expect(failure?.mayHaveActed == false)
        }
    }

    @Test(arguments: ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
    func `a redirect is not followed`(_ status: String) async throws {
        try await ScriptedServer.running(
            ScriptedServer.modern { _, reply in try await reply.send(status, "", headers: ["location: /elsewhere"]) }
        ) { server in
            #expect(await failure { try await Upstream(server).ask() }?.kind == "rejected")
            #expect(server.requests.allSatisfy { $0.path == "/mcp" })
        }
    }

    @Test func `of two answers in a stream the first counts, and the connection is closed on the second`() async throws {
        let closed = Signal()
        try await ScriptedServer.running(
            ScriptedServer.modern { _, reply in
                try await reply.startEvents()
                try await reply.event(result: Self.words)
                try await reply.event(result: ["content": []])
                await reply.closedByPeer()
                closed.fire()
            }
        ) { server in
            let upstream = try Upstream(server)
            let call = try await upstream.start()
            #expect(try await call.answer().get().text == Self.words)
            #expect(try await call.next() == nil)
            await closed.wait()
            #expect(upstream.strayMessages == 1)
        }
    }

    @Test func `a second response that nobody asked for reaches no later call`() async throws {
        let script = ScriptedServer.modern { request, reply in
            if request.arguments?["twice"] == nil { return try await ScriptedServer.echo(request, reply) }
            let text = ScriptedServer.Reply.answer(["structuredContent": "stolen"], to: request.id).description
            let response = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \(text.utf8.count)\r\n\r\n\(text)"
            try await reply.write(response + response)
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask("echo", ["twice": true])
            for number in 0..<10 {
                #expect(try await upstream.ask("echo", ["number": .number(number)])["structuredContent"]?["number"]?.integer == Int64(number))
            }
        }
    }

    // MARK: Going away

    @Test func `cancelling a call closes its connection`() async throws {
        let (called, closed) = (Signal(), Signal())
        let script = ScriptedServer.modern { _, reply in
            called.fire()
            await reply.closedByPeer()
            closed.fire()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { #expect(await failure { try await upstream.ask() } == .abandoned) }
                await called.wait()
                group.cancelAll()
            }
            await closed.wait()
            #expect(!Task.isCancelled)
        }
    }

    @Test func `abandoning a call in mid stream closes its connection`() async throws {
        let closed = Signal()
        let script = ScriptedServer.modern { request, reply in
            try await reply.startEvents()
            try await reply.event(Message.notification(method: "notifications/progress", params: ["progressToken": request.id, "progress": 1]))
            await reply.closedByPeer()
            closed.fire()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start(token: 1)
            _ = try await call.next()
            call.abandon()
            await closed.wait()
            #expect(!Task.isCancelled)
            #expect(await failure { try await call.next() } == .abandoned)
        }
    }

    /// To a server with a handshake, a closed connection means nothing; it has to be told (C-8).
    @Test func `a server with a handshake is told of a cancelled call`() async throws {
        let called = Signal()
        let script = ScriptedServer.legacy(session: "s1") { request, reply in
            guard request.rpc == "tools/call" else { return try await reply.accept() }
            called.fire()
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = try? await upstream.ask() }
                await called.wait()
                group.cancelAll()
            }
            let notice = await server.arrival(of: "notifications/cancelled")
            #expect(notice?.json?["params"]?["requestId"]?.text == server.requests("tools/call").first?.id)
            #expect(notice?.headers["Mcp-Session-Id"] == ["s1"])
        }
    }

    // MARK: Whose answer it is

    @Test func `two hundred calls with the same id each get their own answer`() async throws {
        let arrived = Shared(0)
        let script = ScriptedServer.modern { request, reply in
            arrived.change { $0 += 1 }
            try await ScriptedServer.echo(request, reply)
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            try await withThrowingTaskGroup(of: (Int, Int64?).self) { group in
                for number in 0..<200 {
                    group.addTask {
                        (
                            number,
                            try await upstream.ask("echo", ["number": .number(number)], as: Int64(number % 8), id: 1)["structuredContent"]?["number"]?
                                .integer
                        )
                    }
                }
                for try await (asked, answered) in group { #expect(answered == Int64(asked)) }
            }
            #expect(arrived.current == 200)
        }
    }

    @Test func `no two requests of different users share an id on one connection`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            let upstream = try Upstream(server)
            for user in 1...5 { _ = try await upstream.ask(as: Int64(user)) }
            for (_, requests) in Dictionary(grouping: server.requests, by: \.connection) {
                #expect(Set(requests.map(\.id)).count == requests.count)
            }
        }
    }
}

extension Result {
    var failure: Failure? { if case .failure(let failure) = self { failure } else { nil } }
}
