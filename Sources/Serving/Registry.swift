package import Gateway

/// The registry as the API sees it: live, the record of truth and the catalogue together; in a test, a dictionary.
package struct Registry: Sendable {
    package var list: @Sendable (TenantID, ServerFilter, _ after: ServerID?, _ limit: Int) async throws -> [ServerRecord]
    package var get: @Sendable (ServerID) async throws -> ServerRecord?
    package var named: @Sendable (ServerAlias, TenantID) async throws -> ServerRecord?
    package var create: @Sendable (ServerDraft, UserID, TenantID, AuditRecord) async throws -> ServerRecord
    package var update: @Sendable (ServerChange, _ basis: Timestamp, AuditRecord) async throws -> ServerRecord
    package var delete: @Sendable (ServerRecord, AuditRecord) async throws -> Void
    /// Asks the server now, also a program that was put to rest.
    package var check: @Sendable (ServerID) async -> ServerCondition?
    package var condition: @Sendable (ServerID) -> ServerCondition?
    /// What the latest processes of a server wrote to stderr, oldest first, without secrets.
    package var errorOutput: @Sendable (ServerID) -> [ProcessOutput]
    /// Whether the gateway may connect to what an endpoint's name resolves to.
    package var admitEndpoint: @Sendable (Endpoint) async throws(Refusal) -> Void

    package init(
        list: @escaping @Sendable (TenantID, ServerFilter, _ after: ServerID?, _ limit: Int) async throws -> [ServerRecord],
        get: @escaping @Sendable (ServerID) async throws -> ServerRecord?,
        named: @escaping @Sendable (ServerAlias, TenantID) async throws -> ServerRecord?,
        create: @escaping @Sendable (ServerDraft, UserID, TenantID, AuditRecord) async throws -> ServerRecord,
        update: @escaping @Sendable (ServerChange, _ basis: Timestamp, AuditRecord) async throws -> ServerRecord,
        delete: @escaping @Sendable (ServerRecord, AuditRecord) async throws -> Void,
        check: @escaping @Sendable (ServerID) async -> ServerCondition?,
        condition: @escaping @Sendable (ServerID) -> ServerCondition?,
        errorOutput: @escaping @Sendable (ServerID) -> [ProcessOutput] = { _ in [] },
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
        self.errorOutput = errorOutput
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
    /// Whether it is a program that is not started any more; `lastFailure` says why.
    package let isResting: Bool
    package let replicas: [EndpointCondition]
    /// A sentence of each list of which only the beginning is used.
    package let cuts: [String]

    package init(
        revision: String?, toolCount: Int?, waitingCount: Int = 0, lastFailure: String?, isResting: Bool = false,
        replicas: [EndpointCondition] = [], cuts: [String] = []
    ) {
        self.revision = revision
        self.toolCount = toolCount
        self.waitingCount = waitingCount
        self.lastFailure = lastFailure
        self.isResting = isResting
        self.replicas = replicas
        self.cuts = cuts
    }
}

/// How one endpoint of a server is doing.
package struct EndpointCondition: Hashable, Sendable {
    package let endpoint: String
    package let weight: Int
    /// Of its circuit breaker: `closed`, `open`, `half_open`.
    package let state: String
    package let faultsInRow: Int
    package let lastFault: String?
    package let lastFaultAt: Timestamp?
    package let openedAt: Timestamp?
    /// Requests under way at it, and conversations that stay with it.
    package let underWay: Int
    package let conversations: Int

    package init(
        endpoint: String, weight: Int, state: String, faultsInRow: Int, lastFault: String?, lastFaultAt: Timestamp?, openedAt: Timestamp?,
        underWay: Int, conversations: Int
    ) {
        self.endpoint = endpoint
        self.weight = weight
        self.state = state
        self.faultsInRow = faultsInRow
        self.lastFault = lastFault
        self.lastFaultAt = lastFaultAt
        self.openedAt = openedAt
        self.underWay = underWay
        self.conversations = conversations
    }
}

/// What one process of a server wrote to stderr.
package struct ProcessOutput: Hashable, Sendable {
    /// Whose process it is; nil for everybody's, or the gateway's own.
    package let user: UserID?
    package let startedAt: Timestamp
    package let text: String

    package init(user: UserID?, startedAt: Timestamp, text: String) {
        self.user = user
        self.startedAt = startedAt
        self.text = text
    }
}
