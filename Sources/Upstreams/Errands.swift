import Synchronization

/// Small things to say to a server that nobody waits for: an answer to its ping, a refusal, a goodbye.
///
/// Unstructured on purpose: whoever caused an errand may have gone. Each ends by itself, within the patience of what it sends; at
/// most `most` run at a time, and what comes on top of that is not done.
final class Errands: Sendable {
    private struct State {
        var running: [Int: Task<Void, Never>] = [:]
        var count = 0
        var isClosed = false
    }

    private let most: Int
    private let state = Mutex(State())

    init(most: Int) { self.most = most }

    /// - Returns: false if there are too many, or it is over.
    @discardableResult
    func run(_ errand: @escaping @Sendable () async -> Void) -> Bool {
        state.withLock { state in
            guard !state.isClosed, state.running.count < most else { return false }
            state.count += 1
            let number = state.count
            state.running[number] = Task {
                await errand()
                self.state.withLock { $0.running[number] = nil }
            }
            return true
        }
    }

    /// Gives up what is under way; nothing is begun any more.
    func close() {
        let running = state.withLock { state in
            state.isClosed = true
            return Array(state.running.values)
        }
        for task in running { task.cancel() }
    }
}
