import GRDB
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

    private let writer: DatabaseQueue
    private let reader: DatabaseQueue
    /// For what reads much, so that sign-in never waits for it.
    private let reports: DatabaseQueue
    private let commits = CommitCounter()
    private let gate = DatabaseGate()

    /// Opens the file, makes it if need be, and brings its schema up to date.
    ///
    /// - Throws: `Damaged` when the file is not ours, is newer than this program, or does not check out.
    package init(path: String) throws {
        do {
            var writing = Self.configuration(label: "writer", busyTimeout: 2)
            writing.journalMode = .wal
            writer = try DatabaseQueue(path: path, configuration: writing)
            // GRDB sets NORMAL after `prepareDatabase`; an acknowledged commit must survive the machine too.
            try writer.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            try Self.claim(writer, path)
            try Self.migrate(writer, path)
            try Self.verify(writer, path)

            var reading = Self.configuration(label: "reader", busyTimeout: 0.25)
            reading.readonly = true
            reader = try DatabaseQueue(path: path, configuration: reading)
            reading.label = "reports"
            reports = try DatabaseQueue(path: path, configuration: reading)
        } catch let error as DatabaseError where [.SQLITE_NOTADB, .SQLITE_CORRUPT].contains(error.resultCode) {
            throw Damaged(description: "\(path) is not a usable database (\(error.message ?? "no reason given")); restore it from a backup.")
        } catch let error as DatabaseError {
            throw Damaged(description: "\(path) cannot be used: \(error.message ?? "SQLite says no more than \(error.resultCode)").")
        }
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
                    PRAGMA cell_size_check = ON;
                    PRAGMA recursive_triggers = ON;
                    PRAGMA trusted_schema = OFF;
                    """)
        }
        return configuration
    }

    /// Makes sure that a database with tables is ours, and marks a new one (`mreg` in ASCII).
    private static func claim(_ writer: DatabaseQueue, _ path: String) throws {
        let mark: Int64 = 0x6D72_6567
        try writer.write { db in
            let found = try Int64.fetchOne(db, sql: "PRAGMA application_id") ?? 0
            if found == mark { return }
            guard try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") == 0 else {
                throw Damaged(description: "\(path) is another program's database; name a state directory or DB_NAME of its own.")
            }
            try db.execute(sql: "PRAGMA application_id = \(mark)")
        }
    }

    private static func migrate(_ writer: DatabaseQueue, _ path: String) throws {
        var migrator = DatabaseMigrator()
        for migration in Schema.migrations {
            migrator.registerMigration(migration.name) { try $0.execute(sql: migration.sql) }
        }
        if try writer.read(migrator.hasBeenSuperseded) {
            throw Damaged(description: "\(path) was written by a newer mreg; run that one, or restore a backup of before the upgrade.")
        }
        try migrator.migrate(writer)
    }

    /// What was asked for is not always what SQLite does, so it is read back; and the small tables that everything
    /// hangs on are checked page by page.
    private static func verify(_ writer: DatabaseQueue, _ path: String) throws {
        try writer.read { db in
            for table in ["tenants", "users", "server_registrations"] {
                let verdict = try String.fetchOne(db, sql: "PRAGMA quick_check('\(table)')") ?? ""
                guard verdict == "ok" else { throw Damaged(description: "\(path) is damaged (\(verdict)); restore it from a backup.") }
            }
            let expected = [
                ("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("wal_autocheckpoint", "0"), ("recursive_triggers", "1"),
            ]
            for (pragma, value) in expected {
                let found = try String.fetchOne(db, sql: "PRAGMA \(pragma)") ?? ""
                guard found == value else { throw Damaged(description: "SQLite has \(pragma)=\(found) where \(value) was asked for.") }
            }
        }
    }

    /// Runs a read on the connection that cannot write.
    func read<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database) throws -> Value) async throws -> Value {
        try await gate.passing { try await reader.read(body) }
    }

    /// Runs a read that may take long, on a connection of its own that cannot write.
    func report<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database) throws -> Value) async throws -> Value {
        try await gate.passing { try await reports.read(body) }
    }

    /// Runs a transaction (`BEGIN IMMEDIATE`) on the one connection that writes; returns when it is on disk.
    func write<Value: Sendable>(_ body: @Sendable @escaping (GRDB.Database) throws -> Value) async throws -> Value {
        try await gate.passing {
            let value = try await writer.write(body)
            if commits.isCheckpointDue() {
                // Passive: copies what no reader still needs, and never waits. The commit stands whatever becomes of it.
                _ = try? await writer.writeWithoutTransaction { try $0.checkpoint(.passive) }
            }
            return value
        }
    }

    /// Whether the file still answers.
    package func probe() async throws {
        _ = try await read { try Int.fetchOne($0, sql: "SELECT count(*) FROM tenants") }
    }

    /// The whole schema as SQLite states it, in a stable order.
    package func schema() async throws -> String {
        try await read { db in
            let sql =
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'grdb_%' AND name NOT LIKE 'sqlite_%' ORDER BY tbl_name, type = 'index', rowid"
            return try String.fetchAll(db, sql: sql).map { $0 + ";\n" }.joined(separator: "\n")
        }
    }

    /// Waits for what is under way, copies the WAL into the file and closes both connections. Whoever comes later gets
    /// `DatabaseGate.Closed`.
    package func close() async throws {
        await gate.close()
        try reader.close()
        try reports.close()
        _ = try await writer.writeWithoutTransaction { try $0.checkpoint(.truncate) }
        try writer.close()
    }
}
