import GRDB
package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Sessions of MCP clients as rows.
extension Database {
    package func clientSessions() async throws -> [ClientSessionRecord] {
        try await read { db in try Row.fetchAll(db, sql: ClientSessionQuery.all).map(ClientSessionRecord.init(row:)) }
    }

    /// Stores sessions, new ones and what changed of known ones.
    package func save(_ sessions: [ClientSessionRecord]) async throws {
        // In steps, between which calls are recorded.
        for start in stride(from: 0, to: sessions.count, by: 200) {
            let step = Array(sessions[start..<min(start + 200, sessions.count)])
            try await write { db, _ in
                let statement = try db.cachedStatement(sql: ClientSessionQuery.upsert)
                for session in step {
                    try statement.execute(arguments: [
                        session.id, session.user.rawValue, session.tenant.rawValue, session.endpoint, session.revision, session.capabilities,
                        session.client, session.logLevel, String(decoding: try JSONEncoder().encode(session.subscriptions.sorted()), as: UTF8.self),
                        session.createdAt.microseconds, session.usedAt.microseconds, session.key?.rawValue,
                    ])
                }
            }
        }
    }

    package func deleteClientSessions(_ ids: [String]) async throws {
        for start in stride(from: 0, to: ids.count, by: 200) {
            let step = Array(ids[start..<min(start + 200, ids.count)])
            try await write { db, _ in
                let statement = try db.cachedStatement(sql: ClientSessionQuery.delete)
                for id in step { try statement.execute(arguments: [id]) }
            }
        }
    }
}

enum ClientSessionQuery {
    static let all = "SELECT * FROM client_sessions"
    static let delete = "DELETE FROM client_sessions WHERE session_id = ?"
    static let upsert = """
        INSERT INTO client_sessions
            (session_id, user_id, tenant_id, endpoint, revision, capabilities, client, log_level, subscriptions, created_at, used_at, key_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (session_id) DO UPDATE SET log_level = excluded.log_level, subscriptions = excluded.subscriptions, used_at = excluded.used_at
        """
}

extension ClientSessionRecord {
    fileprivate init(row: Row) throws {
        let subscriptions: String = row["subscriptions"]
        self.init(
            id: row["session_id"], user: UserID(row["user_id"]), key: (row["key_id"] as Int64?).map { APIKeyID($0) },
            tenant: TenantID(row["tenant_id"]), endpoint: row["endpoint"],
            revision: row["revision"], capabilities: row["capabilities"], client: row["client"], logLevel: row["log_level"],
            subscriptions: Set(try JSONDecoder().decode([String].self, from: Data(subscriptions.utf8))),
            createdAt: Timestamp(microseconds: row["created_at"]), usedAt: Timestamp(microseconds: row["used_at"]))
    }
}
