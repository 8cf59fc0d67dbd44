import GRDB
package import Gateway
package import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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

/// What users allowed clients.
extension Database {
    /// Finds the grant a code began, lets the closure decide and change it, and stores what came of it, in one transaction.
    ///
    /// - Parameter decide: gets nil if there is none; what it throws undoes nothing, for a reuse revokes before it refuses. May be
    ///   called more than once.
    package func redeem<Value: Sendable>(
        code hash: [UInt8], _ decide: @Sendable @escaping (inout AuthorizationGrant?) -> (Value, AuditRecord?)
    ) async throws -> Value {
        try await changeGrant(IdentityQuery.grantByCode, [Data(hash)], decide)
    }

    /// The same for a grant of which the id is known.
    package func redeem<Value: Sendable>(
        _ grant: GrantID, _ decide: @Sendable @escaping (inout AuthorizationGrant?) -> (Value, AuditRecord?)
    ) async throws -> Value {
        try await changeGrant(IdentityQuery.grant, [grant.rawValue], decide)
    }

    private func changeGrant<Value: Sendable>(
        _ sql: String, _ arguments: StatementArguments, _ decide: @Sendable @escaping (inout AuthorizationGrant?) -> (Value, AuditRecord?)
    ) async throws -> Value {
        try await write { [now] db, ledger in
            let found = try Row.fetchOne(db, sql: sql, arguments: arguments).flatMap(AuthorizationGrant.init(row:))
            var grant = found
            let (value, audit) = decide(&grant)
            if let grant, grant != found { try Self.update(grant, at: now(), db) }
            if let audit { try ledger.append(audit, db) }
            return value
        }
    }

