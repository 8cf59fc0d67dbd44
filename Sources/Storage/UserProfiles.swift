import GRDB
package import Gateway
package import OAuth

/// Users as they are listed.
extension Database {
    package func profile(_ user: UserID) async throws -> UserProfile? {
        try await read { db in try Row.fetchOne(db, sql: ProfileQuery.one, arguments: [user.rawValue]).flatMap(UserProfile.init(row:)) }
    }

    /// A page of a tenant's users, by name.
    ///
    /// - Parameter after: the last name of the page before; empty for the first.
    package func profiles(of tenant: TenantID, after: String, limit: Int) async throws -> [UserProfile] {
        try await read { db in
            try Row.fetchAll(db, sql: ProfileQuery.ofTenant, arguments: [tenant.rawValue, after, limit]).compactMap(UserProfile.init(row:))
        }
    }

    /// The clients that may act for a user, the longest allowed first. A code that nobody redeemed counts for nothing.
    package func allowedClients(of user: UserID, at now: Timestamp) async throws -> [AllowedClient] {
        try await read { db in
            try Row.fetchAll(db, sql: ProfileQuery.allowedClients, arguments: [user.rawValue, now.microseconds]).map { row in
                AllowedClient(
                    id: row["client_id"], name: row["name"], since: Timestamp(microseconds: row["since"]),
                    lastAt: Timestamp(microseconds: row["last_at"]), signIns: row["sign_ins"])
            }
        }
    }
}

enum ProfileQuery {
    static let one = "SELECT * FROM users WHERE user_id = ?"
    static let ofTenant = "SELECT * FROM users WHERE tenant_id = ? AND name > ? ORDER BY name LIMIT ?"
    static let allowedClients = """
        SELECT g.client_id, coalesce(c.name, g.client_id) AS name, min(g.created_at) AS since, max(g.rotated_at) AS last_at, count(*) AS sign_ins
        FROM oauth_grants g LEFT JOIN oauth_clients c ON c.client_id = g.client_id
        WHERE g.user_id = ? AND g.revoked_at IS NULL AND g.code_used_at IS NOT NULL AND g.expires_at > ?
        GROUP BY g.client_id ORDER BY since, g.client_id LIMIT 1000
        """
}

extension UserProfile {
    fileprivate init?(row: Row) {
        guard let user = User(row: row), let source = RoleSource(rawValue: row["role_source"]) else { return nil }
        var identity: Identity?
        if let issuer = row["issuer"] as String?, let subject = row["subject"] as String? {
            identity = Identity(issuer: issuer, subject: subject, displayName: row["display_name"] ?? "")
        }
        self.init(
            user: user, roleSource: source, identity: identity, createdAt: Timestamp(microseconds: row["created_at"]),
            signedInAt: (row["signed_in_at"] as Int64?).map { Timestamp(microseconds: $0) })
    }
}
