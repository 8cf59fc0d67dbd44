import Access
import Gateway
import MCP
import Synchronization
import Upstreams

/// A request under way at a server, and everything that has to pass between the server and the client until its answer:
/// progress, log messages, and questions in the one form or the other.
///
/// | client \ server | with a handshake | stateless |
/// |---|---|---|
/// | with a handshake | the question travels on the client's stream, the answer back | put on the stream; the request is made again with the answers |
/// | stateless | the request waits at the server while the client is asked (`parked`) | the question is the answer |
///
/// One reader at a time.
actor CallRun {
    enum Part: Sendable {
        case message(JSONText, isDroppable: Bool)
        /// Nothing for as long as was to be waited.
        case silence
        case answer(Result<JSON, ProtocolError>)
        /// The server asks, and the client is to come back with the answers and this state.
        case asks(InputRequired)
        /// The server asks, and waits for the answers.
        case parked([(key: String, question: ServerQuestion)])
        case failure(any Error)

        /// Whether nothing comes after it.
        var isLast: Bool {
            switch self {
            case .message, .silence: false
            case .answer, .asks, .parked, .failure: true
            }
        }
    }

    /// Rounds of questions that one request may take (C-6).
    private static let mostRounds = 10

    nonisolated let dispatch: Dispatch
    private let incoming: Incoming
    private let session: ClientSession?
    private let isIdempotent: Bool
    private let remake: Remake
    private let elicitations: Elicitations
    /// What was sent last.
    private var request: Outgoing
    private var isRemade = false
    private var call: UpstreamCall
    private var rounds = 0
    private var lastProgress: Double?
    private var lastTotal: JSONText?
    private var heartbeats = 0
    /// Of a server with a handshake, asked of a client without one: by the key the client knows them by.
    private var open: [(key: String, id: MessageID, question: ServerQuestion)] = []
    private var questions = 0
    /// Of a stateless server, put to a client with a handshake.
    private var round: Round?
    private var outbox: [JSONText] = []
    private nonisolated let current: Mutex<(call: UpstreamCall, ended: UpstreamFailure?)>

    /// The headers for the request after a look at what the server lists now; nil if it is not to be made again.
    typealias Remake = @Sendable () async -> [(String, String)]?

    init(
        _ dispatch: Dispatch, _ incoming: Incoming, _ session: ClientSession?, isIdempotent: Bool, elicitations: Elicitations,
        remake: @escaping Remake, call: UpstreamCall
    ) {
        self.dispatch = dispatch
        self.incoming = incoming
        self.session = session
        self.isIdempotent = isIdempotent
        self.remake = remake
        self.elicitations = elicitations
        self.call = call
        request = dispatch.request
        current = Mutex((call, nil))
    }

    /// Sends the request.
    ///
    /// - Parameters:
    ///   - isIdempotent: whether the server's owner said of the tool that calling it twice is as good as once.
    ///   - remake: asked at most once, when the server turned the request away for its headers (C-4).
    static func start(
        _ dispatch: Dispatch, _ incoming: Incoming, _ session: ClientSession?, isIdempotent: Bool, elicitations: Elicitations,
        remake: @escaping Remake
    ) async throws -> CallRun {
        let call = try await dispatch.upstream.ask(dispatch.request, by: dispatch.grant, isIdempotent: isIdempotent, preferring: dispatch.replica)
        return CallRun(dispatch, incoming, session, isIdempotent: isIdempotent, elicitations: elicitations, remake: remake, call: call)
    }

    /// Ends it from any thread: nobody waits for its answer any more, or nobody may have it.
    nonisolated func abandon(_ why: UpstreamFailure) {
        let call = current.withLock { current in
            if current.ended == nil { current.ended = why }
            return current.call
        }
        call.abandon(why)
    }

    /// Which of the server's places it was sent to last.
    nonisolated var replica: Int? { current.withLock { $0.call }.replica }

    // MARK: What comes back

    /// - Parameters:
    ///   - wait: how long to wait before returning `silence`; nil waits for as long as the request may take.
    ///   - beats: whether a client that wants to hear of progress is told something instead of `silence`.
    func next(orSilenceAfter wait: Duration? = nil, beats: Bool = true) async -> Part {
        if !outbox.isEmpty { return .message(outbox.removeFirst(), isDroppable: false) }
        do {
            if let round {
                guard let answers = try await collect(round, wait) else { return beats ? heartbeat() : .silence }
                try await askAgain(round, answers)
            }
            while let event = try await call.next(orSilenceAfter: wait) {
                switch event {
                case .progress(let params): return .message(progress(params), isDroppable: true)
                case .log(let params):
                    return .message(Message.notification(method: "notifications/message", params: params.text), isDroppable: true)
                case .silence: return beats ? heartbeat() : .silence
                case .question(let id, let question): if let part = await ask(id, question) { return part }
                case .answer(.success(let result)):
                    guard let required = try InputRequired(result) else { return .answer(.success(result)) }
                    return try await ask(required)
                case .elicitationComplete(let id): if let message = dealtWith(id) { return .message(message, isDroppable: false) }
                case .mismatch(let error): if try await !askWithOtherHeaders() { return .answer(.failure(error)) }
                case .answer(.failure(let error)):
                    // Servers of 2025-11-25 may refuse a call until somebody has been to a URL; nothing else was done.
                    if error.code == -32042, !dispatch.upstream.server.questions.contains(.elicitation) {
                        return .answer(.failure(.cannotBeAsked(.elicitation(.url), in: incoming.revision.era)))
                    }
                    if incoming.revision.era == .modern, let required = InputRequired(urlsIn: error), required.isPermitted(by: request.capabilities) {
                        return .asks(required)
                    }
                    return .answer(.failure(error.renamingElicitations(shown)))
                }
            }
            return .failure(UpstreamFailure.lost("it ended without an answer"))
        } catch let error as ProtocolError {
            call.abandon(.abandoned)
            return .answer(.failure(error))
        } catch {
            return .failure(error)
        }
    }

    private func progress(_ params: JSON) -> JSONText {
        lastProgress = max(lastProgress ?? 0, params["progress"]?.double ?? 0)
        lastTotal = params["total"]?.text
        return Message.notification(method: "notifications/progress", params: params.replacing([("progressToken", incoming.progressToken)]))
    }

    /// Something for a client that wants to hear of progress, so that it knows the request is alive: a little more than last
    /// time, for progress only grows (S-25).
    private func heartbeat() -> Part {
        guard let token = incoming.progressToken else { return .silence }
        heartbeats += 1
        let last = lastProgress ?? 0
        let next = max(last + max(1, last.magnitude) * 1e-6, last.nextUp)
        lastProgress = next
        let params: JSONText = [
            "progressToken": token, "progress": .number(next), "total": lastTotal, "message": "The server has not answered yet.",
        ]
        return .message(Message.notification(method: "notifications/progress", params: params), isDroppable: true)
    }

    // MARK: Questions of a server with a handshake

    private func ask(_ id: MessageID, _ question: ServerQuestion) async -> Part? {
        if incoming.revision.era == .modern {
            questions += 1
            let key = "q\(questions)"
            open.append((key, id, question))
            return .parked([(key, question)])
        }
        let call = call
        let name = session?.expect { result in
            // Unstructured on purpose: whoever posted the answer does not wait for the server to take it.
            Task { await call.answer(id, result.map(\.text)) }
        }
        guard let name else {
            await call.answer(id, .failure(ProtocolError.cannotBeAsked(question.kind, in: .legacy)))
            return nil
        }
        return .message(request(name, question, as: shown(question.elicitationID)), isDroppable: false)
    }

    private func request(_ id: MessageID, _ question: ServerQuestion, as elicitation: String) -> JSONText {
        let params = question.params(asker: dispatch.asker, in: incoming.revision, id: elicitation)
        return Message.request(id: id, method: question.method, params: params)
    }

    // MARK: Elicitations by URL that are dealt with later

    private func asked(_ elicitation: String) -> Elicitations.Asked {
        let (upstream, principal) = (dispatch.upstream, dispatch.grant.principal)
        return Elicitations.Asked(server: upstream.server.id, user: upstream.conversant(of: principal), id: ExactName(elicitation))
    }

    /// The name under which the client is shown what the server calls that. Without a session it never hears of it again.
    private func shown(_ elicitation: String?) -> String {
        guard let elicitation, let session, session.revision >= .november2025 else { return RequestID.random().description }
        return elicitations.name(of: asked(elicitation), shownTo: session.listener)
    }

    /// What the client of this call is told; other sessions that were shown the same hear of it on streams of theirs.
    private func dealtWith(_ elicitation: String) -> JSONText? {
        let shown = elicitations.complete(asked(elicitation))
        if shown.isEmpty { dispatch.upstream.countStray() }
        var own: JSONText?
        for (listener, name) in shown {
            if listener === session?.listener {
                own = Change.elicitation(name).notification(for: nil)
            } else {
                listener.hear([.elicitation(name)])
            }
        }
        return own
    }

    /// The client came back with answers: those there are go to the server; what is still open is to be asked again.
    func settle(_ answers: JSON?) async -> [(key: String, question: ServerQuestion)] {
        for (key, id, _) in open {
            guard let answer = answers?[key], answer.isObject else { continue }
            await call.answer(id, .success(answer.text))
        }
        open.removeAll { answers?[$0.key]?.isObject ?? false }
        return open.map { ($0.key, $0.question) }
    }

    // MARK: Questions of a stateless server

    private func ask(_ required: InputRequired) async throws -> Part {
        if incoming.revision.era == .modern { return .asks(required) }
        guard let session else {
            throw required.questions.first.map { ProtocolError.cannotBeAsked($0.question.kind, in: .legacy) } ?? .staleState
        }
        rounds += 1
        guard rounds <= Self.mostRounds else {
            throw ProtocolError(code: -32603, message: "The server asked for something \(Self.mostRounds) times, and would ask again.")
        }
        let round = Round(required)
        for (key, question) in required.questions {
            guard request.capabilities.permits(question) else { throw ProtocolError.cannotBeAsked(question.kind, in: .legacy) }
            guard let id = session.expect({ round.answered(key, $0) }) else {
                throw ProtocolError(code: -32603, message: "Too many questions to your client wait for an answer.")
            }
            round.wait(for: id)
            outbox.append(request(id, question, as: shown(nil)))
        }
        self.round = round
        return await next(orSilenceAfter: .zero)
    }

    /// The answers of the round; nil if they are not complete after the wait.
    private func collect(_ round: Round, _ wait: Duration?) async throws -> JSONText? {
        if let ended = current.withLock({ $0.ended }) {
            session?.forget(round.ids)
            throw ended
        }
        guard let answers = try await round.answers(within: wait) else { return nil }
        return answers
    }

    private func askAgain(_ round: Round, _ answers: JSONText) async throws {
        self.round = nil
        request = request.retry(answers: answers, state: round.required.state)
        try await ask()
    }

    /// What the tool's schema said of headers no longer holds: once more, with those that it asks for now. Nothing was done so far.
    ///
    /// - Returns: false if that was tried before, or the same headers would be sent.
    private func askWithOtherHeaders() async throws -> Bool {
        guard !isRemade else { return false }
        isRemade = true
        guard let headers = await remake(), !headers.elementsEqual(request.headers, by: ==) else { return false }
        if let ended = current.withLock({ $0.ended }) { throw ended }
        request.headers = headers
        try await ask()
        return true
    }

    private func ask() async throws {
        // The state that it carries, if any, was made where it was sent before.
        let call = try await dispatch.upstream.ask(request, by: dispatch.grant, isIdempotent: isIdempotent, preferring: call.replica)
        self.call = call
        let ended = current.withLock { current in
            current.call = call
            return current.ended
        }
        if let ended { call.abandon(ended) }
    }
}

