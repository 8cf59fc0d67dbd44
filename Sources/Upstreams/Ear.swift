import NIOCore
import Pacing
import Synchronization

/// Hears what a server says outside of requests, in one conversation of the handshake era: its GET stream, or what else the
/// transport has. Opened when first wanted; opened anew after pauses when it breaks off, until the conversation ends or the
/// server turns out to offer none.
final class Ear: Sendable {
    /// How many streams may be open for that at one server: each takes a connection.
    final class Places: Sendable {
        private let left: Atomic<Int>

        init(_ count: Int) { left = Atomic(count) }

        func take() -> Bool {
            if left.subtract(1, ordering: .relaxed).newValue >= 0 { return true }
            leave()
            return false
        }

        func leave() { left.add(1, ordering: .relaxed) }
    }

    private struct State {
        var task: Task<Void, Never>?
        var isOver = false
        var end: UpstreamFailure?
    }

    private static let backoff = Backoff(first: .seconds(1), longest: .seconds(300))
    /// What lasted this long was no failure.
    private static let lasting = TimeAmount.seconds(30)

    private let places: Places?
    private let hear: @Sendable (_ onOpen: @escaping @Sendable () -> Void) async throws(UpstreamFailure) -> Void
    private let isOver: @Sendable () -> Bool
    private let onGap: @Sendable () -> Void
    private let heard = Question()
    private let closed = Question()
    private let state = Mutex(State())

    /// - Parameters:
    ///   - places: nil if hearing takes no connection of its own.
    ///   - hear: as `MessageTransport.hear`.
    ///   - isOver: whether the conversation is.
    ///   - onGap: called when it is heard again after it was not: something may have been missed.
    init(
        places: Places?, hear: @escaping @Sendable (_ onOpen: @escaping @Sendable () -> Void) async throws(UpstreamFailure) -> Void,
        isOver: @escaping @Sendable () -> Bool, onGap: @escaping @Sendable () -> Void
    ) {
        self.places = places
        self.hear = hear
        self.isOver = isOver
        self.onGap = onGap
    }

    /// Returns when the server is heard, or it will not be, or that once took longer than the patience with a wish.
    func open() async {
        state.withLock { state in
            guard state.task == nil, !state.isOver else { return }
            state.task = Task {
                let end = await self.run()
                self.finish(end)
            }
        }
        await heard.wait(atMost: Exchange.Patience.farewell.total)
        heard.answered()
    }

    /// Returns when the conversation is over, with why if that was heard, or the calling task is cancelled. That the server has no
    /// stream beside those of requests is no end: it may tell on those.
    func untilClosed() async -> UpstreamFailure? {
        await closed.wait()
        return state.withLock { $0.end }
    }

    func close() {
        let task = state.withLock { state in
            state.isOver = true
            return state.task
        }
        task?.cancel()
        heard.answered()
        closed.answered()
    }

    private func finish(_ end: UpstreamFailure) {
        state.withLock { $0.end = end }
        heard.answered()
        if end.isLostSession || isOver() { closed.answered() }
    }

    private func run() async -> UpstreamFailure {
        if let places, !places.take() { return .unreachable("too many streams to it are open already") }
        defer { places?.leave() }
        var failures = 0
        let wasHeard = Atomic<Bool>(false)
        while true {
            let start = NIODeadline.now()
            do throws(UpstreamFailure) {
                try await hear { [heard, onGap] in
                    if wasHeard.exchange(true, ordering: .relaxed) { onGap() }
                    heard.answered()
                }
                return .lost("it ended")
            } catch {
                switch error {
                case .rejected, .turnedAway, .credential, .abandoned, .signedOut, .garbled: return error
                case .lost, .timedOut, .unreachable, .resting: if isOver() { return error }
                }
            }
            heard.answered()
            failures = NIODeadline.now() - start > Self.lasting ? 1 : failures + 1
            do { try await Task.sleep(for: Self.backoff.wait(afterFailures: failures).jittered) } catch { return .abandoned }
        }
    }
}

extension Duration {
    /// Between half of it and all of it, so that not everybody comes back at once.
    var jittered: Duration { self * Double.random(in: 0.5...1) }
}
