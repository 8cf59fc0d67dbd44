import MCP
import Testing

@testable import mreg

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

private let modern = "2026-07-28"

/// The text of a request; a modern one carries its envelope.
private func request(
    _ method: String, _ params: [(String, JSONText?)] = [], id: Int64 = 1, modern isModern: Bool = false, capabilities: JSONText = [:],
    token: JSONText? = nil
) -> [UInt8] {
    let envelope: [(String, JSONText?)] = [
        ("io.modelcontextprotocol/protocolVersion", .string(modern)), ("io.modelcontextprotocol/clientCapabilities", capabilities),
    ]
    let meta = (isModern ? envelope : []) + [("progressToken", token)]
    return Message.request(id: MessageID(id), method: method, params: .object(params + [("_meta", .object(meta))])).bytes
}

private func call(
    _ tool: String, _ arguments: JSONText = [:], _ more: [(String, JSONText?)] = [], id: Int64 = 1, modern: Bool = false,
    capabilities: JSONText = [:], token: JSONText? = nil
) -> [UInt8] {
    request(
        "tools/call", [("name", .string(tool)), ("arguments", arguments)] + more, id: id, modern: modern, capabilities: capabilities,
        token: token)
}

private func headers(_ method: String, name: String? = nil) -> RoutingHeaders {
    RoutingHeaders(protocolVersion: [modern], method: [method], name: name.map { [$0] } ?? [])
}

private struct NoResponse: Error {}

private func response(_ answer: DemoAnswer) throws -> (json: JSON, status: Int) {
    guard case .response(let text, let status) = answer else { throw NoResponse() }
    return (try JSON(parsing: text.bytes), status)
}

private func parts(_ answer: DemoAnswer) throws -> [DemoAnswer.Part] {
    guard case .paced(let parts) = answer else { throw NoResponse() }
    return parts
}

private func sent(_ reaction: DemoConversation.Reaction) throws -> JSON {
    guard case .send(let text) = reaction else { throw NoResponse() }
    return try JSON(parsing: text.bytes)
}

private func toolText(_ response: JSON) -> String? { response["result"]?["content"]?.elements.first?["text"]?.string }
private func isToolError(_ response: JSON) -> Bool? { response["result"]?["isError"]?.bool }

struct DemoServerTests {
    var server = DemoServer(now: { Date(timeIntervalSince1970: 1_785_196_800) })

