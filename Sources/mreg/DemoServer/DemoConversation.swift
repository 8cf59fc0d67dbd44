import Gateway
import MCP

/// One client on a pair of pipes: what was negotiated, and which calls still wait for their answer.
///
/// It decides and the transport acts, so a whole conversation can be tested without a pipe or a clock.
struct DemoConversation: Sendable {
    enum Reaction: Hashable, Sendable {
        case nothing
        case send(JSONText)
        /// To be played while other lines are read; then `finished` is to be called.
        case play([DemoAnswer.Part], id: MessageID)
        /// Stop playing that answer.
        case stop(MessageID)
    }

    /// Calls that wait for time to pass or for the user to answer.
    static let mostInFlight = 64

    private var server: DemoServer
    private var agreed: Revision?
    private var canAsk = false
    private var playing: Set<MessageID> = []
    private var questions: [MessageID: Incoming] = [:]
    private var questionsAsked: Int64 = 0

    init(server: DemoServer = DemoServer()) { self.server = server }

    mutating func receive(_ line: LineSplitter.Line) -> Reaction {
        guard case .text(let bytes) = line else {
            return .send(ProtocolError(code: -32600, message: "A line holds at most \(DemoServer.longestMessage) bytes.").response(to: nil))
        }
        let message: Message
        do { message = try Message(parsing: bytes) } catch { return .send(error.response(to: nil)) }
        switch message {
        case .request(let id, let method, let params):
            do throws(ProtocolError) {
                guard case .request(let incoming) = try Reading(message, headers: headers(method, params)) else { return .nothing }
                return try react(to: incoming)
            } catch {
                return .send(error.response(to: id))
            }
        case .notification("notifications/cancelled", let params): return cancel(params?["requestId"].flatMap { MessageID($0) })
        case .notification: return .nothing
        case .response(let id, let result): return settle(id, result)
        }
    }

    mutating func finished(_ id: MessageID) { playing.remove(id) }

    private mutating func react(to incoming: Incoming) throws(ProtocolError) -> Reaction {
        if incoming.operation == .initialize {
            agreed = incoming.revision
            canAsk = DemoQuestion.isWelcome(incoming.params?["capabilities"])
        }
        if canAsk && incoming.revision.era == .legacy && incoming.operation == .callTool(DemoTool.ask.rawValue) {
            return try ask(for: incoming)
        }
        switch try server.answer(incoming, obstacle: .undeclared) {
        case .nothing: return .nothing
        case .response(let message, _): return .send(message)
        case .paced(let parts):
            try admit(incoming.id)
            playing.insert(incoming.id)
            return .play(parts, id: incoming.id)
        }
    }

    private mutating func ask(for incoming: Incoming) throws(ProtocolError) -> Reaction {
        try admit(incoming.id)
        questionsAsked += 1
        let question = MessageID(questionsAsked)
        questions[question] = incoming
        return .send(Message.request(id: question, method: DemoQuestion.method, params: DemoQuestion.params))
    }

    private func admit(_ id: MessageID) throws(ProtocolError) {
        if playing.contains(id) || questions.values.contains(where: { $0.id == id }) {
            throw ProtocolError(code: -32600, message: "A request with this id is still being answered.")
        }
        guard playing.count + questions.count < Self.mostInFlight else {
            throw ProtocolError(code: -32603, message: "\(Self.mostInFlight) calls are waiting already; wait for one of them.")
        }
    }

    private mutating func cancel(_ id: MessageID?) -> Reaction {
        guard let id else { return .nothing }
        if playing.contains(id) { return .stop(id) }
        guard let question = questions.first(where: { $0.value.id == id })?.key else { return .nothing }
        questions[question] = nil
        return .send(LegacyRequest.cancelled(question, reason: "The call that asked was cancelled."))
    }

    /// The client's answer to a question of ours; an answer to none is read over.
    private mutating func settle(_ id: MessageID?, _ result: Result<JSON, ProtocolError>) -> Reaction {
        guard let id, let incoming = questions.removeValue(forKey: id) else { return .nothing }
        let outcome: DemoOutcome =
            switch result {
            case .success(let answer): DemoQuestion.outcome(of: answer) ?? .failed("The client's answer does not fit the question.")
            case .failure(let error): .failed("The client could not ask the user: \(error.message)")
            }
        do throws(ProtocolError) {
            guard case .response(let message, _) = try DemoServer.outcome(outcome, of: incoming) else { return .nothing }
            return .send(message)
        } catch {
            return .send(error.response(to: incoming.id))
        }
    }

    /// Pipes carry no headers, so the body's own word stands for them (P-3).
    private func headers(_ method: String, _ params: JSON?) -> RoutingHeaders {
        let version = params?["_meta"]?["io.modelcontextprotocol/protocolVersion"]?.string ?? agreed?.rawValue
        let name = params?["name"]?.string.map { HeaderValue.encoded($0) }
        return RoutingHeaders(protocolVersion: version.map { [$0] } ?? [], method: [method], name: name.map { [$0] } ?? [])
    }
}
