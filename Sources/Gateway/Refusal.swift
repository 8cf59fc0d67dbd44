/// Why the gateway declined to do what it was asked.
///
/// Each case is something its reader can act on, with a stable code and a sentence. Faults of our own, a bug or a
/// broken file, are not refusals: they travel as ordinary errors and become a bare 500 with a request id.
package enum Refusal: Error, Hashable, Sendable {
    /// No credential, or one that is not good here; the sentence says which and never repeats it.
    case unauthenticated(UnauthenticatedReason)
    case forbidden(needs: String)
    /// The caller may, their credential may not: all scopes that the request takes, at once.
    case insufficientScope(Scopes)
    case throttled(Throttle)
    /// Too many violations came from the caller's address.
    case blocked(retryAfter: Duration)
    case notFound(String)
    case invalid(String)
    case conflict(String)
    /// Nothing was done: the server could not be reached, or was not asked.
    case upstreamUnavailable(server: String, reason: String, retryAfter: Duration? = nil)
    /// The call was sent, and whether it took effect is not known. Never retried by the gateway.
    case outcomeUnknown(server: String, reason: String)
    /// The record of the call cannot be written, so the call is not made or its answer is withheld.
    case auditUnavailable
    /// The call was made, or may have been, and its record cannot be written.
    case unrecorded
    /// The gateway itself is at a bound, or draining.
    case overloaded(String, retryAfter: Duration? = nil)

    package enum UnauthenticatedReason: Hashable, Sendable {
        case missing
        case malformed
        case expired
        case wrongAudience
        case revoked
        case unknown
    }

    package var code: String {
        switch self {
        case .unauthenticated: "unauthenticated"
        case .forbidden: "forbidden"
        case .insufficientScope: "insufficient_scope"
        case .throttled: "throttled"
        case .blocked: "blocked"
        case .notFound: "not_found"
        case .invalid: "invalid"
        case .conflict: "conflict"
        case .upstreamUnavailable: "upstream_unavailable"
        case .outcomeUnknown: "outcome_unknown"
        case .auditUnavailable, .unrecorded: "audit_unavailable"
        case .overloaded: "overloaded"
        }
    }

    /// A sentence for whoever made the request.
    package var sentence: String {
        switch self {
        case .unauthenticated(.missing): "This needs a bearer token of this gateway in the Authorization header."
        case .unauthenticated(.malformed): "The Authorization header does not hold a token of this gateway."
        case .unauthenticated(.expired): "The token or key has expired; sign in again, or make a new key."
        case .unauthenticated(.wrongAudience): "The token is good, but not for this address; ask for one whose resource is this endpoint."
        case .unauthenticated(.revoked): "The token or key was revoked; sign in again, or make a new key."
        case .unauthenticated(.unknown): "The token was not issued by this gateway, or its user no longer exists."
        case .forbidden(let needs): "You may not do this: it needs \(needs)."
        case .insufficientScope(let scopes):
            "The credential was not given for this: it takes the scope \(scopes.names.joined(separator: " and ")). Sign in again and allow it, or make a key with it."
        case .throttled(let throttle): throttle.sentence
        case .blocked(let wait):
            "Too many bad requests came from your address, so none are taken without a valid token for \(wait.roundedUpSeconds) s; an administrator can lift it."
        case .notFound(let what): "There is no \(what)."
        case .invalid(let why): why
        case .conflict(let why): why
        case .upstreamUnavailable(let server, let reason, _): "The server “\(server)” could not be asked: \(reason)."
        case .outcomeUnknown(let server, let reason):
            "The call was sent to “\(server)”, but no answer came back (\(reason)). It may have taken effect; check before repeating it."
        case .auditUnavailable: "The gateway cannot record anything at the moment, so nothing is done; /health says why."
        case .unrecorded:
            "The call was sent, but it cannot be recorded, so its answer is withheld. It may have taken effect; check before repeating it."
        case .overloaded(let why, _): why
        }
    }
}

extension Refusal {
    /// When to try again, where that can be told.
    package var retryAfter: Duration? {
        switch self {
        case .throttled(let throttle): throttle.retryAfter
        case .blocked(let wait): wait
        case .overloaded(_, let wait), .upstreamUnavailable(_, _, let wait): wait
        default: nil
        }
    }

    /// Whether whoever asked showed a credential that is none of ours: no mistake of a client's in good standing.
    package var isForgery: Bool {
        switch self {
        case .unauthenticated(.malformed), .unauthenticated(.unknown): true
        default: false
        }
    }

    /// What the record keeps as the reason: the code, and of a limit which one it was.
    package var reason: String {
        if case .throttled(let throttle) = self { "\(code).\(throttle.limit.rawValue)" } else { code }
    }
}

extension Duration {
    /// Whole seconds, rounded up and at least one: what `Retry-After` carries.
    package var roundedUpSeconds: Int64 {
        max(1, components.seconds + (components.attoseconds > 0 ? 1 : 0))
    }
}