    private static func insert(_ grant: AuthorizationGrant, _ db: GRDB.Database) throws {
        try db.execute(
            sql: """
                INSERT INTO oauth_grants (grant_id, user_id, tenant_id, session_id, client_id, scope, resources, redirect_uri, code_challenge,
                code_hash, code_issued_at, salt, generation, rotated_at, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                grant.family.grant.rawValue, grant.user.rawValue, grant.tenant.rawValue, grant.session.rawValue, grant.code.clientID, grant.scope,
                grant.code.resources.joined(separator: " "), grant.code.redirectURI, grant.code.challenge.text, Data(grant.code.digest),
                grant.code.issuedAt.microseconds, Data(grant.family.salt), Int64(grant.family.generation), grant.family.rotatedAt.microseconds,
                grant.createdAt.microseconds, grant.family.expiresAt.microseconds,
            ])
    }

    private static func update(_ grant: AuthorizationGrant, at moment: Timestamp, _ db: GRDB.Database) throws {
        try db.execute(
            sql: """
                UPDATE oauth_grants SET code_used_at = ?, generation = ?, rotated_at = ?, expires_at = ?, revoked_at = coalesce(revoked_at, ?) WHERE grant_id = ?
                """,
            arguments: [
                grant.code.redeemedAt?.microseconds, Int64(grant.family.generation), grant.family.rotatedAt.microseconds,
                grant.family.expiresAt.microseconds, grant.family.isRevoked ? moment.microseconds : nil, grant.family.grant.rawValue,
            ])
    }

    /// A user's grants that are good, latest first.
    package func grants(of user: UserID, at now: Timestamp) async throws -> [AuthorizationGrant] {
        try await read { db in
            try Row.fetchAll(db, sql: IdentityQuery.grantsOfUser, arguments: [user.rawValue]).compactMap(AuthorizationGrant.init(row:))
                .filter { !$0.family.isRevoked && now < $0.family.expiresAt }
        }
    }

    /// Ends a sign-in for good: its tokens, what was allowed in it, and the session, whether or not anything was noted of it yet.
    package func endSession(_ session: SessionID, of user: UserID, in tenant: TenantID, audit: AuditRecord?) async throws {
        try await write { [now] db, ledger in
            let moment = audit?.at ?? now()
            try db.execute(
                sql: IdentityQuery.endSession,
                arguments: [
                    session.rawValue, user.rawValue, tenant.rawValue, moment.microseconds, moment.microseconds, moment.microseconds,
                ])
            try Self.revokeGrants(of: user, in: session, at: moment, db)
            if let audit { try ledger.append(audit, db) }
        }
    }

    static func revokeGrants(of user: UserID, at moment: Timestamp, _ db: GRDB.Database) throws {
        try db.execute(sql: IdentityQuery.revokeGrants, arguments: [moment.microseconds, user.rawValue])
    }

    static func revokeGrants(of user: UserID, in session: SessionID, at moment: Timestamp, _ db: GRDB.Database) throws {
        try db.execute(sql: IdentityQuery.revokeGrants + " AND session_id = ?", arguments: [moment.microseconds, user.rawValue, session.rawValue])
    }
}

/// Clients.
extension Database {
    package func client(_ id: String) async throws -> ClientRecord? {
        try await authenticating { db in
            try Row.fetchOne(db, sql: "SELECT * FROM oauth_clients WHERE client_id = ?", arguments: [id]).flatMap(ClientRecord.init(row:))
        }
    }

    /// Clients that are not revoked, latest used first.
    package func clients(limit: Int) async throws -> [ClientRecord] {
        try await read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM oauth_clients WHERE revoked_at IS NULL ORDER BY last_used_at DESC LIMIT ?", arguments: [limit]
            ).compactMap(ClientRecord.init(row:))
        }
    }

    /// Notes a client, or that it was used again; one that was revoked stays so.
    package func store(_ client: ClientRecord, audit: AuditRecord?) async throws {
        try await write { db, ledger in
            try db.execute(
                sql: """
                    INSERT INTO oauth_clients (client_id, kind, name, metadata, secret_hash, user_id, created_at, last_used_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id) DO UPDATE SET
                    name = excluded.name, metadata = excluded.metadata, last_used_at = max(last_used_at, excluded.last_used_at),
                    secret_hash = coalesce(excluded.secret_hash, secret_hash)
                    """,
                arguments: [
                    client.id, client.kind.rawValue, client.name, client.metadata, client.secretHash.map { Data($0) }, client.user?.rawValue,
                    client.createdAt.microseconds, client.lastUsedAt.microseconds,
                ])
            if let audit { try ledger.append(audit, db) }
        }
    }

    /// Refuses a client from now on, and ends what was allowed it.
    ///
    /// - Returns: the sessions that ended with it.
    package func revokeClient(_ id: String, audit: AuditRecord) async throws -> [SessionID] {
        try await write { db, ledger in
            try db.execute(
                sql: "UPDATE oauth_clients SET revoked_at = coalesce(revoked_at, ?) WHERE client_id = ?", arguments: [audit.at.microseconds, id])
            guard db.changesCount > 0 else { throw Refusal.notFound("client “\(id.cut(64))”") }
            let moment = audit.at.microseconds
            let sessions = try Int64.fetchAll(db, sql: IdentityQuery.sessionsOfClient, arguments: [id, moment])
            try db.execute(sql: IdentityQuery.endSessionsOfClient, arguments: [moment, moment, moment, id, moment])
            try db.execute(sql: "UPDATE oauth_grants SET revoked_at = coalesce(revoked_at, ?) WHERE client_id = ?", arguments: [moment, id])
            try ledger.append(audit, db)
            return sessions.map { SessionID($0) }
        }
    }

    /// Clients that were revoked since a moment: tokens that were issued to them may still be about.
    package func revokedClients(since: Timestamp) async throws -> [(client: String, at: Timestamp)] {
        try await read { db in
            try Row.fetchAll(db, sql: IdentityQuery.revokedClients, arguments: [since.microseconds])
                .map { ($0["client_id"], Timestamp(microseconds: $0["revoked_at"])) }
        }
    }
}

/// API keys.
extension Database {
    private static let mostKeys = 100

    /// Stores a new key by its hash, or one that takes another's place; that one ends after the overlap.
    ///
    /// - Throws: `Refusal.notFound` for a key to be replaced that is not the user's, or no longer good; `Refusal.conflict` for one that
    ///   was replaced already, and at the bound; `Refusal.invalid` for a key for nothing.
    package func createKey(
        _ draft: APIKeyDraft, hash: [UInt8], hint: String, of user: User, replacing old: APIKeyID?, audit: AuditRecord
    ) async throws -> APIKey {
        try await write { db, ledger in
            let moment = audit.at
            let good = try Row.fetchAll(db, sql: IdentityQuery.keysOfUser, arguments: [user.id.rawValue]).map(APIKey.init(row:))
                .filter { $0.isGood(at: moment) }
            guard good.count < Self.mostKeys else { throw Refusal.conflict("You have \(Self.mostKeys) keys already; delete one that is not used.") }
            let end = moment.advanced(by: draft.lifetime)
            let (servers, tools) =
                switch draft.reach {
                case .everything: ([String](), [String]())
                case .only(let servers, let tools): (servers.map(\.description).sorted(), tools.sorted())
                }
            // No words at all stand for everything.
            guard draft.reach == .everything || !(servers + tools).isEmpty else { throw Refusal.invalid("A key is for a server or a tool at least.") }
            try db.execute(
                sql: """
                    INSERT INTO api_keys (user_id, tenant_id, name, key_hash, hint, scope, reach, created_at, expires_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    user.id.rawValue, user.tenant.rawValue, draft.name, Data(hash), hint, draft.scopes.names.joined(separator: " "),
                    (servers + tools).joined(separator: " "), moment.microseconds, end.microseconds,
                ])
            let id = db.lastInsertedRowID
            if let old {
                guard let key = good.first(where: { $0.id == old }) else { throw Refusal.notFound("key \(old.rawValue) that is good") }
                if let successor = key.successor {
                    throw Refusal.conflict("Key \(old.rawValue) was replaced by key \(successor.rawValue) already; rotate that one.")
                }
                try db.execute(
                    sql: "UPDATE api_keys SET successor = ?, expires_at = min(expires_at, ?) WHERE key_id = ?",
                    arguments: [id, moment.advanced(by: APIKeyDraft.overlap).microseconds, old.rawValue])
            }
            var audit = audit
            audit.target = "\(draft.name) (\(id))"
            try ledger.append(audit, db)
            guard let row = try Row.fetchOne(db, sql: IdentityQuery.key, arguments: [id]) else { throw DatabaseError(resultCode: .SQLITE_INTERNAL) }
            return APIKey(row: row)
        }
    }

    package func key(hash: [UInt8]) async throws -> APIKey? {
        try await authenticating { db in
            try Row.fetchOne(db, sql: IdentityQuery.keyByHash, arguments: [Data(hash)]).map(APIKey.init(row:))
        }
    }

    package func key(_ id: APIKeyID) async throws -> APIKey? {
        try await read { db in try Row.fetchOne(db, sql: IdentityQuery.key, arguments: [id.rawValue]).map(APIKey.init(row:)) }
    }

    /// A user's keys, latest first; those that ended a month ago are gone.
    package func keys(of user: UserID) async throws -> [APIKey] {
        try await read { db in
            try Row.fetchAll(db, sql: IdentityQuery.keysOfUser, arguments: [user.rawValue]).map(APIKey.init(row:))
        }
    }

    /// - Parameter user: whose it must be; nil for anybody's in the tenant.
    package func revokeKey(_ id: APIKeyID, of user: UserID?, in tenant: TenantID?, audit: AuditRecord) async throws -> APIKey {
        try await write { db, ledger in
            guard let key = try Row.fetchOne(db, sql: IdentityQuery.key, arguments: [id.rawValue]).map(APIKey.init(row:)),
                user == nil || key.user == user, tenant == nil || key.tenant == tenant
            else { throw Refusal.notFound("key \(id.rawValue)") }
            try db.execute(
                sql: "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE key_id = ?", arguments: [audit.at.microseconds, id.rawValue])
            var audit = audit
            audit.target = "\(key.name) (\(id.rawValue))"
            try ledger.append(audit, db)
            return key
        }
    }

    /// Notes when keys were last used.
    package func touchKeys(_ used: [APIKeyID: Timestamp]) async throws {
        guard !used.isEmpty else { return }
        try await write { db, _ in
            for (id, moment) in used {
                try db.execute(
                    sql: "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE key_id = ?",
                    arguments: [moment.microseconds, id.rawValue])
            }
        }
    }
}

