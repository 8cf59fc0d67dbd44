import GRDB
package import Gateway
package import Pacing

/// What administrators set for tenants, which addresses are blocked, and the checkpoint of the hot state.
extension Database {
    // MARK: Terms

    /// What holds for every tenant there is.
    package func allTerms() async throws -> [TenantID: TenantTerms] {
        try await read { db in
            var terms: [TenantID: TenantTerms] = [:]
            for row in try Row.fetchAll(db, sql: PacingQuery.tenants) { terms[TenantID(row["tenant_id"])] = TenantTerms(row: row) }
            for row in try Row.fetchAll(db, sql: "SELECT tenant_id, scope, subject, per_minute FROM limits") {
                terms[TenantID(row["tenant_id"])]?.add(row)
            }
            return terms
        }
    }

    /// Changes what holds for a tenant, in one transaction with the record of it.
    ///
    /// - Parameter change: gets what holds, and may be called more than once.
    /// - Returns: what holds now, with a number that is higher for what was committed later.
    package func changeTerms(
        of tenant: TenantID, audit: AuditRecord, _ change: @Sendable @escaping (inout TenantTerms) throws -> Void
    ) async throws -> (TenantTerms, order: Int) {
        try await write { db, ledger in
            guard var terms = try Self.terms(of: tenant, db) else { throw Refusal.notFound("tenant \(tenant.rawValue)") }
            try change(&terms)
            try Self.store(terms, of: tenant, db)
            try ledger.append(audit, db)
            return (terms, order: db.totalChangesCount)
        }
    }

    private static func terms(of tenant: TenantID, _ db: GRDB.Database) throws -> TenantTerms? {
        let row = try Row.fetchOne(db, sql: PacingQuery.tenants + " WHERE tenant_id = ?", arguments: [tenant.rawValue])
        guard var terms = row.map(TenantTerms.init(row:)) else { return nil }
        for row in try Row.fetchAll(db, sql: PacingQuery.limits, arguments: [tenant.rawValue]) { terms.add(row) }
        return terms
    }

    private static func store(_ terms: TenantTerms, of tenant: TenantID, _ db: GRDB.Database) throws {
        try db.execute(
            sql: """
                UPDATE tenants SET weight = ?, per_minute = ?, user_per_minute = ?, daily_quota = ?, monthly_quota = ? WHERE tenant_id = ?
                """,
            arguments: [terms.weight, terms.perMinute, terms.userPerMinute, terms.dailyQuota, terms.monthlyQuota, tenant.rawValue])
        try db.execute(sql: "DELETE FROM limits WHERE tenant_id = ?", arguments: [tenant.rawValue])
        for (scope, rates) in [("user", terms.users), ("server", terms.servers), ("tool", terms.tools)] {
            for (subject, rate) in rates {
                try db.execute(
                    sql: "INSERT INTO limits (tenant_id, scope, subject, per_minute) VALUES (?, ?, ?, ?)",
                    arguments: [tenant.rawValue, scope, subject, rate])
            }
        }
    }

    // MARK: Blocks

    /// Blocks that are not over.
    package func blocks(at now: Timestamp) async throws -> [Block] {
        try await read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM blocked_addresses WHERE blocked_until > ?", arguments: [now.microseconds]).compactMap {
                Block(row: $0)
            }
        }
    }

    /// Stores a block, or one that takes an earlier one's place, and lets go of those that are over.
    package func storeBlock(_ block: Block, audit: AuditRecord) async throws {
        try await write { db, ledger in
            try db.execute(sql: "DELETE FROM blocked_addresses WHERE blocked_until <= ?", arguments: [audit.at.microseconds])
            try db.execute(
                sql: "INSERT OR REPLACE INTO blocked_addresses (address, reason, blocked_at, blocked_until) VALUES (?, ?, ?, ?)",
                arguments: [block.address.description, block.reason.rawValue, block.blockedAt.microseconds, block.until.microseconds])
            try ledger.append(audit, db)
        }
    }

    /// - Returns: whether there was one; only then it is recorded.
    package func deleteBlock(of address: AddressPrefix, audit: AuditRecord) async throws -> Bool {
        try await write { db, ledger in
            try db.execute(sql: "DELETE FROM blocked_addresses WHERE address = ?", arguments: [address.description])
            guard db.changesCount > 0 else { return false }
            try ledger.append(audit, db)
            return true
        }
    }

    // MARK: The checkpoint

    /// Stores rows in the place of those with the same keys.
    package func storeBuckets(_ rows: [BucketRow], at now: Timestamp) async throws {
        guard !rows.isEmpty else { return }
        try await write { db, _ in
            try db.execute(sql: PacingQuery.overBuckets, arguments: [now.microseconds])
            for row in rows {
                try db.execute(sql: PacingQuery.sameBucket, arguments: [row.key])
                try db.execute(
                    sql: "INSERT INTO rate_limit_buckets (bucket_key, level, expires_at) VALUES (?, ?, ?)",
                    arguments: [row.key, row.level, row.expiresAt.microseconds])
            }
        }
    }

    /// Those that are not over.
    package func buckets(at now: Timestamp) async throws -> [BucketRow] {
        try await read { db in
            try Row.fetchAll(db, sql: PacingQuery.liveBuckets, arguments: [now.microseconds]).map {
                BucketRow(key: $0["bucket_key"], level: $0["level"], expiresAt: Timestamp(microseconds: $0["expires_at"]))
            }
        }
    }
}

enum PacingQuery {
    static let tenants = "SELECT tenant_id, name, weight, per_minute, user_per_minute, daily_quota, monthly_quota FROM tenants"
    static let limits = "SELECT scope, subject, per_minute FROM limits WHERE tenant_id = ?"
    static let overBuckets = "DELETE FROM rate_limit_buckets WHERE expires_at <= ?"
    static let sameBucket = "DELETE FROM rate_limit_buckets WHERE bucket_key = ?"
    static let liveBuckets = "SELECT bucket_key, level, expires_at FROM rate_limit_buckets WHERE expires_at > ?"
}

extension TenantTerms {
    fileprivate init(row: Row) {
        self.init(name: row["name"])
        weight = row["weight"]
        perMinute = row["per_minute"]
        userPerMinute = row["user_per_minute"]
        dailyQuota = row["daily_quota"]
        monthlyQuota = row["monthly_quota"]
    }

    fileprivate mutating func add(_ row: Row) {
        let (subject, rate): (String, Int) = (row["subject"], row["per_minute"])
        switch row["scope"] as String {
        case "user": users[subject] = rate
        case "server": servers[subject] = rate
        default: tools[subject] = rate
        }
    }
}

extension Block {
    fileprivate init?(row: Row) {
        guard let address = AddressPrefix(row["address"] as String), let reason = Reason(rawValue: row["reason"]) else { return nil }
        self.init(
            address: address, reason: reason, blockedAt: Timestamp(microseconds: row["blocked_at"]),
            until: Timestamp(microseconds: row["blocked_until"]))
    }
}
