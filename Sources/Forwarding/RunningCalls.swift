package import Gateway
import Synchronization

/// What is under way for callers, so that it ends with the credential it was begun with.
package final class RunningCalls: Sendable {
    private struct Running {
        let principal: Principal
        let end: @Sendable () -> Void
    }

    private struct State {
        var running: [Int: Running] = [:]
        var count = 0
    }

    private let state = Mutex(State())

    private let hush: @Sendable ((Principal) -> Bool) -> Void

    /// - Parameter hush: ends what is under way elsewhere for whom the closure names.
    package init(hush: @escaping @Sendable (_ isOver: (Principal) -> Bool) -> Void = { _ in }) { self.hush = hush }

    /// - Parameter end: called when the credential is over; whoever waits is told what became of what they asked for.
    /// - Returns: a ticket to take it off the list with.
    func add(of principal: Principal, end: @escaping @Sendable () -> Void) -> Int {
        state.withLock { state in
            state.count += 1
            state.running[state.count] = Running(principal: principal, end: end)
            return state.count
        }
    }

    func remove(_ ticket: Int) { state.withLock { _ = $0.running.removeValue(forKey: ticket) } }

    package var count: Int { state.withLock { $0.running.count } }

    /// Ends what is under way for whom the closure says so.
    package func end(_ isOver: (Principal) -> Bool) {
        for running in state.withLock({ state in state.running.values.filter { isOver($0.principal) } }) { running.end() }
        hush(isOver)
    }
}
