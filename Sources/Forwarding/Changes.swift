import Access
package import Gateway
import MCP
import Synchronization
import Upstreams

/// Tells whoever listens what changed at the servers: lists, and resources they subscribed to.
package final class Changes: Sendable {
    /// Listeners that one user may have at a time, and that there may be at all.
    package static let mostPerUser = 64
    package static let most = 8192

    private struct State {
        var listeners: [ObjectIdentifier: Listener] = [:]
        var perUser: [UserID: Int] = [:]
    }

    /// What clients wait for to be dealt with.
    let elicitations = Elicitations()
    private let state = Mutex(State())
    private let mayHear: @Sendable (Principal, News, ServerAlias) -> Bool

    /// - Parameter mayHear: whether a principal may use what changed at that server.
    package init(mayHear: @escaping @Sendable (Principal, News, ServerAlias) -> Bool) { self.mayHear = mayHear }

    /// - Throws: `.overloaded` if there are too many.
    func add(_ listener: Listener) throws(Refusal) {
        let isAdmitted = state.withLock { state in
            let user = listener.principal.user
            guard state.listeners.count < Self.most, state.perUser[user, default: 0] < Self.mostPerUser else { return false }
            state.listeners[ObjectIdentifier(listener)] = listener
            state.perUser[user, default: 0] += 1
            return true
        }
        if !isAdmitted {
            throw .overloaded("You have \(Self.mostPerUser) open streams of changes, or all have \(Self.most); close one and try again.")
        }
    }

    func remove(_ listener: Listener) {
        state.withLock { state in
            guard state.listeners.removeValue(forKey: ObjectIdentifier(listener)) != nil else { return }
            let left = state.perUser[listener.principal.user, default: 1] - 1
            state.perUser[listener.principal.user] = left > 0 ? left : nil
        }
    }

    /// Whether anybody of the tenant listens.
    func isHeard(in tenant: TenantID) -> Bool { state.withLock { $0.listeners.values.contains { $0.principal.tenant == tenant } } }

    package var count: Int { state.withLock { $0.listeners.count } }

    /// - Parameter user: whose conversation heard it; nil if it is everybody's.
    package func announce(_ news: [News], of alias: ServerAlias, in tenant: TenantID, for user: UserID? = nil) {
        let listeners = state.withLock { $0.listeners.values.filter { $0.principal.tenant == tenant && (user == nil || $0.principal.user == user) } }
        for listener in listeners where listener.only == nil || listener.only == alias {
            listener.hear(
                news.filter { mayHear(listener.principal, $0, alias) }.map { news in
                    switch news {
                    case .list(let kind): .list(kind)
                    case .resource(let uri): .resource(listener.only == nil ? ResourceURI.exposed(uri, of: alias) : uri)
                    }
                })
        }
    }

    package enum News: Sendable {
        case list(ListKind)
        /// By the server's own URI.
        case resource(String)
    }

    /// Lets everybody who listens go whom the closure names.
    package func end(_ isOver: (Principal) -> Bool) {
        for listener in state.withLock({ $0.listeners.values.filter { isOver($0.principal) } }) { listener.end() }
    }
}

/// Somebody who wants to hear of changes: a stream of the newer era, or a session of the older one.
///
/// What came since it was last asked is said once, however often it came; so there is never more to keep than what can change.
final class Listener: Sendable {
    private struct State {
        var interest: Interest
        var news: [Change] = []
        var isEnded = false
        var bell = Question()
    }

    let principal: Principal
    let only: ServerAlias?
    private let state: Mutex<State>
    private static let mostElicitations = 64
    /// Changes of one moment are said together.
    private static let gathering = Duration.milliseconds(100)

    /// - Parameter only: the server whose changes it may hear of; nil for all.
    init(_ interest: Interest, principal: Principal, only: ServerAlias?) {
        self.principal = principal
        self.only = only
        state = Mutex(State(interest: interest))
    }

    var interest: Interest { state.withLock { $0.interest } }

    func change(_ body: (inout Interest) -> Void) { state.withLock { body(&$0.interest) } }

    func hear(_ changes: [Change]) {
        let bell = state.withLock { state -> Question? in
            for change in changes where !state.news.contains(change) {
                switch change {
                // One notification tells of both.
                case .list(.resourceTemplates):
                    if state.interest.lists.contains(.resources) && !state.news.contains(.list(.resources)) { state.news.append(.list(.resources)) }
                case .list(let kind): if state.interest.lists.contains(kind) { state.news.append(change) }
                case .resource(let uri): if state.interest.resources.contains(uri) { state.news.append(change) }
                case .elicitation:
                    // Nobody may be there to read.
                    let told = state.news.indices.filter { if case .elicitation = state.news[$0] { true } else { false } }
                    if told.count >= Self.mostElicitations { state.news.remove(at: told[0]) }
                    state.news.append(change)
                }
            }
            return state.news.isEmpty ? nil : state.bell
        }
        bell?.answered()
    }

    var isEnded: Bool { state.withLock { $0.isEnded } }

    func end() {
        state.withLock { state in
            state.isEnded = true
            return state.bell
        }.answered()
    }

    /// Has a read that waits return.
    func nudge() {
        state.withLock { state in
            defer { state.bell = Question() }
            return state.bell
        }.answered()
    }

    enum Heard: Sendable { case changes([Change]), silence, end }

    /// What changed; `silence` after the wait.
    func next(orSilenceAfter wait: Duration) async -> Heard {
        let bell = state.withLock { $0.bell }
        if !state.withLock({ $0.isEnded || !$0.news.isEmpty }) { await bell.wait(atMost: wait) }
        if state.withLock({ !$0.isEnded && !$0.news.isEmpty }) { try? await Task.sleep(for: Self.gathering) }
        return state.withLock { state in
            if state.isEnded { return .end }
            guard !state.news.isEmpty else { return .silence }
            defer { (state.news, state.bell) = ([], Question()) }
            return .changes(state.news)
        }
    }
}
