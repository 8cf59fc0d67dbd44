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
    /// Who may use which tools.
    case manageToolRules = "manage_tool_rules"
    case managePeople = "manage_people"
    /// One's own keys and connections.
    case manageOwnAccount = "manage_own_account"

    /// Who holds it, in the words a refusal uses.
    var holders: String {
        switch self {
        case .useTools: "the role user, server_owner or admin"
        case .readServers: "the role user, server_owner, admin or auditor"
        case .writeOwnServers, .manageToolRules: "the role server_owner or admin"
        case .writeAllServers: "the role admin, or being the server's owner"
        case .manageOwnAccount: "the role user, server_owner, admin or auditor"
        case .readReports: "the role auditor or admin"
        case .endSessions, .maintain, .setLimits, .managePeople: "the role admin"
        }
    }

    /// What a credential must have been given for.
    package var scopes: Scopes {
        switch self {
        case .useTools: .tools
        case .readServers: .readRegistry
        case .writeOwnServers, .writeAllServers: [.readRegistry, .writeRegistry]
        case .manageOwnAccount: .account
        case .readReports, .endSessions, .maintain, .setLimits, .manageToolRules, .managePeople: .administer
        }
    }
}

extension Role {
    /// The whole policy of roles. Nothing that is not listed is allowed.
    package var permissions: Set<Permission> {
        switch self {
        case .anonymous: []
        case .user: [.useTools, .readServers, .manageOwnAccount]
        case .serverOwner: [.useTools, .readServers, .writeOwnServers, .manageToolRules, .manageOwnAccount]
        case .admin:
            [
                .useTools, .readServers, .writeOwnServers, .writeAllServers, .readReports, .endSessions, .maintain, .setLimits, .manageToolRules,
                .managePeople, .manageOwnAccount,
            ]
        case .auditor: [.readServers, .readReports, .manageOwnAccount]
        }
    }
}

/// Proof that policy allowed this principal to ask this of a server: to call a tool, or to use what it has besides tools.
/// Only this module can mint one, and an upstream takes nothing else, so no request leaves unauthorized.
package struct Grant: Hashable, Sendable {
    package let principal: Principal
    package let server: ServerAlias
    /// Nil for prompts, resources and whatever else is no tool.
    package let tool: Tool?

    init(principal: Principal, server: ServerAlias, tool: Tool?) {
        self.principal = principal
        self.server = server
        self.tool = tool
    }
}

/// Why a tool may not be used.
package struct ToolDenial: Error, Hashable, Sendable {
    package let tool: Tool
    package let decision: ToolRules.Decision

    /// For somebody who may know; see `Policy.mayKnow`.
    package var refusal: Refusal {
        let needs = decision == .held ? "an approval of the tool" : "a rule that allows it"
        return .forbidden(needs: "\(needs). \(decision.sentence(about: tool).droppingLastDot)")
    }
}

