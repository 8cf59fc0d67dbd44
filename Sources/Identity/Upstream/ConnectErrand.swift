import Gateway
import OAuth
import Synchronization

/// A user's way to an account at a server: first they sign in here, then they are asked, then they go to the authorization
/// server and come back.
struct ConnectErrand: Sendable {
    enum Stage: Sendable {
        /// Before anybody knows who it is.
        case signingIn(state: String, nonce: String, CodeVerifier)
        /// The page is to be shown, or is; with what was found out for it.
        case asking(User, ServerRecord, Offer?)
        case away(User, ServerRecord, Offer, state: String, CodeVerifier)
    }

    /// What the user is asked to allow, and where that leads. Recorded before the browser leaves, and nothing that comes back
    /// changes it.
    struct Offer: Sendable {
        let client: GatewayClient
        let authority: AuthorityMetadata
        let authorizationEndpoint: Endpoint
        let resource: String
        /// Names separated by blanks; nil to leave it to the authorization server.
        let scope: String?
    }

    let alias: ServerAlias
    /// For whom the link was made, if it says.
    let tag: String?
    let createdAt: Timestamp
    var stage: Stage
    /// SHA-256 of the cookie of the browser that is under way. It changes with every stage.
    var browser: [UInt8]

    var state: String? {
        switch stage {
        case .signingIn(let state, _, _), .away(_, _, _, let state, _): state
        case .asking: nil
        }
    }
}

/// Errands under way, in memory: one that a restart interrupts is begun again. Bounded; the oldest make room.
final class ConnectErrands: Sendable {
    static let lifetime = Duration.seconds(600)
    private static let capacity = 10_000

    private struct State {
        var byID: [String: ConnectErrand] = [:]
        var byState: [String: String] = [:]
    }

    private let errands = Mutex(State())

    func put(_ errand: ConnectErrand, as id: String, at now: Timestamp) {
        errands.withLock { errands in
            if errands.byID[id] == nil, errands.byID.count >= Self.capacity { Self.makeRoom(&errands, at: now) }
            Self.remove(id, &errands)
            errands.byID[id] = errand
            if let state = errand.state { errands.byState[state] = id }
        }
    }

    /// Looks at one without taking it.
    func find(_ id: String, cookies: (String) -> String?, at now: Timestamp) -> ConnectErrand? {
        errands.withLock { $0.byID[id] }.flatMap { Self.isGood($0, id, cookies, now) ? $0 : nil }
    }

    /// Takes one: no step is gone twice.
    func take(_ id: String, cookies: (String) -> String?, at now: Timestamp) -> ConnectErrand? {
        errands.withLock { errands in
            guard let errand = errands.byID[id], Self.isGood(errand, id, cookies, now) else { return nil }
            Self.remove(id, &errands)
            return errand
        }
    }

    /// Takes the one that an answer belongs to: a state is good once, in the browser it was made for.
    func take(state: String, cookies: (String) -> String?, at now: Timestamp) -> (id: String, errand: ConnectErrand)? {
        errands.withLock { errands in
            guard let id = errands.byState[state], let errand = errands.byID[id], Self.isGood(errand, id, cookies, now) else { return nil }
            Self.remove(id, &errands)
            return (id, errand)
        }
    }

    /// Whether a user is on the way to a server's authorization server.
    func isAway(_ user: UserID, to server: ServerID, at now: Timestamp) -> Bool {
        errands.withLock { errands in
            errands.byID.values.contains { errand in
                guard case .away(let whose, let where_, _, _, _) = errand.stage, Self.isLive(errand, now) else { return false }
                return whose.id == user && where_.id == server
            }
        }
    }

    static func cookieName(_ id: String) -> String { "__Host-mreg-connect-\(id.prefix(8))" }

    private static func isGood(_ errand: ConnectErrand, _ id: String, _ cookies: (String) -> String?, _ now: Timestamp) -> Bool {
        guard isLive(errand, now), let cookie = cookies(cookieName(id)) else { return false }
        return RandomToken.isSame(RandomToken.digest(cookie), errand.browser)
    }

    private static func isLive(_ errand: ConnectErrand, _ now: Timestamp) -> Bool {
        now < errand.createdAt.advanced(by: lifetime) && now >= errand.createdAt.advanced(by: .seconds(-60))
    }

    private static func remove(_ id: String, _ errands: inout State) {
        if let state = errands.byID.removeValue(forKey: id)?.state { errands.byState[state] = nil }
    }

    private static func makeRoom(_ errands: inout State, at now: Timestamp) {
        for (id, errand) in errands.byID where !isLive(errand, now) { remove(id, &errands) }
        if errands.byID.count >= capacity, let oldest = errands.byID.min(by: { $0.value.createdAt < $1.value.createdAt }) {
            remove(oldest.key, &errands)
        }
    }
}
