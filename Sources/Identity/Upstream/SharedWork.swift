import Synchronization

/// One piece of work whose outcome several wait for, each no longer than they like.
///
/// It belongs to everybody who waits, and outlives the one who asked first; ending in time is its own affair.
final class SharedWork<Outcome: Sendable>: Sendable {
    private struct State {
        var outcome: Outcome?
        var waiting: [Int: CheckedContinuation<Outcome?, Never>] = [:]
        var count = 0
    }

    private let state = Mutex(State())

    func end(_ outcome: Outcome) {
        let waiting = state.withLock { state in
            defer { state.waiting = [:] }
            state.outcome = outcome
            return state.waiting.values.map { $0 }
        }
        for continuation in waiting { continuation.resume(returning: outcome) }
    }

    /// - Returns: nil when it has not ended in that time, or the calling task is cancelled.
    func outcome(within patience: Duration) async -> Outcome? {
        let number = state.withLock { state in
            state.count += 1
            return state.count
        }
        let timer = Task {
            try await Task.sleep(for: patience)
            giveUp(number)
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isWaiting = state.withLock { state -> Bool in
                    guard state.outcome == nil, !Task.isCancelled else { return false }
                    state.waiting[number] = continuation
                    return true
                }
                if !isWaiting { continuation.resume(returning: state.withLock { $0.outcome }) }
            }
        } onCancel: {
            giveUp(number)
        }
    }

    private func giveUp(_ number: Int) { state.withLock { $0.waiting.removeValue(forKey: number) }?.resume(returning: nil) }
}
