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

/// A disk that commits when the test says so, and with what outcome.
final class Disk: Sendable {
    /// Each commit as it begins.
    let begun: AsyncStream<[Int]>
    private let begin: AsyncStream<[Int]>.Continuation
    private let outcomes: AsyncStream<Bool>
    private let outcome: AsyncStream<Bool>.Continuation
    private let committed = Mutex<[[Int]]>([])

    init() {
        (begun, begin) = AsyncStream.makeStream()
        (outcomes, outcome) = AsyncStream.makeStream()
    }

    var sink: AuditSink {
        AuditSink { records in
            let numbers = records.map { Int($0.requestID.rawValue) }
            self.begin.yield(numbers)
            for await works in self.outcomes {
                if !works { throw DiskFull() }
                break
            }
            self.committed.withLock { $0.append(numbers) }
        }
    }

    /// Lets the commit under way, or the next one, succeed or fail.
    func commit(works: Bool = true) { outcome.yield(works) }

    /// From here on every commit succeeds at once.
    func commitFreely() { outcome.finish() }

    func nextCommit() async -> [Int]? {
        for await numbers in begun { return numbers }
        return nil
    }

    var batches: [[Int]] { committed.withLock { $0 } }
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
