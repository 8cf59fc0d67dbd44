package import Gateway

/// The registry as the API sees it: live, the record of truth and the catalogue together; in a test, a dictionary.
package struct Registry: Sendable {
    package var list: @Sendable (TenantID, ServerFilter, _ after: ServerID?, _ limit: Int) async throws -> [ServerRecord]
    package var get: @Sendable (ServerID) async throws -> ServerRecord?
    package var named: @Sendable (ServerAlias, TenantID) async throws -> ServerRecord?
    package var create: @Sendable (ServerDraft, UserID, TenantID, AuditRecord) async throws -> ServerRecord
    /// - Parameter secret: what a new credential keeps to itself.
    package var update: @Sendable (ServerRecord, _ basis: Timestamp, _ secret: Secret<String>?, AuditRecord) async throws -> ServerRecord
    package var delete: @Sendable (ServerRecord, AuditRecord) async throws -> Void
    /// Asks the server now.
    package var check: @Sendable (ServerID) async -> ServerCondition?
    package var condition: @Sendable (ServerID) -> ServerCondition?
    /// Whether the gateway may connect to what an endpoint's name resolves to.
    package var admitEndpoint: @Sendable (Endpoint) async throws(Refusal) -> Void

    package init(
        list: @escaping @Sendable (TenantID, ServerFilter, _ after: ServerID?, _ limit: Int) async throws -> [ServerRecord],
        get: @escaping @Sendable (ServerID) async throws -> ServerRecord?,
        named: @escaping @Sendable (ServerAlias, TenantID) async throws -> ServerRecord?,
        create: @escaping @Sendable (ServerDraft, UserID, TenantID, AuditRecord) async throws -> ServerRecord,
        update: @escaping @Sendable (ServerRecord, _ basis: Timestamp, _ secret: Secret<String>?, AuditRecord) async throws -> ServerRecord,
        delete: @escaping @Sendable (ServerRecord, AuditRecord) async throws -> Void,
        check: @escaping @Sendable (ServerID) async -> ServerCondition?,
        condition: @escaping @Sendable (ServerID) -> ServerCondition?,
        admitEndpoint: @escaping @Sendable (Endpoint) async throws(Refusal) -> Void
    ) {
        self.list = list
        self.get = get
        self.named = named
        self.create = create
        self.update = update
        self.delete = delete
        self.check = check
        self.condition = condition
        self.admitEndpoint = admitEndpoint
    }
}

/// How a server is doing.
package struct ServerCondition: Hashable, Sendable {
    /// The revision it was found to speak; nil before it was asked.
    package let revision: String?
    package let toolCount: Int?
    /// Tools that wait for somebody's approval.
    package let waitingCount: Int
    package let lastFailure: String?

    package init(revision: String?, toolCount: Int?, waitingCount: Int = 0, lastFailure: String?) {
        self.revision = revision
        self.toolCount = toolCount
        self.waitingCount = waitingCount
        self.lastFailure = lastFailure
    }
}
