import GRDB
package import Gateway
package import OAuth

/// Who is connected to which server. The tokens are in the vault.
extension Database {
    package func connections(of user: UserID) async throws -> [ConnectionRecord] {
        try await read { db in
            try Row.fetchAll(db, sql: ConnectionQuery.ofUser, arguments: [user.rawValue]).map(ConnectionRecord.init(row:))
        }
    }

    /// Users whose connection to a server is of use, whoever connected first at the front; at most 100.
    package func connectedUsers(at server: ServerID) async throws -> [UserID] {
        try await read { db in
            try Int64.fetchAll(db, sql: ConnectionQuery.ofServer, arguments: [server.rawValue]).map { UserID($0) }
        }
    }

    /// Writes a connection in place of an earlier one, and the record of it.
    package func connect(_ connection: ConnectionRecord, audit: AuditRecord) async throws {
        try await write { db, ledger in
            let sql = """
                INSERT INTO upstream_credentials (user_id, server_id, issuer, scope, connected_at, expires_at, last_error)
                VALUES (?, ?, ?, ?, ?, ?, NULL)
                ON CONFLICT (user_id, server_id) DO UPDATE SET issuer = excluded.issuer, scope = excluded.scope,
                    connected_at = excluded.connected_at, expires_at = excluded.expires_at, last_error = NULL
                """
            try db.execute(
                sql: sql,
                arguments: [
                    connection.user.rawValue, connection.server.rawValue, connection.issuer, connection.scope, connection.connectedAt.microseconds,
                    connection.expiresAt?.microseconds,
                ])
            try ledger.append(audit, db)
        }
    }

    /// - Throws: `Refusal.notFound` if there is none.
    package func disconnect(_ user: UserID, from server: ServerID, audit: AuditRecord) async throws {
        try await write { db, ledger in
            try db.execute(sql: ConnectionQuery.delete, arguments: [user.rawValue, server.rawValue])
            guard db.changesCount > 0 else { throw Refusal.notFound("connection to “\(audit.target)”") }
            try ledger.append(audit, db)
        }
    }

    /// Notes that the access token was renewed, or why it cannot be.
    package func noteConnection(of user: UserID, to server: ServerID, expiresAt: Timestamp?, lastError: String?) async throws {
        try await write { db, _ in
            try db.execute(
                sql: ConnectionQuery.note, arguments: [expiresAt?.microseconds, lastError, user.rawValue, server.rawValue])
        }
    }
}

enum ConnectionQuery {
    static let ofUser = "SELECT * FROM upstream_credentials WHERE user_id = ? ORDER BY server_id LIMIT 1000"
    static let ofServer = """
        SELECT c.user_id FROM upstream_credentials c JOIN users u ON u.user_id = c.user_id \
        WHERE c.server_id = ? AND c.last_error IS NULL AND u.disabled_at IS NULL ORDER BY c.connected_at LIMIT 100
        """
    static let delete = "DELETE FROM upstream_credentials WHERE user_id = ? AND server_id = ?"
    static let note = "UPDATE upstream_credentials SET expires_at = coalesce(?, expires_at), last_error = ? WHERE user_id = ? AND server_id = ?"
}

extension ConnectionRecord {
    fileprivate init(row: Row) {
        self.init(
            user: UserID(row["user_id"]), server: ServerID(row["server_id"]), issuer: row["issuer"], scope: row["scope"],
            connectedAt: Timestamp(microseconds: row["connected_at"]),
            expiresAt: (row["expires_at"] as Int64?).map { Timestamp(microseconds: $0) }, lastError: row["last_error"])
    }
}
