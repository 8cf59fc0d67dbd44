import GRDB
import Gateway
import Reports

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Sums as rows: what is there already is added to.
extension RollupSum {
    func add(to key: RollupKey, _ db: GRDB.Database) throws {
        let place: StatementArguments = [key.tenant, key.hour, key.server, key.method, key.outcome.rawValue]
        let found = try db.cachedStatement(
            sql: """
                SELECT requests, errors, 0 AS unauthenticated, response_time_us, latency, users FROM request_rollups
                WHERE tenant_id = ? AND hour = ? AND server_id = ? AND method = ? AND outcome = ?
                """)
        let sum = try Self.added(self, try Row.fetchOne(found, arguments: place))
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO request_rollups
                (tenant_id, hour, server_id, method, outcome, requests, errors, response_time_us, latency, users)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: place + [sum.requests, sum.errors, sum.microseconds, Data(sum.latency.bytes), Data(sum.users.bytes)])
    }

    func add(to hour: TenantHour, _ db: GRDB.Database) throws {
        let found = try db.cachedStatement(sql: "SELECT * FROM tenant_rollups WHERE tenant_id = ? AND hour = ?")
        let sum = try Self.added(self, try Row.fetchOne(found, arguments: [hour.tenant, hour.hour]))
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO tenant_rollups
                (tenant_id, hour, requests, errors, unauthenticated, response_time_us, latency, users) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(
            arguments: [
                hour.tenant, hour.hour, sum.requests, sum.errors, sum.unauthenticated, sum.microseconds, Data(sum.latency.bytes),
                Data(sum.users.bytes),
            ])
    }

    private static func added(_ sum: RollupSum, _ row: Row?) throws -> RollupSum {
        guard let row else { return sum }
        var sum = sum
        sum.add(try RollupSum(row: row))
        return sum
    }

    init(row: Row) throws {
        self.init()
        requests = row["requests"]
        errors = row["errors"]
        unauthenticated = row["unauthenticated"]
        microseconds = row["response_time_us"]
        try row.withUnsafeData(named: "latency") { data in
            data?.withUnsafeBytes { latency.add(stored: $0, total: .microseconds(microseconds)) }
        }
        try row.withUnsafeData(named: "users") { data in
            if let sketch = data?.withUnsafeBytes({ UserSketch(bytes: $0) }) { users = sketch }
        }
    }
}
