import GRDB
package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Sessions as rows, and the ends of them.
extension Database {
    /// Stores what happened in sessions; counters are added. A revoked session stays revoked.
    package func writeSessions(_ sessions: [Session]) async throws {
        // In steps, between which calls are recorded.
        for start in stride(from: 0, to: sessions.count, by: 200) {
            try await writeStep(Array(sessions[start..<min(start + 200, sessions.count)]))
        }
    }

    private func writeStep(_ sessions: [Session]) async throws {
        try await write { db, _ in
            let statement = try db.cachedStatement(sql: SessionQuery.upsert)
            for session in sessions {
                try statement.execute(arguments: [
                    session.id.rawValue, session.user.rawValue, session.tenant.rawValue, session.isActive, session.startedAt.microseconds,
                    session.lastActivity.microseconds, session.client, session.era, session.requests, session.errors,
                    try session.activities.text,
                ])
            }
        }
    }

    /// A page of a tenant's sessions, latest first.
    ///
    /// - Parameters:
    ///   - tenant: nil for all.
    ///   - before: the last activity of the page before.
    package func sessions(of tenant: TenantID?, isActive: Bool, before: Timestamp?, limit: Int) async throws -> [ListedSession] {
        try await read { db in
            let moment = before?.microseconds ?? .max
            let rows =
                if let tenant {
                    try Row.fetchAll(db, sql: SessionQuery.ofTenant, arguments: [tenant.rawValue, isActive, moment, limit])
                } else {
                    try Row.fetchAll(db, sql: SessionQuery.all, arguments: [isActive, moment, limit])
                }
            return rows.map(ListedSession.init(row:))
        }
    }

    /// Ends a session for good and records it, in one transaction.
    ///
    /// - Parameter tenant: whose it must be; nil for anybody's.
    /// - Throws: `Refusal.notFound`.
    package func revokeSession(_ id: SessionID, of tenant: TenantID?, audit: AuditRecord) async throws -> Session {
        try await write { db, ledger in
            let row = try Row.fetchOne(db, sql: SessionQuery.one, arguments: [id.rawValue])
            guard let session = row.map(ListedSession.init(row:))?.session, tenant == nil || session.tenant == tenant else {
                throw Refusal.notFound("session \(id.rawValue)")
            }
            try db.execute(
                sql: "UPDATE user_sessions SET is_active = 0, revoked_at = coalesce(revoked_at, ?) WHERE session_id = ?",
                arguments: [audit.at.microseconds, id.rawValue])
            try Self.revokeGrants(of: session.user, in: id, at: audit.at, db)
            var audit = audit
            audit.tenant = session.tenant
            try ledger.append(audit, db)
            return session
        }
    }

    /// Ends all sessions of a user and revokes every token issued before now, and records it, in one transaction.
    ///
    /// - Returns: the user, and how many sessions were active.
    /// - Throws: `Refusal.notFound`.
    package func signOut(_ user: UserID, of tenant: TenantID?, audit: AuditRecord) async throws -> (user: User, sessions: Int) {
        try await write { db, ledger in
            guard let found = try Self.user(user, db), tenant == nil || found.tenant == tenant else {
                throw Refusal.notFound("user \(user.rawValue)")
            }
            let count = try Self.endEverything(of: found, at: audit.at, db)
            var audit = audit
            audit.tenant = found.tenant
            try ledger.append(audit, db)
            return (found, count)
        }
    }

    /// Ends the sessions of a user, what they allowed clients, and every token and key that was made before now.
    ///
    /// - Returns: how many sessions were active.
    @discardableResult
    static func endEverything(of user: User, at moment: Timestamp, _ db: GRDB.Database) throws -> Int {
        try db.execute(
            sql: "UPDATE users SET revoked_before = max(revoked_before, ?) WHERE user_id = ?",
            arguments: [moment.microseconds, user.id.rawValue])
        try db.execute(sql: SessionQuery.endAll, arguments: [moment.microseconds, user.tenant.rawValue, user.id.rawValue])
        let count = db.changesCount
        try revokeGrants(of: user.id, at: moment, db)
        return count
    }

    /// Sessions that were revoked since a moment: their tokens may still be about.
    package func revokedSessions(since: Timestamp) async throws -> [(session: SessionID, at: Timestamp)] {
        try await read { db in
            try Row.fetchAll(db, sql: SessionQuery.revoked, arguments: [since.microseconds])
                .map { (SessionID($0["session_id"]), Timestamp(microseconds: $0["revoked_at"])) }
        }
    }
}

extension ListedSession {
    fileprivate init(row: Row) {
        self.init(
            session: Session(
                id: SessionID(row["session_id"]), user: UserID(row["user_id"]), tenant: TenantID(row["tenant_id"]),
                startedAt: Timestamp(microseconds: row["started_at"]), lastActivity: Timestamp(microseconds: row["last_activity"]),
                client: row["client"], era: row["era"], requests: row["requests"], errors: row["errors"], isActive: row["is_active"],
                activities: [Session.Activity](text: row["activities"])),
            userName: row["name"], revokedAt: (row["revoked_at"] as Int64?).map { Timestamp(microseconds: $0) })
    }
}

enum SessionQuery {
    static let upsert = """
        INSERT INTO user_sessions
        (session_id, user_id, tenant_id, is_active, started_at, last_activity, client, era, requests, errors, activities)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (session_id) DO UPDATE SET
        is_active = CASE WHEN revoked_at IS NULL THEN excluded.is_active ELSE 0 END, last_activity = max(last_activity, excluded.last_activity),
        client = CASE excluded.client WHEN '' THEN client ELSE excluded.client END, era = excluded.era,
        requests = requests + excluded.requests, errors = errors + excluded.errors, activities = excluded.activities
        """
    private static let columns = "SELECT s.*, u.name FROM user_sessions s JOIN users u ON u.user_id = s.user_id"
    static let one = columns + " WHERE s.session_id = ?"
    static let ofTenant =
        columns + " WHERE s.tenant_id = ? AND s.is_active = ? AND s.last_activity < ? ORDER BY s.last_activity DESC LIMIT ?"
    /// Of all tenants: each tenant's by its index, then sorted.
    static let all = """
        SELECT s.*, u.name FROM tenants t CROSS JOIN user_sessions s ON s.tenant_id = t.tenant_id JOIN users u ON u.user_id = s.user_id
        WHERE s.is_active = ? AND s.last_activity < ? ORDER BY s.last_activity DESC LIMIT ?
        """
    static let endAll =
        "UPDATE user_sessions SET is_active = 0, revoked_at = ? WHERE tenant_id = ? AND is_active = 1 AND user_id = ? AND revoked_at IS NULL"
    static let revoked = "SELECT session_id, revoked_at FROM user_sessions WHERE revoked_at > ?"
}

private struct ActivityColumn: Codable {
    let at: Int64
    let action: String
    let target: String
}

extension [Session.Activity] {
    fileprivate var text: String {
        get throws {
            let columns = map { ActivityColumn(at: $0.at.microseconds, action: $0.action, target: $0.target) }
            return String(decoding: try JSONEncoder().encode(columns), as: UTF8.self)
        }
    }

    fileprivate init(text: String) {
        let columns = (try? JSONDecoder().decode([ActivityColumn].self, from: Data(text.utf8))) ?? []
        self = columns.map { Session.Activity(at: Timestamp(microseconds: $0.at), action: $0.action, target: $0.target) }
    }
}
