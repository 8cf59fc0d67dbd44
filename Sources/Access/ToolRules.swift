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
        /// The rules allow it, but it is not the tool that was approved; see `ToolPins`.
        case held

        package var isAllowed: Bool { if case .allowed = self { true } else { false } }

        /// What the record keeps as the reason of a denial.
        package var reason: String {
            switch self {
            case .allowed(let rule), .denied(let rule): "rule_\(rule.id.rawValue)"
            case .noRule: "no_rule"
            case .notForRole: "role"
            case .beyondReach: "reach"
            case .held: "held"
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

    /// The rules about one thing, by whom they are about; places in `all`.
    private struct Cell: Sendable {
        var everyone: Int?
        var role: [Int?] = []
        var users: [UserID: Int] = [:]

        func place(_ rank: Rank, _ principal: Principal) -> Int? {
            switch rank {
            case .user: users.isEmpty ? nil : users[principal.user]
            case .role: role.isEmpty ? nil : role[principal.role.slot]
            case .everyone: everyone
            }
        }
    }

    /// Whom a rule is about, the most specific first.
    private enum Rank: CaseIterable {
        case user, role, everyone
    }

    private struct Server: Sendable {
        var own = Cell()
        var tools: [ExactName: Cell] = [:]
    }

    /// Higher for what was committed later; different for every set of rules that a tenant had since the start.
    package let version: Int
    /// Oldest first.
    package let all: [ToolRule]
    private var everything = Cell()
    private var servers: [ServerAlias: Server] = [:]
    /// Users who have rules of their own.
    private var named: Set<UserID> = []

    package init(_ rules: [ToolRule], version: Int = 0) {
        self.version = version
        all = rules.sorted { $0.id < $1.id }
        for (place, rule) in all.enumerated() {
            switch rule.statement.object {
            case .everything: put(place, in: &everything)
            case .server(let alias): put(place, in: &servers[alias, default: Server()].own)
            case .tool(let name, of: let alias): put(place, in: &servers[alias, default: Server()].tools[ExactName(name), default: Cell()])
            }
            if case .user(let user, name: _) = rule.statement.subject { named.insert(user) }
        }
    }

    /// Of rules that are about the same, the first denial has the place; without one, the first.
    private func put(_ place: Int, in cell: inout Cell) {
        func winner(over former: Int?) -> Int {
            guard let former else { return place }
            return all[former].statement.effect == .allow && all[place].statement.effect == .deny ? place : former
        }
        switch all[place].statement.subject {
        case .everyone: cell.everyone = winner(over: cell.everyone)
        case .role(let role):
            if cell.role.isEmpty { cell.role = Role.allCases.map { _ in nil } }
            cell.role[role.slot] = winner(over: cell.role[role.slot])
        case .user(let user, name: _): cell.users[user] = winner(over: cell.users[user])
        }
    }

    /// Whether a principal of this tenant may use the tool, and by which rule.
    package func permits(_ principal: Principal, _ tool: Tool) -> Decision {
        guard principal.role.usesTools else { return .notForRole }
        guard let place = place(for: principal, tool) else { return .noRule }
        let rule = all[place]
        guard rule.statement.effect == .allow else { return .denied(by: rule) }
        return principal.reach.includes(tool: tool.exposed, of: tool.server) ? .allowed(by: rule) : .beyondReach
    }

    private func place(for principal: Principal, _ tool: Tool) -> Int? {
        let server = servers.isEmpty ? nil : servers[tool.server]
        let cell = server.flatMap { $0.tools.isEmpty ? nil : $0.tools[ExactName(tool.name)] }
        for rank in Rank.allCases {
            if let place = cell?.place(rank, principal) ?? server?.own.place(rank, principal) ?? everything.place(rank, principal) { return place }
        }
        return nil
    }

    /// Whether a principal of this tenant may use what a server has besides tools: its prompts and resources. Rules about
    /// single tools say nothing of those, and a credential for single tools is not for them.
    package func permits(_ principal: Principal, besidesTools alias: ServerAlias) -> Bool {
        guard principal.role.usesTools, principal.reach.includes(server: alias) else { return false }
        let server = servers.isEmpty ? nil : servers[alias]
        for rank in Rank.allCases {
            if let place = server?.own.place(rank, principal) ?? everything.place(rank, principal) { return all[place].statement.effect == .allow }
        }
        return false
    }

    /// Whether there can be a tool of that server which the principal may use. Whoever may use none is not to hear of it.
    package func showsAnything(of alias: ServerAlias, to principal: Principal) -> Bool {
        guard principal.role.usesTools, principal.reach.includesAnything(of: alias) else { return false }
        let server = servers[alias]
        func allows(_ place: Int?) -> Bool { place.map { all[$0].statement.effect == .allow } ?? false }
        for rank in Rank.allCases {
            if let tools = server?.tools.values, tools.contains(where: { allows($0.place(rank, principal)) }) { return true }
            // It decides about every tool that no rule before it named.
            if let place = server?.own.place(rank, principal) ?? everything.place(rank, principal) { return allows(place) }
        }
        return false
    }

    package func policyClass(of principal: Principal) -> Class {
        Class(
            version: version, role: principal.role, user: named.contains(principal.user) ? principal.user : nil, reach: principal.reach)
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
        case .held:
            return
                "“\(name)” is not as it was approved: its server changed it, or added it later. An administrator or the owner of “\(server)” can look at it and approve it."
        }
    }

    private static func whoCanChange(_ server: ServerAlias?) -> String {
        server.map { "An administrator or the owner of “\($0)” can change that." }
            ?? "An administrator can change that, and the owner of the server can add a rule about it."
    }
}

extension Role {
    /// As its permissions say, without making the set of them; this is asked for every tool of a list.
    var usesTools: Bool {
        switch self {
        case .user, .serverOwner, .admin: true
        case .anonymous, .auditor: false
        }
    }

    /// Its place among all roles.
    fileprivate var slot: Int {
        switch self {
        case .anonymous: 0
        case .user: 1
        case .serverOwner: 2
        case .admin: 3
        case .auditor: 4
        }
    }
}
