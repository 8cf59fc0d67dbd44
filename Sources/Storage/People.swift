import GRDB
package import Gateway

/// Tenants and users.
extension Database {
    package func user(_ id: UserID) async throws -> User? {
        try await authenticating { try Self.user(id, $0) }
    }

    package func user(named name: String, of tenant: TenantID) async throws -> User? {
        try await authenticating { try Self.user(named: name, of: tenant, $0) }
    }

    package func tenant(named name: String) async throws -> Tenant? {
        try await read { try Self.tenant(named: name, $0) }
    }

    /// The tenant of that name, made if there is none.
    ///
    /// - Parameter audit: recorded, in the same transaction, if the tenant is made.
    package func ensureTenant(_ name: String, audit: AuditRecord) async throws -> Tenant {
        if let tenant = try await tenant(named: name) { return tenant }
        return try await write { db, ledger in
            if let tenant = try Self.tenant(named: name, db) { return tenant }
            try db.execute(sql: "INSERT INTO tenants (name, created_at) VALUES (?, ?)", arguments: [name, audit.at.microseconds])
            let tenant = Tenant(id: TenantID(db.lastInsertedRowID), name: name)
            var audit = audit
            audit.tenant = tenant.id
            try ledger.append(audit, db)
            return tenant
        }
    }

    /// The user of that name, made with that role if there is none. One that exists keeps its role.
    ///
    /// - Parameter audit: recorded, in the same transaction, if the user is made.
    package func ensureUser(_ name: String, role: Role, of tenant: TenantID, audit: AuditRecord) async throws -> User {
        if let user = try await user(named: name, of: tenant) { return user }
        return try await write { db, ledger in
            if let user = try Self.user(named: name, of: tenant, db) { return user }
            try db.execute(
                sql: "INSERT INTO users (tenant_id, name, role, created_at) VALUES (?, ?, ?, ?)",
                arguments: [tenant.rawValue, name, role.rawValue, audit.at.microseconds])
            let user = User(
                id: UserID(db.lastInsertedRowID), name: name, tenant: tenant, role: role, revokedBefore: Timestamp(microseconds: 0))
            var audit = audit
            audit.user = user.id
            audit.tenant = tenant
            try ledger.append(audit, db)
            return user
        }
    }

    static func user(_ id: UserID, _ db: GRDB.Database) throws -> User? {
        try Row.fetchOne(db, sql: "SELECT * FROM users WHERE user_id = ?", arguments: [id.rawValue]).flatMap(User.init(row:))
    }

    private static func tenant(named name: String, _ db: GRDB.Database) throws -> Tenant? {
        try Int64.fetchOne(db, sql: "SELECT tenant_id FROM tenants WHERE name = ?", arguments: [name]).map { Tenant(id: TenantID($0), name: name) }
    }

    private static func user(named name: String, of tenant: TenantID, _ db: GRDB.Database) throws -> User? {
        try Row.fetchOne(db, sql: "SELECT * FROM users WHERE tenant_id = ? AND name = ?", arguments: [tenant.rawValue, name])
            .flatMap(User.init(row:))
    }
}

extension User {
    init?(row: Row) {
        guard let role = Role(rawValue: row["role"]) else { return nil }
        self.init(
            id: UserID(row["user_id"]), name: row["name"], tenant: TenantID(row["tenant_id"]), role: role,
            revokedBefore: Timestamp(microseconds: row["revoked_before"]),
            disabledAt: (row["disabled_at"] as Int64?).map { Timestamp(microseconds: $0) })
    }
}
