package import MCP
import Synchronization

/// Messages as the caller reads them, one after the other.
package final class ReplyStream: Sendable {
    package enum Part: Sendable {
        /// - Parameter id: under which what comes after it can be asked for again; nil where it cannot.
        case message(JSONText, id: String?)
        /// Nothing yet but an id to come back with.
        case priming(id: String)
        /// Nothing for as long as was to be waited.
        case silence
    }

    private let read: @Sendable (Duration?) async -> Part?
    private let leave: @Sendable () -> Void
    private let isOver = Atomic<Bool>(false)

    /// - Parameters:
    ///   - read: the next part; nil after the last.
    ///   - leave: called once, when nobody reads on: after the last part, or when the reader has gone.
    init(read: @escaping @Sendable (Duration?) async -> Part?, leave: @escaping @Sendable () -> Void) {
        self.read = read
        self.leave = leave
    }

    /// The next part; nil after the last. An answer comes when its record is on disk.
    ///
    /// - Parameter wait: how long to wait before returning `silence`; nil waits for the next message.
    package func next(orSilenceAfter wait: Duration? = nil) async -> Part? {
        if isOver.load(ordering: .relaxed) { return nil }
        if let part = await read(wait) { return part }
        abandon()
        return nil
    }

    /// The reader went away.
    package func abandon() {
        if !isOver.exchange(true, ordering: .relaxed) { leave() }
    }

    /// Nobody ever read it: the connection was gone before the first byte.
    deinit { abandon() }
}
