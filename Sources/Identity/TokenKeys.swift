package import Gateway
import JWTKit
package import OAuth
import Synchronization

/// The keys that sign the gateway's tokens: one at a time, the next published before it signs, the last as long as its
/// tokens may be about.
package final class TokenKeys: Sendable {
    private struct State {
        var signing: SigningKey
        var published: [SigningKey]
    }

    private let state: Mutex<State>

    /// - Parameter published: besides the one that signs: the next, and those that signed before.
    package init(signing: SigningKey, published: [SigningKey] = []) {
        state = Mutex(State(signing: signing, published: [signing] + published.filter { $0.id != signing.id }))
    }

    package func replace(signing: SigningKey, published: [SigningKey]) {
        state.withLock { $0 = State(signing: signing, published: [signing] + published.filter { $0.id != signing.id }) }
    }

    /// The one that signs first.
    package var published: [SigningKey] { state.withLock { $0.published } }

    func sign(_ token: AccessToken) async throws -> String { try await sign(token, type: AccessToken.type) }
    func sign(_ payload: some JWTPayload, type: String) async throws -> String {
        try await state.withLock { $0.signing }.sign(payload, type: type)
    }

    /// The claims of a token signed by one of them. Which one, its `kid` says, and nothing else about it is believed before
    /// that key has verified it.
    func verify(_ token: String) async throws(Refusal) -> AccessToken {
        let id = try SigningKey.keyID(of: token)
        guard let key = state.withLock({ $0.published.first { $0.id == id } }) else { throw .unauthenticated(.unknown) }
        return try await key.verify(token)
    }
}

/// When signing keys take turns. Pure; whoever keeps the keys does as it says.
package struct TokenKeyRotation: Hashable, Sendable {
    package static let signsFor = Duration.seconds(90 * 86_400)
    /// Published so long before it signs: key sets are cached for minutes.
    package static let notice = Duration.seconds(3600)

    /// The key that signs now; nil if there is none yet.
    package let signing: SigningKeyRecord?
    /// Verified with and published besides.
    package let others: [SigningKeyRecord]
    /// Those that signed until now, and whose end is not known yet.
    package let retiring: [SigningKeyRecord]
    /// Whether it is time to make the next one.
    package let isNextDue: Bool

    /// - Parameter keys: those whose tokens may be about, and the one to come.
    package init(_ keys: [SigningKeyRecord], at now: Timestamp) {
        let current = keys.filter { $0.publishedUntil == nil }
        let signing = current.filter { $0.signsFrom <= now }.max { ($0.signsFrom, $0.id) < ($1.signsFrom, $1.id) }
        self.signing = signing
        others = keys.filter { $0.id != signing?.id && $0.publishedUntil.map { now < $0 } ?? true }
        retiring = current.filter { $0.signsFrom <= now && $0.id != signing?.id }
        let hasNext = current.contains { $0.signsFrom > now }
        isNextDue = !hasNext && signing.map { now >= $0.signsFrom.advanced(by: Self.signsFor) } ?? false
    }

    /// Until when a key is published that signed last at this moment.
    package static func publishedUntil(lastSigned: Timestamp) -> Timestamp { lastSigned.advanced(by: Authenticator.lifetime + .seconds(120)) }
}