    @Test(arguments: ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
    mutating func `a handshake agrees to the revision it asks for`(revision: String) throws {
        let opening = request("initialize", [("protocolVersion", .string(revision)), ("capabilities", [:])])
        let answer = try response(server.answer(opening, headers: RoutingHeaders()))
        #expect(answer.json["result"]?["protocolVersion"]?.string == revision)
        #expect(answer.json["result"]?["serverInfo"]?["name"]?.string == "mreg-demo-server")
    }

    @Test mutating func `discovery names every revision, the newest first`() throws {
        let answer = try response(server.answer(request("server/discover", modern: true), headers: headers("server/discover")))
        let versions = answer.json["result"]?["supportedVersions"]?.elements.map(\.string)
        #expect(versions == [modern, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
    }

    @Test(arguments: [true, false])
    mutating func `the list shows five tools, each with a description, a schema and annotations`(isModern: Bool) throws {
        let headers = isModern ? headers("tools/list") : RoutingHeaders()
        let result = try #require(try response(server.answer(request("tools/list", modern: isModern), headers: headers)).json["result"])
        let tools = try #require(result["tools"]).elements
        #expect(tools.map { $0["name"]?.string } == ["echo", "clock", "slow", "flaky", "ask"])
        for tool in tools {
            #expect(tool["description"]?.string?.isEmpty == false)
            #expect(tool["inputSchema"]?["type"]?.string == "object")
            #expect(tool["annotations"]?["readOnlyHint"]?.bool == true)
        }
        #expect((result["resultType"] != nil) == isModern)
        #expect((result["ttlMs"] != nil) == isModern)
    }

    @Test mutating func `a modern answer says that it is complete and whose it is`() throws {
        let answer = try response(server.answer(call("echo", ["text": "é"], modern: true), headers: headers("tools/call", name: "echo")))
        #expect(toolText(answer.json) == "é")
        #expect(answer.json["result"]?["resultType"]?.string == "complete")
        #expect(answer.json["result"]?["_meta"]?["io.modelcontextprotocol/serverInfo"] != nil)
    }

    @Test mutating func `a notification is taken note of`() {
        let note = Message.notification(method: "notifications/initialized").bytes
        let answer = server.answer(note, headers: RoutingHeaders())
        guard case .nothing = answer else {
            Issue.record("It was answered with \(answer).")
            return
        }
    }

    @Test mutating func `a header that differs from the body is a defect of the envelope`() throws {
        let answer = try response(server.answer(call("echo", modern: true), headers: headers("tools/call", name: "clock")))
        #expect(answer.status == 400)
        #expect(answer.json["error"]?["code"]?.integer == -32020)
    }

    @Test mutating func `a method nobody knows is 404 to modern clients, and only an error to those who would lose a session`() throws {
        let modern = try response(server.answer(request("nope", modern: true), headers: headers("nope")))
        let legacy = try response(server.answer(request("nope"), headers: RoutingHeaders()))
        #expect(modern.status == 404)
        #expect(legacy.status == 200)
        #expect([modern, legacy].allSatisfy { $0.json["error"]?["code"]?.integer == -32601 })
    }

    @Test mutating func `a tool nobody knows is a protocol error of the call`() throws {
        let answer = try response(server.answer(call("nope"), headers: RoutingHeaders()))
        #expect(answer.status == 200)
        #expect(answer.json["error"]?["code"]?.integer == -32602)
    }

    @Test mutating func `the clock tells the time it is given, in text and in structure`() throws {
        let answer = try response(server.answer(call("clock"), headers: RoutingHeaders()))
        #expect(toolText(answer.json) == "2026-07-28T00:00:00Z")
        #expect(answer.json["result"]?["structuredContent"]?["utc"]?.string == "2026-07-28T00:00:00Z")
    }

    @Test mutating func `every second flaky call fails`() throws {
        let errors = try (1...4).map { _ in try isToolError(response(server.answer(call("flaky"), headers: RoutingHeaders())).json) }
        #expect(errors == [false, true, false, true])
    }

    @Test(
        arguments: [
            ("echo", [:]), ("echo", ["text": 1]), ("slow", [:]), ("slow", ["seconds": "3"]), ("slow", ["seconds": 31]), ("slow", ["seconds": -1]),
            ("slow", ["seconds": 1, "steps": 0]), ("slow", ["seconds": 1, "steps": 21]), ("slow", ["seconds": 1, "steps": .number(1.5)]),
        ] as [(String, JSONText)])
    mutating func `bad arguments are the tool's own failure, with a sentence`(tool: String, arguments: JSONText) throws {
        let answer = try response(server.answer(call(tool, arguments), headers: RoutingHeaders()))
        #expect(isToolError(answer.json) == true)
        #expect(toolText(answer.json)?.hasSuffix(".") == true)
    }

    @Test mutating func `a slow call spreads its progress over its time`() throws {
        let parts = try parts(server.answer(call("slow", ["seconds": 6, "steps": 3], token: "t"), headers: RoutingHeaders()))
        let messages = try parts.map { try JSON(parsing: $0.message.bytes) }
        #expect(parts.map(\.after) == [.seconds(2), .seconds(2), .seconds(2), .zero])
        #expect(messages.dropLast().map { $0["params"]?["progress"]?.integer } == [1, 2, 3])
        #expect(messages.dropLast().allSatisfy { $0["params"]?["progressToken"]?.string == "t" })
        #expect(messages.last.flatMap(toolText) == "Done after 6 s.")
    }

    @Test mutating func `a slow call that nobody watches answers once, as late`() throws {
        let parts = try parts(server.answer(call("slow", ["seconds": 6, "steps": 3]), headers: RoutingHeaders()))
        #expect(parts.map(\.after) == [.seconds(6)])
    }

    @Test mutating func `a reader who takes no stream gets the response alone, as late`() throws {
        let parts = try parts(server.answer(call("slow", ["seconds": 6, "steps": 3], token: 1), headers: RoutingHeaders()))
        #expect(parts.withoutProgress == [DemoAnswer.Part(after: .seconds(6), message: parts[3].message)])
    }

    @Test func `a paced answer is sent in order, each part after its pause`() async throws {
        let parts = [DemoAnswer.Part(after: .seconds(1), message: "a"), DemoAnswer.Part(after: .zero, message: "b")]
        var log: [String] = []
        try await parts.play(sleep: { log.append("\($0)") }, willRespond: { log.append("last") }, send: { log.append("\($0)") })
        #expect(log == ["1.0 seconds", "\"a\"", "last", "\"b\""])
    }

    @Test func `a cancelled answer sends nothing more`() async throws {
        let parts = [DemoAnswer.Part(after: .zero, message: "a"), DemoAnswer.Part(after: .seconds(1), message: "b")]
        var sent: [JSONText] = []
        await #expect(throws: CancellationError.self) {
            try await parts.play(sleep: { _ in throw CancellationError() }, send: { sent.append($0) })
        }
        #expect(sent == ["a"])
    }
}

