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

    package func uri(at origin: Origin) -> String { "\(origin)\(path)" }
}
