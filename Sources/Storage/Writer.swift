import Dispatch
import GRDB
import GRDBSQLite
import Gateway
import Glibc
import Proof
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The one connection that writes, and everything that waits for it.
///
/// Natural group commit: what has queued while the last transaction ran is written in one transaction, flushed once,
/// and everybody is told. A change that fails is undone by itself; the others are committed. Checkpoints happen here,
/// between transactions, and nowhere else.
///
/// Sendable because what is not behind the lock is touched on `queue` alone.
final class Writer: @unchecked Sendable {
    /// The write-ahead log is at its bound and cannot be copied back.
    struct LogFull: Error, CustomStringConvertible {
        let description =
            "The write-ahead log has reached its bound, because a reader keeps an old snapshot open (a forgotten sqlite3 shell?); end it."
    }

    /// The file refused to be flushed: what it holds is not known any more.
    struct FlushFailed: Error, CustomStringConvertible {
        let description = "The database could not be flushed to disk; the gateway must be started again."
    }

    typealias Body = (GRDB.Database, AuditLedger) throws -> Void

    private struct Job {
        let body: Body
        let done: @Sendable ((any Error)?) -> Void
    }

    private struct Submission {
        let records: [AuditRecord]
        let done: @Sendable ((any Error)?) -> Void
    }

    private struct State {
        var jobs: [Job] = []
        var submissions: [Submission] = []
        var isScheduled = false
        var isFlushBroken = false
        /// How many wait for the queue to run something between two transactions.
        var between = 0
        var isSomebodyBetween: Bool { between > 0 }
    }

    /// Of 1 KiB and a little: the log stays under 64 MiB.
    private static let mostFrames = 56_000
    /// From here on whoever reads for long is interrupted.
    private static let pressingFrames = 32_000
    private static let framesBetweenCheckpoints = 16_000
    /// While a reader is in the way.
    private static let framesBetweenAttempts = 2_000
    private static let mostRecords = 1024
    /// Of callers who wait at once. Their rows go to the inbox: it takes 64 rows in 11 pages, and the log, with its indexes, in 230.
    private static let rush = 24
    /// Rows the inbox holds. Beyond, who adds to it waits for some to be moved.
    private static let mostInboxRows = 262_144
    /// Rows that are moved in one transaction: while calls come in; while none do; for a report; and at the bound.
    private static let (smallMove, idleMove, reportMove, largeMove) = (64, 512, 4096, 16_384)
    /// Between two moves while calls come in, so that most of them meet none.
    private static let calm = DispatchTimeInterval.milliseconds(6)
    /// Milliseconds that another process may hold the file's write lock.
    static let busyTimeout: Int32 = 2_000

    private let connection: DatabaseQueue
    private let path: String
    private let queue = DispatchQueue(label: "mreg.writer", qos: .userInitiated)
    private let state = Mutex(State())
    private let now: @Sendable () -> Timestamp
    private let interruptReaders: @Sendable () -> Void
    // Touched on `queue` only.
    private let ledger: AuditLedger
    private var lastFrames = 0
    private var checkpointDue = framesBetweenCheckpoints
    private var isMoveScheduled = false
    /// Callers in one transaction, at most, since rows were last to be moved.
    private var mostCallers = 0
    /// Rows in the inbox, as of the last commit.
    private let inboxRows = Atomic<Int>(0)
    /// In the write-ahead log after the last commit, as SQLite told its hook.
    private let frames = Atomic<Int>(0)

    /// - Parameter interruptReaders: asked when the log grows because somebody reads for long.
    init(
        _ connection: DatabaseQueue, path: String, key: RecordKey, now: @escaping @Sendable () -> Timestamp,
        interruptReaders: @escaping @Sendable () -> Void
    ) throws {
        self.connection = connection
        self.path = path
        self.now = now
        self.interruptReaders = interruptReaders
        ledger = try connection.read { try AuditLedger(key: key, $0) }
        connection.inDatabase { db in
            // The hook lives as long as the connection, which this object outlives: it closes it.
            _ = sqlite3_wal_hook(
                db.sqliteConnection,
                { context, _, _, pages in
                    guard let context else { return SQLITE_OK }
                    Unmanaged<Writer>.fromOpaque(context).takeUnretainedValue().frames.store(Int(pages), ordering: .relaxed)
                    return SQLITE_OK
                }, Unmanaged.passUnretained(self).toOpaque())
        }
        inboxRows.store(ledger.inboxRows, ordering: .relaxed)
        queue.async { [self] in scheduleMove(after: Self.calm) }
    }

    /// Bytes the write-ahead log takes on disk.
    var walBytes: Int { (try? FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int) ?? 0 }

    /// Whether somebody waits for its turn between two transactions.
    var isSomebodyBetween: Bool { state.withLock { $0.isSomebodyBetween } }

    // MARK: Asking

