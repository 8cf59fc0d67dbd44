import Access
import Gateway
import MCP
import Synchronization
import Upstreams

/// The resources that one stream of changes is subscribed to at their servers: what was subscribed to is let go of once, and
/// nothing else is.
final class StreamSubscriptions: Sendable {
    private struct State {
        var held: [(route: Route, grant: Grant)] = []
        var task: Task<Void, Never>?
        var isOver = false
    }

    private let wanted: [(route: Route, grant: Grant)]
    private let state = Mutex(State())
    private let settled = Question()

    init(_ wanted: [(route: Route, grant: Grant)]) { self.wanted = wanted }

    /// Subscribes one after the other. A server that declines is passed over: the others are heard.
    func begin(declaring capabilities: ClientCapabilities) {
        guard !wanted.isEmpty else { return }
        // Owned by this; cancelled by `end`.
        let task = Task {
            defer { settled.answered() }
            for (route, grant) in wanted {
                guard !Task.isCancelled, (try? await route.upstream.subscribe(route.name, by: grant, declaring: capabilities)) != nil else {
                    continue
                }
                let isTooLate = state.withLock { state in
                    if !state.isOver { state.held.append((route, grant)) }
                    return state.isOver
                }
                if isTooLate { await route.upstream.unsubscribe(route.name, for: grant.principal) }
            }
        }
        state.withLock { $0.task = task }
    }

    /// Waits until all servers have taken them or declined, but not for long: there may be many, or one that does not answer.
    func settle(atMost patience: Duration) async {
        if !wanted.isEmpty { await settled.wait(atMost: patience) }
    }

    /// Nobody listens any more. Once.
    func end() {
        let (held, task) = state.withLock { state in
            defer { (state.held, state.isOver) = ([], true) }
            return (state.held, state.task)
        }
        task?.cancel()
        guard !held.isEmpty else { return }
        // Unstructured on purpose: whoever leaves does not wait for the servers to be told.
        Task { for (route, grant) in held { await route.upstream.unsubscribe(route.name, for: grant.principal) } }
    }
}
