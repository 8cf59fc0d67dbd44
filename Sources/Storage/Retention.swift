import GRDB
package import Gateway
import Proof

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// How long things are kept.
package struct Retention: Sendable {
    /// Audit rows, and rate limit events.
    package var rows: Duration
    /// Of the database file, free pages left out.
    package var bytes: Int
    /// Sums outlive their rows: what reports of quarters need.
    package var sums = Duration.seconds(400 * 86_400)
    /// Two weeks of samples are compared.
    package var samples = Duration.seconds(35 * 86_400)
    /// Sessions that ended.
    package var sessions = Duration.seconds(30 * 86_400)

    package init(rows: Duration, bytes: Int) {
        self.rows = rows
        self.bytes = bytes
    }
}

/// Housekeeping: rows whose time is over go, in steps short enough that nobody waits for them.
extension Database {
    /// Rows that one transaction deletes.
    private static let step = 2_000

    /// Seals and sums what is due though nobody writes.
    package func settle() async throws {
        let isDue = try await betweenTransactions { [now] _, ledger in ledger.isSealDue(at: now()) || ledger.hasUnsummedRows }
        guard isDue else { return }
        try await write { [now] db, ledger in
            if ledger.isSealDue(at: now()) { try ledger.seal(at: now(), db) }
            try ledger.flush(db)
        }
    }

    /// Drops whole sealed runs of audit rows that are too old or too many. Setting the watermark is recorded in the
    /// transaction that sets it; a step that is interrupted is taken up by the next.
    ///
    /// - Returns: how many rows were dropped.
    @discardableResult
    package func retain(_ retention: Retention, audit: AuditRecord) async throws -> Int {
        try await settleRows()
        try await writeSums()
        var dropped = 0
        // How much a row weighs is estimated, so the file is measured again.
        for _ in 0..<4 {
            let end = try await read { [now] db in
                max(try Self.endOfAge(now().advanced(by: .zero - retention.rows), db), try Self.endOfSize(retention.bytes, db))
            }
            let isNews = end > 0 ? try await setWatermark(upTo: end, audit: audit) : false
            dropped += try await dropBelowWatermark()
            if !isNews { break }
        }
        return dropped
    }

    /// The last row of the last run whose rows are all older.
    private static func endOfAge(_ limit: Timestamp, _ db: GRDB.Database) throws -> Int64 {
        try Int64.fetchOne(db, sql: RetentionQuery.sealedBefore, arguments: [limit.microseconds]) ?? 0
    }

