import MCP
import Synchronization
import Upstreams

/// The messages of one stream of a session, kept so that a client whose connection broke can have what it missed (L-7).
///
/// Bounded in number and bytes. When it is full, what merely tells of progress goes first; a question or an answer is never
/// dropped. One reader at a time: who comes later takes the stream over.
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
        var last = 0
        var isEnded = false
        var reader = 0
        var bell = Question()
    }

    static let mostEvents = 256
    static let mostBytes = 20 << 20

    private let state = Mutex(State())

    /// - Parameter isDroppable: whether nobody waits for it.
    func append(_ message: JSONText?, isDroppable: Bool) {
        ring { state in
            guard !state.isEnded else { return }
            state.last += 1
            state.kept.append(Kept(event: Event(number: state.last, message: message), isDroppable: isDroppable))
            state.bytes += message?.bytes.count ?? 0
            while state.kept.count > Self.mostEvents || state.bytes > Self.mostBytes {
                guard let place = state.kept.firstIndex(where: \.isDroppable) else { return }
                state.bytes -= state.kept.remove(at: place).event.message?.bytes.count ?? 0
            }
        }
    }

    func end() { ring { $0.isEnded = true } }

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
            if let next = state.kept.first(where: { $0.event.number > number }) { return (.event(next.event), state.bell) }
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
