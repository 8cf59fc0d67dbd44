package import Gateway
import MCP
import NIOCore
import Synchronization

/// Something a server tells outside of any call.
package enum UpstreamNotice: Hashable, Sendable {
    /// A change of the resources is one of the templates too: servers announce both in one breath.
    case listChanged(ListKind)
    /// - Parameter user: whose conversation heard it; nil for the gateway's own, or one that is shared.
    case resourceUpdated(uri: String, user: UserID?)
    /// An elicitation by URL of a call that is over was dealt with.
    ///
    /// - Parameter user: as above.
    case elicitationComplete(id: String, user: UserID?)

    private static let longestText = 8192

    /// What a notification says; nothing if it is none of these.
    static func read(_ method: String, _ params: JSON?, user: UserID?) -> [Self] {
        let text: (String) -> String? = { name in params?[name]?.string.flatMap { $0.utf8.count <= longestText ? $0 : nil } }
        return switch method {
        case "notifications/tools/list_changed": [.listChanged(.tools)]
        case "notifications/prompts/list_changed": [.listChanged(.prompts)]
        case "notifications/resources/list_changed": [.listChanged(.resources), .listChanged(.resourceTemplates)]
        case "notifications/resources/updated": text("uri").map { [.resourceUpdated(uri: $0, user: user)] } ?? []
        case "notifications/elicitation/complete": text("elicitationId").map { [.elicitationComplete(id: $0, user: user)] } ?? []
        default: []
        }
    }
}

/// Lets a server's notices through at a bearable pace: the first of a kind at once, any number within a second after it as one at
/// that second's end. So the last change is always told, and ten thousand cost two.
///
/// Bounded: beyond `most` different ones within a second, further ones are dropped.
final class Notices: Sendable {
    private struct State {
        /// Whether it came again since it was told.
        var told: [UpstreamNotice: Bool] = [:]
        var dropped = 0
    }

    static let pause = TimeAmount.seconds(1)
    static let most = 1024

    private let loop: any EventLoop
    private let tell: @Sendable (UpstreamNotice) -> Void
    private let state = Mutex(State())

    init(loop: any EventLoop, tell: @escaping @Sendable (UpstreamNotice) -> Void) {
        self.loop = loop
        self.tell = tell
    }

    /// How many were dropped for want of room.
    var dropped: Int { state.withLock { $0.dropped } }

    func take(_ notice: UpstreamNotice) {
        let isFirst = state.withLock { state in
            if state.told[notice] != nil {
                state.told[notice] = true
                return false
            }
            guard state.told.count < Self.most else {
                state.dropped += 1
                return false
            }
            state.told[notice] = false
            return true
        }
        if isFirst { pass(notice) }
    }

    private func pass(_ notice: UpstreamNotice) {
        tell(notice)
        loop.scheduleTask(in: Self.pause) { [weak self] in self?.pauseEnds(notice) }
    }

    private func pauseEnds(_ notice: UpstreamNotice) {
        let cameAgain = state.withLock { state in
            let cameAgain = state.told[notice] ?? false
            state.told[notice] = cameAgain ? false : nil
            return cameAgain
        }
        if cameAgain { pass(notice) }
    }
}