/// Signing keys, by what is public of them.
extension Database {
    /// Those whose tokens may be about, and the one to come; the oldest first.
    package func signingKeys(at now: Timestamp) async throws -> [SigningKeyRecord] {
        try await read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM signing_keys WHERE published_until IS NULL OR published_until > ? ORDER BY signs_from",
                arguments: [now.microseconds]
            ).map {
                SigningKeyRecord(
                    id: $0["kid"], createdAt: Timestamp(microseconds: $0["created_at"]), signsFrom: Timestamp(microseconds: $0["signs_from"]),
                    publishedUntil: Timestamp(column: $0["published_until"]))
            }
        }
    }

    /// Stores what is public of a key, before it is published.
    package func storeSigningKey(_ id: String, publicPEM: String, signsFrom: Timestamp, audit: AuditRecord) async throws {
        try await write { db, ledger in
            try db.execute(
                sql: "INSERT OR IGNORE INTO signing_keys (kid, public_pem, created_at, signs_from) VALUES (?, ?, ?, ?)",
                arguments: [id, publicPEM, audit.at.microseconds, signsFrom.microseconds])
            if db.changesCount > 0 { try ledger.append(audit, db) }
        }
    }

    package func retireSigningKeys(_ ids: [String], publishedUntil: Timestamp) async throws {
        guard !ids.isEmpty else { return }
        try await write { db, _ in
            for id in ids {
                try db.execute(
                    sql: "UPDATE signing_keys SET published_until = coalesce(published_until, ?) WHERE kid = ?",
                    arguments: [publishedUntil.microseconds, id])
            }
        }
    }
}

