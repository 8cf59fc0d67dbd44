import Discovery
import Forwarding
import Gateway
import Serving
import Storage

/// What clients find without having been told.
extension Assembly {
    static func publicServers(
        _ database: Storage.Database, _ origin: SharedOrigin, _ now: @escaping @Sendable () -> Moment
    ) -> PublicServers {
        PublicServers {
            let origin = origin.withLock { $0 }
            guard let home = try await database.tenant(named: ControlAPI.defaultTenant) else {
                preconditionFailure("the tenant “\(ControlAPI.defaultTenant)” is made before anything is published")
            }
            let published = try await database.publish(at: origin, now().wall)
            return (RegistryIndex(published.servers, origin: origin, home: home.id), published.order)
        }
    }

    static func discovery(_ catalogue: Catalogue, _ rules: RuleBook) -> DiscoveryDesk {
        DiscoveryDesk(
            tools: { await catalogue.tools(offeredTo: $0, under: try await rules.rules(of: $0.tenant)) },
            resources: { await catalogue.resources(offeredTo: $0, under: try await rules.rules(of: $0.tenant)) })
    }

    /// The operator's reverse-DNS name with a key of ours under it.
    static func originKey(_ origin: Origin) -> String {
        (IPAddress(origin.name) != nil ? "localhost" : origin.host.split(separator: ".").reversed().joined(separator: ".")) + "/origin"
    }
}
