import GRDB
package import Gateway
package import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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
                    INSERT INTO api_keys (user_id, tenant_id, name, key_hash, hint, scope, reach, per_minute, created_at, expires_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    user.id.rawValue, user.tenant.rawValue, draft.name, Data(hash), hint, draft.scopes.names.joined(separator: " "),
                    (servers + tools).joined(separator: " "), draft.perMinute, moment.microseconds, end.microseconds,
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

extension APIKey {
    fileprivate init(row: Row) {
        let words = (row["reach"] as String).split(separator: " ").map(String.init)
        // An alias holds no underscore, and the name of a tool two.
        let servers = words.compactMap { ServerAlias($0) }
        let reach: Reach = words.isEmpty ? .everything : .only(servers: Set(servers), tools: Set(words.filter { ServerAlias($0) == nil }))
        self.init(
            id: APIKeyID(row["key_id"]), user: UserID(row["user_id"]), tenant: TenantID(row["tenant_id"]), name: row["name"], hint: row["hint"],
            scopes: Scopes(names: (row["scope"] as String).split(separator: " ")), reach: reach, perMinute: row["per_minute"],
            createdAt: Timestamp(microseconds: row["created_at"]), expiresAt: Timestamp(microseconds: row["expires_at"]),
            lastUsedAt: Timestamp(column: row["last_used_at"]), successor: (row["successor"] as Int64?).map { APIKeyID($0) },
            revokedAt: Timestamp(column: row["revoked_at"]))
    }
}
