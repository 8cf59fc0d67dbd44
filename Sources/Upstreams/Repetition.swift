/// Whether a request that brought no answer may be made once more, at another replica.
///
/// Of what was never sent, nothing can act twice. Otherwise never where something might: that is reported, and whoever asked decides.
enum Repetition: Hashable, Sendable {
    /// It changes nothing: a list, something read, what a prompt or a completion says.
    case reading
    /// A tool of which the server's owner said that twice is as good as once.
    case idempotent
    /// It may act.
    case acting

    private static let most = 1
    private static let readings: Set<String> = [
        "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read", "prompts/get",
        "completion/complete",
    ]

    /// - Parameter isMarked: whether the owner marked the tool.
    init(method: String, isMarked: Bool) {
        if Self.readings.contains(method) {
            self = .reading
        } else {
            self = isMarked && method == "tools/call" ? .idempotent : .acting
        }
    }

    /// - Parameters:
    ///   - times: how often it was made once more already.
    ///   - hasSpoken: whether the server said anything to it: who was asked a question has seen that it is under way.
    ///   - hasOther: whether there is a replica that was not tried and may be asked.
    func isAllowed(after failure: UpstreamFailure, times: Int, hasSpoken: Bool, hasOther: Bool) -> Bool {
        guard times < Self.most, hasOther, !hasSpoken else { return false }
        switch failure {
        case .unreachable, .resting: return true
        case .lost: return self != .acting
        case .rejected, .turnedAway, .credential, .timedOut, .garbled, .abandoned, .signedOut: return false
        }
    }
}
