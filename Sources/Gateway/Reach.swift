/// Which servers and tools a credential is for, of those that its holder may use.
package enum Reach: Hashable, Sendable {
    case everything
    /// Whole servers by their alias, tools by the name they are exposed under.
    case only(servers: Set<ServerAlias>, tools: Set<String>)

    package func includes(tool exposed: String, of server: ServerAlias) -> Bool {
        switch self {
        case .everything: true
        case .only(let servers, let tools): servers.contains(server) || tools.contains(exposed)
        }
    }

    /// Whether the whole server is within it.
    package func includes(server: ServerAlias) -> Bool {
        switch self {
        case .everything: true
        case .only(let servers, _): servers.contains(server)
        }
    }

    /// Whether any tool of that server can be within it.
    package func includesAnything(of server: ServerAlias) -> Bool {
        switch self {
        case .everything: true
        case .only(let servers, let tools): servers.contains(server) || tools.contains { $0.hasPrefix("\(server)__") }
        }
    }

    /// Whether all of that server is within it, whatever tools it may come to have.
    package func includesWhole(_ server: ServerAlias) -> Bool {
        switch self {
        case .everything: true
        case .only(let servers, _): servers.contains(server)
        }
    }
}
