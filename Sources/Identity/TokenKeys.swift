package import Gateway
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

    func sign(_ token: AccessToken) async throws -> String { try await state.withLock { $0.signing }.sign(token) }

    /// The claims of a token signed by one of them. Which one, its `kid` says, and nothing else about it is believed before
    /// that key has verified it.
    func verify(_ token: String) async throws(Refusal) -> AccessToken {
        let id = try SigningKey.keyID(of: token)
        guard let key = state.withLock({ $0.published.first { $0.id == id } }) else { throw .unauthenticated(.unknown) }
        return try await key.verify(token)
    }
}

/// When signing keys take turns. Pure arithmetic; whoever keeps the keys does as it says.
package enum TokenKeyRotation {
    package static let signsFor = Duration.seconds(90 * 86_400)
    /// Published so long before it signs: key sets are cached for minutes.
    package static let notice = Duration.seconds(3600)

    package enum Step: Hashable, Sendable {
        case none
        /// Make the next key and publish it.
        case publishNext
        /// Let the next key sign.
        case switchOver
    }

    /// - Parameters:
    ///   - since: when the one that signs began to.
    ///   - nextSince: when the next was published, if there is one.
    package static func step(since: Timestamp, nextSince: Timestamp?, at now: Timestamp) -> Step {
        guard let nextSince else { return now >= since.advanced(by: signsFor) ? .publishNext : .none }
        return now >= nextSince.advanced(by: notice) ? .switchOver : .none
    }

    /// Until when a key is published that signed last at this moment.
    package static func publishedUntil(lastSigned: Timestamp) -> Timestamp { lastSigned.advanced(by: Authenticator.lifetime + .seconds(120)) }
}
