import MCP
import NIOCore
import Synchronization

/// One request to a server and what comes back for it: some notifications, perhaps questions, then one response.
///
/// A transport delivers, one caller takes. Bounded: beyond `capacity` waiting events, notifications are dropped; the
/// response always has room. It fails by itself when nothing arrives in time.
final class Exchange: Sendable {
    enum Event: Sendable {
        case notification(method: String, params: JSON?)
        case request(id: MessageID, method: String)
        case response(Result<JSON, ProtocolError>)
        /// Nothing for as long as the taker wanted to wait.
        case silence
    }

    /// How long to wait for the next event, and for the response at all.
    struct Patience: Sendable {
        let idle: Duration
        let total: Duration

        static let call = Patience(idle: .seconds(60), total: .seconds(600))
        static let handshake = Patience(idle: .seconds(30), total: .seconds(30))
        static let probe = Patience(idle: .seconds(10), total: .seconds(10))
        /// For a goodbye, which nobody should have to wait for.
        static let farewell = Patience(idle: .seconds(2), total: .seconds(2))
    }

    private struct State {
        var events: [Event] = []
        var taker: CheckedContinuation<Event?, any Error>?
        /// Counts takers, so that a timer knows whether its own is still waiting.
        var takers = 0
        var silence: Scheduled<Void>?
        var failure: UpstreamFailure?
        var isAnswered = false
        var idleUntil: NIODeadline
        var timer: Scheduled<Void>?
        var onAbandon: (@Sendable () -> Void)?
    }

    /// The id the request went out with; ours, so no two requests on one connection or process share it.
    let id: Int64
    private let loop: any EventLoop
    private let patience: Patience
    private let end: NIODeadline
    private let state: Mutex<State>
    private static let capacity = 256

    init(id: Int64, loop: any EventLoop, patience: Patience) {
        self.id = id
        self.loop = loop
        self.patience = patience
        end = .now() + TimeAmount(patience.total)
        state = Mutex(State(idleUntil: .now() + TimeAmount(patience.idle)))
        arm()
    }

    /// What to do upstream when the caller goes away or time runs out.
    func onAbandon(_ action: @escaping @Sendable () -> Void) {
        let isOver = state.withLock { state -> Bool in
            state.onAbandon = action
            return state.failure != nil
        }
        if isOver { action() }
    }

    // MARK: The transport's side

    func deliver(_ event: Event) {
        let taker = state.withLock { state -> CheckedContinuation<Event?, any Error>? in
            guard !state.isAnswered, state.failure == nil else { return nil }
            state.idleUntil = .now() + TimeAmount(patience.idle)
            if case .response = event {
                state.isAnswered = true
                state.onAbandon = nil
            } else if state.events.count >= Self.capacity {
                return nil
            }
            guard let taker = state.taker else {
                state.events.append(event)
                return nil
            }
            state.taker = nil
            state.silence?.cancel()
            state.silence = nil
            return taker
        }
        taker?.resume(returning: event)
        if case .response = event { disarm() }
    }

    /// A message that a server wrote for this exchange.
    func receive(_ message: Message) {
        switch message {
        case .notification(let method, let params): deliver(.notification(method: method, params: params))
        case .request(let id, let method, _): deliver(.request(id: id, method: method))
        case .response(let answered, .success) where answered != MessageID(id): fail(.garbled("it answered another request than it was asked"))
        // What a server could not read it may answer under an id of its own making (ERA-6).
        case .response(_, let result): deliver(.response(result))
        }
    }

    func fail(_ failure: UpstreamFailure) { _ = end(with: failure) }

    /// Ends the exchange if it has not ended; returns what was to be done upstream if it was abandoned.
    private func end(with failure: UpstreamFailure) -> (@Sendable () -> Void)? {
        let (taker, action) = state.withLock { state -> (CheckedContinuation<Event?, any Error>?, (@Sendable () -> Void)?) in
            guard !state.isAnswered, state.failure == nil else { return (nil, nil) }
            state.failure = failure
            defer { (state.taker, state.onAbandon) = (nil, nil) }
            return (state.taker, state.onAbandon)
        }
        taker?.resume(throwing: failure)
        disarm()
        return action
    }

    var isOver: Bool { state.withLock { $0.isAnswered || $0.failure != nil } }

    // MARK: The caller's side

    /// The next event; nil after the response. Cancelling the calling task abandons the exchange.
    ///
    /// - Parameter wait: how long to wait before returning `silence`; nil waits for as long as the exchange's patience.
    func next(orSilenceAfter wait: Duration? = nil) async throws -> Event? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { taker in
                let ready = state.withLock { state -> Result<Event?, any Error>? in
                    if !state.events.isEmpty { return .success(state.events.removeFirst()) }
                    if let failure = state.failure { return .failure(failure) }
                    if state.isAnswered { return .success(nil) }
                    state.taker = taker
                    state.takers += 1
                    if let wait { state.silence = interrupt(state.takers, after: wait) }
                    return nil
                }
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

    /// The response, reading over notifications before it.
    ///
    /// - Parameter answer: called for a request of the server's own.
    func response(answering answer: (MessageID, String) async -> Void = { _, _ in }) async throws -> Result<JSON, ProtocolError> {
        while let event = try await next() {
            switch event {
            case .response(let result): return result
            case .request(let id, let method): await answer(id, method)
            case .notification, .silence: break
            }
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
