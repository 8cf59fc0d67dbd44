import Audit
import Gateway
import Logging
import ServiceLifecycle
import Synchronization

struct DiskFull: Error {}

extension AuditRecord {
    static func number(_ number: Int) -> Self {
        AuditRecord(requestID: RequestID(UInt64(number)), at: Timestamp(microseconds: 0), action: "tools/call")
    }
}

/// A disk that commits what it is given when the test says so, and with what outcome.
final class Disk: Sendable {
    private struct State {
        var waiting: [(records: [AuditRecord], done: @Sendable ((any Error)?) -> Void)] = []
        var written: [AuditRecord] = []
        /// Nil while each commit waits for the test.
        var freely: Bool?
    }

    /// Each commit as it begins.
    let begun: AsyncStream<[Int]>
    private let begin: AsyncStream<[Int]>.Continuation
    private let state = Mutex(State())

    /// - Parameter works: what becomes of every commit, at once; nil lets each wait for `commit`.
    init(works: Bool? = nil) {
        (begun, begin) = AsyncStream.makeStream()
        state.withLock { $0.freely = works }
    }

    var sink: AuditSink {
        AuditSink { records, done in
            let works = self.state.withLock { state -> Bool? in
                if state.freely == nil { state.waiting.append((records, done)) }
                if state.freely == true { state.written += records }
                return state.freely
            }
            self.begin.yield(records.map { Int(truncatingIfNeeded: $0.requestID.rawValue) })
            if let works { done(works ? nil : DiskFull()) }
        }
    }

    /// Lets everything under way succeed or fail.
    func commit(works: Bool = true) {
        let waiting = state.withLock { state in
            if works { state.written += state.waiting.flatMap(\.records) }
            defer { state.waiting = [] }
            return state.waiting
        }
        for (_, done) in waiting { done(works ? nil : DiskFull()) }
    }

    /// From here on every commit succeeds or fails at once.
    func commitFreely(works: Bool = true) {
        state.withLock { $0.freely = works }
        commit(works: works)
    }

    func nextCommit() async -> [Int]? {
        for await numbers in begun { return numbers }
        return nil
    }

    var records: [AuditRecord] { state.withLock { $0.written } }
    var numbers: [Int] { records.map { Int(truncatingIfNeeded: $0.requestID.rawValue) } }
}

/// Counts log lines of one level.
struct CountingLog: LogHandler {
    let errors: Counter
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    final class Counter: Sendable {
        private let count = Atomic<Int>(0)
        var value: Int { count.load(ordering: .sequentiallyConsistent) }
        func add() { count.add(1, ordering: .sequentiallyConsistent) }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { if event.level >= .error { errors.add() } }
}

/// A value that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }

    var current: Value { value.withLock { $0 } }
    func change(_ change: @Sendable (inout Value) -> Void) { value.withLock { change(&$0) } }
}

extension Logger {
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// Runs the trail as the program does, until the body is done; then shuts it down and waits for it.
func withRunning<Value: Sendable>(_ trail: AuditTrail, _ body: (_ shutDown: @escaping @Sendable () async -> Void) async throws -> Value) async throws
    -> Value
{
    let group = ServiceGroup(services: [trail], logger: .quiet)
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        let value = try await body { await group.triggerGracefulShutdown() }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return value
    }
}
