package import Gateway
package import MCP

/// Why an exchange with a server brought no JSON-RPC answer.
///
/// The cases differ in the one thing that matters to whoever asked: whether the server may have acted.
package enum UpstreamFailure: Error, Hashable, Sendable {
    /// Nothing was sent.
    case unreachable(String)
    /// Nothing was sent, for the server kept failing: it is left alone that long.
    case resting(String, retryAfter: Duration)
    /// The server declined at the HTTP level, with its status and, if it said so, why.
    case rejected(status: Int, error: ProtocolError?)
    /// The server turned away what the gateway showed it, and did nothing else.
    case turnedAway(TurnedAway)
    /// There is nothing to show it, so nothing was sent: what whoever asked can do about it.
    case credential(String)
    /// Something was sent, and then the connection or the process was gone.
    case lost(String)
    /// Something was sent, and nothing came back in time.
    case timedOut(Duration)
    /// What came back is not MCP.
    case garbled(String)
    /// Whoever asked went away.
    case abandoned
    /// Whoever asked was signed out meanwhile.
    case signedOut

    package var reason: String {
        switch self {
        case .unreachable(let why), .resting(let why, _): why
        case .rejected(401, _), .rejected(403, _): "it wants credentials the gateway does not have for it"
        case .rejected(let status, let error): "it answered with HTTP status \(status)" + (error.map { ": \($0.message)" } ?? "")
        case .turnedAway: "it does not take the credential that the gateway has for it"
        case .credential(let sentence): sentence
        case .lost(let why): why
        case .timedOut(let wait): "no answer within \(wait.components.seconds) s"
        case .garbled(let why): why
        case .abandoned: "the caller went away"
        case .signedOut: "the caller was signed out meanwhile"
        }
    }

    /// Whether the server may have acted on what was sent. A proxy's 504 comes after the server got the request, and a
    /// success without an answer is an action whose result is missing; only a refusal is certain.
    package var mayHaveActed: Bool {
        switch self {
        case .unreachable, .resting, .turnedAway, .credential: false
        case .rejected(let status, _): status < 300 || status >= 500
        case .lost, .timedOut, .garbled, .abandoned, .signedOut: true
        }
    }
}
