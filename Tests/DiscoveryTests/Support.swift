import Gateway
import MCP

@testable import Discovery

let origin = Origin("https://mcp.example.com")!
let home = TenantID(1)
let away = TenantID(2)

func alias(_ text: String) -> ServerAlias { ServerAlias(text)! }
func at(_ seconds: Int64) -> Timestamp { Timestamp(microseconds: seconds * 1_000_000) }

func face(_ name: String, _ title: String = "Title", of tenant: TenantID = home, description: String? = nil) -> PublicFace {
    PublicFace(tenant: tenant, alias: alias(name), title: title, description: description)
}

/// What is published, as the record would keep it.
struct Shelf {
    var servers: [PublishedServer] = []
    var origin = DiscoveryTests.origin

    mutating func follow(_ faces: [PublicFace], at seconds: Int64) {
        for change in Publication.changes(to: servers, faces: faces, origin: origin, at: DiscoveryTests.at(seconds)) {
            let (server, isKept) =
                switch change {
                case .store(let server): (server, true)
                case .forget(let server): (server, false)
                }
            servers.removeAll { $0.tenant == server.tenant && $0.alias == server.alias }
            if isKept { servers.append(server) }
        }
    }

    var index: RegistryIndex { RegistryIndex(servers, origin: origin, home: home) }
}

func json(_ text: JSONText) throws -> JSON { try JSON(parsing: text.bytes) }
