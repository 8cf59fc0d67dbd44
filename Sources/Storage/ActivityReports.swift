import GRDB
package import Gateway
package import Reports

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Who was active, and how busy tenants were: the performance guide's two queries in the forms that are served.
extension Database {
    /// A tenant's users with requests since a moment, latest first.
    package func userActivity(of tenant: TenantID, since: Timestamp) async throws -> [UserActivity] {
        try await settleRows()
        return try await report { db in
            try Row.fetchAll(db, sql: ActivityQuery.users, arguments: [tenant.rawValue, since.microseconds]).map { row in
                UserActivity(
                    user: UserID(row["user_id"]), name: row["name"], activeSessions: row["active_sessions"], requests: row["requests"],
                    lastActivity: Timestamp(microseconds: row["last_activity"]))
            }
        }
    }

    /// What limits refused a user, latest first.
    package func rateLimitEvents(of user: UserID, since: Timestamp, limit: Int) async throws -> [RateLimitEvent] {
        try await report { db in
            try Row.fetchAll(db, sql: ActivityQuery.refusals, arguments: [user.rawValue, since.microseconds, limit]).map { row in
                RateLimitEvent(at: Timestamp(microseconds: row["timestamp"]), limit: row["limit_name"], refusals: row["refusals"])
            }
        }
    }

    /// How busy tenants were since a moment, the busiest first: from the sums of whole hours, and for the hour that the
    /// moment falls into from the rows.
    ///
    /// - Parameter tenant: nil for all.
    package func tenantAnalytics(of tenant: TenantID?, since: Timestamp) async throws -> [TenantAnalytics] {
        try await settleRows()
        try await writeSums()
        return try await report { db in
            let edge = since.seconds.flooredDivision(by: 3600)
            let edgeStart = Timestamp(microseconds: edge * 3_600_000_000)
            let edgeEnd = Timestamp(microseconds: (edge + 1) * 3_600_000_000)
            // Of the hour that is cut, the shorter part is counted from rows and the sum does the rest.
            let cutsFront = since.microseconds - edgeStart.microseconds <= edgeEnd.microseconds - since.microseconds
            let cut = try Self.sums(of: tenant, cutsFront ? edgeStart..<since : since..<edgeEnd, db)
            let second = Int((since.microseconds - edgeStart.microseconds) / 1_000_000)

            let arguments: StatementArguments = tenant.map { [$0.rawValue, edge] } ?? [edge]
            let rows = try Row.fetchCursor(db, sql: tenant == nil ? ActivityQuery.hours : ActivityQuery.hoursOfTenant, arguments: arguments)
            var found: [TenantAnalytics] = []
            var users = UserUnion()
            var current = TenantAnalytics(tenant: TenantID(-1), name: "")
            func finish() {
                current.uniqueUsers = users.count
                current.isExact = users.isExact
                if current.requests > 0 { found.append(current) }
            }
            while let row = try rows.next() {
                let id: Int64 = row[0]
                if id != current.tenant.rawValue {
                    finish()
                    current = TenantAnalytics(tenant: TenantID(id), name: row[1])
                    users = UserUnion()
                }
                let isEdge = (row[2] as Int64) == edge
                let rest = cut[id] ?? (0, 0)
                switch (isEdge, cutsFront) {
                case (false, _):
                    current.requests += row[3]
                    current.microseconds += row[4]
                case (true, true):
                    current.requests += (row[3] as Int) - rest.requests
                    current.microseconds += (row[4] as Int64) - rest.microseconds
                case (true, false):
                    current.requests += rest.requests
                    current.microseconds += rest.microseconds
                }
                try row.withUnsafeData(atIndex: 5) { $0?.withUnsafeBytes { users.add($0, since: isEdge ? second : 0) } }
            }
            finish()
            return found.sorted { ($1.requests, $0.tenant) < ($0.requests, $1.tenant) }
        }
    }

    /// Counts and response times from rows, by tenant.
    private static func sums(of tenant: TenantID?, _ period: Range<Timestamp>, _ db: GRDB.Database) throws -> [Int64: (
        requests: Int, microseconds: Int64
    )] {
        var sums: [Int64: (requests: Int, microseconds: Int64)] = [:]
        let range: StatementArguments = [period.lowerBound.microseconds, period.upperBound.microseconds]
        let rows = try Row.fetchCursor(
            db, sql: tenant == nil ? ActivityQuery.edge : ActivityQuery.edgeOfTenant, arguments: (tenant.map { [$0.rawValue] } ?? []) + range)
        while let row = try rows.next() { sums[row[0]] = (row[1], Int64(((row[2] as Double) * 1000).rounded())) }
        // Rows that stand for many, or for none, are few: an index of their own finds them.
        let exceptions = try Row.fetchCursor(db, sql: ActivityQuery.exceptions, arguments: range)
        while let row = try exceptions.next() {
            let id: Int64 = row[0]
            guard var sum = sums[id] else { continue }
            sum.requests += row[1]
            sums[id] = sum
        }
        return sums
    }

