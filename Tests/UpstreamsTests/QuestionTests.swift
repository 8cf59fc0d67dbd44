import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

/// A server with a handshake that asks before it answers.
private struct Asking: Sendable {
    static let words: JSONText = ["content": [["type": "text", "text": "done"]]]

    let answers: AsyncStream<JSON>
    fileprivate let answer: AsyncStream<JSON>.Continuation

    init() { (answers, answer) = AsyncStream.makeStream() }

    /// - Parameter ask: what happens in the stream of a call before its result.
    func script(session: String? = "s1", _ ask: @escaping @Sendable (ScriptedServer.Reply) async throws -> Void) -> ScriptedServer.Script {
        ScriptedServer.legacy(session: session) { request, reply in
            if request.method == .GET || request.method == .DELETE { return try await reply.send("405 Method Not Allowed", "") }
            if request.rpc.isEmpty, let json = request.json { answer.yield(json) }
            guard request.rpc == "tools/call" else { return try await reply.accept() }
            try await reply.startEvents()
            try await ask(reply)
            try await reply.event(result: Self.words)
            try await reply.end()
        }
    }

    func next() async throws -> JSON {
        for await answer in answers { return answer }
        throw CancellationError()
    }
}

private func elicitation(_ id: JSONText, _ message: String = "Name?") -> JSONText {
    ["jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": ["message": .string(message), "requestedSchema": ["type": "object"]]]
}

@Suite(.timeLimit(.minutes(1)))
struct QuestionTests {
    @Test(arguments: [4711, "q-1"] as [JSONText])
    func `a question reaches the caller, and the caller's answer the server`(_ id: JSONText) async throws {
        let asking = Asking()
        let script = asking.script { reply in
            try await reply.event(elicitation(id))
            _ = try await asking.next()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            let (asked, question) = try await call.question()
            #expect(asked.text == id)
            #expect(question.kind == .elicitation(.form))
            #expect(question.params?["message"]?.string == "Name?")
            await call.answer(asked, .success(["action": "accept", "content": ["name": "Ada"]]))
            #expect(try await call.answer().get().text == Asking.words)
            let posted = try #require(server.requests.first { $0.method == .POST && $0.rpc.isEmpty })
            #expect(posted.json?["id"]?.text == id)
            #expect(posted.json?["result"]?["content"]?["name"]?.string == "Ada")
            #expect(posted.headers["Mcp-Session-Id"] == ["s1"])
        }
    }

    @Test func `an answer may be an error`() async throws {
        let asking = Asking()
        let script = asking.script { reply in
            try await reply.event(elicitation(1))
            _ = try await asking.next()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            await call.answer(try await call.question().0, .failure(ProtocolError(code: -1, message: "The user went away.")))
            _ = try await call.answer()
            #expect(server.requests.first { $0.method == .POST && $0.rpc.isEmpty }?.json?["error"]?["code"]?.integer == -1)
        }
    }

