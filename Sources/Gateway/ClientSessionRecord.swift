/// What is kept of a client's MCP session (of the revisions with a handshake), so that it outlives a restart.
package struct ClientSessionRecord: Hashable, Sendable {
    /// Visible ASCII. It is no secret: a session is good for its user alone, and for the kind of credential that opened it.
    package let id: String
    package let user: UserID
    /// The API key that opened it; nil if it was a sign-in.
    package let key: APIKeyID?
    package let tenant: TenantID
    /// The endpoint's path.
    package let endpoint: String
    package let revision: String
    /// What the client declared, as JSON.
    package let capabilities: String
    /// As the client calls itself.
    package let client: String
    package var logLevel: String?
    /// URIs, as the endpoint shows them.
    package var subscriptions: Set<String>
    package let createdAt: Timestamp
    package var usedAt: Timestamp

    /// Whether it exists for whoever comes with that credential (L-3). A key may reach less than its owner, and another key something
    /// else: what the streams of a session say is for whom it was opened.
    package func isGood(for principal: Principal) -> Bool { user == principal.user && key == principal.key }

    package init(
        id: String, user: UserID, key: APIKeyID? = nil, tenant: TenantID, endpoint: String, revision: String, capabilities: String, client: String,
        logLevel: String? = nil,
        subscriptions: Set<String> = [], createdAt: Timestamp, usedAt: Timestamp
    ) {
        self.id = id
        self.user = user
        self.key = key
        self.tenant = tenant
        self.endpoint = endpoint
        self.revision = revision
        self.capabilities = capabilities
        self.client = client
        self.logLevel = logLevel
        self.subscriptions = subscriptions
        self.createdAt = createdAt
        self.usedAt = usedAt
    }
}
