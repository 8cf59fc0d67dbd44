import Gateway
import NIOCore
import Pacing
import Synchronization

/// When a server's process may be started again: at once the first time, then after growing pauses while it keeps
/// ending soon after its start.
final class Restarts: Sendable {
    private struct State {
        var failures = 0
        var startedAt: NIODeadline = .uptimeNanoseconds(0)
        var notBefore: NIODeadline = .uptimeNanoseconds(0)
        var wakes = 0
    }

    private let state = Mutex(State())
    private static let backoff = Backoff(first: .milliseconds(500), longest: .seconds(60))
    private static let soon = TimeAmount.seconds(30)

    /// - Parameter wakes: how often somebody wanted the program tried again; whoever does waits for no pause.
    func admit(after wakes: Int = 0) throws(UpstreamFailure) {
        let now = NIODeadline.now()
        let wait = state.withLock { state -> TimeAmount? in
            if wakes != state.wakes { state = State(wakes: wakes) }
            guard now >= state.notBefore else { return state.notBefore - now }
            state.startedAt = now
            return nil
        }
        if let wait {
            throw .unreachable("its process keeps ending; it is started again in \(wait.nanoseconds / 1_000_000_000 + 1) s at the earliest")
        }
    }

    /// - Parameter isFault: whether it counts as an end soon after the start, whenever it comes.
    func ended(isFault: Bool = false) {
        let now = NIODeadline.now()
        state.withLock { state in
            state.failures = isFault || now - state.startedAt < Self.soon ? state.failures + 1 : 0
            state.notBefore = now + TimeAmount(Self.backoff.wait(afterFailures: state.failures))
        }
    }
}

/// How often the processes of a program crashed, over all conversations with it; one that does so in a row is not started any more.
///
/// A crash is an end of its own accord before any caller asked the process something: what a caller sends takes a program from nobody else.
final class Crashes: Sendable {
    private struct State {
        var loop = CrashLoop()
        var last = ""
        var complaint: String?
        var wakes = 0
        var isInUse: (@Sendable () -> Bool)?
        var onRest: (@Sendable (String) -> Void)?
    }

    private let now: @Sendable () -> Moment
    private let state = Mutex(State())

    init(now: @escaping @Sendable () -> Moment) { self.now = now }

    /// Why it is not started any more; nil while it is.
    var rest: String? {
        state.withLock { state in
            guard state.loop.isResting else { return nil }
            return "it was put to rest, for \(CrashLoop.most) of its processes in a row ended by themselves within "
                + "\(CrashLoop.window.components.seconds) s, before anybody could use them (the last: \(state.last)); "
                + "when it is mended, “mreg server check” on the gateway's host or any change of its registration has it started again"
        }
    }

    /// How often it was woken.
    var wakes: Int { state.withLock { $0.wakes } }

    func admit() throws(UpstreamFailure) { if let rest { throw .unreachable(rest) } }

    /// What to do when it is put to rest, and what says that a conversation with one of its processes goes on. Set once.
    func watch(isInUse: @escaping @Sendable () -> Bool, onRest: @escaping @Sendable (String) -> Void) {
        state.withLock { ($0.isInUse, $0.onRest) = (isInUse, onRest) }
    }

    /// Why its latest process was ended; nil if there is another since, or nothing was wrong with it.
    var complaint: String? { state.withLock { $0.complaint } }

    func started() { state.withLock { $0.complaint = nil } }

    func ended(_ end: StdioProcess.End) {
        if end.isFlood { state.withLock { $0.complaint = end.reason } }
        if end.isCrash { note(end.reason) }
    }

    private func note(_ reason: String) {
        let now = now().boot
        // Some programs run once only: who has theirs keeps it.
        let isInUse = state.withLock { $0.isInUse }?() ?? false
        let onRest = state.withLock { state -> (@Sendable (String) -> Void)? in
            state.last = reason
            if isInUse { state.loop.wake() }
            return !isInUse && state.loop.crashed(at: now) ? state.onRest : nil
        }
        if let onRest, let rest { onRest(rest) }
    }

    /// - Returns: whether it was at rest.
    @discardableResult
    func wake() -> Bool {
        state.withLock { state in
            state.wakes += 1
            return state.loop.wake()
        }
    }
}
