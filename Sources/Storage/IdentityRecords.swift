import GRDB
package import Gateway
package import OAuth

/// Somebody as an issuer knows them.
extension Database {
    /// The user with that identity, made at their first sign-in, and the record of the sign-in, in one transaction.
    ///
    /// - Parameters:
    ///   - name: what they are called in the tenant; a number is put behind it if somebody else is called so already.
    ///   - role: what the issuer says they are; a role that the operator gave stays.
    ///   - grant: what they allowed the client they came from, stored with it.
    /// - Throws: `Refusal.forbidden` if they were disabled.
    package func signIn(
        issuer: String, subject: String, name: String, displayName: String, role: Role, tenant: String,
        grant: (@Sendable (User) -> AuthorizationGrant)?,
        audit: AuditRecord
    ) async throws -> User {
        try await write { db, ledger in
            let user: User
            if let found = try Row.fetchOne(db, sql: IdentityQuery.user, arguments: [issuer, subject]).flatMap(User.init(row:)) {
                guard found.disabledAt == nil else {
                    throw Refusal.forbidden(needs: "an account that is not disabled; an administrator can enable it")
                }
                try db.execute(
                    sql: """
                        UPDATE users SET signed_in_at = ?, display_name = ?, role = CASE role_source WHEN 'issuer' THEN ? ELSE role END \
                        WHERE user_id = ?
                        """,
                    arguments: [audit.at.microseconds, displayName, role.rawValue, found.id.rawValue])
                user = try Self.user(found.id, db) ?? found
            } else {
                let tenantID = try Self.tenantID(tenant, ledger, audit, db)
                try db.execute(
                    sql: """
                        INSERT INTO users (tenant_id, name, role, role_source, issuer, subject, display_name, created_at, signed_in_at)
                        VALUES (?, ?, ?, 'issuer', ?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        tenantID, try Self.freeName(name, in: tenantID, db), role.rawValue, issuer, subject, displayName, audit.at.microseconds,
                        audit.at.microseconds,
                    ])
                guard let made = try Self.user(UserID(db.lastInsertedRowID), db) else { throw DatabaseError(resultCode: .SQLITE_INTERNAL) }
                user = made
                var created = audit
                created.action = "user.create"
                (created.user, created.tenant, created.target) = (user.id, user.tenant, user.name)
                try ledger.append(created, db)
            }
            if let grant { try Self.insert(grant(user), db) }
            var audit = audit
            (audit.user, audit.tenant) = (user.id, user.tenant)
            try ledger.append(audit, db)
            return user
        }
    }

    private static func tenantID(_ name: String, _ ledger: AuditLedger, _ audit: AuditRecord, _ db: GRDB.Database) throws -> Int64 {
        if let id = try Int64.fetchOne(db, sql: "SELECT tenant_id FROM tenants WHERE name = ?", arguments: [name]) { return id }
        try db.execute(sql: "INSERT INTO tenants (name, created_at) VALUES (?, ?)", arguments: [name, audit.at.microseconds])
        var created = audit
        created.action = "tenant.create"
        (created.target, created.tenant) = (name, TenantID(db.lastInsertedRowID))
        let id = db.lastInsertedRowID
        try ledger.append(created, db)
        return id
    }

    private static func freeName(_ name: String, in tenant: Int64, _ db: GRDB.Database) throws -> String {
        for number in 1...1000 {
            let candidate = number == 1 ? name : "\(name)#\(number)"
            let isTaken = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM users WHERE tenant_id = ? AND name = ?)", arguments: [tenant, candidate])
            if isTaken != true { return candidate }
        }
        throw Refusal.conflict("Too many users are called “\(name)”.")
    }

    /// What the issuer calls a user; nil for one that no issuer knows.
    package func subject(of user: UserID) async throws -> String? {
        try await authenticating { try String.fetchOne($0, sql: "SELECT subject FROM users WHERE user_id = ?", arguments: [user.rawValue]) }
    }

    /// Whether a user is what the issuer says, not what the operator does.
    package func hasRoleOfIssuer(_ user: UserID) async throws -> Bool {
        try await authenticating {
            try Bool.fetchOne($0, sql: "SELECT role_source = 'issuer' FROM users WHERE user_id = ?", arguments: [user.rawValue]) ?? false
        }
    }

    /// Takes the issuer's word for a role, unless the operator gave one.
    ///
    /// - Returns: whether that changed anything; only then it is recorded.
    package func reviseRole(_ role: Role, of user: UserID, audit: AuditRecord) async throws -> Bool {
        try await write { db, ledger in
            try db.execute(
                sql: "UPDATE users SET role = ? WHERE user_id = ? AND role_source = 'issuer' AND role <> ?",
                arguments: [role.rawValue, user.rawValue, role.rawValue])
            guard db.changesCount > 0, let found = try Self.user(user, db) else { return false }
            var audit = audit
            (audit.tenant, audit.target) = (found.tenant, "\(found.name) \(role.rawValue)")
            try ledger.append(audit, db)
            return true
        }
    }

    /// Gives a user a role that the issuer's word does not change any more.
    package func setRole(_ role: Role, of user: UserID, in tenant: TenantID?, audit: AuditRecord) async throws -> User {
        try await changeUser(user, in: tenant, audit) { _, db in
            try db.execute(
                sql: "UPDATE users SET role = ?, role_source = 'operator' WHERE user_id = ?", arguments: [role.rawValue, user.rawValue])
        }
    }

    /// Whoever is disabled is signed out everywhere and cannot sign in; enabled again, they begin anew, with new keys too.
    package func setDisabled(_ isDisabled: Bool, _ user: UserID, in tenant: TenantID?, audit: AuditRecord) async throws -> User {
        try await changeUser(user, in: tenant, audit) { found, db in
            let moment = isDisabled ? audit.at.microseconds : nil
            try db.execute(sql: "UPDATE users SET disabled_at = ? WHERE user_id = ?", arguments: [moment, user.rawValue])
            if isDisabled { try Self.endEverything(of: found, at: audit.at, db) }
        }
    }

    private func changeUser(
        _ user: UserID, in tenant: TenantID?, _ audit: AuditRecord, _ change: @Sendable @escaping (User, GRDB.Database) throws -> Void
    ) async throws -> User {
        try await write { db, ledger in
            guard let found = try Self.user(user, db), tenant == nil || found.tenant == tenant else {
                throw Refusal.notFound("user \(user.rawValue)")
            }
            try change(found, db)
            var audit = audit
            audit.tenant = found.tenant
            try ledger.append(audit, db)
            return try Self.user(user, db) ?? found
        }
    }
}
