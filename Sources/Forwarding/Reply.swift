package import Gateway
package import MCP
package import Pacing

/// What the listener writes back.
package struct Reply: Sendable {
    package enum Body: Sendable {
        /// Taken note of (202).
        case none
        case message(JSONText)
        /// Progress first, the answer last; read it to its end.
        case stream(ReplyStream)
        /// Nobody we know asked.
        case unauthenticated(Refusal)
    }

    package let body: Body
    package let status: ReplyStatus
    /// What is left of the caller's buckets, for the headers that say so.
    package let budgets: [Budget]
    package var blame = Blame.nobody
    /// The session that the client got, for the header that tells it.
    package var session: String?
    /// Who asked; nil if nobody knows.
    package var user: UserID?
}

/// How a reply went, in words; which number that is on the wire is for the listener to say.
package enum ReplyStatus: Hashable, Sendable {
    case accepted
    /// A session was ended.
    case ended
    case answered
    case defectiveEnvelope
    case unknownMethod
    case unknownSession
    case unauthenticated
    case insufficientScope
    case forbidden
    case throttled(Throttle)
    case blocked(retryAfter: Duration)
    case unavailable(retryAfter: Duration?)
}

extension ProtocolError {
    /// A refusal as a JSON-RPC error. Our own codes are positive; `data.code` repeats the name.
    init(_ refusal: Refusal) {
        let code =
            switch refusal {
            case .throttled, .blocked: 1001
            case .forbidden, .insufficientScope, .unauthenticated: 1002
            case .upstreamUnavailable, .overloaded: 1003
            case .outcomeUnknown: 1004
            case .auditUnavailable, .unrecorded: 1005
            case .notFound, .invalid, .conflict: -32602
            }
        var data: [(String, JSONText?)] = [("code", .string(refusal.code))]
        if case .throttled(let throttle) = refusal {
            data += [("limit", .string(throttle.limit.rawValue)), ("whose", throttle.whose.isEmpty ? nil : .string(throttle.whose))]
        }
        if let wait = refusal.retryAfter { data.append(("retryAfterSeconds", .number(wait.roundedUpSeconds))) }
        self.init(code: code, message: refusal.sentence, data: .object(data))
    }
}
