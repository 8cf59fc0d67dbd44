import GRDB
import Synchronization

/// Who reads at the moment, and since when.
final class ReaderRegister: Sendable {
    struct Ticket: Hashable {
        fileprivate let id: UInt64
    }

    private struct State {
        var nextID: UInt64 = 0
        var reading: [UInt64: (handle: DatabaseQueue, since: ContinuousClock.Instant)] = [:]
    }

    /// A read that lasts longer may be ended.
    private static let patience = Duration.seconds(1)
    private let state = Mutex(State())

    func begin(_ handle: DatabaseQueue) -> Ticket {
        state.withLock { state in
            state.nextID += 1
            state.reading[state.nextID] = (handle, .now)
            return Ticket(id: state.nextID)
        }
    }

    func end(_ ticket: Ticket) { state.withLock { _ = $0.reading.removeValue(forKey: ticket.id) } }

    /// Ends the reads that have lasted; each fails with `SQLITE_INTERRUPT`.
    func interruptLongOnes() {
        let limit = ContinuousClock.now - Self.patience
        // Under the lock, so that no handle is interrupted in the hands of its next borrower.
        state.withLock { state in
            for (handle, since) in state.reading.values where since < limit { handle.interrupt() }
        }
    }
}
