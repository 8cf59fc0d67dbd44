import HTTPTypes
import Hummingbird
import MCP

/// One part of the gateway, asked how it is.
package struct HealthComponent: Sendable {
    package enum State: String, Sendable {
        case healthy, degraded, unhealthy
    }

    package let name: String
    /// Really asks; the text says what is wrong, or is empty.
    package let probe: @Sendable () async -> (State, String)

    package init(_ name: String, probe: @escaping @Sendable () async -> (State, String)) {
        self.name = name
        self.probe = probe
    }
}

/// `/health`, and the two questions that service managers ask.
struct Health: Sendable {
    let version: String
    let components: [HealthComponent]
    let isDraining: @Sendable () -> Bool

    func addRoutes(to router: Router<GatewayContext>) {
        router.get("/health") { _, _ in
            var worst = HealthComponent.State.healthy
            var parts: [(String, JSONText?)] = []
            for component in components {
                let (state, reason) = await component.probe()
                worst = max(worst, state)
                parts.append((component.name, ["status": .string(state.rawValue), "reason": reason.isEmpty ? nil : .string(reason)]))
            }
            let body: JSONText = ["status": .string(worst.rawValue), "version": .string(version), "components": .object(parts)]
            return Response.json(body, status: worst == .unhealthy ? .serviceUnavailable : .ok)
        }
        // Alive: this answered.
        router.get("/health/live") { _, _ in Response.json(["status": "alive"]) }
        // Ready: may be sent requests, now.
        router.get("/health/ready") { _, _ in
            if isDraining() { return Response.json(["status": "draining"], status: .serviceUnavailable) }
            for component in components {
                let (state, reason) = await component.probe()
                if state == .unhealthy {
                    return Response.json(
                        ["status": "not ready", "component": .string(component.name), "reason": .string(reason)], status: .serviceUnavailable)
                }
            }
            return Response.json(["status": "ready"])
        }
    }
}

extension HealthComponent.State: Comparable {
    package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }

    private var rank: Int {
        switch self {
        case .healthy: 0
        case .degraded: 1
        case .unhealthy: 2
        }
    }
}
