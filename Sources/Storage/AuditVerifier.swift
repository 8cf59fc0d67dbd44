import GRDB
package import Gateway
package import Proof

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Reads the audit log of a file, whoever else has it open, and checks that it is as it was written.
package struct AuditVerifier: Sendable {
    /// A seal that was signed.
    package struct Head: Hashable, Sendable {
        package let seal: Int64
        package let hash: [UInt8]
        package let signedAt: Timestamp
        package let keyID: String
        package let signature: [UInt8]

        package init(seal: Int64, hash: [UInt8], signedAt: Timestamp, keyID: String, signature: [UInt8]) {
            self.seal = seal
            self.hash = hash
            self.signedAt = signedAt
            self.keyID = keyID
            self.signature = signature
        }
    }

    package struct Report: Sendable {
        package var rows = 0
        package var seals = 0
        package var firstRow: Int64 = 0
        package var lastRow: Int64 = 0
        /// Rows at the end that wait for their seal; their codes were checked.
        package var unsealedRows = 0
        package var heads: [Head] = []
        /// Nil when all is as it was written.
        package var finding: Verification.Finding?
    }

    private let connection: DatabaseQueue
    /// Where the whole log is: a file that no program with an inbox has opened yet has the table alone.
    private let rows: String

    /// - Throws: `Database.Damaged` for a file that cannot be read.
    package init(path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { throw Database.Damaged(description: "There is no database \(path).") }
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(2)
        do {
            connection = try DatabaseQueue(path: path, configuration: configuration)
            let mark = try connection.read { try Int64.fetchOne($0, sql: "PRAGMA application_id") }
            guard mark == DatabaseChecks.mark else { throw Database.Damaged(description: "\(path) is not a gateway's database.") }
            rows = try connection.read { try $0.viewExists("audit_rows") } ? "audit_rows" : "audit_logs"
        } catch let error as DatabaseError {
            throw Database.Damaged(description: "\(path) cannot be read: \(error.message ?? "\(error.resultCode)").")
        }
    }

    /// Rows that are read in one transaction: a longer one would keep the gateway's write-ahead log from being copied back.
    private static let step = 4096

    /// Retention dropped rows while they were being read.
    private struct Overtaken: Error {}

    /// - Parameters:
    ///   - key: nil checks the chain alone.
    ///   - visit: shown the start, and then every row and every seal in order, for an export. A second start means: from
    ///     the beginning, because retention has dropped rows meanwhile.
    package func verify(
        key: RecordKey?, visit: (_ start: ChainPosition?, AuditRow?, Seal?) throws -> Void = { _, _, _ in }
    ) throws -> Report {
        do {
            while true {
                do { return try verifyOnce(key, visit) } catch is Overtaken {}
            }
        } catch let error as DatabaseError {
            throw Database.Damaged(description: "The audit log cannot be read to its end: \(error.message ?? "\(error.resultCode)").")
        }
    }

    private func verifyOnce(_ key: RecordKey?, _ visit: (ChainPosition?, AuditRow?, Seal?) throws -> Void) throws -> Report {
        var report = Report()
        let start = try connection.read { try AuditLedger.watermark($0) }
        try visit(start, nil, nil)
        var verification = Verification(after: start, key: key)
        report.firstRow = start.lastRow + 1
        do {
            try connection.read { try checkWatermark(start, key, $0) }
            while try connection.read({ try self.step(&verification, from: start, $0, visit) }) {}
        } catch let finding as Verification.Finding {
            report.finding = finding
        }
        report.rows = verification.rows
        report.seals = verification.seals
        report.lastRow = verification.lastRow
        report.unsealedRows = Int(verification.lastRow - verification.sealed.lastRow)
        report.heads = try connection.read { try heads($0) }
        return report
    }

    /// - Returns: whether there may be more.
    private func step(
        _ verification: inout Verification, from start: ChainPosition, _ db: GRDB.Database,
        _ visit: (ChainPosition?, AuditRow?, Seal?) throws -> Void
    ) throws -> Bool {
        if try AuditLedger.watermark(db) != start { throw Overtaken() }
        let rows = try Row.fetchAll(
            db, sql: "SELECT * FROM \(self.rows) WHERE audit_id > ? ORDER BY audit_id LIMIT ?", arguments: [verification.lastRow, Self.step])
        let isLast = rows.count < Self.step
        let end: Int64 = isLast ? .max : rows.last?["audit_id"] ?? .max
        let seals = try Row.fetchAll(
            db, sql: "SELECT * FROM audit_seals WHERE seal_id > ? AND last_id <= ? ORDER BY seal_id", arguments: [verification.sealed.seal, end]
        ).map(Seal.init(row:))
        var rest = seals[...]
        func close() throws {
            guard let seal = rest.popFirst() else { return }
            try verification.take(seal)
            try visit(nil, nil, seal)
        }
        for row in rows {
            while let seal = rest.first, !verification.expects(rowUpTo: seal.lastRow) { try close() }
            let entry: AuditRow
            do {
                entry = try AuditRow(row: row)
            } catch let error as Database.Damaged {
                throw Verification.Finding(row: row["audit_id"], description: error.description)
            }
            try verification.take(entry)
            try visit(nil, entry, nil)
        }
        while !rest.isEmpty { try close() }
        return !isLast
    }

    private func heads(_ db: GRDB.Database) throws -> [Head] {
        try Row.fetchAll(db, sql: "SELECT h.*, s.hash FROM audit_heads h LEFT JOIN audit_seals s ON s.seal_id = h.seal_id ORDER BY h.seal_id")
            .map { row in
                Head(
                    seal: row["seal_id"], hash: [UInt8](row["hash"] as Data? ?? Data()), signedAt: Timestamp(microseconds: row["signed_at"]),
                    keyID: row["key_id"], signature: [UInt8](row["signature"] as Data))
            }
    }

    private func checkWatermark(_ start: ChainPosition, _ key: RecordKey?, _ db: GRDB.Database) throws {
        guard let key, start != .start else { return }
        let mac = try Data.fetchOne(db, sql: "SELECT mac FROM audit_watermarks ORDER BY watermark_id DESC LIMIT 1")
        guard mac.map({ [UInt8]($0) }) == key.mac(of: Watermark.canonicalBytes(start)) else {
            throw Verification.Finding(
                row: start.lastRow,
                description: "The watermark at row \(start.lastRow) was not set by the gateway: rows up to it were cut by somebody else.")
        }
    }

    /// The hash of a seal; nil if it is not there (any more).
    package func hash(ofSeal seal: Int64) throws -> [UInt8]? {
        try connection.read { db in
            let start = try AuditLedger.watermark(db)
            if start.seal == seal { return start.hash }
            return try Data.fetchOne(db, sql: "SELECT hash FROM audit_seals WHERE seal_id = ?", arguments: [seal]).map { [UInt8]($0) }
        }
    }
}

extension Database {
    /// Seals what is not sealed, and says where the chain stands, to be signed.
    package func sealedHead() async throws -> ChainPosition {
        try await write { [now] db, ledger in
            try ledger.seal(at: now(), db)
            return ledger.sealed
        }
    }

    package func storeHead(_ head: AuditVerifier.Head) async throws {
        try await write { db, _ in
            try db.execute(
                sql: "INSERT OR IGNORE INTO audit_heads (seal_id, signed_at, key_id, signature) VALUES (?, ?, ?, ?)",
                arguments: [head.seal, head.signedAt.microseconds, head.keyID, Data(head.signature)])
        }
    }
}
