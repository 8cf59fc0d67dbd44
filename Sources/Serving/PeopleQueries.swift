package import Gateway
package import OAuth

/// What users do about their keys, and administrators about users, keys and clients: live, the record of truth; in a test,
/// literals. Whatever takes something away has taken it away everywhere when it returns.
package struct PeopleQueries: Sendable {
    /// The key itself is shown this once.
    package var createKey: @Sendable (APIKeyDraft, User, _ replacing: APIKeyID?, AuditRecord) async throws -> (APIKey, Secret<String>)
    package var keys: @Sendable (UserID) async throws -> [APIKey]
    package var key: @Sendable (APIKeyID) async throws -> APIKey?
    /// The user is whose it must be, the tenant where; nil for anybody's.
    package var revokeKey: @Sendable (APIKeyID, UserID?, TenantID?, AuditRecord) async throws -> Void
    package var user: @Sendable (UserID) async throws -> User?
    package var profile: @Sendable (UserID) async throws -> UserProfile?
    /// A page of a tenant's users by name, after the last of the page before; that is empty for the first.
    package var profiles: @Sendable (TenantID, _ after: String, _ limit: Int) async throws -> [UserProfile]
    /// What the user's sign-ins that are good let act for them.
    package var allowedClients: @Sendable (UserID, _ now: Timestamp) async throws -> [AllowedClient]
    package var setRole: @Sendable (Role, UserID, AuditRecord) async throws -> User
    package var setDisabled: @Sendable (Bool, UserID, AuditRecord) async throws -> User
    /// Those of all tenants, for clients belong to none; latest used first.
    package var clients: @Sendable (_ limit: Int) async throws -> [ClientRecord]
    package var client: @Sendable (_ id: String) async throws -> ClientRecord?
    package var storeClient: @Sendable (ClientRecord, AuditRecord) async throws -> Void
    package var revokeClient: @Sendable (String, AuditRecord) async throws -> Void

    package init(
        createKey: @escaping @Sendable (APIKeyDraft, User, _ replacing: APIKeyID?, AuditRecord) async throws -> (APIKey, Secret<String>),
        keys: @escaping @Sendable (UserID) async throws -> [APIKey], key: @escaping @Sendable (APIKeyID) async throws -> APIKey?,
        revokeKey: @escaping @Sendable (APIKeyID, UserID?, TenantID?, AuditRecord) async throws -> Void,
        user: @escaping @Sendable (UserID) async throws -> User?, profile: @escaping @Sendable (UserID) async throws -> UserProfile?,
        profiles: @escaping @Sendable (TenantID, _ after: String, _ limit: Int) async throws -> [UserProfile],
        allowedClients: @escaping @Sendable (UserID, _ now: Timestamp) async throws -> [AllowedClient],
        setRole: @escaping @Sendable (Role, UserID, AuditRecord) async throws -> User,
        setDisabled: @escaping @Sendable (Bool, UserID, AuditRecord) async throws -> User,
        clients: @escaping @Sendable (_ limit: Int) async throws -> [ClientRecord],
        client: @escaping @Sendable (_ id: String) async throws -> ClientRecord?,
        storeClient: @escaping @Sendable (ClientRecord, AuditRecord) async throws -> Void,
        revokeClient: @escaping @Sendable (String, AuditRecord) async throws -> Void
    ) {
        self.createKey = createKey
        self.keys = keys
        self.key = key
        self.revokeKey = revokeKey
        self.user = user
        self.profile = profile
        self.profiles = profiles
        self.allowedClients = allowedClients
        self.setRole = setRole
        self.setDisabled = setDisabled
        self.clients = clients
        self.client = client
        self.storeClient = storeClient
        self.revokeClient = revokeClient
    }
}
