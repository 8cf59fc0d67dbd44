package import Gateway
package import Logging
import ServiceLifecycle
import Synchronization

/// Where records go: live, the record of truth; in a test, an array.
package struct AuditSink: Sendable {
    /// Queues records, which are committed together; the second argument is called once, with nil when they are on disk.
    package var submit: @Sendable ([AuditRecord], @escaping @Sendable ((any Error)?) -> Void) -> Void

    package init(submit: @escaping @Sendable ([AuditRecord], @escaping @Sendable ((any Error)?) -> Void) -> Void) { self.submit = submit }
}

/// When an answer may leave.
package enum Durability: String, Sendable, CaseIterable {
    /// Before its record, which follows within 50 ms.
    case batched
    /// When its record is on disk.
    case answered
    /// As `answered`, and a call is on record before it is sent.
    case strict
}

/// The audit trail: *if you saw the answer, the record is on disk*.
///
/// Whoever records something waits until it is committed; commits are shared by all who wait (the sink's writer takes
/// whatever has queued). Bounded: beyond `capacity` records under way a caller is refused, never unrecorded. Refusals
/// that come in floods are counted and recorded as sums (`RefusalFlood`).
package final class AuditTrail: Service {
    private struct State {
        /// Records handed to the sink that are not known to be on disk.
        var underWay = 0
        /// Recorded, and not yet handed on (`batched`, and what nobody waits for).
        var buffer: [AuditRecord] = []
        var flood = RefusalFlood()
        var isClosed = false
        /// Why the last records could not be written; nil while they can.
        var failure: String?
        var drained: CheckedContinuation<Void, Never>?

        var waiting: Int { underWay + buffer.count }
    }

    package static let capacity = 8192
    /// How long a batched record waits for others.
    private static let gathering = Duration.milliseconds(25)
    private static let tick = Duration.seconds(1)

    package let durability: Durability
    private let sink: AuditSink
    private let logger: Logger
    private let now: @Sendable () -> Timestamp
    private let state = Mutex(State())
    /// Says that there is something in the buffer.
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    package init(sink: AuditSink, durability: Durability = .answered, logger: Logger, now: @escaping @Sendable () -> Timestamp) {
        self.sink = sink
        self.durability = durability
        self.logger = logger
        self.now = now
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Returns when the record is as durable as the setting says.
    ///
    /// - Throws: `Refusal.auditUnavailable` if it could not be written or the queue is full.
    package func record(_ record: AuditRecord) async throws(Refusal) {
        if record.outcome == .refused, !state.withLock({ $0.flood.admit(record) }) { return }
        guard durability == .batched else { return try await recordDurably(record) }
        guard isHealthy, buffer(record) else { throw .auditUnavailable }
    }

    /// Returns when the record is on disk, whatever the setting: for sign-ins and what administrators do.
    package func recordDurably(_ record: AuditRecord) async throws(Refusal) {
        do {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let isAccepted = state.withLock { state -> Bool in
                    guard state.waiting < Self.capacity, !state.isClosed else { return false }
                    state.underWay += 1
                    return true
                }
                guard isAccepted else { return continuation.resume(throwing: Refusal.auditUnavailable) }
                sink.submit([record]) { [self] error in
                    written([record], error)
                    if let error { continuation.resume(throwing: error) } else { continuation.resume() }
                }
            }
        } catch {
            throw .auditUnavailable
        }
    }

    /// Records what nobody waits for. With the queue full it is only logged: there is no one left to refuse.
    package func recordSoon(_ record: AuditRecord) {
        if !buffer(record) { logger.error("a record was lost: the queue is full", metadata: ["request.id": "\(record.requestID)"]) }
    }

    private func buffer(_ record: AuditRecord) -> Bool {
        let isAccepted = state.withLock { state -> Bool in
            guard state.waiting < Self.capacity, !state.isClosed else { return false }
            state.buffer.append(record)
            return true
        }
        if isAccepted { signal.yield() }
        return isAccepted
    }

    /// Whether the last records were written.
    package var isHealthy: Bool { state.withLock { $0.failure == nil && !$0.isClosed } }

    /// Why they were not, for `/health`; nil if they were.
    package var failure: String? { state.withLock { $0.isClosed ? "the audit trail is closed" : $0.failure } }

    // MARK: Writing

    /// Writes what gathers until shutdown, and then what is left.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.writeBuffer() }
                group.addTask { await self.tick() }
            }
        }
        // A task of its own, so that what is left is also written when the trail is cancelled.
        await Task { await self.finish() }.value
    }

    private func writeBuffer() async {
        for await _ in signals {
            if durability == .batched { try? await Task.sleep(for: Self.gathering) }
            if Task.isCancelled { return }
            flush()
        }
    }

    /// Once a second: sums that have ended, and whether the disk takes records again.
    private func tick() async {
        while (try? await Task.sleep(for: Self.tick)) != nil {
            writeSums(all: false)
            if state.withLock({ $0.failure == nil }) { continue }
            flush()
            try? await recordDurably(AuditRecord(requestID: .random(), at: now(), action: "audit.resume"))
        }
    }

    private func flush() {
        let records = state.withLock { state -> [AuditRecord] in
            defer { state.buffer.removeAll(keepingCapacity: true) }
            state.underWay += state.buffer.count
            return state.buffer
        }
        guard !records.isEmpty else { return }
        sink.submit(records) { [self] error in
            // Their answers may have left: they stay until the disk takes them.
            if error != nil { state.withLock { $0.buffer = records + $0.buffer } }
            written(records, error)
        }
    }

    private func writeSums(all: Bool) {
        let sums = state.withLock { state -> [AuditRecord] in
            let sums = state.flood.sums(endedAt: now(), all: all)
            state.underWay += sums.count
            return sums
        }
        guard !sums.isEmpty else { return }
        sink.submit(sums) { [self] error in
            if error != nil { state.withLock { $0.flood.restore(sums) } }
            written(sums, error)
        }
    }

    private func written(_ records: [AuditRecord], _ error: (any Error)?) {
        let (isNews, drained) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            state.underWay -= records.count
            let isNews = (state.failure != nil) != (error != nil)
            state.failure = error.map { "\($0)" }
            guard state.underWay == 0 else { return (isNews, nil) }
            defer { state.drained = nil }
            return (isNews, state.drained)
        }
        drained?.resume()
        guard isNews else { return }
        if let error {
            logger.error("the audit log cannot be written; calls are refused until it can", metadata: ["error": "\(error)"])
        } else {
            logger.notice("the audit log is written again")
        }
    }

    private func finish() async {
        signal.finish()
        flush()
        writeSums(all: true)
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isDrained = state.withLock { state -> Bool in
                state.isClosed = true
                if state.underWay > 0 { state.drained = continuation }
                return state.underWay == 0
            }
            if isDrained { continuation.resume() }
        }
        let lost = state.withLock { $0.buffer.count }
        if lost > 0 { logger.error("records were lost: the audit log could not be written", metadata: ["records": "\(lost)"]) }
    }
}
