import Gateway
import Logging
import ServiceLifecycle
import Testing

@testable import Audit

// `addImmediateTask` runs a call of `record` up to where it waits, so that when it returns the record has queued.

@Suite(.timeLimit(.minutes(1)))
struct AuditTrailTests {
    static func trail(_ disk: Disk, _ durability: Durability = .answered, logger: Logger = .quiet) -> AuditTrail {
        AuditTrail(sink: disk.sink, durability: durability, logger: logger) { Timestamp(microseconds: 0) }
    }

    @Test(arguments: [Durability.answered, .strict])
    func `nobody returns while the commit of their record is under way`(durability: Durability) async throws {
        let disk = Disk()
        let trail = Self.trail(disk, durability)
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
        #expect(disk.numbers == [1])
    }

    @Test func `batched answers first and writes together what has gathered`() async throws {
        let disk = Disk()
        let trail = Self.trail(disk, .batched)
        try await withRunning(trail) { _ in
            for number in 1...5 { try await trail.record(.number(number)) }
            #expect(await disk.nextCommit() == [1, 2, 3, 4, 5])
            disk.commitFreely()
        }
        #expect(disk.numbers == [1, 2, 3, 4, 5])
    }

    @Test func `batched keeps what the disk refused, takes no more calls, and writes it when the disk can`() async throws {
        let disk = Disk(works: false)
        let trail = Self.trail(disk, .batched)
        try await withRunning(trail) { _ in
            try await trail.record(.number(1))
            #expect(await disk.nextCommit() == [1])
            await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(2)) }
            disk.commitFreely()
        }
        #expect(disk.numbers.contains(1))
        #expect(!disk.numbers.contains(2))
    }

    @Test func `sign-ins and changes wait for the disk also when calls do not`() async throws {
        let disk = Disk(works: false)
        let trail = Self.trail(disk, .batched)
        await #expect(throws: Refusal.auditUnavailable) { try await trail.recordDurably(.number(1)) }
    }

    // MARK: Failing

    @Test func `a commit that fails refuses its caller, and the next one heals`() async throws {
        let disk = Disk(works: false)
        let trail = Self.trail(disk)
        await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(1)) }
        #expect(!trail.isHealthy)
        disk.commitFreely()
        try await trail.record(.number(2))
        #expect(trail.isHealthy)
        #expect(disk.numbers == [2])
    }

    @Test func `a disk that takes records again is noticed though nobody calls`() async throws {
        let disk = Disk(works: false)
        let trail = Self.trail(disk)
        await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(1)) }
        disk.commitFreely()
        try await withRunning(trail) { _ in
            while disk.records.isEmpty { _ = await disk.nextCommit() }
        }
        #expect(disk.records.map(\.action) == ["audit.resume"])
    }

    @Test func `a lasting failure is logged once, and again after it healed`() async throws {
        let errors = CountingLog.Counter()
        let disk = Disk(works: false)
        let trail = Self.trail(disk, logger: Logger(label: "test") { _ in CountingLog(errors: errors) })
        for number in 1...3 { await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(number)) } }
        #expect(errors.value == 1)
        disk.commitFreely()
        try await trail.record(.number(4))
        disk.commitFreely(works: false)
        await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(5)) }
        #expect(errors.value == 2)
    }

    @Test func `a full queue refuses at once and loses nothing it took`() async throws {
        let disk = Disk()
        let trail = Self.trail(disk)
        try await withThrowingTaskGroup(of: Void.self) { callers in
            for number in 1...AuditTrail.capacity { callers.addImmediateTask { try await trail.record(.number(number)) } }
            await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(0)) }
            disk.commitFreely()
            try await callers.waitForAll()
        }
        #expect(disk.numbers == Array(1...AuditTrail.capacity))
    }

    @Test func `a caller whose task is cancelled is on record all the same`() async throws {
        let disk = Disk()
        let trail = Self.trail(disk)
        try await withThrowingTaskGroup(of: Void.self) { callers in
            callers.addImmediateTask { try await trail.record(.number(1)) }
            callers.cancelAll()
            disk.commit()
            try await callers.waitForAll()
        }
        #expect(disk.numbers == [1])
    }

    // MARK: Floods

    @Test func `a flood of refusals is recorded as the first ones and a sum that counts the rest`() async throws {
        let disk = Disk(works: true)
        let trail = Self.trail(disk)
        try await withRunning(trail) { _ in
            for number in 1...1000 { try await trail.record(.refusal(number)) }
        }
        #expect(disk.records.count == RefusalFlood.rowsPerWindow + 1)
        #expect(disk.records.map(\.weight).reduce(0, +) == 1000)
    }

    @Test func `a sum that could not be written is counted on`() async throws {
        let disk = Disk(works: true)
        let trail = Self.trail(disk)
        for number in 1...100 { try await trail.record(.refusal(number)) }
        disk.commitFreely(works: false)
        let running = Task { try await trail.run() }
        running.cancel()
        _ = await running.result
        #expect(disk.records.map(\.weight).reduce(0, +) == RefusalFlood.rowsPerWindow)
    }

    // MARK: Ending

    @Test func `shutting down writes what nobody waits for, then refuses`() async throws {
        let disk = Disk(works: true)
        let trail = Self.trail(disk)
        try await withRunning(trail) { _ in for number in 1...50 { trail.recordSoon(.number(number)) } }
        #expect(disk.numbers == Array(1...50))
        #expect(!trail.isHealthy)
        await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(2001)) }
    }

    @Test func `shutting down waits for the commit under way`() async throws {
        let disk = Disk()
        let trail = Self.trail(disk)
        try await withRunning(trail) { shutDown in
            try await withThrowingTaskGroup(of: Void.self) { callers in
                callers.addImmediateTask { try await trail.record(.number(1)) }
                #expect(await disk.nextCommit() == [1])
                await shutDown()
                disk.commitFreely()
                try await callers.waitForAll()
            }
        }
        #expect(disk.numbers == [1])
    }

    @Test func `shutting down on a full disk ends`() async throws {
        let disk = Disk(works: false)
        let trail = Self.trail(disk)
        try await withRunning(trail) { _ in
            for number in 0...10 { await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(number)) } }
        }
        #expect(disk.records.isEmpty)
    }

    @Test func `an idle trail shuts down`() async throws {
        let trail = Self.trail(Disk(works: true))
        try await withRunning(trail) { _ in #expect(trail.isHealthy) }
        #expect(!trail.isHealthy)
    }

    /// When one service of the program fails, `ServiceGroup` cancels the others and waits for them.
    @Test func `cancelling an idle trail ends it`() async throws {
        let trail = Self.trail(Disk(works: true))
        let running = Task { try? await trail.run() }
        try await trail.record(.number(1))
        running.cancel()
        await running.value
        await #expect(throws: Refusal.auditUnavailable) { try await trail.record(.number(2)) }
    }
}
