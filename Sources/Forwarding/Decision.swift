package import Access
package import Gateway
package import MCP
package import Pacing
package import Upstreams

/// What becomes of a request, with what is known of it for the record.
package struct Decision: Sendable {
    enum Outcome: Sendable {
        /// Answered here and now; nil means taken note of, without an answer (202).
        case answer(JSONText?)
        case forward(Dispatch)
        /// A client shakes hands: it gets a session.
        case open(Incoming)
        /// The client wants something of its session.
        case session(ClientSession, SessionWish)
        /// The client wants to hear of changes, until it goes away.
        case listen(Interest)
        /// The client comes back to a request that waits under that name.
        case resume(String)
        case refuse(Refusal)
        case fail(ProtocolError)
        case suspend(Reason)
    }

    /// What has to be found out first; afterwards the corridor is walked again.
    package enum Reason: Sendable {
        /// A token not seen before, or not for a minute.
        case unfamiliarToken
        /// A server of the tenant was never asked for its tools.
        case coldCatalogue
        /// The name is on no list, or on none of the caller's; the list may be old.
        ///
        /// `of`: the server it points to, if that may be asked on the caller's behalf.
        case unknownName(of: ServerAlias?)
        /// A tenant whose rules were not read yet.
        case unknownRules
    }

    enum SessionWish: Sendable {
        case logLevel(LogLevel)
        case subscribe(String, Dispatch)
        case unsubscribe(String, Dispatch)
    }

    var outcome: Outcome
    package var principal: Principal?
    package var incoming: Incoming?
    package var id: MessageID?
    /// The client's session, if it has one.
    var session: ClientSession?
    package var era: Revision.Era = .legacy
    /// Of a refusal of somebody unknown.
    package var blame = Blame.nobody
    package var action = "mcp"
    /// Why the tool may not be used, for the record; the caller may have been told that there is none.
    package var denial: ToolDenial?
    /// Whether the caller may not use what they asked for, or there is no such thing for them.
    var isOutOfReach = false
    /// What is left of the caller's buckets; nil if nothing was taken yet.
    package var budgets: [Budget]?
}

/// A call with everything it needs to leave: policy's permission, and the way.
package struct Dispatch: Sendable {
    package let grant: Grant
    package let request: Outgoing
    package let upstream: Upstream
    /// How the server's names stand in what the client reads.
    package let naming: Naming
    /// What was asked for, by the name the caller knows it by.
    package let operation: Operation
    /// Which of the server's places made the state that the request carries, by number; nil if none did.
    package var replica: Int?
}
