import Audit
import Gateway
import Logging
import ServiceLifecycle
import Testing

// `addImmediateTask` runs a call of `record` up to where it waits, so that when it returns the record has queued.

@Suite(.timeLimit(.minutes(1)))
struct AuditTrailTests {
    @Test func `whoever returns from record finds the record in the sink`() async throws {
        let written = Shared<Set<RequestID>>([])
        let trail = AuditTrail(sink: AuditSink { batch in written.change { $0.formUnion(batch.map(\.requestID)) } }, logger: .quiet)
        try await withRunning(trail) { _ in
            try await withThrowingTaskGroup(of: Bool.self) { callers in
                for number in 0..<500 {
                    callers.addTask {
                        try await trail.record(.number(number))
                        return written.current.contains(RequestID(UInt64(number)))
                    }
                }
                for try await isWritten in callers { #expect(isWritten) }
            }
        }
        #expect(written.current.count == 500)
    }

    @Test func `nobody returns while the commit of their record is under way`() async throws {
        let disk = Disk()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        let hasReturned = Shared(false)
        try await withRunning(trail) { _ in
            try await withThrowingTaskGroup(of: Void.self) { callers in
                callers.addImmediateTask {
                    try await trail.record(.number(1))
                    hasReturned.change { $0 = true }
                }
                #expect(await disk.nextCommit() == [1])
                #expect(!hasReturned.current)
                disk.commit()
                try await callers.waitForAll()
            }
        }
        #expect(disk.batches == [[1]])
    }

    @Test func `what queues while a commit runs shares the next one, in order`() async throws {
        let disk = Disk()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        try await withRunning(trail) { _ in
            try await withThrowingTaskGroup(of: Void.self) { callers in
                callers.addImmediateTask { try await trail.record(.number(0)) }
                #expect(await disk.nextCommit() == [0])
                for number in 1...300 { callers.addImmediateTask { try await trail.record(.number(number)) } }
                disk.commitFreely()
                try await callers.waitForAll()
            }
        }
        #expect(disk.batches == [[0], Array(1...300)])
    }

    @Test func `a commit holds at most 1024 records`() async throws {
        let disk = Disk()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        try await withRunning(trail) { _ in
            try await withThrowingTaskGroup(of: Void.self) { callers in
                callers.addImmediateTask { try await trail.record(.number(0)) }
                #expect(await disk.nextCommit() == [0])
                for number in 1...2500 { callers.addImmediateTask { try await trail.record(.number(number)) } }
                disk.commitFreely()
                try await callers.waitForAll()
            }
        }
        #expect(disk.batches.map(\.count) == [1, 1024, 1024, 452])
        #expect(disk.batches.flatMap(\.self) == Array(0...2500))
    }

    // MARK: Failing

    @Test func `a commit that fails refuses everybody in it, and the next one heals`() async throws {
        let disk = Disk()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        try await withRunning(trail) { _ in
            try await withThrowingTaskGroup(of: Void.self) { callers in
                callers.addImmediateTask { try await trail.record(.number(0)) }
                #expect(await disk.nextCommit() == [0])
                for number in 1...20 {
                    callers.addImmediateTask { await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(number)) } }
                }
                #expect(trail.isHealthy)
                disk.commit()
                #expect(await disk.nextCommit() == Array(1...20))
                disk.commit(works: false)
                try await callers.waitForAll()
            }
            #expect(!trail.isHealthy)
            disk.commitFreely()
            try await trail.record(.number(21))
            #expect(trail.isHealthy)
        }
        #expect(disk.batches == [[0], [21]])
    }

    @Test func `a lasting failure is logged once, and again after it healed`() async throws {
        let errors = CountingLog.Counter()
        let works = Shared(false)
        let sink = AuditSink { _ in if !works.current { throw DiskFull() } }
        let trail = AuditTrail(sink: sink, logger: Logger(label: "test") { _ in CountingLog(errors: errors) })
        try await withRunning(trail) { _ in
            for number in 1...3 { await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(number)) } }
            #expect(errors.value == 1)
            works.change { $0 = true }
            try await trail.record(.number(4))
            works.change { $0 = false }
            await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(5)) }
        }
        #expect(errors.value == 2)
    }

    @Test func `a full queue refuses at once and loses nothing it took`() async throws {
        let disk = Disk()
        disk.commitFreely()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        try await withThrowingTaskGroup(of: Void.self) { callers in
            for number in 1...AuditTrail.capacity { callers.addImmediateTask { try await trail.record(.number(number)) } }
            await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(0)) }
            try await withRunning(trail) { _ in try await callers.waitForAll() }
        }
        #expect(disk.batches.flatMap(\.self) == Array(1...AuditTrail.capacity))
    }

    @Test func `a caller whose task is cancelled is on record all the same`() async throws {
        let disk = Disk()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        try await withRunning(trail) { _ in
            try await withThrowingTaskGroup(of: Void.self) { callers in
                callers.addImmediateTask { try await trail.record(.number(1)) }
                #expect(await disk.nextCommit() == [1])
                callers.cancelAll()
                disk.commit()
                try await callers.waitForAll()
            }
        }
        #expect(disk.batches == [[1]])
    }

    // MARK: Ending

    @Test func `shutting down writes what has queued, then refuses`() async throws {
        let disk = Disk()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        try await withRunning(trail) { shutDown in
            try await withThrowingTaskGroup(of: Void.self) { callers in
                callers.addImmediateTask { try await trail.record(.number(0)) }
                #expect(await disk.nextCommit() == [0])
                for number in 1...2000 { callers.addImmediateTask { try await trail.record(.number(number)) } }
                await shutDown()
                disk.commitFreely()
                try await callers.waitForAll()
            }
        }
        #expect(disk.batches.flatMap(\.self) == Array(0...2000))
        #expect(!trail.isHealthy)
        await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(2001)) }
        #expect(disk.batches.count == 3)
    }

    @Test func `shutting down on a full disk refuses what has queued and ends`() async throws {
        let disk = Disk()
        let trail = AuditTrail(sink: disk.sink, logger: .quiet)
        try await withRunning(trail) { shutDown in
            await withTaskGroup(of: Void.self) { callers in
                for number in 0...10 {
                    callers.addImmediateTask { await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(number)) } }
                }
                await shutDown()
                disk.commit(works: false)
                disk.commit(works: false)
                await callers.waitForAll()
            }
        }
        #expect(disk.batches.isEmpty)
    }

    @Test func `an idle trail shuts down`() async throws {
        let trail = AuditTrail(sink: AuditSink { _ in }, logger: .quiet)
        try await withRunning(trail) { _ in #expect(trail.isHealthy) }
        #expect(!trail.isHealthy)
    }

    /// When one service of the program fails, `ServiceGroup` cancels the others and waits for them.
    @Test func `cancelling an idle trail ends it`() async throws {
        let trail = AuditTrail(sink: AuditSink { _ in }, logger: .quiet)
        let (ended, end) = AsyncStream<Void>.makeStream()
        // Unstructured, so that a trail that does not end fails this test instead of holding it.
        let running = Task {
            try? await trail.run()
            end.yield()
        }
        try await trail.record(.number(1))
        running.cancel()
        var hasEnded = false
        for await _ in ended {
            hasEnded = true
            break
        }
        #expect(hasEnded)
        guard hasEnded else { return }
        await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(2)) }
    }
}
