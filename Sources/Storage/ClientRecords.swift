import GRDB
package import Gateway
package import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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

    /// Notes a client, or that it was used again; one that was revoked stays so. Its secrets change together, if there is a new one.
    package func store(_ client: ClientRecord, audit: AuditRecord?) async throws {
        try await write { db, ledger in
            try db.execute(
                sql: """
                    INSERT INTO oauth_clients (client_id, kind, name, metadata, secret_hash, former_secret_hash, former_secret_until, user_id,
                    created_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id) DO UPDATE SET
                    name = excluded.name, metadata = excluded.metadata, last_used_at = max(last_used_at, excluded.last_used_at),
                    secret_hash = coalesce(excluded.secret_hash, secret_hash),
                    former_secret_hash = iif(excluded.secret_hash IS NULL, former_secret_hash, excluded.former_secret_hash),
                    former_secret_until = iif(excluded.secret_hash IS NULL, former_secret_until, excluded.former_secret_until)
                    """,
                arguments: [
                    client.id, client.kind.rawValue, client.name, client.metadata, client.secretHash.map { Data($0) },
                    client.formerSecret.map { Data($0.hash) }, client.formerSecret?.goodUntil.microseconds, client.user?.rawValue,
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

extension ClientRecord {
    fileprivate init?(row: Row) {
        guard let kind = Kind(rawValue: row["kind"]) else { return nil }
        var former: FormerSecret?
        if let hash = row["former_secret_hash"] as Data?, let end = Timestamp(column: row["former_secret_until"]) {
            former = FormerSecret(hash: Array(hash), goodUntil: end)
        }
        self.init(
            id: row["client_id"], kind: kind, name: row["name"], metadata: row["metadata"],
            secretHash: (row["secret_hash"] as Data?).map { Array($0) }, formerSecret: former,
            user: (row["user_id"] as Int64?).map { UserID($0) }, createdAt: Timestamp(microseconds: row["created_at"]),
            lastUsedAt: Timestamp(microseconds: row["last_used_at"]), revokedAt: Timestamp(column: row["revoked_at"]))
    }
}
