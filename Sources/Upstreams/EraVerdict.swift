import Gateway
import MCP
import NIOCore
import Synchronization

/// What is known of the way a server speaks and of what it offers, shared by all conversations with it (ERA-7).
final class EraVerdict: Sendable {
    /// What to say to it first.
    enum Dialect: Sendable {
        case modern, legacy
        /// The handshake over the transport of 2024-11-05.
        case sse
    }

    private struct State {
        var revision: Revision?
        var isSSE = false
        var offer: ServerOffer?
        var offerIsFreshUntil = NIODeadline.uptimeNanoseconds(0)
    }

    private let choice: EraChoice
    private let state = Mutex(State())
    /// For how long a server is not asked again what it offers.
    private static let freshness = TimeAmount.minutes(5)

    init(_ choice: EraChoice) { self.choice = choice }

    /// The operator's word, else what was found; nil when it is to be asked.
    var dialect: Dialect? {
        switch choice {
        case .modern: .modern
        case .legacy: .legacy
        case .sse: .sse
        case .auto:
            state.withLock { state in
                state.revision.map { $0.era == .modern ? .modern : state.isSSE ? .sse : .legacy }
            }
        }
    }

    var revision: Revision? { state.withLock { $0.revision } }
    var offer: ServerOffer? { state.withLock { $0.offer } }
    var freshOffer: ServerOffer? { state.withLock { $0.offerIsFreshUntil > .now() ? $0.offer : nil } }

    func settle(_ revision: Revision, isSSE: Bool = false) { state.withLock { ($0.revision, $0.isSSE) = (revision, isSSE) } }
    func note(_ offer: ServerOffer) { state.withLock { ($0.offer, $0.offerIsFreshUntil) = (offer, .now() + Self.freshness) } }

    func forget() { state.withLock { ($0.revision, $0.isSSE, $0.offerIsFreshUntil) = (nil, false, .uptimeNanoseconds(0)) } }
}