struct DemoQuestionTests {
    var server = DemoServer()
    let ask = headers("tools/call", name: "ask")

    private mutating func answer(
        capabilities: JSONText = ["elicitation": [:]], _ more: [(String, JSONText?)] = []
    ) throws -> (json: JSON, status: Int) {
        try response(server.answer(call("ask", [:], more, modern: true, capabilities: capabilities), headers: ask))
    }

    @Test(arguments: [[:], ["elicitation": ["url": [:]]]] as [JSONText])
    mutating func `a client that takes no forms is told what it would need`(capabilities: JSONText) throws {
        let answer = try answer(capabilities: capabilities)
        #expect(answer.status == 400)
        #expect(answer.json["error"]?["code"]?.integer == -32021)
        #expect(answer.json["error"]?["data"]?["requiredCapabilities"]?["elicitation"]?.isObject == true)
    }

    @Test mutating func `the first call asks, and the retry with the answer completes`() throws {
        let first = try #require(try answer().json["result"])
        #expect(first["resultType"]?.string == "input_required")
        let question = try #require(first["inputRequests"]?.members.first)
        #expect(question.value["method"]?.string == "elicitation/create")

        let accepted: JSONText = ["action": "accept", "content": ["name": "Ada"]]
        let given = JSONText.object([(question.name, accepted)])
        let second = try answer([("inputResponses", given), ("requestState", first["requestState"]?.text)])
        #expect(toolText(second.json) == "Hello, Ada!")
        #expect(second.json["result"]?["resultType"]?.string == "complete")
    }

    @Test(arguments: [[:], ["name": ["action": "accept", "content": ["name": ""]]], ["other": ["action": "decline"]]] as [JSONText])
    mutating func `an answer that does not fit is asked for again`(responses: JSONText) throws {
        let state = try answer().json["result"]?["requestState"]?.text
        let again = try answer([("inputResponses", responses), ("requestState", state)])
        #expect(again.json["result"]?["resultType"]?.string == "input_required")
    }

    @Test(arguments: [nil, "forged"] as [JSONText?])
    mutating func `a state this tool did not give out is refused`(state: JSONText?) throws {
        let answer = try answer([("inputResponses", ["name": ["action": "decline"]]), ("requestState", state)])
        #expect(answer.status == 200)
        #expect(answer.json["error"]?["code"]?.integer == -32602)
    }

    @Test mutating func `over HTTP a client with a handshake is told why it cannot be asked`() throws {
        let answer = try response(server.answer(call("ask"), headers: RoutingHeaders()))
        #expect(isToolError(answer.json) == true)
        #expect(toolText(answer.json)?.contains("session") == true)
    }
}

struct DemoConversationTests {
    var conversation = DemoConversation()

    private mutating func receive(_ bytes: [UInt8]) -> DemoConversation.Reaction { conversation.receive(.text(bytes)) }

    private mutating func open(capabilities: JSONText = ["elicitation": [:]]) {
        _ = receive(request("initialize", [("protocolVersion", "2025-11-25"), ("capabilities", capabilities)], id: 0))
    }

    private static func cancelled(_ id: Int64) -> [UInt8] { LegacyRequest.cancelled(MessageID(id), reason: "").bytes }

    @Test mutating func `a modern request needs no header on a pipe`() throws {
        let answer = try sent(receive(call("echo", ["text": "x"], modern: true)))
        #expect(answer["result"]?["resultType"]?.string == "complete")
    }