    @Test func `each question is answered once, and no id that was not asked`() async throws {
        let asking = Asking()
        let script = asking.script { reply in
            try await reply.event(elicitation(1))
            _ = try await asking.next()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            let (id, _) = try await call.question()
            await call.answer(MessageID(999), .success([:]))
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<10 { group.addTask { await call.answer(id, .success([:])) } }
            }
            _ = try await call.answer()
            await call.answer(id, .success([:]))
            #expect(server.requests.count { $0.method == .POST && $0.rpc.isEmpty } == 1)
        }
    }

    struct Unasked: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let capabilities: ClientCapabilities
        let method: String
        let params: JSONText
    }

    @Test(arguments: [
        Unasked(testDescription: "nobody said anything", capabilities: .none, method: "elicitation/create", params: [:]),
        Unasked(testDescription: "forms, not URLs", capabilities: .forms, method: "elicitation/create", params: ["mode": "url", "url": "https://a"]),
        Unasked(testDescription: "forms, not sampling", capabilities: .forms, method: "sampling/createMessage", params: [:]),
        Unasked(testDescription: "forms, not roots", capabilities: .forms, method: "roots/list", params: [:]),
        Unasked(testDescription: "a method of nobody's", capabilities: .everything, method: "secrets/list", params: [:]),
    ])
    func `what the caller did not declare is declined at once and not shown`(_ unasked: Unasked) async throws {
        let asking = Asking()
        let script = asking.script { reply in
            try await reply.event(Message.request(id: MessageID(5), method: unasked.method, params: unasked.params))
            #expect(try await asking.next()["error"]?["code"]?.integer == -32601)
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = unasked.capabilities }
            guard case .answer = try await call.next() else {
                Issue.record("something was shown")
                return
            }
        }
    }

    @Test func `beyond sixteen open questions, and under an id that is open, none is shown`() async throws {
        let asking = Asking()
        let script = asking.script { reply in
            for id in 1...17 { try await reply.event(elicitation(.number(id))) }
            try await reply.event(elicitation(1))
            for _ in 0..<2 {
                let refusal = try await asking.next()
                #expect([1, 17].contains(refusal["id"]?.integer) && refusal["error"] != nil)
            }
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            var shown: [Int64?] = []
            while let event = try await call.next() {
                if case .question(let id, _) = event { shown.append(id.number) }
            }
            #expect(shown == (1...16).map { $0 })
        }
    }

    @Test func `a ping is answered while nobody reads the call`() async throws {
        let asking = Asking()
        let script = asking.script { reply in
            try await reply.event(LegacyRequest.ping(id: MessageID(7)))
            #expect(try await asking.next()["result"]?.isObject == true)
            try await reply.event(elicitation(8))
            _ = try await asking.next()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            await call.answer(try await call.question().0, .success([:]))
            _ = try await call.answer()
        }
    }

    @Test func `what the server no longer wants to know is not shown, and an answer to it ignored`() async throws {
        let (asking, withdrawn) = (Asking(), Signal())
        let script = asking.script { reply in
            try await reply.event(elicitation(1))
            try await reply.event(Message.notification(method: "notifications/cancelled", params: ["requestId": 1]))
            try await reply.event(LegacyRequest.ping(id: MessageID(7)))
            #expect(try await asking.next()["id"]?.integer == 7)
            withdrawn.fire()
            try await reply.event(elicitation(2))
            #expect(try await asking.next()["id"]?.integer == 2)
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            await withdrawn.wait()
            let (id, _) = try await call.question()
            #expect(id == MessageID(2))
            await call.answer(MessageID(1), .success([:]))
            await call.answer(id, .success([:]))
            _ = try await call.answer()
        }
    }

    @Test func `a server whose call was given up is told that its question has no answer`() async throws {
        let asking = Asking()
        let script = asking.script { reply in
            try await reply.event(elicitation(3))
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            _ = try await call.question()
            call.abandon()
            #expect(try await asking.next()["error"]?["message"]?.string == "The call it belongs to has ended.")
        }
    }

    // MARK: What is declared

    @Test func `a server with a handshake is told in it what its caller can be asked, so who differs has another session`() async throws {
        let count = Shared(0)
        let script: ScriptedServer.Script = { request, reply in
            switch request.rpc {
            case "initialize":
                let number = count.change { count in
                    count += 1
                    return count
                }
                try await reply.result(ScriptedServer.handshake(), headers: ["Mcp-Session-Id: s\(number)"])
            case "server/discover": try await reply.send("404 Not Found", "")
            case "notifications/initialized": try await reply.accept()
            case "tools/call": try await ScriptedServer.echo(request, reply)
            case "tools/list": try await reply.result(["tools": []])
            default: try await reply.send("405 Method Not Allowed", "")
            }
        }
        try await ScriptedServer.running(script) { server in
            let upstream = try Upstream(server)
            for capabilities in [.forms, .none, .forms, .everything] as [ClientCapabilities] {
                _ = try await upstream.start { $0.capabilities = capabilities }.answer()
            }
            let declared = server.requests("initialize").compactMap { $0.json?["params"]?["capabilities"] }.map { ClientCapabilities($0) }
            #expect(declared == [.forms, .none, .everything])
            #expect(server.requests("tools/call").map { $0.headers["Mcp-Session-Id"] } == [["s1"], ["s2"], ["s1"], ["s3"]])
        }
    }

    /// Else one user could keep as many sessions, or processes, as there are ways to declare things.
    @Test func `one user keeps four conversations, and the one used longest ago is ended for a fifth`() async throws {
        let legacy = ScriptedServer.legacy(session: "s1", ScriptedServer.echo)
        try await ScriptedServer.running { request, reply in
            if request.method == .GET { return try await reply.send("405 Method Not Allowed", "") }
            if request.method == .DELETE { return try await reply.ok("") }
            try await legacy(request, reply)
        } _: { server in
            let upstream = try Upstream(server, era: .legacy)
            for number in 0..<6 {
                var capabilities = ClientCapabilities.none
                (capabilities.elicitsForms, capabilities.samples, capabilities.listsRoots) = (number & 1 > 0, number & 2 > 0, number & 4 > 0)
                _ = try await upstream.start { $0.capabilities = capabilities }.answer()
            }
            var ended = 0
            while ended < 2, let request = await server.arrival(of: "") { ended += request.method == .DELETE ? 1 : 0 }
            await upstream.close()
            #expect(server.requests("initialize").count == 6)
            #expect(server.requests.count { $0.method == .DELETE } == 6)
        }
    }

    @Test func `callers who join before anybody knows the era each get what they declared`() async throws {
        let released = Signal()
        let script = Asking().script { _ in }
        try await ScriptedServer.running { request, reply in
            if request.rpc == "server/discover" { await released.wait() }
            try await script(request, reply)
        } _: { server in
            let upstream = try Upstream(server)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for capabilities in [.forms, .none, .everything] as [ClientCapabilities] {
                    group.addTask { _ = try await upstream.start { $0.capabilities = capabilities }.answer() }
                }
                released.fire()
                try await group.waitForAll()
            }
            #expect(server.requests("server/discover").count == 1)
            let declared = server.requests("initialize").compactMap { $0.json?["params"]?["capabilities"] }.map { ClientCapabilities($0) }
            #expect(Set(declared) == [.forms, .none, .everything])
        }
    }

    @Test func `a stateless server is told with each request`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            let upstream = try Upstream(server)
            for capabilities in [.forms, .none] as [ClientCapabilities] {
                _ = try await upstream.start { $0.capabilities = capabilities }.answer()
            }
            let declared = server.requests("tools/call").compactMap {
                $0.json?["params"]?["_meta"]?["io.modelcontextprotocol/clientCapabilities"].map { ClientCapabilities($0) }
            }
            #expect(declared == [.forms, .none])
            #expect(server.requests("server/discover").count == 1)
        }
    }

    @Test(arguments: [EraChoice.modern, .legacy])
    func `a server hears only of what its owner lets it ask`(_ era: EraChoice) async throws {
        let script = era == .modern ? ScriptedServer.modern(ScriptedServer.echo) : ScriptedServer.legacy(session: "s", ScriptedServer.echo)
        try await ScriptedServer.running { request, reply in
            if request.method == .GET { return try await reply.send("405 Method Not Allowed", "") }
            try await script(request, reply)
        } _: { server in
            let upstream = try Upstream(server, era: era, questions: [.elicitation])
            _ = try await upstream.start { $0.capabilities = .everything }.answer()
            let declared =
                era == .modern
                ? server.requests("tools/call").first?.json?["params"]?["_meta"]?["io.modelcontextprotocol/clientCapabilities"]
                : server.requests("initialize").first?.json?["params"]?["capabilities"]
            var expected = ClientCapabilities.forms
            expected.elicitsURLs = true
            #expect(declared.map { ClientCapabilities($0) } == expected)
        }
    }

    @Test func `what the owner does not let it ask is declined like what the caller did not declare, and nobody sees it`() async throws {
        let asking = Asking()
        let script = asking.script { reply in
            try await reply.event(["jsonrpc": "2.0", "id": 9, "method": "roots/list"])
            let answer = try await asking.next()
            #expect(answer["error"]?["code"]?.integer == -32601)
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server, questions: [.elicitation, .sampling]).start { $0.capabilities = .everything }
            guard case .answer(.success(let words)) = try await call.next() else {
                Issue.record("something was shown")
                return
            }
            #expect(words.text == Asking.words)
        }
    }

    @Test func `what a stateless server asks in its stream is neither shown nor answered`() async throws {
        let script = ScriptedServer.modern { request, reply in
            try await reply.startEvents()
            try await reply.event(elicitation(1))
            try await reply.event(LegacyRequest.ping(id: MessageID(2)))
            try await reply.event(result: Asking.words)
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start { $0.capabilities = .everything }
            guard case .answer = try await call.next() else {
                Issue.record("something was shown")
                return
            }
            #expect(server.asked == ["server/discover", "tools/call"])
        }
    }

    // MARK: The stream beside those of requests

    /// Asks on the GET stream when as many calls are under way as are to be.
    ///
    /// - Parameter isDeclined: whether it is to be told that nobody can be asked.
    private static func aside(_ asking: Asking, calls: Int, isDeclined: Bool) -> ScriptedServer.Script {
        let (stream, arrived, done) = (Shared<ScriptedServer.Reply?>(nil), Shared(0), Signal())
        return ScriptedServer.legacy(session: "s1", hasStream: true) { request, reply in
            switch (request.method, request.rpc) {
            case (.GET, _):
                try await reply.startEvents()
                stream.change { $0 = reply }
                await reply.closedByPeer()
            case (_, "tools/call"):
                let isLast = arrived.change { count in
                    count += 1
                    return count == calls
                }
                if isLast {
                    try await #require(stream.current).event(elicitation(1))
                    let answer = try await asking.next()
                    #expect((answer["error"] != nil) == isDeclined)
                    done.fire()
                }
                await done.wait()
                try await reply.result(Asking.words)
            default:
                if let json = request.json, request.rpc.isEmpty { asking.note(json) }
                try await reply.accept()
            }
        }
    }

    @Test func `a question beside the streams belongs to the one call under way`() async throws {
        try await ScriptedServer.running(Self.aside(Asking(), calls: 1, isDeclined: false)) { server in
            let call = try await Upstream(server).start { $0.capabilities = .forms }
            await call.answer(try await call.question().0, .success(["action": "decline"]))
            #expect(try await call.answer().get().text == Asking.words)
            let get = try #require(server.requests.first { $0.method == .GET })
            #expect(get.headers["Mcp-Session-Id"] == ["s1"])
            #expect(get.headers["Accept"] == ["text/event-stream"])
        }
    }

    @Test func `a question beside the streams of a caller who cannot be asked is declined, and the call goes on`() async throws {
        try await ScriptedServer.running(Self.aside(Asking(), calls: 1, isDeclined: true)) { server in
            let upstream = try Upstream(server)
            #expect(try await upstream.ask() == Asking.words)
        }
    }

    @Test func `a question beside the streams of two calls is nobody's`() async throws {
        try await ScriptedServer.running(Self.aside(Asking(), calls: 2, isDeclined: true)) { server in
            let upstream = try Upstream(server)
            let calls = [try await upstream.start { $0.capabilities = .forms }, try await upstream.start { $0.capabilities = .forms }]
            for call in calls {
                guard case .answer = try await call.next() else {
                    Issue.record("something was shown")
                    return
                }
            }
        }
    }
}

extension Asking {
    fileprivate func note(_ json: JSON) { answer.yield(json) }
}
