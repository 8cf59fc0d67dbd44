import GRDB
import GRDBSQLite
import Gateway
import Testing

@testable import Storage

/// Which query each index is for, by SQLite's own plan.
struct IndexTests {
    /// The queries that run often or over much, and the index each goes by; nil where a table's own order serves.
    static let queries: [(name: String, sql: String, index: String?)] = [
        ("a user's activity in their tenant", ActivityQuery.users, "idx_audit_logs_tenant_time_performance"),
        ("the active sessions of a tenant", SessionQuery.ofTenant, "idx_user_sessions_tenant_active"),
        ("the active sessions of all tenants", SessionQuery.all, "idx_user_sessions_tenant_active"),
        ("ending a user's sessions", SessionQuery.endAll, "idx_user_sessions_tenant_active"),
        ("revoked sessions whose tokens may be about", SessionQuery.revoked, "idx_user_sessions_revoked"),
        ("a user's history", AuditQuery.ofUser, "idx_audit_logs_user_tenant_time"),
        ("a tenant's history", AuditQuery.ofTenant, "idx_audit_logs_tenant_time_performance"),
        ("everybody's history", AuditQuery.all, nil),
        ("a period of all tenants, from rows", ActivityQuery.edge, "idx_audit_logs_tenant_time_performance"),
        ("a period of a tenant, from rows", ActivityQuery.edgeOfTenant, "idx_audit_logs_tenant_time_performance"),
        ("rows that do not count as one", ActivityQuery.exceptions, "idx_audit_logs_exceptions"),
        ("the hours of all tenants", ActivityQuery.hours, "sqlite_autoindex_tenant_rollups_1"),
        ("the hours of a tenant", ActivityQuery.hoursOfTenant, "sqlite_autoindex_tenant_rollups_1"),
        ("the hours of the gateway", ActivityQuery.totals, "sqlite_autoindex_tenant_rollups_1"),
        ("what limits refused a user", ActivityQuery.refusals, "idx_rate_limit_events_user_time"),
        ("the active servers", ServerQuery.active, "idx_server_registrations_tenant_status"),
        ("the public servers", PublicationQuery.faces, "idx_server_registrations_public"),
        ("buckets that are full", PacingQuery.overBuckets, "idx_rate_limit_buckets_expires"),
        ("buckets that are not", PacingQuery.liveBuckets, "idx_rate_limit_buckets_expires"),
        ("a bucket that is stored anew", PacingQuery.sameBucket, "idx_rate_limit_buckets_key_expires"),
        ("the rates of a tenant", PacingQuery.limits, nil),
        ("the rules of a tenant about tools", ToolRuleQuery.ofTenant, "idx_tool_rules_tenant"),
        ("ending a client's session", ClientSessionQuery.delete, "sqlite_autoindex_client_sessions_1"),
        ("the tools of a server", ToolPinQuery.page, "idx_server_tools_server_name"),
        ("a tool of a server", ToolPinQuery.one, "idx_server_tools_server_name"),
        ("the pins of a server", ToolPinQuery.ofServer, "idx_server_tools_server_name"),
        ("what changed of a tool", ToolPinQuery.changed, "idx_server_tools_server_name"),
        ("who signs in", IdentityQuery.user, "idx_users_identity"),
        ("a code's grant", IdentityQuery.grantByCode, "sqlite_autoindex_oauth_grants_1"),
        ("a user's grants", IdentityQuery.grantsOfUser, "idx_oauth_grants_user"),
        ("ending a user's grants", IdentityQuery.revokeGrants, "idx_oauth_grants_user"),
        ("grants that are over", IdentityQuery.overGrants, "idx_oauth_grants_expires"),
        ("what may act for a user", ProfileQuery.allowedClients, "idx_oauth_grants_user"),
        ("the users of a tenant", ProfileQuery.ofTenant, "sqlite_autoindex_users_1"),
        ("a key by its hash", IdentityQuery.keyByHash, "sqlite_autoindex_api_keys_1"),
        ("a user's keys", IdentityQuery.keysOfUser, "idx_api_keys_user"),
        ("keys that are over", IdentityQuery.overKeys, "idx_api_keys_expires"),
        ("a user's connections", ConnectionQuery.ofUser, "idx_upstream_credentials_user_server"),
        ("ending a connection", ConnectionQuery.delete, "idx_upstream_credentials_user_server"),
        ("who is connected to a server", ConnectionQuery.ofServer, "idx_upstream_credentials_server"),
        ("the guide's user activity", ActivityQuery.guideUsers, "idx_users_tenant_id"),
        ("the guide's tenant analytics", ActivityQuery.guideTenants, nil),
    ]

    /// Queries that read a whole table by intent: as the guide writes them, or of tables that stay small.
    static let scans: Set<String> = [
        "the guide's user activity", "the guide's tenant analytics", "the active servers", "the public servers", "the active sessions of all tenants",
        "a period of all tenants, from rows", "the hours of all tenants", "the hours of the gateway",
    ]

    @Test func `every index has a query, and no hot query reads a whole table`() async throws {
        try await withDatabase { database in
            let (plans, indexes) = try await database.report { db in
                let plans = try Self.queries.map { query in
                    let statement = try db.makeStatement(sql: "EXPLAIN QUERY PLAN " + query.sql)
                    statement.arguments = StatementArguments(Array(repeating: 1, count: statement.sqliteParameterCount))
                    return try Row.fetchAll(statement).map { $0["detail"] as String }
                }
                return (plans, try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE 'idx_%'"))
            }
            for (query, plan) in zip(Self.queries, plans) {
                print("\(query.name):", plan.joined(separator: " | "))
                if let index = query.index, !index.hasPrefix("sqlite_") {
                    #expect(plan.contains { $0.contains(" \(index) ") || $0.hasSuffix(" \(index)") }, "\(query.name): \(plan)")
                }
                let scanned = plan.filter {
                    $0.hasPrefix("SCAN") && !$0.hasPrefix("SCAN active") && !$0.hasPrefix("SCAN a") || $0 == "SCAN audit_logs"
                }
                if !Self.scans.contains(query.name), query.index != nil { #expect(scanned.isEmpty, "\(query.name): \(plan)") }
            }
            let used = Set(plans.joined().flatMap { step in indexes.filter { step.contains($0) } })
            #expect(Set(indexes).subtracting(used) == [], "indexes without a query")
        }
    }

    @Test func `the guide's two queries run as they are written`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let now: Int64 = 1_700_000_000_000_000
            try await database.append([
                AuditRecord(requestID: RequestID(1), at: Timestamp(microseconds: now), user: home.owner, tenant: home.tenant, action: "ping")
            ])
            let rows = try await database.report { db in
                (
                    try Row.fetchAll(db, sql: ActivityQuery.guideUsers, arguments: [home.tenant.rawValue, now]).map { $0["last_activity"] as Int64 },
                    try Row.fetchAll(db, sql: ActivityQuery.guideTenants, arguments: [now]).map { $0["total_requests"] as Int }
                )
            }
            #expect(rows.0 == [now])
            #expect(rows.1 == [1])
        }
    }
}

extension Statement {
    var sqliteParameterCount: Int { Int(sqliteParameters) }
    private var sqliteParameters: Int32 { sqlite3_bind_parameter_count(sqliteStatement) }
}
