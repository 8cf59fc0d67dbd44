import Gateway
import Identity
import MCP
import Synchronization

/// A client's session on one endpoint, as the revisions with a handshake have it: what was agreed, what it subscribed to, the
/// questions put to its client, and its streams.
final class ClientSession: Sendable {
    /// Streams whose messages are kept; the oldest that ended goes first.
    private static let mostStreams = 64
    /// Questions that wait for their answer.
    private static let mostQuestions = 64

    private struct State {
        var record: ClientSessionRecord
        var isChanged = false
        var isEnded = false
        var questions: [MessageID: @Sendable (Result<JSON, ProtocolError>) -> Void] = [:]
        var calls: [MessageID: @Sendable () -> Void] = [:]
        var streams: [(key: String, log: EventLog)] = []
        var count = 0
        var readers = 0
        /// Subscribed to before a restart; the servers are to be told again.
        var unsubscribed: Set<String> = []
        /// How to let go of what it is subscribed to, by URI.
        var releases: [String: @Sendable () -> Void] = [:]
    }

    let id: String
    let user: UserID
    let endpoint: String
    let revision: Revision
    let capabilities: ClientCapabilities
    /// What the session hears of outside of any answer.
    let listener: Listener
    private let state: Mutex<State>

    /// - Parameters:
    ///   - principal: whose session it is.
    ///   - isRestored: whether it was opened before this process was started, or before its user was signed out.
    init(_ record: ClientSessionRecord, principal: Principal, only alias: ServerAlias?, isRestored: Bool = false) {
        id = record.id
        user = record.user
        endpoint = record.endpoint
        revision = Revision(rawValue: record.revision) ?? .november2025
        capabilities = (try? JSON(parsing: Array(record.capabilities.utf8))).map { ClientCapabilities($0) } ?? .none
        listener = Listener(Interest(lists: Set(ListKind.allCases), resources: record.subscriptions), principal: principal, only: alias)
        state = Mutex(State(record: record, unsubscribed: isRestored ? record.subscriptions : []))
    }

    var record: ClientSessionRecord { state.withLock { $0.record } }
    /// Whether somebody reads one of its streams, or a call of it is under way.
    var isBusy: Bool { state.withLock { $0.readers > 0 || !$0.calls.isEmpty } }

    /// What the client wants to see of log messages; without a word from it, everything from `info` on.
    var logLevel: LogLevel { state.withLock { $0.record.logLevel }.flatMap { LogLevel(rawValue: $0) } ?? .info }

    func touch(at now: Timestamp) {
        state.withLock { state in
            state.record.usedAt = max(state.record.usedAt, now)
            state.isChanged = true
        }
    }

    func change(_ body: (inout ClientSessionRecord) -> Void) -> ClientSessionRecord {
        state.withLock { state in
            body(&state.record)
            return state.record
        }
    }

    /// The record, if it changed since it was last taken.
    func takeChanged() -> ClientSessionRecord? {
        state.withLock { state in
            defer { state.isChanged = false }
            return state.isChanged && !state.isEnded ? state.record : nil
        }
    }

    /// What the servers are to be told again that it is subscribed to; once.
    func takeUnsubscribed() -> Set<String> {
        state.withLock { state in
            defer { state.unsubscribed = [] }
            return state.unsubscribed
        }
    }

    /// - Parameter release: called once, when it is subscribed no longer, or over.
    func subscribed(_ uri: String, release: @escaping @Sendable () -> Void) {
        let former = state.withLock { state -> (@Sendable () -> Void)? in
            if state.isEnded { return release }
            defer { state.releases[uri] = release }
            return state.releases[uri]
        }
        former?()
    }

    func unsubscribed(_ uri: String) { state.withLock { $0.releases.removeValue(forKey: uri) }?() }

    // MARK: Questions to the client

    /// Puts a question: the id to ask it under; nil if there are too many already.
    func expect(_ settle: @escaping @Sendable (Result<JSON, ProtocolError>) -> Void) -> MessageID? {
        state.withLock { state in
            guard !state.isEnded, state.questions.count < Self.mostQuestions else { return nil }
            state.count += 1
            let id = MessageID(Int64(state.count))
            state.questions[id] = settle
            return id
        }
    }

