package import Discovery
import Synchronization

/// What everybody may know, as it is now: swapped whole whenever what is registered changes.
package final class PublicServers: Sendable {
    private struct State {
        var isOpen = false
        var index: RegistryIndex?
        var order = Int.min
    }

    private let state = Mutex(State())
    private let publish: @Sendable () async throws -> (RegistryIndex, order: Int)

    /// - Parameter publish: brings the record in line with what is registered; gives what is public then, and a number that
    ///   is higher for what was committed later.
    package init(publish: @escaping @Sendable () async throws -> (RegistryIndex, order: Int)) { self.publish = publish }

    /// From now on what is registered is published. Called once the gateway's URL is certain, for it stands in every entry.
    package func open() async throws {
        state.withLock { $0.isOpen = true }
        try await follow()
    }

    /// Something about a public server changed, or a server became public or ceased to be.
    package func follow() async throws {
        guard state.withLock({ $0.isOpen }) else { return }
        let (index, order) = try await publish()
        state.withLock { state in
            // Nothing was committed between two that have the same number, so they say the same.
            guard order >= state.order else { return }
            state.order = order
            state.index = index
        }
    }

    /// Nil until the gateway has opened.
    var index: RegistryIndex? { state.withLock { $0.index } }
}
