import MCP
import NIOCore
import Synchronization

/// One request to a server and what comes back for it: some notifications, perhaps questions, then one response.
///
/// A transport delivers, one caller takes. A transport that serves nobody else reads on only when there is room again (F-35). Bounded for
/// the others: beyond `capacity` waiting events, or `mostWaiting` bytes of them, notifications are dropped; questions, of which few may be
/// open, and the response always have room. It fails by itself when nothing arrives in time.
final class Exchange: Sendable {
    enum Event: Sendable {
        /// The parameters of a progress notification under this exchange's token.
        case progress(JSON)
        /// The parameters of a log message that its audience wants.
        case log(JSON)
        case question(MessageID, ServerQuestion)
        /// An elicitation by URL that was put here was dealt with; the server's name of it.
        case elicitationComplete(String)
        case notification(method: String, params: JSON?)
        case response(Result<JSON, ProtocolError>)
        /// Nothing for as long as the taker wanted to wait.
        case silence
    }

    /// How long to wait for the next event, and for the response at all.
    struct Patience: Sendable {
        let idle: Duration
        let total: Duration

        init(idle: Duration, total: Duration) { (self.idle, self.total) = (idle, total) }
        init(_ total: Duration) { (idle, self.total) = (total, total) }

        /// A tool may be at work for long without a word.
        static let call = Patience(.seconds(600))
        static let handshake = Patience(.seconds(30))
        static let probe = Patience(.seconds(10))
        /// For what nobody should have to wait for: a goodbye, a wish.
        static let farewell = Patience(.seconds(2))
        /// For a stream of changes, which is then opened anew: a connection may be dead without either side having heard.
        static let listening = Patience(.seconds(3600))
        /// For the one stream that a whole conversation hangs on.
        static let conversation = Patience(.seconds(86_400))
    }

    /// What became of something that was delivered.
    enum Delivery {
        case taken
        /// It was wanted, and there was no room.
        case dropped
        /// It is over, or that says nothing new.
        case nobodys
    }

    /// What it is for.
    enum Purpose: Sendable {
        /// A caller's request.
        case call(Audience)
        /// The gateway's own: a handshake, a list.
        case own
        /// Hearing of changes.
        case listening
    }

    private struct State {
        var events: [Event] = []
        var waitingBytes = 0
        var taker: CheckedContinuation<Event?, any Error>?
        /// Counts takers, so that a timer knows whether its own is still waiting.
        var takers = 0
        var silence: Scheduled<Void>?
        var failure: UpstreamFailure?
        var isAnswered = false
        var idleUntil: NIODeadline
        var timer: Scheduled<Void>?
        var onAbandon: (@Sendable () -> Void)?
        var onEnd: (@Sendable ([MessageID]) -> Void)?
        var onRoom: (@Sendable () -> Void)?
        var watcher: (@Sendable (UpstreamFailure?) -> Void)?
        var replica: Int?
        var questions: [MessageID] = []
        /// The server's names of elicitations by URL that were put here.
        var elicitations: [(name: String, isComplete: Bool)] = []
        var progress: Double?

        var isOver: Bool { isAnswered || failure != nil }
        var isCrowded: Bool { events.count > Exchange.crowd || waitingBytes > Exchange.crowdBytes }
        var isRoomy: Bool { events.count <= Exchange.crowd / 2 && waitingBytes <= Exchange.crowdBytes / 2 }

        /// What is to be done now that somebody took something.
        mutating func takeOnRoom() -> (@Sendable () -> Void)? {
            guard isRoomy || isOver else { return nil }
            defer { onRoom = nil }
            return onRoom
        }
    }

    /// The id the request went out with; ours, so no two requests on one connection or process share it.
    let id: Int64
    let purpose: Purpose
    private let loop: any EventLoop
    private let patience: Patience
    private let end: NIODeadline
    private let state: Mutex<State>
    private static let capacity = 256
    private static let mostWaiting = 1 << 20
    /// Beyond one of these it is crowded; at half of it there is room again.
    static let crowd = 128
    static let crowdBytes = 256 << 10
    static let mostQuestions = 16
    /// As much as a client may say in answer.
    static let mostQuestionBytes = 4 << 20
    private static let mostElicitations = 64

    init(id: Int64, loop: any EventLoop, patience: Patience, purpose: Purpose = .own) {
        self.id = id
        self.purpose = purpose
        self.loop = loop
        self.patience = patience
        end = .now() + TimeAmount(patience.total)
        state = Mutex(State(idleUntil: .now() + TimeAmount(patience.idle)))
        arm()
    }

    var audience: Audience? { if case .call(let audience) = purpose { audience } else { nil } }
    var isListening: Bool { if case .listening = purpose { true } else { false } }

    /// What to do upstream when the caller goes away or time runs out.
    func onAbandon(_ action: @escaping @Sendable () -> Void) {
        let isOver = state.withLock { state -> Bool in
            state.onAbandon = action
            return state.failure != nil
        }
        if isOver { action() }
    }