/// The questions of one round, put to a client with a handshake, and what it answered so far.
private final class Round: Sendable {
    private struct State {
        var ids: [MessageID] = []
        var answers: [String: JSONText] = [:]
        var failure: ProtocolError?
    }

    /// How long a client may take to answer.
    private static let longestWait = Duration.seconds(600)

    let required: InputRequired
    private let state = Mutex(State())
    private let complete = Question()
    private let end = ContinuousClock.now + longestWait

    init(_ required: InputRequired) {
        self.required = required
        if required.questions.isEmpty { complete.answered() }
    }

    var ids: [MessageID] { state.withLock { $0.ids } }

    func wait(for id: MessageID) { state.withLock { $0.ids.append(id) } }

    func answered(_ key: String, _ result: Result<JSON, ProtocolError>) {
        let isComplete = state.withLock { state in
            switch result {
            case .success(let answer): state.answers[key] = answer.text
            case .failure(let error): state.failure = error
            }
            return state.failure != nil || state.answers.count == required.questions.count
        }
        if isComplete { complete.answered() }
    }

    /// - Throws: what the client answered instead.
    func answers(within wait: Duration?) async throws -> JSONText? {
        await complete.wait(atMost: wait ?? (end - .now))
        let (answers, failure) = state.withLock { ($0.answers, $0.failure) }
        if let failure {
            throw ProtocolError(code: -32603, message: "Your client refused what the server asked for: \(failure.message.cut(300))")
        }
        guard answers.count == required.questions.count else {
            if ContinuousClock.now >= end || Task.isCancelled { throw UpstreamFailure.abandoned }
            return nil
        }
        return .object(required.questions.map { ($0.key, answers[$0.key]) })
    }
}

extension Dispatch {
    /// Who asks, for people to read, where the client can only name the gateway; an endpoint of one server speaks for it.
    var asker: String? {
        if case .prefixed = naming { upstream.server.title.isEmpty ? upstream.alias : upstream.server.title } else { nil }
    }
}

extension Outgoing {
    /// The same once more, with the answers to what was asked.
    func retry(answers: JSONText?, state: String?) -> Outgoing {
        let kept = changes.filter { $0.0 != "inputResponses" && $0.0 != "requestState" }
        var request = Outgoing(
            method: method, name: name, params: params,
            changes: kept + [("inputResponses", answers), ("requestState", state.map { .string($0) })])
        request.wantsProgress = wantsProgress
        request.logLevel = logLevel
        request.capabilities = capabilities
        request.headers = headers
        return request
    }
}
