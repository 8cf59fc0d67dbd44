import GRDB
package import Gateway

/// The audit trail as rows.
extension Database {
    /// Writes all of them in one transaction; returns when they are on disk.
    package func append(_ records: [AuditRecord]) async throws {
        try await write { try Self.append(records, $0) }
    }

    static func append(_ records: [AuditRecord], _ db: GRDB.Database) throws {
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO audit_logs
                (created_at, user_id, tenant_id, action, target, outcome, reason, status, response_time_ms, address, request_id)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        for record in records {
            try statement.execute(arguments: [
                record.at.microseconds, record.user?.rawValue, record.tenant?.rawValue, record.action.cut(128).withoutControls,
                record.target.cut(128).withoutControls, record.outcome.rawValue, record.reason.cut(128).withoutControls, record.status,
                Double(record.duration.microseconds) / 1000, record.address.cut(64), Int64(bitPattern: record.requestID.rawValue),
            ])
        }
    }

    /// Records since a moment, latest first.
    ///
    /// Rows stand in the order in which they were committed, which is that of their moments but for requests that
    /// overlapped; so the walk back ends where moments are well before what was asked for.
    ///
    /// - Parameters:
    ///   - tenant: nil for all.
    ///   - limit: how many at most.
    package func auditRecords(of tenant: TenantID?, since: Timestamp, limit: Int) async throws -> [AuditRecord] {
        try await report { db in
            let condition = tenant == nil ? "" : "WHERE tenant_id = ?"
            let rows = try Row.fetchCursor(
                db, sql: "SELECT * FROM audit_logs \(condition) ORDER BY audit_id DESC",
                arguments: StatementArguments(tenant.map { [$0.rawValue] } ?? []))
            let end = since.advanced(by: .seconds(-3600))
            var records: [AuditRecord] = []
            while records.count < limit, let row = try rows.next() {
                guard let record = AuditRecord(row: row) else { continue }
                if record.at < end { break }
                if record.at >= since { records.append(record) }
            }
            return records
        }
    }
}

extension AuditRecord {
    fileprivate init?(row: Row) {
        guard let outcome = Outcome(rawValue: row["outcome"]) else { return nil }
        let user: Int64? = row["user_id"]
        let tenant: Int64? = row["tenant_id"]
        let milliseconds: Double = row["response_time_ms"]
        self.init(
            requestID: RequestID(UInt64(bitPattern: row["request_id"])), at: Timestamp(microseconds: row["created_at"]),
            user: user.map { UserID($0) }, tenant: tenant.map { TenantID($0) }, action: row["action"], target: row["target"],
            outcome: outcome, reason: row["reason"], status: row["status"], duration: .microseconds(Int64((milliseconds * 1000).rounded())),
            address: row["address"])
    }
}
