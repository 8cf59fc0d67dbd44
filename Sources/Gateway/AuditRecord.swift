/// One row of the audit trail: who did what to what, how it ended, and how long it took.
///
/// Arguments, results and credentials have no field here, so they cannot reach it.
package struct AuditRecord: Hashable, Sendable {
    package enum Outcome: String, Sendable, CaseIterable {
        /// Done, as far as the gateway can tell.
        case ok
        /// The upstream or its tool answered with an error.
        case failed
        /// The gateway declined; `reason` holds the refusal's code.
        case refused
        /// Sent, and no answer: it may have taken effect.
        case unknown
        /// The client went away before the answer.
        case cancelled
        /// About to be sent, recorded first (`strict`); a second row with the same request id says how it ended.
        case intended
    }

    package var requestID: RequestID
    package var at: Timestamp
    package var user: UserID?
    package var tenant: TenantID?
    /// The server that was asked or would have been.
    package var server: ServerID?
    /// The MCP method, or a verb of the admin API such as `server.create`.
    package var action: String
    /// The exposed tool name, the server's alias or another thing acted on; 128 bytes of it are kept.
    package var target: String
    package var outcome: Outcome
    package var reason: String
    /// The HTTP status answered.
    package var status: Int
    /// Zero if it was not timed.
    package var duration: Duration
    package var address: String
    /// How many events the row stands for, at least 1: of a flood of refusals only the first have rows of their own.
    package var weight: Int

    package init(
        requestID: RequestID, at: Timestamp, user: UserID? = nil, tenant: TenantID? = nil, server: ServerID? = nil, action: String,
        target: String = "", outcome: Outcome = .ok, reason: String = "", status: Int = 200, duration: Duration = .zero, address: String = "",
        weight: Int = 1
    ) {
        self.requestID = requestID
        self.at = at
        self.user = user
        self.tenant = tenant
        self.server = server
        self.action = action
        self.target = target
        self.outcome = outcome
        self.reason = reason
        self.status = status
        self.duration = duration
        self.address = address
        self.weight = weight
    }

    /// How long it took; nil for what is not timed, which is all but MCP requests.
    package var responseTime: Duration? { duration > .zero ? duration : nil }
}