    @Test mutating func `both eras may take turns`() throws {
        open()
        #expect(try sent(receive(call("echo", ["text": "x"], modern: true)))["result"]?["resultType"] != nil)
        #expect(try sent(receive(call("echo", ["text": "x"])))["result"]?["resultType"] == nil)
        #expect(try sent(receive(request("ping")))["result"]?.members.isEmpty == true)
    }

    @Test mutating func `a client that can be asked is asked, and its answer ends the call`() throws {
        open()
        let question = try sent(receive(call("ask", id: 7)))
        #expect(question["method"]?.string == "elicitation/create")
        let id = try #require(question["id"].flatMap { MessageID($0) })
        let answer = try sent(receive(Message.result(["action": "accept", "content": ["name": "Ada"]], to: id).bytes))
        #expect(answer["id"]?.integer == 7)
        #expect(toolText(answer) == "Hello, Ada!")
        #expect(receive(Message.result(["action": "decline"], to: id).bytes) == .nothing)
    }

    @Test mutating func `a client that cannot ask fails the call, not the conversation`() throws {
        open()
        let id = try #require(try sent(receive(call("ask", id: 7)))["id"].flatMap { MessageID($0) })
        let answer = try sent(receive(ProtocolError(code: -32601, message: "no screen").response(to: id).bytes))
        #expect(isToolError(answer) == true)
        #expect(toolText(answer)?.contains("no screen") == true)
    }

    @Test mutating func `a client that did not declare elicitation is not asked`() throws {
        open(capabilities: [:])
        #expect(isToolError(try sent(receive(call("ask")))) == true)
    }

    @Test mutating func `cancelling a call that asked takes the question back`() throws {
        open()
        let question = try sent(receive(call("ask", id: 7)))["id"]
        let withdrawal = try sent(receive(Self.cancelled(7)))
        #expect(withdrawal["method"]?.string == "notifications/cancelled")
        #expect(withdrawal["params"]?["requestId"]?.text == question?.text)
    }

    @Test mutating func `cancelling stops the one call it names`() {
        _ = receive(call("slow", ["seconds": 9], id: 3))
        #expect(receive(Self.cancelled(4)) == .nothing)
        #expect(receive(Self.cancelled(3)) == .stop(MessageID(3)))
        conversation.finished(MessageID(3))
        #expect(receive(Self.cancelled(3)) == .nothing)
    }

    @Test mutating func `an id in use is not taken twice`() throws {
        _ = receive(call("slow", ["seconds": 9], id: 3))
        #expect(try sent(receive(call("slow", ["seconds": 9], id: 3)))["error"]?["code"]?.integer == -32600)
    }

    @Test mutating func `a full house turns callers away until one has left, and still answers pings`() throws {
        for id in 1...Int64(DemoConversation.mostInFlight) { _ = receive(call("slow", ["seconds": 9], id: id)) }
        #expect(try sent(receive(call("slow", ["seconds": 9], id: 99)))["error"]?["code"]?.integer == -32603)
        #expect(try sent(receive(request("ping", id: 100)))["result"] != nil)
        conversation.finished(MessageID(1))
        let reaction = receive(call("slow", ["seconds": 9], id: 101))
        guard case .play = reaction else {
            Issue.record("It was turned away: \(reaction).")
            return
        }
    }

    @Test(
        arguments: [
            (.tooLong, -32600), (.text(Array("{".utf8)), -32700), (.text(Array("[]".utf8)), -32600),
        ] as [(LineSplitter.Line, Int64)])
    mutating func `a line that is no message is answered without an id`(line: LineSplitter.Line, code: Int64) throws {
        let answer = try sent(conversation.receive(line))
        #expect(answer["id"]?.isNull == true)
        #expect(answer["error"]?["code"]?.integer == code)
    }
}

struct LineSplitterTests {
    @Test(arguments: 1...12)
    func `lines are the same however the bytes arrive`(size: Int) {
        var splitter = LineSplitter(longest: 4)
        let bytes = Array("ab\n\r\n\ncdef\nghijk\nl".utf8)
        var lines: [LineSplitter.Line] = []
        for start in stride(from: 0, to: bytes.count, by: size) { lines += splitter.feed(Array(bytes[start..<min(start + size, bytes.count)])) }
        if let last = splitter.finish() { lines.append(last) }
        #expect(lines == [.text(Array("ab".utf8)), .text(Array("cdef".utf8)), .tooLong, .text(Array("l".utf8))])
    }
}