    /// The client's answer. To what nobody asked, or asks no longer, it goes nowhere.
    func answer(_ id: MessageID, _ result: Result<JSON, ProtocolError>) { state.withLock { $0.questions.removeValue(forKey: id) }?(result) }

    func forget(_ ids: some Sequence<MessageID>) { state.withLock { state in ids.forEach { state.questions[$0] = nil } } }

    // MARK: Calls of the client

    func began(_ id: MessageID, cancel: @escaping @Sendable () -> Void) { state.withLock { $0.calls[id] = cancel } }
    func ended(_ id: MessageID) { state.withLock { _ = $0.calls.removeValue(forKey: id) } }

    /// The client wants no answer any more (`notifications/cancelled`).
    func cancel(_ id: MessageID) { state.withLock { $0.calls.removeValue(forKey: id) }?() }

    // MARK: Streams

    /// Names of streams tell which request they answer, so that after a restart its client can be told what became of it.
    func openStream(for request: MessageID?) -> (key: String, log: EventLog) {
        state.withLock { state in
            state.count += 1
            let stream = (key: StreamKey(request: request, number: state.count).text, log: EventLog())
            state.streams.append(stream)
            state.streams.removeAll { $0.log.isForgotten }
            while state.streams.count > Self.mostStreams {
                let oldest = state.streams.firstIndex { $0.log.isEnded } ?? 0
                let removed = state.streams.remove(at: oldest).log
                if removed.isEnded { removed.forget() }
            }
            return stream
        }
    }

    /// Nil for one that there never was, or that is kept no longer.
    func stream(_ key: String) -> EventLog? { state.withLock { state in state.streams.first { $0.key == key && !$0.log.isForgotten }?.log } }

    var isEnded: Bool { state.withLock { $0.isEnded } }

    func readerCame() { state.withLock { $0.readers += 1 } }
    func readerWent() { state.withLock { $0.readers -= 1 } }

    /// Ends everything of it.
    func end() {
        let (undone, streams) = state.withLock { state in
            defer { (state.questions, state.calls, state.streams, state.releases, state.isEnded) = ([:], [:], [], [:], true) }
            return (Array(state.calls.values) + Array(state.releases.values), state.streams.map(\.log))
        }
        undone.forEach { $0() }
        // What is still read is told what became of its call before it ends.
        for stream in streams where stream.isEnded { stream.forget() }
        listener.end()
    }
}

/// The name of a stream inside a session, and of an event on it: `stream~seal.number`. The seal proves that there was such a stream,
/// when the gateway itself no longer knows.
struct StreamKey {
    /// What the stream answers; nil for a session's own stream.
    let request: MessageID?
    let text: String

    init(request: MessageID?, number: Int) {
        self.request = request
        text = "\(request.map { Self.hexadecimal($0.text.bytes) } ?? "")-\(number)"
    }

    /// Reads what a client sent as `Last-Event-ID`: the stream and the number of the last event it saw.
    static func event(_ id: String) -> (key: String, seal: String, request: MessageID?, number: Int)? {
        guard id.utf8.count <= 1024, let dot = id.lastIndex(of: "."), let number = Int(id[id.index(after: dot)...]), number >= 0 else { return nil }
        let parts = id[..<dot].split(separator: "~", maxSplits: 1, omittingEmptySubsequences: false)
        guard let key = parts.first, let dash = key.lastIndex(of: "-"), let stream = Int(key[key.index(after: dash)...]), stream >= 0 else {
            return nil
        }
        let request = bytes(key[..<dash]).flatMap { try? JSON(parsing: $0) }.flatMap { MessageID($0) }
        guard request != nil || dash == key.startIndex else { return nil }
        return (String(key), parts.count > 1 ? String(parts[1]) : "", request, number)
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        guard text.utf8.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        var rest = text
        while !rest.isEmpty {
            guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }
}
