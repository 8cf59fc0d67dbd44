import Synchronization

/// Whether whoever made a request is still there to hear the answer.
///
/// The listener says when their connection is gone; whoever does something for them that takes its time says what is to happen then.
package final class Departure: Sendable {
    private struct State {
        var isGone = false
        var action: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    package init() {}

    package var isGone: Bool { state.withLock { $0.isGone } }

    /// Called once, on whichever thread finds out; at once if they are gone already. The last action set is the one that counts.
    package func whenGone(_ action: @escaping @Sendable () -> Void) {
        let isGone = state.withLock { state in
            if !state.isGone { state.action = action }
            return state.isGone
        }
        if isGone { action() }
    }

    package func gone() {
        let action = state.withLock { state in
            state.isGone = true
            return state.action.take()
        }
        action?()
    }
}