enum IdentityQuery {
    static let user = "SELECT * FROM users WHERE issuer = ? AND subject = ?"
    static let grant = "SELECT * FROM oauth_grants WHERE grant_id = ?"
    static let grantByCode = "SELECT * FROM oauth_grants WHERE code_hash = ?"
    static let grantsOfUser = "SELECT * FROM oauth_grants WHERE user_id = ? ORDER BY created_at DESC LIMIT 1000"
    static let revokeGrants = "UPDATE oauth_grants SET revoked_at = coalesce(revoked_at, ?) WHERE user_id = ?"
    static let endSession = """
        INSERT INTO user_sessions
        (session_id, user_id, tenant_id, is_active, started_at, last_activity, client, era, requests, errors, activities, revoked_at)
        VALUES (?, ?, ?, 0, ?, ?, '', 'modern', 0, 0, '[]', ?)
        ON CONFLICT (session_id) DO UPDATE SET is_active = 0, revoked_at = coalesce(revoked_at, excluded.revoked_at)
        """
    /// Of what was allowed a client, and is not over.
    static let sessionsOfClient = "SELECT session_id FROM oauth_grants WHERE client_id = ? AND revoked_at IS NULL AND expires_at > ?"
    static let endSessionsOfClient = """
        INSERT INTO user_sessions
        (session_id, user_id, tenant_id, is_active, started_at, last_activity, client, era, requests, errors, activities, revoked_at)
        SELECT session_id, user_id, tenant_id, 0, ?, ?, '', 'modern', 0, 0, '[]', ?
        FROM oauth_grants WHERE client_id = ? AND revoked_at IS NULL AND expires_at > ?
        ON CONFLICT (session_id) DO UPDATE SET is_active = 0, revoked_at = coalesce(revoked_at, excluded.revoked_at)
        """
    static let revokedClients = "SELECT client_id, revoked_at FROM oauth_clients WHERE revoked_at > ?"
    static let overGrants = "DELETE FROM oauth_grants WHERE expires_at < ?"
    static let key = "SELECT * FROM api_keys WHERE key_id = ?"
    static let keyByHash = "SELECT * FROM api_keys WHERE key_hash = ?"
    static let keysOfUser = "SELECT * FROM api_keys WHERE user_id = ? ORDER BY created_at DESC LIMIT 1000"
    static let overKeys = "DELETE FROM api_keys WHERE expires_at < ?"
}