    /// Writes the sums of rows that are not summed yet, so that a report counts them.
    package func writeSums() async throws { try await write { try $1.flush($0) } }

    /// The gateway's sums by hour, oldest first.
    package func hourTotals(since hour: Int64) async throws -> [HourTotals] {
        try await writeSums()
        return try await report { db in
            var hours: [Int64: RollupSum] = [:]
            let rows = try Row.fetchCursor(db, sql: ActivityQuery.totals, arguments: [hour])
            while let row = try rows.next() {
                try hours[row["hour"], default: RollupSum()].add(RollupSum(row: row))
            }
            return hours.sorted { $0.key < $1.key }.map { HourTotals(hour: $0.key, sum: $0.value) }
        }
    }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> Int64 { self >= 0 ? self / divisor : -((-self + divisor - 1) / divisor) }
}

enum ActivityQuery {
    /// The guide's user activity as it is written there, translated.
    static let guideUsers = """
        SELECT u.user_id, u.tenant_id, COUNT(DISTINCT s.session_id) AS active_sessions, MAX(a.created_at) AS last_activity
        FROM users u
        LEFT JOIN user_sessions s ON u.user_id = s.user_id AND s.is_active = true
        LEFT JOIN audit_logs a ON u.user_id = a.user_id
        WHERE u.tenant_id = ?1 AND a.created_at > ?2 - 3600000000
        GROUP BY u.user_id, u.tenant_id
        """
    /// The guide's tenant analytics as it is written there, translated.
    static let guideTenants = """
        WITH tenant_activity AS (
            SELECT tenant_id, COUNT(DISTINCT user_id) AS unique_users, COUNT(*) AS total_requests, AVG(response_time_ms) AS avg_response_time
            FROM audit_logs
            WHERE created_at > ?1 - 86400000000
            GROUP BY tenant_id
        )
        SELECT * FROM tenant_activity ORDER BY total_requests DESC
        """

    static let users = """
        WITH active AS (
            SELECT user_id, count(*) AS requests, max(created_at) AS last_activity FROM audit_logs
            WHERE tenant_id = ?1 AND created_at > ?2 AND user_id IS NOT NULL GROUP BY user_id
        ), sessions AS (
            SELECT user_id, count(*) AS active_sessions FROM user_sessions WHERE tenant_id = ?1 AND is_active = 1 GROUP BY user_id
        )
        SELECT u.user_id, u.name, coalesce(s.active_sessions, 0) AS active_sessions, a.requests, a.last_activity
        FROM active a CROSS JOIN users u ON u.user_id = a.user_id LEFT JOIN sessions s ON s.user_id = a.user_id
        ORDER BY a.last_activity DESC
        """
    static let refusals =
        "SELECT timestamp, limit_name, refusals FROM rate_limit_events WHERE user_id = ? AND timestamp > ? ORDER BY timestamp DESC LIMIT ?"
    /// Tenant by tenant, so that the primary key leads to the hours of each. Of nobody known there is no tenant.
    static let hours = """
        SELECT t.tenant_id, t.name, r.hour, r.requests, r.response_time_us, r.users
        FROM tenants t CROSS JOIN tenant_rollups r ON r.tenant_id = t.tenant_id AND r.hour >= ? ORDER BY t.tenant_id
        """
    static let hoursOfTenant = """
        SELECT t.tenant_id, t.name, r.hour, r.requests, r.response_time_us, r.users
        FROM tenants t CROSS JOIN tenant_rollups r ON r.tenant_id = t.tenant_id WHERE t.tenant_id = ? AND r.hour >= ? ORDER BY t.tenant_id
        """
    static let edge = """
        SELECT t.tenant_id, count(*), total(a.response_time_ms) FROM tenants t CROSS JOIN audit_logs a ON a.tenant_id = t.tenant_id
        WHERE a.created_at >= ? AND a.created_at < ? GROUP BY t.tenant_id
        """
    static let edgeOfTenant = """
        SELECT tenant_id, count(*), total(response_time_ms) FROM audit_logs
        WHERE tenant_id = ? AND created_at >= ? AND created_at < ? GROUP BY tenant_id
        """
    static let exceptions = """
        SELECT tenant_id, sum(CASE outcome WHEN 'intended' THEN -1 ELSE weight - 1 END) FROM audit_logs
        WHERE (weight > 1 OR outcome = 'intended') AND created_at >= ? AND created_at < ? AND tenant_id IS NOT NULL GROUP BY tenant_id
        """
    /// The tenants that have hours, each found behind the last, so that none is read for its name.
    static let totals = """
        WITH RECURSIVE t (tenant_id) AS (
            SELECT min(tenant_id) FROM tenant_rollups
            UNION ALL SELECT (SELECT min(tenant_id) FROM tenant_rollups n WHERE n.tenant_id > t.tenant_id) FROM t WHERE t.tenant_id IS NOT NULL
        )
        SELECT r.hour, r.requests, r.errors, r.unauthenticated, r.response_time_us, r.latency, r.users
        FROM t CROSS JOIN tenant_rollups r ON r.tenant_id = t.tenant_id WHERE r.hour >= ?
        """
}
