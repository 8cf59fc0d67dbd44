extension FakeEntra {
    /// Something that goes wrong on purpose, so that a relying party can be seen to cope.
    package struct Trouble: Sendable {
        package enum Endpoint: String, CaseIterable, Sendable {
            /// Every one of them.
            case any
            case metadata, keys, authorize, token, graph, logout
        }

        package enum Effect: Hashable, Sendable {
            case error(ErrorCode)
            /// - Parameter retryAfter: in whole seconds, rounded up.
            case status(Int, retryAfter: Duration?)
            /// What was asked is done, and answered after at most a minute.
            case delay(Duration)
            /// The connection ends, and nothing was done.
            case loseRequest
            /// What was asked is done, and the connection ends before the answer: a code is redeemed, a token issued.
            case loseReply
            /// Claims of the ID token are replaced, those that are null left out.
            case idToken([String: Value])
        }

        package let endpoint: Endpoint
        package let effect: Effect
        /// Requests it is for, at least 1.
        package var times: Int

        package init(_ effect: Effect, at endpoint: Endpoint = .any, times: Int = 1) {
            self.endpoint = endpoint
            self.effect = effect
            self.times = max(1, times)
        }

        static let mostTroubles = 100
        static let longestDelay = Duration.seconds(60)
    }
}
