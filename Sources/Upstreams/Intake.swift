import Gateway
import Pacing
import Synchronization

/// Large answers of servers that are on their way. Each takes up to 16 MiB before anything can be done with it, so beyond a bound the later
/// ones are read on only when there is room for the whole of them: their servers wait, nobody's call fails.
final class Intake: Sendable {
    static let mostBytes = 128 << 20
    /// Of one server: four answers of 8 MiB.
    static let mostBytesPerServer = 32 << 20
    /// What takes less needs no room: most answers, which therefore wait for nobody.
    static let freeBytes = 256 << 10

    private struct State {
        var queue = IntakeQueue<Origin>(mostBytes: Intake.mostBytes, mostBytesPerSource: Intake.mostBytesPerServer)
        var waiting: [Int: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    /// - Parameter onTurn: called once when there is room, if there is none now.
    func claim(_ bytes: Int, of origin: Origin, onTurn: @escaping @Sendable () -> Void) -> (ticket: Int, isAdmitted: Bool) {
        state.withLock { state in
            let (ticket, isAdmitted) = state.queue.claim(bytes, of: origin)
            if !isAdmitted { state.waiting[ticket] = onTurn }
            return (ticket, isAdmitted)
        }
    }

    /// Whether somebody waits for its room.
    func isWaitedFor(_ ticket: Int) -> Bool { state.withLock { $0.queue.isWaitedFor(ticket) } }

    /// It is here, or will not come.
    func end(_ ticket: Int) {
        let turns = state.withLock { state in
            state.waiting[ticket] = nil
            return state.queue.end(ticket).compactMap { state.waiting.removeValue(forKey: $0) }
        }
        for onTurn in turns { onTurn() }
    }
}