extension AuthorizationGrant {
    fileprivate init?(row: Row) {
        guard let challenge = try? CodeChallenge(row["code_challenge"] as String, method: "S256") else { return nil }
        let salt = Array(row["salt"] as Data)
        self.init(
            code: CodeGrant(
                digest: Array(row["code_hash"] as Data), clientID: row["client_id"], redirectURI: row["redirect_uri"], challenge: challenge,
                resources: (row["resources"] as String).split(separator: " ").map(String.init),
                issuedAt: Timestamp(microseconds: row["code_issued_at"]), redeemedAt: Timestamp(column: row["code_used_at"])),
            family: RefreshFamily(
                grant: GrantID(row["grant_id"]), salt: salt, generation: UInt32(clamping: row["generation"] as Int64),
                rotatedAt: Timestamp(microseconds: row["rotated_at"]), isRevoked: (row["revoked_at"] as Int64?) != nil,
                expiresAt: Timestamp(microseconds: row["expires_at"])),
            user: UserID(row["user_id"]), tenant: TenantID(row["tenant_id"]), session: SessionID(row["session_id"]), scope: row["scope"],
            createdAt: Timestamp(microseconds: row["created_at"]))
    }
}

extension ClientRecord {
    fileprivate init?(row: Row) {
        guard let kind = Kind(rawValue: row["kind"]) else { return nil }
        self.init(
            id: row["client_id"], kind: kind, name: row["name"], metadata: row["metadata"],
            secretHash: (row["secret_hash"] as Data?).map { Array($0) },
            user: (row["user_id"] as Int64?).map { UserID($0) }, createdAt: Timestamp(microseconds: row["created_at"]),
            lastUsedAt: Timestamp(microseconds: row["last_used_at"]), revokedAt: Timestamp(column: row["revoked_at"]))
    }
}

extension APIKey {
    fileprivate init(row: Row) {
        let words = (row["reach"] as String).split(separator: " ").map(String.init)
        // An alias holds no underscore, and the name of a tool two.
        let servers = words.compactMap { ServerAlias($0) }
        let reach: Reach = words.isEmpty ? .everything : .only(servers: Set(servers), tools: Set(words.filter { ServerAlias($0) == nil }))
        self.init(
            id: APIKeyID(row["key_id"]), user: UserID(row["user_id"]), tenant: TenantID(row["tenant_id"]), name: row["name"], hint: row["hint"],
            scopes: Scopes(names: (row["scope"] as String).split(separator: " ")), reach: reach,
            createdAt: Timestamp(microseconds: row["created_at"]), expiresAt: Timestamp(microseconds: row["expires_at"]),
            lastUsedAt: Timestamp(column: row["last_used_at"]), successor: (row["successor"] as Int64?).map { APIKeyID($0) },
            revokedAt: Timestamp(column: row["revoked_at"]))
    }
}

extension Timestamp {
    fileprivate init?(column: Int64?) {
        guard let column else { return nil }
        self.init(microseconds: column)
    }
}
