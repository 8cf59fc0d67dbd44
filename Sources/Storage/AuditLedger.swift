import GRDB
import GRDBSQLite
import Gateway
import Proof
import Reports

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The audit log as the one writer keeps it: numbers rows, marks and seals them, and sums them up for reports.
///
/// Confined to the writer's queue. What a transaction did to it is undone with the transaction.
final class AuditLedger {
    /// How a transaction, or a part of one, is undone.
    struct Mark {
        fileprivate let chain: SealChain
        fileprivate let appended: Int
        fileprivate let inboxRows: Int
        fileprivate let hasWrittenSums: Bool
    }

    private let key: RecordKey
    private var chain: SealChain
    /// Rows of the transaction under way; they are summed when it is committed.
    private var appended: [AuditRecord] = []
    /// Of rows that are committed and whose sums are not.
    private var rollups = Rollups()
    private var summedRow: Int64
    /// Whether the transaction under way has written the sums.
    private var hasWrittenSums = false
    /// The latest rows, which have no index yet.
    private(set) var inboxRows: Int
    /// Whether so many wait that the transaction under way is to leave its rows in the inbox.
    var isRush = false

    /// With so many rows waiting the next transaction writes the sums.
    private static let mostUnsummedRows = 32_768

    /// Takes the log up where it ends: hashes what is not sealed, sums what is not summed.
    init(key: RecordKey, _ db: GRDB.Database) throws {
        self.key = key
        chain = SealChain(after: try Self.position(db))
        inboxRows = try Int.fetchOne(db, sql: "SELECT count(*) FROM audit_inbox") ?? 0
        let unsealed = try Row.fetchCursor(
            db, sql: "SELECT * FROM audit_rows WHERE audit_id > ? ORDER BY audit_id", arguments: [chain.sealed.lastRow])
        while let row = try unsealed.next() {
            let entry = try AuditRow(row: row)
            guard entry.id == chain.nextRow else {
                throw Database.Damaged(description: "Row \(chain.nextRow) of the audit log is missing; see: mreg audit verify")
            }
            chain.resume(with: entry)
        }
        summedRow = try Int64.fetchOne(db, sql: "SELECT audit_id FROM rollup_progress") ?? 0
        let unsummed = try Row.fetchCursor(db, sql: "SELECT * FROM audit_rows WHERE audit_id > ? ORDER BY audit_id", arguments: [summedRow])
        while let row = try unsummed.next() {
            let entry = try AuditRow(row: row)
            rollups.add(entry.record)
            summedRow = entry.id
        }
    }

    /// Where the chain stands: the last seal, else the watermark, else the start.
    static func position(_ db: GRDB.Database) throws -> ChainPosition {
        if let row = try Row.fetchOne(db, sql: "SELECT * FROM audit_seals ORDER BY seal_id DESC LIMIT 1") { return ChainPosition(Seal(row: row)) }
        return try watermark(db)
    }

    /// Up to where rows may have been dropped.
    static func watermark(_ db: GRDB.Database) throws -> ChainPosition {
        guard let row = try Row.fetchOne(db, sql: "SELECT * FROM audit_watermarks ORDER BY watermark_id DESC LIMIT 1") else { return .start }
        return ChainPosition(seal: row["seal_id"], lastRow: row["last_id"], hash: [UInt8](row["hash"] as Data))
    }

    var sealed: ChainPosition { chain.sealed }
    var lastRow: Int64 { chain.nextRow - 1 }

    func mac(of bytes: [UInt8]) -> [UInt8] { key.mac(of: bytes) }

    // MARK: Within a transaction

