import Gateway
import NIOCore
import Synchronization

/// One fetch under way. It ends once, with whichever comes first: an answer, a failure, its deadline, or whoever asked
/// going away. Then its connection is closed.
final class Fetch: Sendable {
    typealias Outcome = Result<FetchedAnswer, FetchFailure>

    /// Thrown at a connection that nobody waits for any more.
    struct Over: Error {}

    private struct State {
        var outcome: Outcome?
        var taker: CheckedContinuation<Outcome, Never>?
        var channel: (any Channel)?
        var isSent = false
    }

    private let state = Mutex(State())

    var isOver: Bool { state.withLock { $0.outcome != nil } }

    /// Notes the connection it goes over, which may not be connected yet.
    func opened(_ channel: any Channel) throws(Over) {
        let isOver = state.withLock { state in
            state.channel = channel
            return state.outcome != nil
        }
        if isOver { throw Over() }
    }

    /// Notes that from here on the other side may act on it.
    func sent() { state.withLock { $0.isSent = true } }

    func end(_ outcome: Outcome) {
        let (taker, channel) = state.withLock { state -> (CheckedContinuation<Outcome, Never>?, (any Channel)?) in
            guard state.outcome == nil else { return (nil, nil) }
            state.outcome = outcome
            defer { (state.taker, state.channel) = (nil, nil) }
            return (state.taker, state.channel)
        }
        taker?.resume(returning: outcome)
        channel?.close(promise: nil)
    }

    /// Ends it as what it is by now: not sent, or lost.
    func fail(_ why: String) {
        let isSent = state.withLock { $0.isSent }
        end(.failure(isSent ? .lost(why) : .unreachable(why)))
    }

    /// Waits for the end, of which a cancelled task makes one. Asked for once.
    func outcome() async -> Outcome {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let known = state.withLock { state -> Outcome? in
                    if state.outcome == nil { state.taker = continuation }
                    return state.outcome
                }
                if let known { continuation.resume(returning: known) }
            }
        } onCancel: {
            fail("whoever asked went away")
        }
    }
}
