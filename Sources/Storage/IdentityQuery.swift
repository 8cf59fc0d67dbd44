import Gateway

/// The questions that are asked of sign-ins, grants, clients and keys; a test looks at how each is answered.
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

extension Timestamp {
    init?(column: Int64?) {
        guard let column else { return nil }
        self.init(microseconds: column)
    }
}
