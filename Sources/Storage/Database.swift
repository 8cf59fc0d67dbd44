import GRDB
package import Gateway
package import Pacing
package import Proof
import Schema

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The record of truth: one SQLite file in WAL mode.
///
/// One connection writes, and only that connection checkpoints, between its transactions: Debian's SQLite (3.40.1) can
/// corrupt a WAL when two connections write and checkpoint at the same moment. Readers cannot write at all.
package final class Database: Sendable {
    package struct Damaged: Error, CustomStringConvertible {
        package let description: String
    }

    package let path: String
    let writer: Writer
    private let connection: DatabaseQueue
    private let authentication: HandlePool<DatabaseQueue>
    private let reading: HandlePool<DatabaseQueue>
    private let analytics: HandlePool<DatabaseQueue>
    /// Slots in the writer's queue; they hold no handle.
    private let writing: HandlePool<Void>
    let gate = DatabaseGate()
    private let readers: ReaderRegister
    package let key: RecordKey
    let now: @Sendable () -> Timestamp

    /// Opens the file, makes it if need be, and brings its schema up to date.
    ///
    /// - Parameters:
    ///   - key: marks the rows of the audit log.
    ///   - now: the wall clock.
    /// - Throws: `Damaged` when the file is not ours, is newer than this program, or does not check out.
    package init(path: String, key: RecordKey, pools plan: PoolPlan = PoolPlan(), now: @escaping @Sendable () -> Timestamp) throws {
        self.path = path
        self.key = key
        self.now = now
        let readers = ReaderRegister()
        self.readers = readers
        do {
            var configuration = Self.configuration(label: "writer", busyTimeout: TimeInterval(Writer.busyTimeout) / 1000)
            configuration.prepareDatabase { db in
                // The first two take effect on a file that is made now. A commit writes whole pages, and its rows go into as many
                // pages of an index as there are users: with 4 KiB it is mostly copies of what did not change. And SQLite walks a
                // share of its page cache at every commit, so a large one costs more than the reads it saves (measured).
                try db.execute(sql: "PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA cache_size = -2048; PRAGMA cache_spill = OFF")
            }
            configuration.journalMode = .wal
            let connection = try DatabaseQueue(path: path, configuration: configuration)
            self.connection = connection
            // GRDB sets NORMAL after `prepareDatabase`; an acknowledged commit must survive the machine too.
            try connection.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            try DatabaseChecks.claim(connection, path)
            try Self.migrate(connection, path)
            try DatabaseChecks.verify(connection, path)
            writer = try Writer(connection, path: path, key: key, now: now) { readers.interruptLongOnes() }
        } catch let error as DatabaseError where [.SQLITE_NOTADB, .SQLITE_CORRUPT].contains(error.resultCode) {
            throw Damaged(
                description:
                    "\(path) is not a usable database (\(error.message ?? "no reason given")); restore it from a backup: mreg restore --help")
        } catch let error as DatabaseError {
            throw Damaged(description: "\(path) cannot be used: \(error.message ?? "SQLite says no more than \(error.resultCode)").")
        }

        let budget = HandleBudget(limit: max(3, plan.handles.upperBound - 1))
        func pool(_ name: String, _ pool: PoolPlan.Pool) -> HandlePool<DatabaseQueue> {
            HandlePool(
                name: name,
                sizing: PoolSizing(
                    minimum: plan.minimum(of: pool), ceiling: plan.isAdaptive ? pool.ceiling : plan.fixed(pool), growthFactor: plan.growthFactor,
                    threshold: plan.threshold),
                isAdaptive: plan.isAdaptive, timeout: pool.timeout, budget: budget,
                isBroken: { ($0 as? DatabaseError)?.breaksHandle ?? false },
                open: {
                    var configuration = Self.configuration(label: name, busyTimeout: 0.25)
                    configuration.readonly = true
                    return try DatabaseQueue(path: path, configuration: configuration)
                },
                close: { try? $0.close() })
        }
        authentication = pool("auth", plan.authentication)
        reading = pool("read", plan.read)
        analytics = pool("analytics", plan.analytics)
        writing = HandlePool(
            name: "write",
            sizing: PoolSizing(
                minimum: min(5, plan.write.ceiling), ceiling: plan.write.ceiling, growthFactor: plan.growthFactor, threshold: plan.threshold),
            isAdaptive: plan.isAdaptive, timeout: plan.write.timeout, budget: nil, isBroken: { _ in false }, open: {}, close: { _ in })
    }

    private static func configuration(label: String, busyTimeout: TimeInterval) -> Configuration {
        var configuration = Configuration()
        configuration.label = label
        configuration.busyMode = .timeout(busyTimeout)
        configuration.maximumReaderCount = 1
        configuration.prepareDatabase { db in
            try db.execute(
                sql: """
                    PRAGMA wal_autocheckpoint = 0;
                    PRAGMA journal_size_limit = 16777216;
                    PRAGMA temp_store = MEMORY;
                    PRAGMA mmap_size = 0;
                    PRAGMA cache_size = -8192;
                    PRAGMA cell_size_check = ON;
                    PRAGMA recursive_triggers = ON;
                    PRAGMA trusted_schema = OFF;
                    """)
        }
        return configuration
    }

    private static func migrate(_ connection: DatabaseQueue, _ path: String) throws {
        var migrator = DatabaseMigrator()
        for migration in Schema.migrations {
            migrator.registerMigration(migration.name) { try $0.execute(sql: migration.sql) }
        }
        if try connection.read(migrator.hasBeenSuperseded) {
            throw Damaged(description: "\(path) was written by a newer mreg; run that one, or restore a backup of before the upgrade.")
        }
        try migrator.migrate(connection)
    }

    // MARK: Access

    /// Runs a read for a sign-in or the check of a token.
    func authenticating<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database) throws -> Value) async throws -> Value {
        try await lend(authentication, body)
    }

    /// Runs a read on a handle that cannot write.
    func read<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database) throws -> Value) async throws -> Value {
        try await lend(reading, body)
    }

    /// Runs a read that may take long. It is interrupted when it keeps the write-ahead log from being copied back.
    func report<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database) throws -> Value) async throws -> Value {
        try await lend(analytics, body)
    }

    private func lend<Value: Sendable>(
        _ pool: HandlePool<DatabaseQueue>, _ body: @Sendable @escaping (GRDB.Database) throws -> Value
    ) async throws -> Value {
        do {
            return try await gate.passing {
                try await pool.withHandle { [readers] handle in
                    let ticket = readers.begin(handle)
                    defer { readers.end(ticket) }
                    return try await handle.read(body)
                }
            }
        } catch let error as DatabaseError where error.resultCode == .SQLITE_INTERRUPT && !Task.isCancelled {
            throw Refusal.overloaded("This took so long that it kept calls from being recorded, and was ended; ask for a shorter period.")
        }
    }

    /// Runs a change in a transaction (`BEGIN IMMEDIATE`) on the one connection that writes; returns when it is on disk.
    ///
    /// - Throws: `Refusal.auditUnavailable` when the disk or the log takes nothing at the moment; the trail logs why.
    func write<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database, AuditLedger) throws -> Value) async throws -> Value {
        try await orUnavailable {
            try await gate.passing {
                try await writing.withHandle { _ in try await writer.perform(body) }
            }
        }
    }

    /// Brings every row that is acknowledged by now to where reports look for it.
    ///
    /// - Throws: `Refusal.auditUnavailable` when the disk takes nothing: a report would leave out what it should tell.
    func settleRows() async throws {
        do {
            try await orUnavailable { try await gate.passing { try await writer.emptyInbox() } }
        } catch let error as DatabaseError where error.resultCode == .SQLITE_CONSTRAINT {
            throw Damaged(description: "A row of the inbox has no place in the audit log: somebody edited the file; see: mreg audit verify")
        }
    }

    private func orUnavailable<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as DatabaseError where error.endsTransaction {
            throw Refusal.auditUnavailable
        } catch is Writer.LogFull {
            throw Refusal.auditUnavailable
        } catch is Writer.FlushFailed {
            throw Refusal.auditUnavailable
        }
    }

    /// Runs something on the connection that writes, between two transactions.
    func betweenTransactions<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database, AuditLedger) throws -> Value) async throws -> Value {
        try await gate.passing { try await writer.between(body) }
    }

    // MARK: How it is

    /// Whether the file still answers.
    package func probe() async throws {
        _ = try await read { try Int.fetchOne($0, sql: "SELECT count(*) FROM tenants") }
    }

    package var pools: [PoolMetrics] { [authentication.metrics, reading.metrics, writing.metrics, analytics.metrics] }

    /// Ends a minute: notes how full each pool was, lets it shrink, and returns the minute's metrics.
    package func samplePools() -> [PoolMetrics] { [authentication.sample(), reading.sample(), writing.sample(), analytics.sample()] }

    package var walBytes: Int { writer.walBytes }

    package var fileBytes: Int { (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0 }

    /// The whole schema as SQLite states it, in a stable order.
    package func schema() async throws -> String {
        try await read { db in
            let sql =
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'grdb_%' AND name NOT LIKE 'sqlite_%' ORDER BY tbl_name, type = 'index', rowid"
            return try String.fetchAll(db, sql: sql).map { $0 + ";\n" }.joined(separator: "\n")
        }
    }

    /// Seals what is not sealed, waits for what is under way, copies the WAL into the file and closes every handle.
    /// Whoever comes later gets `DatabaseGate.Closed`.
    ///
    /// - Parameter onWhole: called when everything is in the file and before its write-ahead log is removed.
    package func close(onWhole: @Sendable () -> Void = {}) async throws {
        await gate.close()
        for pool in [authentication, reading, analytics] { pool.shutDown() }
        writing.shutDown()
        _ = try? await writer.perform { [now] db, ledger in
            try ledger.seal(at: now(), db)
            try ledger.flush(db)
        }
        try? await writer.emptyInbox()
        _ = try await writer.between { db, _ in try db.checkpoint(.truncate) }
        onWhole()
        try connection.close()
    }
}

extension DatabaseError {
    /// Whether the handle that met it is better replaced.
    var breaksHandle: Bool {
        switch resultCode {
        case .SQLITE_IOERR, .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_CANTOPEN, .SQLITE_MISUSE, .SQLITE_PROTOCOL: true
        default: false
        }
    }
}
