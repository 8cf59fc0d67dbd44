package import Gateway

/// What a token may be for. Each has its own URI, metadata and audience.
package enum Resource: Hashable, Sendable, CaseIterable {
    /// The aggregated MCP endpoint.
    case mcp
    /// Registry and administration.
    case api

    package var path: String {
        switch self {
        case .mcp: "/mcp"
        case .api: "/api"
        }
    }

    /// What a client is to ask for to use it; more is asked for when it is needed.
    package var scopes: Scopes {
        switch self {
        case .mcp: .tools
        case .api: .readRegistry
        }
    }

    package func uri(at origin: Origin) -> String { "\(origin)\(path)" }
}
