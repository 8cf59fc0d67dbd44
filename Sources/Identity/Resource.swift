package import Gateway

/// What a token may be for. Each has its own URI, metadata and audience.
package enum Resource: Hashable, Sendable, CaseIterable {
    /// The aggregated MCP endpoint.
    case mcp
    /// The endpoint of one server; whether there is one of that alias, its tenant's registry tells.
    case server(ServerAlias)
    /// The endpoint of every server: in tokens of the operator and of evaluation. No client can ask for it.
    case servers
    /// Registry and administration.
    case api

    /// What covers everything.
    package static let allCases: [Resource] = [.mcp, .servers, .api]

    /// - Parameter path: of one of the resources that clients can ask for.
    package init?(path: some StringProtocol) {
        switch path {
        case "/mcp": self = .mcp
        case "/api": self = .api
        default:
            guard path.hasPrefix("/servers/"), path.hasSuffix("/mcp"), path.utf8.count > 13,
                let alias = ServerAlias(String(path.dropFirst(9).dropLast(4)))
            else { return nil }
            self = .server(alias)
        }
    }

    package var path: String {
        switch self {
        case .mcp: "/mcp"
        case .server(let alias): "/servers/\(alias)/mcp"
        case .servers: "/servers/*/mcp"
        case .api: "/api"
        }
    }

    /// What a client is to ask for to use it; more is asked for when it is needed.
    package var scopes: Scopes {
        switch self {
        case .mcp, .server, .servers: .tools
        case .api: .readRegistry
        }
    }

    package func uri(at origin: Origin) -> String { "\(origin)\(path)" }

    /// The resource of that URI, under any spelling of the origin.
    package init?(uri: String, at origin: Origin) {
        guard let spelling = origin.spellings.first(where: { uri.hasPrefix($0 + "/") }) else { return nil }
        let path = uri.dropFirst(spelling.count)
        if path == Self.servers.path { self = .servers } else { self.init(path: path) }
    }
}

extension Set<Resource> {
    func covers(_ resource: Resource) -> Bool {
        if contains(resource) { return true }
        return if case .server = resource { contains(.servers) } else { false }
    }
}
