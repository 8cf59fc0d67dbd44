package import Gateway
package import Logging
import ServiceLifecycle
import Synchronization

/// Where records go: live, the record of truth; in a test, an array.
package struct AuditSink: Sendable {
    /// Returns when all of them are on disk, together.
    package var append: @Sendable ([AuditRecord]) async throws -> Void

    package init(append: @escaping @Sendable ([AuditRecord]) async throws -> Void) { self.append = append }
}

/// The audit trail. Whoever records something waits until it is on disk: *if you saw the answer, the record is there*.
///
/// Natural group commit: the writer commits whatever has queued while the last commit ran, then resumes everybody.
/// Bounded: beyond `capacity` waiting records a caller is refused, never unrecorded.
package final class AuditTrail: Service {
    private struct Waiting {
        let record: AuditRecord
        /// Nil if nobody waits.
        let continuation: CheckedContinuation<Void, any Error>?
    }

    private struct State {
        var queue: [Waiting] = []
        var writer: CheckedContinuation<Void, Never>?
        var isClosed = false
        var isFailing = false
    }

    package static let capacity = 8192
    private static let largestBatch = 1024

    private let sink: AuditSink
    private let logger: Logger
    private let state = Mutex(State())

    package init(sink: AuditSink, logger: Logger) {
        self.sink = sink
        self.logger = logger
    }

    /// Returns when the record is on disk.
    ///
    /// - Throws: `Refusal.auditUnavailable` if it could not be written or the queue is full.
    package func record(_ record: AuditRecord) async throws(Refusal) {
        do {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let (accepted, writer) = enqueue(Waiting(record: record, continuation: continuation))
                if accepted { writer?.resume() } else { continuation.resume(throwing: Refusal.auditUnavailable) }
            }
        } catch {
            throw .auditUnavailable
        }
    }

    /// Records what nobody waits for. With the queue full it is only logged: there is no one left to refuse.
    package func recordSoon(_ record: AuditRecord) {
        let (accepted, writer) = enqueue(Waiting(record: record, continuation: nil))
        writer?.resume()
        if !accepted { logger.error("a record was lost: the queue is full", metadata: ["request.id": "\(record.requestID)"]) }
    }

    private func enqueue(_ waiting: Waiting) -> (accepted: Bool, writer: CheckedContinuation<Void, Never>?) {
        state.withLock { state in
            guard state.queue.count < Self.capacity, !state.isClosed else { return (false, nil) }
            state.queue.append(waiting)
            defer { state.writer = nil }
            return (true, state.writer)
        }
    }

    /// Whether the last batch was written; what `/health` reports.
    package var isHealthy: Bool { state.withLock { !$0.isFailing && !$0.isClosed } }

    /// Writes until shutdown, then what is still queued.
    package func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            while let batch = await nextBatch() { await write(batch) }
        } onCancelOrGracefulShutdown: {
            self.close()
        }
    }

    private func close() {
        let writer = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.isClosed = true
            defer { state.writer = nil }
            return state.writer
        }
        writer?.resume()
    }

    /// What has queued, waiting for something if need be; nil when there is nothing more to come.
    private func nextBatch() async -> [Waiting]? {
        while true {
            let (batch, isClosed) = state.withLock { state -> ([Waiting], Bool) in
                let batch = Array(state.queue.prefix(Self.largestBatch))
                state.queue.removeFirst(batch.count)
                return (batch, state.isClosed)
            }
            if !batch.isEmpty { return batch }
            if isClosed { return nil }
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let mustWait = state.withLock { state -> Bool in
                    guard state.queue.isEmpty, !state.isClosed else { return false }
                    state.writer = continuation
                    return true
                }
                if !mustWait { continuation.resume() }
            }
        }
    }

    private func write(_ batch: [Waiting]) async {
        do {
            // A task of its own, so that cancelling the trail does not cancel a commit that callers wait for.
            try await Task { [sink] in try await sink.append(batch.map(\.record)) }.value
            state.withLock { $0.isFailing = false }
            for waiting in batch { waiting.continuation?.resume() }
        } catch {
            let isNews = state.withLock { state -> Bool in
                defer { state.isFailing = true }
                return !state.isFailing
            }
            if isNews { logger.error("the audit log cannot be written; calls are refused until it can", metadata: ["error": "\(error)"]) }
            for waiting in batch { waiting.continuation?.resume(throwing: Refusal.auditUnavailable) }
        }
    }
}
