import GRDB
package import Gateway
package import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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

    static func insert(_ grant: AuthorizationGrant, _ db: GRDB.Database) throws {
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
