import Gateway
import MCP
import Synchronization
import Upstreams

/// The messages of one stream of a session, kept so that a client whose connection broke can have what it missed (L-7).
///
/// Bounded: beyond 256 events, or 1 MiB of what merely tells of progress, the oldest of the latter go; a question or an answer is
/// never dropped before it was handed out, and after that only beyond 16 MiB. What is kept of streams that ended is bounded for all of
/// them (`EndedStreams`). One reader at a time: who comes later takes the stream over.
final class EventLog: Sendable {
    struct Event: Sendable {
        let number: Int
        /// Nil for the event without data that a stream begins with.
        let message: JSONText?
    }

    enum Item: Sendable {
        case event(Event)
        case silence
        /// All was read, and nothing more will come; or another reader took over.
        case end
    }

    private struct Kept {
        let event: Event
        let isDroppable: Bool
    }

    private struct State {
        var kept: [Kept] = []
        var bytes = 0
        var droppableBytes = 0
        var last = 0
        /// The last event that a reader was given.
        var handedOut = 0
        var isEnded = false

        mutating func drop(at place: Int) {
            let dropped = kept.remove(at: place)
            let size = dropped.event.message?.bytes.count ?? 0
            bytes -= size
            if dropped.isDroppable { droppableBytes -= size }
        }
        var isForgotten = false
        var reader = 0
        var bell = Question()
    }

    static let mostEvents = 256
    static let mostDroppableBytes = 1 << 20
    static let mostBytes = 16 << 20

    private let state = Mutex(State())

    /// - Parameter isDroppable: whether nobody waits for it.
    func append(_ message: JSONText?, isDroppable: Bool) {
        ring { state in
            guard !state.isEnded else { return }
            state.last += 1
            state.kept.append(Kept(event: Event(number: state.last, message: message), isDroppable: isDroppable))
            let bytes = message?.bytes.count ?? 0
            state.bytes += bytes
            if isDroppable { state.droppableBytes += bytes }
            while state.kept.count > Self.mostEvents || state.droppableBytes > Self.mostDroppableBytes {
                guard let place = state.kept.firstIndex(where: \.isDroppable) else { break }
                state.drop(at: place)
            }
            while state.bytes > Self.mostBytes, let first = state.kept.first, first.event.number <= state.handedOut { state.drop(at: 0) }
        }
    }

    func end() { ring { $0.isEnded = true } }

    /// Keeps nothing any more: who comes back for it is told that what became of the call is not known.
    func forget() {
        ring { state in
            (state.kept, state.bytes, state.droppableBytes) = ([], 0, 0)
            (state.isEnded, state.isForgotten) = (true, true)
        }
    }

    var isForgotten: Bool { state.withLock { $0.isForgotten } }
    var isEnded: Bool { state.withLock { $0.isEnded } }
    var byteCount: Int { state.withLock { $0.bytes } }

    /// A new reader; the former one's next read ends.
    func takeOver() -> Int {
        var number = 0
        ring { state in
            state.reader += 1
            number = state.reader
        }
        return number
    }

    /// The reader has gone; a read of theirs that waits ends.
    func leave(_ reader: Int) {
        ring { state in
            if state.reader == reader { state.reader += 1 }
        }
    }

    /// The first event after that one.
    func next(after number: Int, reader: Int, orSilenceAfter wait: Duration) async -> Item {
        let (item, bell) = look(after: number, reader)
        if let item { return item }
        await bell.wait(atMost: wait)
        return look(after: number, reader).item ?? .silence
    }

    private func look(after number: Int, _ reader: Int) -> (item: Item?, bell: Question) {
        state.withLock { state in
            guard state.reader == reader else { return (.end, state.bell) }
            if let next = state.kept.first(where: { $0.event.number > number }) {
                state.handedOut = max(state.handedOut, next.event.number)
                return (.event(next.event), state.bell)
            }
            return (state.isEnded ? .end : nil, state.bell)
        }
    }

    private func ring(_ change: (inout State) -> Void) {
        state.withLock { state in
            change(&state)
            defer { state.bell = Question() }
            return state.bell
        }.answered()
    }
}

/// The streams that ended and are kept for whoever comes back for them, over all sessions. Bounded in bytes for each user and for all;
/// what ended first is forgotten first.
final class EndedStreams: Sendable {
    private struct Kept {
        let log: EventLog
        let user: UserID
        let bytes: Int
    }

    private struct State {
        var kept: [Kept] = []
        var bytes = 0
        var perUser: [UserID: Int] = [:]

        func isFull(for user: UserID) -> Bool {
            perUser[user, default: 0] > EndedStreams.mostBytesPerUser || bytes > EndedStreams.mostBytes || kept.count > EndedStreams.most
        }

        mutating func remove(at index: Int) -> EventLog {
            let removed = kept.remove(at: index)
            bytes -= removed.bytes
            let left = perUser[removed.user, default: 0] - removed.bytes
            perUser[removed.user] = left > 0 ? left : nil
            return removed.log
        }
    }

    static let mostBytes = 256 << 20
    static let mostBytesPerUser = 32 << 20
    private static let most = 8192

    private let state = Mutex(State())

    /// Ends a stream, and keeps it while there is room.
    func keep(_ log: EventLog, of user: UserID) {
        log.end()
        let bytes = log.byteCount
        guard bytes > 0 else { return }
        let forgotten = state.withLock { state -> [EventLog] in
            state.kept.append(Kept(log: log, user: user, bytes: bytes))
            state.bytes += bytes
            state.perUser[user, default: 0] += bytes
            guard state.isFull(for: user) else { return [] }
            // Streams go with their sessions, and when their answer was delivered otherwise.
            for index in state.kept.indices.reversed() where state.kept[index].log.isForgotten { _ = state.remove(at: index) }
            var forgotten: [EventLog] = []
            while state.perUser[user, default: 0] > Self.mostBytesPerUser, let oldest = state.kept.firstIndex(where: { $0.user == user }) {
                forgotten.append(state.remove(at: oldest))
            }
            while state.bytes > Self.mostBytes || state.kept.count > Self.most { forgotten.append(state.remove(at: 0)) }
            return forgotten
        }
        for log in forgotten { log.forget() }
    }

    var byteCount: Int { state.withLock { $0.bytes } }
}
