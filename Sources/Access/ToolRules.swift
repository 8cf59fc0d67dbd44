package import Gateway

/// The tool rules of one tenant, sorted so that deciding takes a few look-ups. A value: a request sees one version of it.
///
/// The most specific rule decides: one about the user before one about their role before one about everyone; among those,
/// one about the tool before one about its server before one about every server; among equals a denial. What no rule allows
/// is denied.
package struct ToolRules: Sendable {
    package enum Decision: Hashable, Sendable {
        case allowed(by: ToolRule)
        case denied(by: ToolRule)
        case noRule
        /// The role uses no tools, whatever the rules say.
        case notForRole
        /// The rules allow it to the caller; the credential is for less.
        case beyondReach

        package var isAllowed: Bool { if case .allowed = self { true } else { false } }

        /// What the record keeps as the reason of a denial.
        package var reason: String {
            switch self {
            case .allowed(let rule), .denied(let rule): "rule_\(rule.id.rawValue)"
            case .noRule: "no_rule"
            case .notForRole: "role"
            case .beyondReach: "reach"
            }
        }
    }

    /// Who sees the same tools as whom. Nobody is in the class of another tenant, for each has rules of its own.
    package struct Class: Hashable, Sendable {
        let version: Int
        let role: Role
        /// Only of users who have rules of their own.
        let user: UserID?
        let reach: Reach
    }

    private struct Branch: Sendable {
        var everything: ToolRule?
        var servers: [ServerAlias: ServerBranch] = [:]

        func rule(for tool: Tool) -> ToolRule? {
            guard !servers.isEmpty, let server = servers[tool.server] else { return everything }
            if !server.tools.isEmpty, let rule = server.tools[ExactName(tool.name)] { return rule }
            return server.everything ?? everything
        }

        mutating func add(_ rule: ToolRule) {
            switch rule.statement.object {
            case .everything: Self.put(rule, in: &everything)
            case .server(let alias): Self.put(rule, in: &servers[alias, default: ServerBranch()].everything)
            case .tool(let name, of: let alias): Self.put(rule, in: &servers[alias, default: ServerBranch()].tools[ExactName(name)])
            }
        }

        /// Of rules about the same, the first denial has the place; without one, the first.
        private static func put(_ rule: ToolRule, in place: inout ToolRule?) {
            guard let former = place else { return place = rule }
            if former.statement.effect == .allow, rule.statement.effect == .deny { place = rule }
        }
    }

    private struct ServerBranch: Sendable {
        var everything: ToolRule?
        var tools: [ExactName: ToolRule] = [:]
    }

    /// Higher for what was committed later; different for every set of rules that a tenant had since the start.
    package let version: Int
    /// Oldest first.
    package let all: [ToolRule]
    private var everyone = Branch()
    private var roles: [Role: Branch] = [:]
    private var users: [UserID: Branch] = [:]

    package init(_ rules: [ToolRule], version: Int = 0) {
        self.version = version
        all = rules.sorted { $0.id < $1.id }
        for rule in all {
            switch rule.statement.subject {
            case .everyone: everyone.add(rule)
            case .role(let role): roles[role, default: Branch()].add(rule)
            case .user(let user, name: _): users[user, default: Branch()].add(rule)
            }
        }
    }

    /// Whether a principal of this tenant may use the tool, and by which rule.
    package func permits(_ principal: Principal, _ tool: Tool) -> Decision {
        guard principal.role.permissions.contains(.useTools) else { return .notForRole }
        guard let rule = rule(for: principal, tool) else { return .noRule }
        guard rule.statement.effect == .allow else { return .denied(by: rule) }
        return principal.reach.includes(tool: tool.exposed, of: tool.server) ? .allowed(by: rule) : .beyondReach
    }

    private func rule(for principal: Principal, _ tool: Tool) -> ToolRule? {
        if !users.isEmpty, let rule = users[principal.user]?.rule(for: tool) { return rule }
        if !roles.isEmpty, let rule = roles[principal.role]?.rule(for: tool) { return rule }
        return everyone.rule(for: tool)
    }

    /// Whether there can be a tool of that server which the principal may use. Whoever may use none is not to hear of it.
    package func showsAnything(of server: ServerAlias, to principal: Principal) -> Bool {
        guard principal.role.permissions.contains(.useTools), principal.reach.includesAnything(of: server) else { return false }
        for branch in [users[principal.user], roles[principal.role], everyone].compactMap({ $0 }) {
            let own = branch.servers[server]
            if own?.tools.values.contains(where: { $0.statement.effect == .allow }) ?? false { return true }
            // It decides about every tool that no rule before it named.
            if let rule = own?.everything ?? branch.everything { return rule.statement.effect == .allow }
        }
        return false
    }

    package func policyClass(of principal: Principal) -> Class {
        Class(
            version: version, role: principal.role, user: users[principal.user] == nil ? nil : principal.user, reach: principal.reach)
    }
}

extension ToolRules.Decision {
    /// What was decided and why, for somebody who may know.
    package func sentence(about tool: Tool) -> String {
        let (name, server) = (tool.exposed.cut(128).withoutControls, tool.server)
        switch self {
        case .allowed(let rule): return "“\(name)” is allowed by rule \(rule.id.rawValue): \(rule.statement.words)."
        case .denied(let rule):
            return "“\(name)” is denied by rule \(rule.id.rawValue): \(rule.statement.words). \(Self.whoCanChange(rule.statement.object.server))"
        case .noRule: return "No rule allows “\(name)”. \(Self.whoCanChange(server))"
        case .notForRole: return "The role uses no tools: that takes \(Permission.useTools.holders)."
        case .beyondReach: return "The rules allow “\(name)”, but the credential is for other servers and tools."
        }
    }

    private static func whoCanChange(_ server: ServerAlias?) -> String {
        server.map { "An administrator or the owner of “\($0)” can change that." } ?? "An administrator can change that, and the owner of the server can add a rule about it."
    }
}

/// A name by its bytes: strings that only look alike are equal to Swift, and two tools to their server.
private struct ExactName: Hashable, Sendable {
    let text: String
    init(_ text: String) { self.text = text }
    static func == (left: Self, right: Self) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