    func append(_ record: AuditRecord, _ db: GRDB.Database) throws {
        let row = chain.row(for: record, key: key)
        // Rows stand in the inbox in their order, or not at all.
        if isRush || inboxRows > 0 {
            try Self.insert(row, into: Self.inbox, db)
            inboxRows += 1
        } else {
            try Self.insert(row, into: Self.log, db)
        }
        appended.append(row.record)
        if let limit = row.record.limitMet {
            try db.execute(
                sql: "INSERT INTO rate_limit_events (user_id, tenant_id, timestamp, limit_name, refusals) VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    row.record.user?.rawValue, row.record.tenant?.rawValue, row.record.at.microseconds, limit, row.record.weight,
                ])
        }
    }

    /// Moves the oldest rows of the inbox to their place, at most so many.
    func move(_ limit: Int, _ db: GRDB.Database) throws {
        let end = limit < inboxRows ? lastRow - Int64(inboxRows - limit) : .max
        try db.execute(sql: "INSERT INTO audit_logs SELECT * FROM audit_inbox WHERE audit_id <= ? ORDER BY audit_id", arguments: [end])
        try db.execute(sql: "DELETE FROM audit_inbox WHERE audit_id <= ?", arguments: [end])
        inboxRows = max(0, inboxRows - limit)
    }

    /// The oldest row in the inbox; the one after the last if it is empty.
    var firstInboxRow: Int64 { chain.nextRow - Int64(inboxRows) }

    /// Seals what is due.
    func finish(at now: Timestamp, _ db: GRDB.Database) throws {
        if chain.isDue(at: now) { try seal(at: now, db) }
    }

    func seal(at now: Timestamp, _ db: GRDB.Database) throws {
        guard let seal = chain.seal(at: now) else { return }
        try db.execute(
            sql: "INSERT INTO audit_seals (seal_id, first_id, last_id, sealed_at, hash) VALUES (?, ?, ?, ?, ?)",
            arguments: [seal.id, seal.firstRow, seal.lastRow, seal.at.microseconds, Data(seal.hash)])
    }

    /// Writes the sums of all rows that were committed before this transaction.
    func flush(_ db: GRDB.Database) throws {
        guard rollups.count > 0, !hasWrittenSums else { return }
        for (key, sum) in rollups.requests { try sum.add(to: key, db) }
        for (hour, sum) in rollups.tenants { try sum.add(to: hour, db) }
        try db.execute(sql: "UPDATE rollup_progress SET audit_id = ?", arguments: [summedRow])
        hasWrittenSums = true
    }

    // MARK: Around a transaction

    var mark: Mark { Mark(chain: chain, appended: appended.count, inboxRows: inboxRows, hasWrittenSums: hasWrittenSums) }

    func undo(to mark: Mark) {
        chain = mark.chain
        appended.removeLast(appended.count - mark.appended)
        inboxRows = mark.inboxRows
        hasWrittenSums = mark.hasWrittenSums
    }

    func transactionCommitted() {
        if hasWrittenSums { rollups = Rollups() }
        hasWrittenSums = false
        for record in appended { rollups.add(record) }
        appended.removeAll(keepingCapacity: true)
        summedRow = lastRow
    }

    var hasUnsummedRows: Bool { rollups.count > 0 }
    var hasManyUnsummedRows: Bool { rollups.count >= Self.mostUnsummedRows && !hasWrittenSums }
    func isSealDue(at now: Timestamp) -> Bool { chain.isDue(at: now) }

    // MARK: The row itself

    /// Bound through the C interface: a box for each of fifteen values would be made for every row.
    private static func insert(_ row: AuditRow, into sql: String, _ db: GRDB.Database) throws {
        let record = row.record
        let statement = try db.cachedStatement(sql: sql).sqliteStatement
        defer { sqlite3_reset(statement) }
        sqlite3_bind_int64(statement, 1, row.id)
        sqlite3_bind_int64(statement, 2, record.at.microseconds)
        bind(record.user?.rawValue, 3, statement)
        bind(record.tenant?.rawValue, 4, statement)
        bind(record.server?.rawValue, 5, statement)
        bind(record.action, 6, statement)
        bind(record.target, 7, statement)
        bind(record.outcome.rawValue, 8, statement)
        bind(record.reason, 9, statement)
        sqlite3_bind_int64(statement, 10, Int64(record.status))
        sqlite3_bind_double(statement, 11, record.milliseconds)
        bind(record.address, 12, statement)
        sqlite3_bind_int64(statement, 13, Int64(bitPattern: record.requestID.rawValue))
        sqlite3_bind_int64(statement, 14, Int64(record.weight))
        _ = row.mac.withUnsafeBytes { sqlite3_bind_blob(statement, 15, $0.baseAddress, Int32($0.count), copied) }
        let code = sqlite3_step(statement)
        guard code == SQLITE_DONE else {
            throw DatabaseError(resultCode: ResultCode(rawValue: code), message: db.lastErrorMessage, sql: sql)
        }
    }

    private static let log = insertion(into: "audit_logs")
    private static let inbox = insertion(into: "audit_inbox")

    private static func insertion(into table: String) -> String {
        """
        INSERT INTO \(table)
        (audit_id, created_at, user_id, tenant_id, server_id, action, target, outcome, reason, status, response_time_ms, address, request_id,
        weight, mac)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """
    }

    /// `SQLITE_TRANSIENT`: SQLite takes a copy.
    private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

    private static func bind(_ value: Int64?, _ index: Int32, _ statement: OpaquePointer?) {
        if let value { sqlite3_bind_int64(statement, index, value) } else { sqlite3_bind_null(statement, index) }
    }

    private static func bind(_ text: String, _ index: Int32, _ statement: OpaquePointer?) {
        var text = text
        _ = text.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { characters in
                // SQLite takes a text without an address for NULL.
                guard let start = characters.baseAddress else { return sqlite3_bind_text(statement, index, "", 0, copied) }
                return sqlite3_bind_text(statement, index, start, Int32(characters.count), copied)
            }
        }
    }
}

extension AuditRow {
    /// - Throws: `Database.Damaged` for a row that this program cannot have written.
    init(row: Row) throws {
        guard let outcome = AuditRecord.Outcome(rawValue: row["outcome"]) else {
            throw Database.Damaged(description: "Row \(row["audit_id"] as Int64) of the audit log has an outcome that is not known.")
        }
        let milliseconds: Double = row["response_time_ms"]
        self.init(
            id: row["audit_id"],
            record: AuditRecord(
                requestID: RequestID(UInt64(bitPattern: row["request_id"])), at: Timestamp(microseconds: row["created_at"]),
                user: (row["user_id"] as Int64?).map { UserID($0) }, tenant: (row["tenant_id"] as Int64?).map { TenantID($0) },
                server: (row["server_id"] as Int64?).map { ServerID($0) }, action: row["action"], target: row["target"], outcome: outcome,
                reason: row["reason"], status: row["status"],
                duration: .microseconds(Int64((min(milliseconds, 1e15) * 1000).rounded())), address: row["address"], weight: row["weight"]),
            mac: [UInt8](row["mac"] as Data))
    }
}

extension Seal {
    init(row: Row) {
        self.init(
            id: row["seal_id"], firstRow: row["first_id"], lastRow: row["last_id"], at: Timestamp(microseconds: row["sealed_at"]),
            hash: [UInt8](row["hash"] as Data))
    }
}

extension AuditRecord {
    /// The limit a known user met, or that an address was blocked.
    fileprivate var limitMet: String? {
        if action == "address.block" { return "address_block" }
        let prefix = "throttled."
        return user != nil && reason.hasPrefix(prefix) ? String(reason.dropFirst(prefix.count)) : nil
    }
}
