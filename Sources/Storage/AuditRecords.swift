import GRDB
package import Gateway
package import Proof

/// The audit trail as rows.
extension Database {
    /// Writes all of them in one transaction; returns when they are on disk.
    package func append(_ records: [AuditRecord]) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            submit(records) { error in
                if let error { continuation.resume(throwing: error) } else { continuation.resume() }
            }
        }
    }

    /// Queues them for the next transaction; `done` is called once, with nil when they are on disk.
    package func submit(_ records: [AuditRecord], _ done: @escaping @Sendable ((any Error)?) -> Void) {
        guard gate.enter() else { return done(DatabaseGate.Closed()) }
        writer.submit(records) { [gate] error in
            gate.leave()
            done(error)
        }
    }

    /// Records since a moment, latest first.
    ///
    /// Rows stand in the order in which they were committed, which is that of their moments but for requests that
    /// overlapped; so the walk back ends where moments are well before what was asked for.
    ///
    /// - Parameters:
    ///   - tenant: nil for all.
    ///   - before: only rows with a lower number; nil begins at the end.
    ///   - limit: how many at most.
    package func auditRows(of tenant: TenantID?, user: UserID? = nil, since: Timestamp, before: Int64? = nil, limit: Int) async throws -> [AuditRow] {
        try await settleRows()
        return try await report { db in
            var sql = AuditQuery.all
            var arguments: StatementArguments = [before ?? .max]
            if let tenant, let user {
                sql = AuditQuery.ofUser
                arguments = [user.rawValue, tenant.rawValue, since.microseconds, before ?? .max]
            } else if let tenant {
                sql = AuditQuery.ofTenant
                arguments = [tenant.rawValue, since.microseconds, before ?? .max]
            }
            let rows = try Row.fetchCursor(db, sql: sql, arguments: arguments)
            let end = since.advanced(by: .seconds(-3600))
            var found: [AuditRow] = []
            while found.count < limit, let row = try rows.next() {
                let entry = try AuditRow(row: row)
                if entry.record.at < end { break }
                if entry.record.at >= since { found.append(entry) }
            }
            return found
        }
    }

    package func auditRecords(of tenant: TenantID?, since: Timestamp, limit: Int) async throws -> [AuditRecord] {
        try await auditRows(of: tenant, since: since, limit: limit).map(\.record)
    }
}

/// The reads of the audit log, latest first.
enum AuditQuery {
    static let all = "SELECT * FROM audit_logs WHERE audit_id < ? ORDER BY audit_id DESC"
    static let ofTenant = """
        SELECT * FROM audit_logs WHERE tenant_id = ?1 AND created_at >= ?2 AND (created_at, audit_id) < \(before("?3"))
        ORDER BY created_at DESC, audit_id DESC
        """
    static let ofUser = """
        SELECT * FROM audit_logs WHERE user_id = ?1 AND tenant_id = ?2 AND created_at >= ?3 AND (created_at, audit_id) < \(before("?4"))
        ORDER BY created_at DESC, audit_id DESC
        """

    /// Where a page goes on: behind the row that the one before ended with. There is nothing behind a row that was dropped.
    private static func before(_ row: String) -> String {
        "(coalesce((SELECT created_at FROM audit_logs WHERE audit_id = \(row)), iif(\(row) = \(Int64.max), \(Int64.max), \(Int64.min))), \(row))"
    }
}