/// Who may do what. A value: a request sees one version of it from end to end.
package struct Policy: Sendable {
    package init() {}

    /// Introductions and pings are for everybody who is signed in; tools are for those who may use them. Which tools, their
    /// tenant's rules say.
    package func require(_ operation: Operation, of principal: Principal) throws(Refusal) {
        switch operation {
        case .initialize, .ping, .discover: break
        case .list, .callTool, .getPrompt, .readResource, .completePrompt, .completeResource, .subscribe, .unsubscribe, .setLogLevel, .listen,
            .getTask, .updateTask, .cancelTask:
            try require(.useTools, of: principal)
        }
    }

    /// The right to call a tool.
    ///
    /// - Parameter rules: those of the principal's tenant, which is the tool's.
    package func grant(_ tool: Tool, to principal: Principal, under rules: ToolRules) throws(ToolDenial) -> Grant {
        let decision = rules.permits(principal, tool)
        guard decision.isAllowed else { throw ToolDenial(tool: tool, decision: decision) }
        return Grant(principal: principal, server: tool.server, tool: tool)
    }

    /// The right to use what a server has besides tools; nil if there is none, of which nobody hears more.
    ///
    /// - Parameter rules: those of the principal's tenant, which is the server's.
    package func grant(besidesTools server: ServerAlias, to principal: Principal, under rules: ToolRules) -> Grant? {
        rules.permits(principal, besidesTools: server) ? Grant(principal: principal, server: server, tool: nil) : nil
    }

    /// Why nobody may use a tool that waits for approval: the rules' own reason, if they have one.
    package func denial(ofHeld tool: Tool, to principal: Principal, under rules: ToolRules) -> ToolDenial {
        let decision = rules.permits(principal, tool)
        return ToolDenial(tool: tool, decision: decision.isAllowed ? .held : decision)
    }

    /// Whether the caller hears that a tool exists which they may not use, and why they may not: administrators, and whoever
    /// owns its server; that a tool is held, also those who may use it otherwise. A credential that is for other tools hears nothing of
    /// it, whoever holds it.
    package func mayKnow(_ denial: ToolDenial, owner: UserID, _ principal: Principal) -> Bool {
        if denial.decision == .held { return true }
        guard principal.reach.includes(tool: denial.tool.exposed, of: denial.tool.server) else { return false }
        return principal.role == .admin || (owner == principal.user && principal.role.permissions.contains(.manageToolRules))
    }

    /// Whether the principal may add or remove rules about this server, of a tenant they may act in; nil for every server.
    ///
    /// - Parameter alias: what the rule calls the server, which need not be there.
    package func requireRuleChange(about server: ServerRecord?, called alias: ServerAlias?, by principal: Principal) throws(Refusal) {
        try require(.manageToolRules, of: principal)
        if let alias { try requireWhole(alias, by: principal) } else if principal.reach != .everything { throw Self.beyondReach("every server") }
        if principal.role == .admin { return }
        guard let server, server.tenant == principal.tenant, server.owner == principal.user else {
            throw .forbidden(needs: "the role admin, or being the owner of the server that the rule is about")
        }
    }

    package func require(_ permission: Permission, of principal: Principal) throws(Refusal) {
        guard principal.role.permissions.contains(permission) else { throw .forbidden(needs: permission.holders) }
        guard principal.scopes.isSuperset(of: permission.scopes) else { throw .insufficientScope(permission.scopes) }
    }

    /// Nobody hands on more than their own credential is good for.
    ///
    /// - Parameter perMinute: requests a minute of what is handed on; nil for no limit of its own.
    package func requireNoMore(_ scopes: Scopes, _ reach: Reach, perMinute: Int?, than principal: Principal) throws(Refusal) {
        guard principal.scopes.isSuperset(of: scopes) else { throw .insufficientScope(scopes) }
        if let own = principal.keyPerMinute, perMinute.map({ $0 > own }) ?? true {
            throw .forbidden(needs: "a credential with room for that many requests a minute itself: this key has \(own)")
        }
        guard case .only(let servers, let tools) = principal.reach else { return }
        guard case .only(let wantedServers, let wantedTools) = reach, servers.isSuperset(of: wantedServers),
            wantedTools.allSatisfy({ tool in
                tools.contains(tool) || servers.contains { tool.hasPrefix("\($0)__") }
            })
        else { throw .forbidden(needs: "a credential that is good for those servers and tools itself") }
    }

    /// Whether the principal may register a server under this alias.
    package func requireCreate(_ alias: ServerAlias, by principal: Principal) throws(Refusal) {
        try require(.writeOwnServers, of: principal)
        try requireWhole(alias, by: principal)
    }

    /// Who a server is and where it is decides about all of its tools, so a credential for some of them changes none of that.
    private func requireWhole(_ alias: ServerAlias, by principal: Principal) throws(Refusal) {
        guard principal.reach.includesWhole(alias) else { throw Self.beyondReach("the whole of “\(alias)”") }
    }

    private static func beyondReach(_ what: String) -> Refusal { .forbidden(needs: "a credential that is good for \(what)") }

    /// Whether the principal may change or delete this server.
    ///
    /// A server of another tenant is not there at all, for anybody but an admin: whoever may
    /// not know of a thing is told that it does not exist.
    package func requireWrite(_ server: ServerRecord, by principal: Principal) throws(Refusal) {
        try requireRead(server, by: principal)
        try require(.writeOwnServers, of: principal)
        try requireWhole(server.alias, by: principal)
        if server.owner != principal.user { try require(.writeAllServers, of: principal) }
    }

    /// Whether the principal may read what a server's tools are, also those that are not listed to them: who may change the server,
    /// and auditors.
    package func requireToolsRead(_ server: ServerRecord, by principal: Principal) throws(Refusal) {
        try requireRead(server, by: principal)
        if principal.role == .auditor { return try require(.readReports, of: principal) }
        try requireWrite(server, by: principal)
    }

    package func requireRead(_ server: ServerRecord, by principal: Principal) throws(Refusal) {
        guard server.tenant == principal.tenant || principal.role == .admin else { throw .notFound("server \(server.id.rawValue)") }
        try require(.readServers, of: principal)
        guard principal.reach.includesAnything(of: server.alias) else { throw .notFound("server \(server.id.rawValue)") }
    }
}

extension String {
    fileprivate var droppingLastDot: String { hasSuffix(".") ? String(dropLast()) : self }
}