    /// What to do when it has ended, in whatever way, with the questions that nobody answered. Set once.
    func onEnd(_ action: @escaping @Sendable ([MessageID]) -> Void) {
        let isOver = state.withLock { state -> Bool in
            if !state.isOver { state.onEnd = action }
            return state.isOver
        }
        if isOver { action([]) }
    }

    /// Which replica of the server it went to; nil while it went to none.
    var replica: Int? { state.withLock { $0.replica } }

    /// Notes where it goes, and tells how it ended: nil for an answer. Set once.
    func watch(at replica: Int, _ watcher: @escaping @Sendable (UpstreamFailure?) -> Void) {
        let ended = state.withLock { state -> UpstreamFailure?? in
            state.replica = replica
            if state.isOver { return .some(state.failure) }
            state.watcher = watcher
            return nil
        }
        if let ended { watcher(ended) }
    }

    // MARK: The transport's side

    /// Whether so much waits to be taken that its transport should read on only later.
    ///
    /// - Parameter resume: called once in that case, when there is room or it has ended.
    func isCrowded(orSoon resume: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            guard !state.isOver, state.isCrowded else { return false }
            state.onRoom = resume
            return true
        }
    }

    @discardableResult
    func deliver(_ event: Event) -> Delivery {
        let (delivery, taker, action, questions) = state.withLock {
            state -> (Delivery, CheckedContinuation<Event?, any Error>?, Ending?, [MessageID]) in
            guard !state.isOver else { return (.nobodys, nil, nil, []) }
            state.idleUntil = .now() + TimeAmount(patience.idle)
            var action: Ending?
            switch event {
            case .response:
                state.isAnswered = true
                action = state.onEnd
                (state.onAbandon, state.onEnd) = (nil, nil)
            case .question, .elicitationComplete: break
            case .progress(let params) where !Self.isRising(params, &state.progress): return (.nobodys, nil, nil, [])
            case .progress, .log, .notification, .silence:
                guard state.taker != nil || (state.events.count < Self.capacity && state.waitingBytes < Self.mostWaiting) else {
                    return (.dropped, nil, nil, [])
                }
            }
            guard let taker = state.taker else {
                state.events.append(event)
                state.waitingBytes += event.size
                return (.taken, nil, action, state.questions)
            }
            state.taker = nil
            state.silence?.cancel()
            state.silence = nil
            return (.taken, taker, action, state.questions)
        }
        guard delivery == .taken else { return delivery }
        // Whoever hears the answer finds that it was taken note of.
        if case .response = event { takeWatcher()?(nil) }
        taker?.resume(returning: event)
        guard case .response = event else { return delivery }
        disarm()
        action?(questions)
        return delivery
    }

    private func takeWatcher() -> (@Sendable (UpstreamFailure?) -> Void)? {
        state.withLock { state in
            defer { state.watcher = nil }
            return state.watcher
        }
    }

    private typealias Ending = @Sendable ([MessageID]) -> Void

    /// A value that does not grow says nothing new (S-25).
    private static func isRising(_ params: JSON, _ last: inout Double?) -> Bool {
        guard let value = params["progress"]?.double, last.map({ value > $0 }) ?? true else { return false }
        last = value
        return true
    }

    /// A message that answers it, or one that is nobody else's.
    func receive(_ message: Message) {
        switch message {
        case .notification(let method, let params): deliver(.notification(method: method, params: params))
        case .request: break
        case .response(let answered, .success) where answered != MessageID(id): fail(.garbled("it answered another request than it was asked"))
        // What a server could not read it may answer under an id of its own making (ERA-6).
        case .response(_, let result): deliver(.response(result))
        }
    }

    /// Puts a question of the server's to whoever waits.
    ///
    /// - Returns: why not, if it is not put.
    func pose(_ question: ServerQuestion, as id: MessageID) -> String? {
        let refusal = state.withLock { state -> String? in
            if state.isOver { return "The call it belongs to has ended." }
            if state.questions.contains(id) { return "Another question with this id is open." }
            if state.questions.count >= Self.mostQuestions { return "\(Self.mostQuestions) questions of this call are open already." }
            if state.waitingBytes + (question.params?.bytes.count ?? 0) > Self.mostQuestionBytes {
                return "More than \(Self.mostQuestionBytes >> 20) MiB of this call would wait to be put to the user."
            }
            state.questions.append(id)
            if let name = question.elicitationID {
                state.elicitations.removeAll { $0.name.utf8.elementsEqual(name.utf8) }
                state.elicitations.append((name, false))
                if state.elicitations.count > Self.mostElicitations { state.elicitations.removeFirst() }
            }
            return nil
        }
        if refusal == nil { deliver(.question(id, question)) }
        return refusal
    }

    /// The server says that an elicitation by URL was dealt with.
    ///
    /// - Returns: whether it was open; nil if it is none of those that were put here.
    func complete(_ elicitation: String) -> Bool? {
        let wasOpen = state.withLock { state -> Bool? in
            guard !state.isOver, let index = state.elicitations.firstIndex(where: { $0.name.utf8.elementsEqual(elicitation.utf8) }) else {
                return nil
            }
            defer { state.elicitations[index].isComplete = true }
            return !state.elicitations[index].isComplete
        }
        // Whoever is told twice hears of it once, and here.
        if wasOpen == true { deliver(.elicitationComplete(elicitation)) }
        return wasOpen
    }

    /// The server no longer wants to know.
    func withdraw(_ id: MessageID) {
        state.withLock { state in
            guard let index = state.questions.firstIndex(of: id) else { return }
            state.questions.remove(at: index)
            state.events.removeAll { if case .question(id, _) = $0 { true } else { false } }
            state.waitingBytes = state.events.reduce(0) { $0 + $1.size }
        }
    }

    /// Whether the question is open; from now on it is not.
    func take(_ id: MessageID) -> Bool {
        state.withLock { state in
            guard !state.isOver, let index = state.questions.firstIndex(of: id) else { return false }
            state.questions.remove(at: index)
            return true
        }
    }

    func fail(_ failure: UpstreamFailure) { _ = end(with: failure) }

    /// Ends the exchange if it has not ended; returns what was to be done upstream if it was abandoned.
    private func end(with failure: UpstreamFailure) -> (@Sendable () -> Void)? {
        let ended = state.withLock { state -> State? in
            guard !state.isOver else { return nil }
            state.failure = failure
            defer { (state.taker, state.onAbandon, state.onEnd, state.onRoom) = (nil, nil, nil, nil) }
            return state
        }
        guard let ended else { return nil }
        ended.onRoom?()
        takeWatcher()?(failure)
        ended.taker?.resume(throwing: failure)
        disarm()
        ended.onEnd?(ended.questions)
        return ended.onAbandon
    }

    var isOver: Bool { state.withLock { $0.isOver } }
    var failure: UpstreamFailure? { state.withLock { $0.failure } }

    // MARK: The caller's side

    /// The next event; nil after the response. Cancelling the calling task abandons the exchange.
    ///
    /// - Parameter wait: how long to wait before returning `silence`; nil waits for as long as the exchange's patience.
    func next(orSilenceAfter wait: Duration? = nil) async throws -> Event? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { taker in
                let (ready, resume) = state.withLock { state -> (Result<Event?, any Error>?, (@Sendable () -> Void)?) in
                    if !state.events.isEmpty {
                        let event = state.events.removeFirst()
                        state.waitingBytes -= event.size
                        return (.success(event), state.takeOnRoom())
                    }
                    if let failure = state.failure { return (.failure(failure), nil) }
                    if state.isAnswered { return (.success(nil), nil) }
                    state.taker = taker
                    state.takers += 1
                    if let wait { state.silence = interrupt(state.takers, after: wait) }
                    return (nil, nil)
                }
                resume?()
                if let ready { taker.resume(with: ready) }
            }
        } onCancel: {
            self.abandon(.abandoned)
        }
    }

    private func interrupt(_ number: Int, after wait: Duration) -> Scheduled<Void> {
        loop.scheduleTask(in: TimeAmount(wait)) {
            let taker = self.state.withLock { state -> CheckedContinuation<Event?, any Error>? in
                guard state.takers == number else { return nil }
                defer { state.taker = nil }
                return state.taker
            }
            taker?.resume(returning: .silence)
        }
    }

    /// The response, reading over what comes before it.
    func response() async throws -> Result<JSON, ProtocolError> {
        while let event = try await next() {
            if case .response(let result) = event { return result }
        }
        throw UpstreamFailure.garbled("it ended without an answer")
    }

    func abandon(_ failure: UpstreamFailure) { end(with: failure)?() }

    // MARK: Time

    private func arm() {
        let timer = state.withLock { state in
            loop.scheduleTask(deadline: min(end, state.idleUntil)) { self.timeIsUp() }
        }
        state.withLock { $0.timer = timer }
    }

    private func timeIsUp() {
        let waited = state.withLock { state -> Duration? in
            if NIODeadline.now() >= end { return patience.total }
            return NIODeadline.now() >= state.idleUntil ? patience.idle : nil
        }
        if let waited { abandon(.timedOut(waited)) } else if !isOver { arm() }
    }

    private func disarm() {
        state.withLock { state in
            state.timer?.cancel()
            state.silence?.cancel()
            (state.timer, state.silence) = (nil, nil)
        }
    }
}

extension Exchange.Event {
    /// Roughly what it keeps in memory: a value inside a document keeps all of that.
    fileprivate var size: Int {
        switch self {
        case .progress(let params), .log(let params), .notification(_, let params?): params.bytes.count
        case .question(_, let question): question.params?.bytes.count ?? 0
        case .elicitationComplete, .response, .notification(_, nil), .silence: 0
        }
    }
}
