import Synchronization

/// A question under way whose answer several callers wait for, each for as long as they like.
///
/// Waiting for a task cannot be cancelled; waiting here can.
package final class Question: Sendable {
    private struct State {
        var isAnswered = false
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        var count = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Returns when it is answered, or the calling task is cancelled.
    package func wait() async {
        let number = state.withLock { state in
            state.count += 1
            return state.count
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    if !state.isAnswered && !Task.isCancelled { state.waiting[number] = continuation }
                    return state.waiting[number] == nil
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: number) }?.resume()
        }
    }

    /// Returns when it is answered, or that time has passed.
    package func wait(atMost limit: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: limit) }
            group.addTask { await self.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    package func answered() {
        let waiting = state.withLock { state in
            defer { state.waiting = [:] }
            state.isAnswered = true
            return state.waiting.values.map { $0 }
        }
        for continuation in waiting { continuation.resume() }
    }
}
