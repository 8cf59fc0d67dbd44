import GRDB

/// What is asked of a file before it is used.
enum DatabaseChecks {
    /// `mreg` in ASCII.
    static let mark: Int64 = 0x6D72_6567

    /// Makes sure that a database with tables is ours, and marks a new one.
    static func claim(_ connection: DatabaseQueue, _ path: String) throws {
        try connection.write { db in
            let found = try Int64.fetchOne(db, sql: "PRAGMA application_id") ?? 0
            if found == mark { return }
            guard try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") == 0 else {
                throw Database.Damaged(description: "\(path) is another program's database; name a state directory or DB_NAME of its own.")
            }
            try db.execute(sql: "PRAGMA application_id = \(mark)")
        }
    }

    /// What was asked for is not always what SQLite does, so it is read back; and the file is checked, page by page while
    /// it is small, beyond that the tables that everything hangs on.
    static func verify(_ connection: DatabaseQueue, _ path: String) throws {
        try connection.read { db in
            let bytes = try (Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0) * (Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0)
            let checks = bytes <= wholeCheckBytes ? [""] : ["('tenants')", "('users')", "('server_registrations')", "('audit_seals')"]
            for check in checks {
                let verdict = try String.fetchOne(db, sql: "PRAGMA quick_check\(check)") ?? ""
                guard verdict == "ok" else {
                    let reason = verdict.split(separator: "\n").joined(separator: "; ")
                    throw Database.Damaged(description: "\(path) is damaged (\(reason)); restore it from a backup: mreg restore --help")
                }
            }
            let expected = [
                ("journal_mode", "wal"), ("auto_vacuum", "2"), ("synchronous", "2"), ("foreign_keys", "1"), ("wal_autocheckpoint", "0"),
                ("recursive_triggers", "1"),
            ]
            for (pragma, value) in expected {
                let found = try String.fetchOne(db, sql: "PRAGMA \(pragma)") ?? ""
                guard found == value else { throw Database.Damaged(description: "SQLite has \(pragma)=\(found) where \(value) was asked for.") }
            }
        }
    }

    /// Some two seconds of reading.
    private static let wholeCheckBytes = 512 << 20
}
