import Access
import Gateway
import Synchronization

/// The elicitations by URL that clients with a session were shown and that were not dealt with so far, so that each hears of its own, and of
/// nobody else's.
///
/// A name that a server gives is good for that server and, where each user has conversations of their own with it, for one user; a client gets
/// another, which no two elicitations share. Bounded for each user and for all: the oldest goes first, where all are too many that of
/// whoever has most.
final class Elicitations: Sendable {
    /// An elicitation as its server knows it.
    struct Asked: Hashable, Sendable {
        let server: ServerID
        /// Whose conversation it was put in; nil for one of everybody.
        let user: UserID?
        let id: ExactName
    }

    private struct Shown {
        let asked: Asked
        let listener: Listener
        let name: String
    }

    private struct State {
        var byUser: [UserID: [Shown]] = [:]
        var count = 0

        mutating func removeOldest(of user: UserID) {
            guard let its = byUser[user], !its.isEmpty else { return }
            byUser[user] = its.count > 1 ? Array(its.dropFirst()) : nil
            count -= 1
        }

        mutating func remove(of user: UserID, _ isGone: (Shown) -> Bool) -> [Shown] {
            let gone = (byUser[user] ?? []).filter(isGone)
            guard !gone.isEmpty else { return [] }
            byUser[user]?.removeAll(where: isGone)
            if byUser[user]?.isEmpty ?? false { byUser[user] = nil }
            count -= gone.count
            return gone
        }
    }

    static let mostPerUser = 64
    static let most = 4096

    private let state = Mutex(State())

    var count: Int { state.withLock { $0.count } }

    /// The name under which it is shown to that session's client: the same as before, if it was shown it before.
    func name(of asked: Asked, shownTo listener: Listener) -> String {
        let user = listener.principal.user
        return state.withLock { state in
            if let known = state.byUser[user]?.first(where: { $0.asked == asked && $0.listener === listener }) { return known.name }
            _ = state.remove(of: user) { $0.listener.isEnded }
            if state.byUser[user]?.count ?? 0 >= Self.mostPerUser { state.removeOldest(of: user) }
            if state.count >= Self.most, let most = state.byUser.max(by: { $0.value.count < $1.value.count })?.key { state.removeOldest(of: most) }
            let shown = Shown(asked: asked, listener: listener, name: RequestID.random().description)
            state.byUser[user, default: []].append(shown)
            state.count += 1
            return shown.name
        }
    }

    /// It was dealt with.
    ///
    /// - Returns: who was shown it, under which name; each is told once.
    func complete(_ asked: Asked) -> [(listener: Listener, name: String)] {
        state.withLock { state in
            let users = asked.user.map { [$0] } ?? Array(state.byUser.keys)
            return users.flatMap { user in state.remove(of: user) { $0.asked == asked } }.map { ($0.listener, $0.name) }
        }
    }
}
