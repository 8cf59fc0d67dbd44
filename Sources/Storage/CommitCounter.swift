import Synchronization

/// Says after which commits the WAL is worth copying back.
final class CommitCounter: Sendable {
    private let commits = Atomic<Int>(0)
    private static let interval = 256

    func isCheckpointDue() -> Bool {
        commits.add(1, ordering: .relaxed).newValue % Self.interval == 0
    }
}