    /// Runs a change in the next transaction; returns when it is on disk.
    func perform<Value: Sendable>(_ body: @escaping @Sendable (GRDB.Database, AuditLedger) throws -> Value) async throws -> Value {
        let result = Mutex<Value?>(nil)
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            enqueue { state in
                state.jobs.append(
                    Job(
                        body: { db, ledger in
                            let value = try body(db, ledger)
                            result.withLock { $0 = value }
                        },
                        done: { error in
                            if let error { continuation.resume(throwing: error) } else { continuation.resume() }
                        }))
            }
        }
        guard let value = result.withLock({ $0 }) else { preconditionFailure("a change that was committed has a value") }
        return value
    }

    /// Appends records in the next transaction; `done` is called once, with nil when they are on disk.
    func submit(_ records: [AuditRecord], _ done: @escaping @Sendable ((any Error)?) -> Void) {
        enqueue { $0.submissions.append(Submission(records: records, done: done)) }
    }

    private func enqueue(_ change: (inout State) -> Void) {
        let mustSchedule = state.withLock { state -> Bool in
            change(&state)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if mustSchedule { queue.async { [self] in drain() } }
    }

    // MARK: Writing

    /// Writes until nothing is left. However much there is, what is to run between two transactions gets its place.
    private func drain() {
        while let (jobs, submissions) = next() {
            write(jobs, submissions)
            // Those who were told just now, or wait for the processor, may have more, and what comes together is flushed once: a
            // fifth less processor time a call when all of it is in use, and nothing lost when it is not (Benchmarks/run.py).
            if submissions.count > 1 { sched_yield() }
            if isSomebodyBetween { return queue.async { [self] in drain() } }
        }
        scheduleMove(after: Self.calm)
    }

    private func write(_ jobs: [Job], _ submissions: [Submission]) {
        do {
            let failures = try commit(jobs, submissions)
            inboxRows.store(ledger.inboxRows, ordering: .releasing)
            for (job, failure) in zip(jobs, failures.jobs) { job.done(failure) }
            for (submission, failure) in zip(submissions, failures.submissions) { submission.done(failure) }
            ledger.transactionCommitted()
            afterCommit()
        } catch {
            note(error)
            for job in jobs { job.done(error) }
            for submission in submissions { submission.done(error) }
        }
    }

    private func next() -> (jobs: [Job], submissions: [Submission])? {
        state.withLock { state in
            guard !state.jobs.isEmpty || !state.submissions.isEmpty else {
                state.isScheduled = false
                return nil
            }
            let jobs = state.jobs
            state.jobs = []
            var (count, taken) = (0, 0)
            while taken < state.submissions.count, count < Self.mostRecords {
                count += state.submissions[taken].records.count
                taken += 1
            }
            let submissions = Array(state.submissions.prefix(taken))
            state.submissions.removeFirst(taken)
            return (jobs, submissions)
        }
    }

    private typealias Failures = (jobs: [(any Error)?], submissions: [(any Error)?])

    private func commit(_ jobs: [Job], _ submissions: [Submission]) throws -> Failures {
        if state.withLock({ $0.isFlushBroken }) { throw FlushFailed() }
        mostCallers = max(mostCallers, submissions.count)
        ledger.isRush = submissions.count >= Self.rush
        if ledger.inboxRows >= Self.mostInboxRows { try move(Self.largeMove) }
        try makeRoom()
        do {
            return try transaction(jobs, submissions, isCareful: false)
        } catch let error as DatabaseError where !error.endsTransaction {
            // Some record cannot be held by its table: once more, so that it alone fails.
            return try transaction(jobs, submissions, isCareful: true)
        }
    }

    /// - Parameter isCareful: whether each submission can fail by itself. A savepoint copies every page that is written
    ///   after it, which a record that can be held need not pay for.
    private func transaction(_ jobs: [Job], _ submissions: [Submission], isCareful: Bool) throws -> Failures {
        let mark = ledger.mark
        do {
            return try connection.writeWithoutTransaction { db in
                var failures: Failures = ([], [])
                try db.inTransaction(.immediate) {
                    for job in jobs { failures.jobs.append(try attempt(db) { try job.body(db, ledger) }) }
                    failures.submissions = try submissions.map { submission in
                        guard isCareful else {
                            for record in submission.records { try ledger.append(record, db) }
                            return nil
                        }
                        return try attempt(db) { for record in submission.records { try ledger.append(record, db) } }
                    }
                    try ledger.finish(at: now(), db)
                    // Sums that cannot be written are no reason to refuse a record; they are tried again.
                    if ledger.hasManyUnsummedRows { _ = try attempt(db) { try ledger.flush(db) } }
                    return .commit
                }
                return failures
            }
        } catch {
            ledger.undo(to: mark)
            throw error
        }
    }

    /// Runs a part of the transaction that may fail alone.
    ///
    /// - Returns: why it failed.
    /// - Throws: when the whole transaction cannot go on: the disk is full, the file broken.
    private func attempt(_ db: GRDB.Database, _ body: () throws -> Void) throws -> (any Error)? {
        let mark = ledger.mark
        var failure: (any Error)?
        try db.inSavepoint {
            do {
                try body()
                return .commit
            } catch let error as DatabaseError where error.endsTransaction {
                throw error
            } catch {
                failure = error
                return .rollback
            }
        }
        if failure != nil { ledger.undo(to: mark) }
        return failure
    }

    // MARK: The inbox

    /// Rows leave the inbox a few at a time, once no transaction had many callers for a while.
    private func scheduleMove(after delay: DispatchTimeInterval) {
        guard ledger.inboxRows > 0, !isMoveScheduled else { return }
        isMoveScheduled = true
        queue.asyncAfter(deadline: .now() + delay) { [weak self] in self?.moveWhenCalm() }
    }

    private func moveWhenCalm() {
        isMoveScheduled = false
        let callers = mostCallers
        mostCallers = 0
        guard callers < Self.rush else { return scheduleMove(after: Self.calm) }
        do {
            try move(callers == 0 ? Self.idleMove : Self.smallMove)
            scheduleMove(after: callers == 0 ? .nanoseconds(0) : Self.calm)
        } catch {
            // The rows are safe where they are.
            scheduleMove(after: .seconds(1))
        }
    }

    private func move(_ rows: Int) throws {
        if state.withLock({ $0.isFlushBroken }) { throw FlushFailed() }
        try makeRoom()
        let mark = ledger.mark
        do {
            try connection.writeWithoutTransaction { db in
                try db.inTransaction(.immediate) {
                    try ledger.move(rows, db)
                    return .commit
                }
            }
        } catch {
            ledger.undo(to: mark)
            note(error)
            throw error
        }
        inboxRows.store(ledger.inboxRows, ordering: .releasing)
        afterCommit()
    }

    /// Returns when every row that is committed now stands in the log, where reports look for it.
    func emptyInbox() async throws {
        guard inboxRows.load(ordering: .acquiring) > 0 else { return }
        let end = try await between { _, ledger in ledger.lastRow }
        while try await betweenTransactions({ [self] in
            guard ledger.firstInboxRow <= end else { return false }
            try move(Self.reportMove)
            return ledger.firstInboxRow <= end
        }) {}
    }

    private func note(_ error: any Error) {
        guard let error = error as? DatabaseError, error.extendedResultCode == .SQLITE_IOERR_FSYNC else { return }
        // After a failed flush the kernel may call the pages clean; nothing here can be trusted to be on disk.
        state.withLock { $0.isFlushBroken = true }
    }

    // MARK: The write-ahead log

    private func afterCommit() {
        let frames = frames.load(ordering: .relaxed)
        // The log began anew: all of it had been copied back, and nobody read it any more.
        if frames < lastFrames { checkpointDue = Self.framesBetweenCheckpoints }
        lastFrames = frames
        if frames >= checkpointDue { checkpoint() }
    }

    /// Copies back what no reader still needs, without waiting. The commits stand whatever becomes of it.
    ///
    /// - Returns: whether what was asked for was done; of `restart`, that nobody reads the log any more.
    @discardableResult
    private func checkpoint(_ mode: GRDB.Database.CheckpointMode = .passive) -> Bool {
        let frames = frames.load(ordering: .relaxed)
        // Of a log that grew although it is copied back all the time, somebody still reads the beginning.
        if frames > Self.pressingFrames { interruptReaders() }
        checkpointDue = frames + Self.framesBetweenAttempts
        do {
            try connection.writeWithoutTransaction { db in
                sqlite3_busy_timeout(db.sqliteConnection, 0)
                defer { sqlite3_busy_timeout(db.sqliteConnection, Self.busyTimeout) }
                _ = try db.checkpoint(mode)
            }
            return true
        } catch {
            note(error)
            return false
        }
    }

    /// Nothing is written into a log at its bound: the next transaction may be as large as they get.
    private func makeRoom() throws {
        guard frames.load(ordering: .relaxed) > Self.mostFrames else { return }
        let isEmptied = checkpoint(.restart)
        guard isEmptied else { throw LogFull() }
        // What was copied back completely is overwritten from its start.
        frames.store(0, ordering: .relaxed)
        lastFrames = 0
        checkpointDue = Self.framesBetweenCheckpoints
    }

    /// Runs something on the writing connection, outside a transaction and between two of them.
    func between<Value: Sendable>(_ body: @escaping @Sendable (GRDB.Database, AuditLedger) throws -> Value) async throws -> Value {
        try await betweenTransactions { [self] in try connection.writeWithoutTransaction { db in try body(db, ledger) } }
    }

    private func betweenTransactions<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            state.withLock { $0.between += 1 }
            queue.async { [self] in
                state.withLock { $0.between -= 1 }
                continuation.resume(with: Result(catching: body))
            }
        }
    }
}

extension DatabaseError {
    /// Whether not only the statement has failed.
    var endsTransaction: Bool {
        switch resultCode {
        case .SQLITE_FULL, .SQLITE_IOERR, .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_READONLY, .SQLITE_NOMEM, .SQLITE_CANTOPEN, .SQLITE_BUSY: true
        default: false
        }
    }
}
