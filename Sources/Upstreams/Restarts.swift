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
    }

    private let state = Mutex(State())
    private static let backoff = Backoff(first: .milliseconds(500), longest: .seconds(60))
    private static let soon = TimeAmount.seconds(30)

    func admit() throws(UpstreamFailure) {
        let now = NIODeadline.now()
        let wait = state.withLock { state -> TimeAmount? in
            guard now >= state.notBefore else { return state.notBefore - now }
            state.startedAt = now
            return nil
        }
        if let wait {
            throw .unreachable("its process keeps ending; it is started again in \(wait.nanoseconds / 1_000_000_000 + 1) s at the earliest")
        }
    }

    func ended() {
        let now = NIODeadline.now()
        state.withLock { state in
            state.failures = now - state.startedAt < Self.soon ? state.failures + 1 : 0
            state.notBefore = now + TimeAmount(Self.backoff.wait(afterFailures: state.failures))
        }
    }
}