    /// The last row of the runs that have to go for the file to shrink to so many bytes.
    private static func endOfSize(_ bytes: Int, _ db: GRDB.Database) throws -> Int64 {
        func pragma(_ name: String) throws -> Int { try Int.fetchOne(db, sql: "PRAGMA \(name)") ?? 0 }
        let used = try (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")
        let (first, last) = (
            try Int64.fetchOne(db, sql: "SELECT min(audit_id) FROM audit_logs") ?? 0,
            try Int64.fetchOne(db, sql: "SELECT max(audit_id) FROM audit_logs") ?? 0
        )
        guard used > bytes, last > first else { return 0 }
        // A tenth more than needed, so that it is not needed again at once.
        let share = min(1, Double(used - bytes) / Double(used) * 1.1)
        let row = first + Int64(Double(last - first) * share)
        return try Int64.fetchOne(db, sql: "SELECT coalesce(max(last_id), 0) FROM audit_seals WHERE last_id <= ?", arguments: [row]) ?? 0
    }

    /// - Returns: whether it is further than before.
    private func setWatermark(upTo row: Int64, audit: AuditRecord) async throws -> Bool {
        try await write { [now] db, ledger in
            guard try AuditLedger.watermark(db).lastRow < row,
                let seal = try Row.fetchOne(db, sql: "SELECT * FROM audit_seals WHERE last_id = ?", arguments: [row]).map(Seal.init(row:))
            else { return false }
            let mac = ledger.mac(of: Watermark.canonicalBytes(ChainPosition(seal)))
            try db.execute(
                sql: "INSERT INTO audit_watermarks (last_id, seal_id, hash, set_at, mac) VALUES (?, ?, ?, ?, ?)",
                arguments: [row, seal.id, Data(seal.hash), now().microseconds, Data(mac)])
            var audit = audit
            audit.action = "audit.retain"
            audit.target = "rows up to \(row)"
            try ledger.append(audit, db)
            return true
        }
    }

    private func dropBelowWatermark() async throws -> Int {
        var dropped = 0
        while true {
            let count = try await write { db, _ in
                let end = try AuditLedger.watermark(db).lastRow
                let first = try Int64.fetchOne(db, sql: "SELECT min(audit_id) FROM audit_logs") ?? .max
                guard first <= end else { return 0 }
                try db.execute(
                    sql: "DELETE FROM audit_logs WHERE audit_id BETWEEN ? AND ?",
                    arguments: [first, min(end, first + Int64(Self.step) - 1)])
                return db.changesCount
            }
            dropped += count
            if count == 0 { break }
        }
        try await write { db, _ in
            let end = try AuditLedger.watermark(db)
            // The seal at the watermark stays: the next one hangs on it, and so may a signed head.
            try db.execute(sql: "DELETE FROM audit_seals WHERE seal_id < ?", arguments: [end.seal])
            try db.execute(sql: "DELETE FROM audit_heads WHERE seal_id < ?", arguments: [end.seal])
        }
        return dropped
    }

    /// Drops what has expired in the other tables.
    ///
    /// - Returns: rows dropped, by table.
    package func expire(_ retention: Retention) async throws -> [(table: String, rows: Int)] {
        let now = now()
        func before(_ age: Duration) -> Int64 { now.advanced(by: .zero - age).microseconds }
        let (rows, sums, samples, sessions) = (before(retention.rows), before(retention.sums), before(retention.samples), before(retention.sessions))
        let hour = sums / 3_600_000_000
        var dropped: [String: Int] = [:]
        func drop(_ table: String, _ condition: String, _ arguments: StatementArguments) async throws {
            let count = try await write { db, _ in
                try db.execute(sql: "DELETE FROM \(table) WHERE \(condition)", arguments: arguments)
                return db.changesCount
            }
            if count > 0 { dropped[table, default: 0] += count }
        }
        try await drop("rate_limit_events", "timestamp < ?", [rows])
        try await drop("rate_limit_buckets", "expires_at < ?", [now.microseconds])
        try await drop("usage_samples", "sampled_at < ?", [samples])
        // Kept for a while after their end, so that a late reuse is known for what it is.
        try await drop("oauth_grants", "expires_at < ?", [sessions])
        try await drop("api_keys", "expires_at < ?", [sessions])
        // Tenant by tenant, along an index each: a scan of the whole table would hold up whoever wants to be recorded.
        for tenant in try await read({ try Int64.fetchAll($0, sql: "SELECT tenant_id FROM tenants UNION ALL SELECT 0") }) {
            try await drop("request_rollups", "tenant_id = ? AND hour < ?", [tenant, hour])
            try await drop("tenant_rollups", "tenant_id = ? AND hour < ?", [tenant, hour])
            try await drop("user_sessions", "tenant_id = ? AND is_active = 0 AND last_activity < ?", [tenant, sessions])
        }
        return dropped.sorted { $0.key < $1.key }.map { (table: $0.key, rows: $0.value) }
    }

    /// Keeps the file in shape: statistics for the planner, indexes that have grown ragged, free pages given back.
    ///
    /// - Returns: what was done, in words.
    package func tidy() async throws -> [String] {
        var done = try await expireIndexes()
        try await betweenTransactions { db, _ in try db.execute(sql: "PRAGMA analysis_limit = 1000; PRAGMA optimize") }
        done.append("statistics looked at")
        var pages = 0
        while true {
            let freed = try await betweenTransactions { db, _ in
                let free = try Int.fetchOne(db, sql: "PRAGMA freelist_count") ?? 0
                guard free > 0 else { return 0 }
                try db.execute(sql: "PRAGMA incremental_vacuum(500)")
                return free - (try Int.fetchOne(db, sql: "PRAGMA freelist_count") ?? 0)
            }
            if freed <= 0 { break }
            pages += freed
        }
        if pages > 0 { done.append("\(pages) pages given back") }
        return done
    }

    /// An index is fragmented when its pages are less than half full; `dbstat` tells, where SQLite has it.
    private func expireIndexes() async throws -> [String] {
        let ragged = try await report { db -> [String] in
            guard try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'dbstat')") ?? false else { return [] }
            return try String.fetchAll(db, sql: RetentionQuery.ragged)
        }
        for index in ragged { try await write { db, _ in try db.execute(sql: "REINDEX \(index)") } }
        return ragged.map { "\($0) rebuilt" }
    }
}

enum RetentionQuery {
    /// Seals stand in the order of time: the search ends at the first that is too young.
    static let sealedBefore = "SELECT coalesce(max(last_id), 0) FROM audit_seals WHERE sealed_at < ?"
    static let ragged = """
        SELECT d.name FROM sqlite_schema s JOIN dbstat d ON d.name = s.name AND d.aggregate = 1
        WHERE s.type = 'index' AND s.name LIKE 'idx_%' AND d.pageno > 256 AND d.unused > d.pgsize / 2
        """
}

/// Up to where rows may be dropped.
enum Watermark {
    static func canonicalBytes(_ position: ChainPosition) -> [UInt8] {
        Array("watermark".utf8) + position.hash
            + [position.seal, position.lastRow].flatMap { value in withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    }
}
