import Gateway
import MCP
import NIOCore
import Synchronization

/// The conversations with one server, by whose they are.
///
/// A server with a handshake is told in it what its caller can be asked, so callers who differ in that have conversations that
/// differ; a stateless server is told with each request, and one conversation does.
///
/// Bounded: `most` in all and `mostPerOwner` for one owner; who comes on top of that pushes out the one used longest ago, which is
/// closed when nothing is under way in it any more.
final class Conversations: Sendable {
    enum Owner: Hashable, Sendable {
        case gateway
        case user(UserID)

        var user: UserID? { if case .user(let user) = self { user } else { nil } }
    }

    private struct Held {
        let link: Link
        var usedAt: NIODeadline
    }

    private struct State {
        var byOwner: [Owner: [Held]] = [:]
        var count = 0
        /// Pushed out by newer ones.
        var displaced: [Held] = []
        var isClosed = false

        mutating func displaceOldest(of owners: some Sequence<Owner>) {
            let candidates = owners.flatMap { owner in (byOwner[owner] ?? []).indices.map { (owner, $0) } }
            guard let (owner, index) = candidates.min(by: { usedAt($0) < usedAt($1) }), let oldest = byOwner[owner]?.remove(at: index) else { return }
            if byOwner[owner]?.isEmpty ?? false { byOwner[owner] = nil }
            count -= 1
            displaced.append(oldest)
        }

        private func usedAt(_ place: (Owner, Int)) -> NIODeadline { byOwner[place.0]?[place.1].usedAt ?? .now() }

        /// The displaced in which nothing is under way.
        mutating func takeDisplaced() -> [Link] {
            let idle = displaced.filter { !$0.link.isBusy }.map(\.link)
            displaced.removeAll { held in idle.contains { $0 === held.link } }
            return idle
        }
    }

    private static let most = 1024
    private static let mostPerOwner = 4
    /// Longer than any call, so that no call under way counts as idle.
    static let keptIdle = TimeAmount.minutes(15)

    private let verdict: EraVerdict
    private let errands: Errands
    private let make: @Sendable (Owner, ClientCapabilities) -> Link
    private let state = Mutex(State())

    init(verdict: EraVerdict, errands: Errands, make: @escaping @Sendable (Owner, ClientCapabilities) -> Link) {
        self.verdict = verdict
        self.errands = errands
        self.make = make
    }

    /// A conversation of that owner's, opened if need be.
    ///
    /// - Parameters:
    ///   - capabilities: what a handshake has to declare; nil if it does not matter.
    ///   - avoided: replicas it is not to be held with, if there is another.
    func open(of owner: Owner, declaring capabilities: ClientCapabilities?, avoiding avoided: Set<Int> = []) async throws -> (
        link: Link, opened: Link.Opened
    ) {
        while true {
            let link = try link(of: owner, declaring: capabilities)
            let opened = try await link.open(avoiding: avoided)
            if opened.revision.era == .modern || capabilities == nil || link.capabilities == capabilities { return (link, opened) }
            // It was joined before anybody knew that the server wants a handshake; now that is known, and the next is another.
        }
    }

    private func link(of owner: Owner, declaring capabilities: ClientCapabilities?) throws(UpstreamFailure) -> Link {
        let mustMatch = verdict.dialect.map { $0 != .modern } ?? false
        let (link, displaced) = state.withLock { state -> (Link?, [Link]) in
            if state.isClosed { return (nil, []) }
            let held = state.byOwner[owner] ?? []
            let fitting = held.indices.filter { capabilities == nil || !mustMatch || held[$0].link.capabilities == capabilities }
            if let index = fitting.max(by: { held[$0].usedAt < held[$1].usedAt }) {
                state.byOwner[owner]?[index].usedAt = .now()
                return (held[index].link, [])
            }
            if held.count >= Self.mostPerOwner {
                state.displaceOldest(of: [owner])
            } else if state.count >= Self.most {
                state.displaceOldest(of: state.byOwner.keys)
            }
            let link = make(owner, capabilities ?? .none)
            state.byOwner[owner, default: []].append(Held(link: link, usedAt: .now()))
            state.count += 1
            return (link, state.takeDisplaced())
        }
        for link in displaced { errands.run { await link.close() } }
        guard let link else { throw .unreachable("it was changed or removed a moment ago") }
        return link
    }

    /// What those are that are open.
    var opened: [Link.Opened] { state.withLock { state in state.byOwner.values.flatMap { $0.compactMap(\.link.opened) } } }

    /// Ends the conversations nobody used for a quarter of an hour, but for those of `kept`.
    ///
    /// - Parameter idle: how long instead of a quarter of an hour.
    func closeIdle(keeping kept: Set<Owner>, after idle: TimeAmount = keptIdle) async {
        let cutoff = NIODeadline.now() - idle
        let idle = state.withLock { state in
            var idle = state.takeDisplaced()
            for (owner, held) in state.byOwner where !kept.contains(owner) {
                idle += held.filter { $0.usedAt < cutoff }.map(\.link)
                let left = held.filter { $0.usedAt >= cutoff }
                state.byOwner[owner] = left.isEmpty ? nil : left
                state.count -= held.count - left.count
            }
            return idle
        }
        await Self.close(idle)
    }

    func close(of owner: Owner) async {
        let links = state.withLock { state in
            let held = state.byOwner.removeValue(forKey: owner) ?? []
            state.count -= held.count
            return held.map(\.link)
        }
        await Self.close(links)
    }

    /// Ends all of them; there will be no others.
    func close() async {
        let all = state.withLock { state in
            defer { state = State(isClosed: true) }
            return state.byOwner.values.flatMap { $0 }.map(\.link) + state.displaced.map(\.link)
        }
        await Self.close(all)
    }

    /// All at once: each takes no longer than a farewell.
    private static func close(_ links: [Link]) async {
        await withDiscardingTaskGroup { group in
            for link in links { group.addTask { await link.close() } }
        }
    }
}
