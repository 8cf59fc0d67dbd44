package import Gateway

/// Something a role may do.
package enum Permission: String, Sendable, CaseIterable {
    case useTools = "use_tools"
    case readServers = "read_servers"
    case writeOwnServers = "write_own_servers"
    case writeAllServers = "write_all_servers"
    case readReports = "read_reports"
    case endSessions = "end_sessions"
    case maintain
    case setLimits = "set_limits"

    /// Who holds it, in the words a refusal uses.
    var holders: String {
        switch self {
        case .useTools: "the role user, server_owner or admin"
        case .readServers: "the role user, server_owner, admin or auditor"
        case .writeOwnServers: "the role server_owner or admin"
        case .writeAllServers: "the role admin, or being the server's owner"
        case .readReports: "the role auditor or admin"
        case .endSessions, .maintain, .setLimits: "the role admin"
        }
    }
}

extension Role {
    /// The whole policy of roles. Nothing that is not listed is allowed.
    package var permissions: Set<Permission> {
        switch self {
        case .anonymous: []
        case .user: [.useTools, .readServers]
        case .serverOwner: [.useTools, .readServers, .writeOwnServers]
        case .admin: [.useTools, .readServers, .writeOwnServers, .writeAllServers, .readReports, .endSessions, .maintain, .setLimits]
        case .auditor: [.readServers, .readReports]
        }
    }
}

/// Proof that policy allowed this operation to this principal. Only this module can mint one, and an upstream takes
/// nothing else, so no call leaves unauthorized.
package struct Grant: Hashable, Sendable {
    package let principal: Principal
    package let operation: Operation

    init(principal: Principal, operation: Operation) {
        self.principal = principal
        self.operation = operation
    }
}

/// Who may do what. A value: a request sees one version of it from end to end.
package struct Policy: Sendable {
    package init() {}

    /// Introductions and pings are for everybody who is signed in; tools are for those who may use them.
    package func grant(_ operation: Operation, to principal: Principal) throws(Refusal) -> Grant {
        switch operation {
        case .initialize, .ping, .discover: break
        case .listTools, .callTool: try require(.useTools, of: principal)
        }
        return Grant(principal: principal, operation: operation)
    }

    package func require(_ permission: Permission, of principal: Principal) throws(Refusal) {
        guard principal.role.permissions.contains(permission) else { throw .forbidden(needs: permission.holders) }
    }

    /// Whether the principal may change or delete this server.
    ///
    /// A server of another tenant is not there at all, for anybody but an admin: whoever may
    /// not know of a thing is told that it does not exist.
    package func requireWrite(_ server: ServerRecord, by principal: Principal) throws(Refusal) {
        try requireRead(server, by: principal)
        try require(.writeOwnServers, of: principal)
        if server.owner != principal.user { try require(.writeAllServers, of: principal) }
    }

    package func requireRead(_ server: ServerRecord, by principal: Principal) throws(Refusal) {
        guard server.tenant == principal.tenant || principal.role == .admin else { throw .notFound("server \(server.id.rawValue)") }
        try require(.readServers, of: principal)
    }
}
