import Gateway
import MCP

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A small MCP server to try a gateway with: what it answers, as a value. The transports stand beside it.
///
/// It speaks every revision `MCP.Revision` knows, keeps nothing of its callers and reaches nothing.
struct DemoServer: Sendable {
    /// Bytes of one message, whatever carries it.
    static let longestMessage = 4 << 20

    private static let identity = Implementation(name: "mreg-demo-server", title: "Demo server of mreg", version: "1.0.0")
    private static let answers = Answers(
        gateway: identity,
        instructions: """
            A server to try a gateway with. `echo` and `clock` always work, `slow` takes as long as you say, `flaky` fails every \
            second time and `ask` puts a question to the user. Nothing is stored and nothing outside is reached.
            """)

    private let now: @Sendable () -> Date
    private var flakyCalls = 0

    init(now: @escaping @Sendable () -> Date = { Date() }) { self.now = now }

    /// Answers one message on its own, for a transport that remembers nothing between messages.
    mutating func answer(_ body: [UInt8], headers: RoutingHeaders) -> DemoAnswer {
        var id: MessageID?
        do throws(ProtocolError) {
            let message = try Message(parsing: body)
            if case .request(let its, _, _) = message { id = its }
            guard case .request(let incoming) = try Reading(message, headers: headers) else { return .nothing }
            return try answer(incoming, obstacle: .noSession)
        } catch {
            return .response(error.response(to: id), status: Self.status(of: error, headers))
        }
    }

    /// - Parameter obstacle: why `ask` fails for callers with a handshake. Callers without one say themselves what they can do.
    mutating func answer(_ incoming: Incoming, obstacle: DemoQuestion.Obstacle) throws(ProtocolError) -> DemoAnswer {
        switch incoming.operation {
        case .initialize: return Self.response(Self.answers.initialize(incoming.revision), to: incoming)
        case .ping: return Self.response([:], to: incoming)
        case .discover: return Self.response(Self.answers.discover(), to: incoming)
        case .list(.tools):
            if incoming.cursor != nil { throw .invalidParams("There is one page of tools, so no cursor is good.") }
            let tools = DemoTool.allCases.map(\.declaration)
            return Self.response(Self.answers.list(.tools, tools, nextCursor: nil, in: incoming.revision.era), to: incoming)
        case .callTool(let name):
            guard let tool = DemoTool(rawValue: name) else { throw .unknownTool(name) }
            return try call(tool, incoming, obstacle)
        default: throw .methodNotFound(incoming.operation.method)
        }
    }

    private mutating func call(
        _ tool: DemoTool, _ incoming: Incoming, _ obstacle: DemoQuestion.Obstacle
    ) throws(ProtocolError) -> DemoAnswer {
        let arguments = incoming.params?["arguments"]
        switch tool {
        case .echo:
            guard let text = arguments?["text"]?.string else { return try Self.outcome(.failed("echo needs “text”, a string."), of: incoming) }
            return try Self.outcome(.done(text), of: incoming)
        case .clock:
            let utc = now().formatted(.iso8601)
            return try Self.outcome(.done(utc, structured: ["utc": .string(utc)]), of: incoming)
        case .slow:
            return try slow(arguments, incoming)
        case .flaky:
            flakyCalls += 1
            let count = "This was call \(flakyCalls) of this process"
            let isGood = flakyCalls % 2 == 1
            return try Self.outcome(isGood ? .done("\(count), and it worked.") : .failed("\(count), and every second one fails."), of: incoming)
        case .ask:
            guard incoming.revision.era == .modern else { return try Self.outcome(.failed(obstacle.rawValue), of: incoming) }
            if let outcome = try DemoQuestion.outcome(ofRetry: incoming) { return try Self.outcome(outcome, of: incoming) }
            return Self.response(DemoQuestion.inputRequired(by: Self.identity), to: incoming)
        }
    }

    private func slow(_ arguments: JSON?, _ incoming: Incoming) throws(ProtocolError) -> DemoAnswer {
        guard let written = arguments?["seconds"], let seconds = written.double, (0...30).contains(seconds) else {
            return try Self.outcome(.failed("slow needs “seconds”, a number from 0 to 30."), of: incoming)
        }
        let steps = arguments?["steps"].map { $0.double.flatMap { Int(exactly: $0) } ?? 0 } ?? 5
        guard (1...20).contains(steps) else { return try Self.outcome(.failed("“steps” is a whole number from 1 to 20."), of: incoming) }
        let result = try Self.result(.done("Done after \(written.text) s."), for: incoming)
        let response = Message.result(result, to: incoming.id)
        guard let token = incoming.progressToken else { return .paced([.init(after: .seconds(seconds), message: response)]) }

        let pause = Duration.seconds(seconds / Double(steps))
        let progress = (1...steps).map { step in
            let told: JSONText = [
                "progressToken": token, "progress": .number(step), "total": .number(steps), "message": .string("Step \(step) of \(steps)"),
            ]
            return DemoAnswer.Part(after: pause, message: Message.notification(method: "notifications/progress", params: told))
        }
        return .paced(progress + [.init(after: .zero, message: response)])
    }

    static func outcome(_ outcome: DemoOutcome, of incoming: Incoming) throws(ProtocolError) -> DemoAnswer {
        response(try result(outcome, for: incoming), to: incoming)
    }

    private static func result(_ outcome: DemoOutcome, for incoming: Incoming) throws(ProtocolError) -> JSONText {
        let result: JSON
        do { result = try JSON(parsing: outcome.result.bytes) } catch { throw ProtocolError(code: -32603, message: error.sentence) }
        return try answers.result(result, of: incoming.operation, in: incoming.revision.era)
    }

    private static func response(_ result: JSONText, to incoming: Incoming) -> DemoAnswer {
        .response(Message.result(result, to: incoming.id), status: 200)
    }

    /// A defective envelope is the HTTP request's fault; what a method reports is not, or a client would take it for a
    /// sign of another era. Before 2026-07-28 a 404 would mean that a session is over.
    private static func status(of error: ProtocolError, _ headers: RoutingHeaders) -> Int {
        switch error.place {
        case .envelope: 400
        case .session: 404
        case .method: headers.protocolVersion.first.flatMap { Revision(rawValue: $0) }?.era == .modern ? 404 : 200
        case .handler: 200
        }
    }
}
