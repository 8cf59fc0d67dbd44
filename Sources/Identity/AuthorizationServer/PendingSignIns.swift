import Crypto
import Gateway
import OAuth
import Synchronization

/// A sign-in under way: what a client asked, and how far its user has got.
struct PendingSignIn: Sendable {
    let request: AuthorizationRequest
    let client: KnownClient
    let createdAt: Timestamp
    /// SHA-256 of the cookie of the browser that asked.
    let browser: [UInt8]
    /// The gateway's own name, for the answer (RFC 9207).
    let issuer: String
    /// Once the user has approved: what goes to the issuer and has to come back.
    var errand: Errand?

    struct Errand: Sendable {
        let state: String
        let nonce: String
        let verifier: CodeVerifier
        /// SHA-256 of the cookie that was set with the approval.
        let cookie: [UInt8]
    }

    var answer: AuthorizationResponse { AuthorizationResponse(to: request.redirectURI, state: request.state, issuer: issuer) }
}

/// Sign-ins under way, in memory: one that a restart interrupts is begun again. Bounded; the oldest make room.
final class PendingSignIns: Sendable {
    static let lifetime = Duration.seconds(600)
    private static let capacity = 10_000

    private struct State {
        var byID: [String: PendingSignIn] = [:]
        var byState: [String: String] = [:]
    }

    private let state = Mutex(State())

    func add(_ pending: PendingSignIn, at now: Timestamp) -> String {
        let id = RandomToken.make()
        state.withLock { state in
            if state.byID.count >= Self.capacity {
                Self.sweep(&state, at: now)
                if state.byID.count >= Self.capacity, let oldest = state.byID.min(by: { $0.value.createdAt < $1.value.createdAt }) {
                    Self.remove(oldest.key, &state)
                }
            }
            state.byID[id] = pending
        }
        return id
    }

    /// Looks at one without taking it.
    func find(_ id: String, at now: Timestamp) -> PendingSignIn? {
        state.withLock { $0.byID[id] }.flatMap { Self.isLive($0, at: now) ? $0 : nil }
    }

    /// Takes one whose user has not decided yet: nobody decides twice.
    func take(_ id: String, at now: Timestamp, where isFitting: (PendingSignIn) -> Bool) -> PendingSignIn? {
        state.withLock { state in
            guard let pending = state.byID[id], pending.errand == nil, Self.isLive(pending, at: now), isFitting(pending) else { return nil }
            Self.remove(id, &state)
            return pending
        }
    }

    /// Puts one back that its user approved, to be found by the state it goes to the issuer with.
    func approve(_ id: String, _ pending: PendingSignIn, _ errand: PendingSignIn.Errand) {
        state.withLock { state in
            var pending = pending
            pending.errand = errand
            state.byID[id] = pending
            state.byState[errand.state] = id
        }
    }

    /// Takes the one that an issuer answers: a state is good once, in the browser whose user approved.
    func take(state value: String, cookies: (String) -> String?, at now: Timestamp) -> PendingSignIn? {
        state.withLock { state in
            guard let id = state.byState[value], let pending = state.byID[id], let errand = pending.errand, Self.isLive(pending, at: now) else {
                return nil
            }
            guard let cookie = cookies(Self.cookieName(id)), RandomToken.isSame(RandomToken.digest(cookie), errand.cookie) else { return nil }
            Self.remove(id, &state)
            return pending
        }
    }

    /// One for each sign-in, so that two tabs do not disturb each other.
    static func cookieName(_ id: String) -> String { "__Host-mreg-sign-in-\(id.prefix(8))" }

    private static func isLive(_ pending: PendingSignIn, at now: Timestamp) -> Bool {
        now < pending.createdAt.advanced(by: lifetime) && now >= pending.createdAt.advanced(by: .seconds(-60))
    }

    private static func remove(_ id: String, _ state: inout State) {
        if let errand = state.byID.removeValue(forKey: id)?.errand { state.byState[errand.state] = nil }
    }

    private static func sweep(_ state: inout State, at now: Timestamp) {
        for (id, pending) in state.byID where !isLive(pending, at: now) { remove(id, &state) }
    }
}

/// Names that nobody guesses: 256 random bits in base64url.
enum RandomToken {
    static func make() -> String { Base64URL.encode(SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }) }

    static func digest(_ text: String) -> [UInt8] { Array(SHA256.hash(data: Array(text.utf8))) }

    /// In a time that tells nothing of where they differ.
    static func isSame(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
