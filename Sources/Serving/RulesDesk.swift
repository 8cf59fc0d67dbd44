package import Access
package import Gateway
import MCP

/// Rules about tools as administrators, owners of servers and the operator handle them: live, the record of truth and the rule
/// book together; in a test, literals.
package struct RulesDesk: Sendable {
    package var rules: @Sendable (TenantID) async throws -> ToolRules
    package var add: @Sendable (ToolRule.Statement, TenantID, AuditRecord) async throws -> ToolRule
    package var remove: @Sendable (ToolRuleID, TenantID, AuditRecord) async throws -> Void
    /// The tool that a server of the tenant lists under an exposed name.
    package var tool: @Sendable (_ exposed: String, TenantID) -> Tool?
    /// The tool of that exposed name that waits for approval.
    package var held: @Sendable (_ exposed: String, TenantID) -> Tool?

    package init(
        rules: @escaping @Sendable (TenantID) async throws -> ToolRules,
        add: @escaping @Sendable (ToolRule.Statement, TenantID, AuditRecord) async throws -> ToolRule,
        remove: @escaping @Sendable (ToolRuleID, TenantID, AuditRecord) async throws -> Void,
        tool: @escaping @Sendable (_ exposed: String, TenantID) -> Tool?, held: @escaping @Sendable (_ exposed: String, TenantID) -> Tool?
    ) {
        self.rules = rules
        self.add = add
        self.remove = remove
        self.tool = tool
        self.held = held
    }

    static let names: Set<String> = ["effect", "user", "role", "everyone", "server", "tool", "every_server"]

    /// What somebody wants a rule to say. Whom and what it is about is said outright: a member that was forgotten must not make
    /// it a rule about everyone or everything.
    ///
    /// - Parameter user: finds a user of the tenant by name.
    func statement(_ members: Members, user: (String) async throws -> User) async throws -> ToolRule.Statement {
        guard let text = try members.string("effect"), let effect = ToolRule.Effect(rawValue: text) else {
            throw Refusal.invalid("\"effect\" is allow or deny.")
        }
        let (isForEveryone, isForAll) = (try members.bool("everyone") ?? false, try members.bool("every_server") ?? false)
        let subject: ToolRule.Subject
        switch (try members.string("user", longest: 256), try members.string("role"), isForEveryone) {
        case (let name?, nil, false):
            let user = try await user(name)
            subject = .user(user.id, name: user.name)
        case (nil, let text?, false):
            guard let role = Role(rawValue: text), role.permissions.contains(.useTools) else {
                throw Refusal.invalid("\"role\" is one of user, server_owner, admin; the others use no tools.")
            }
            subject = .role(role)
        case (nil, nil, true): subject = .everyone
        default: throw Refusal.invalid("Say whom the rule is about: one of \"user\", \"role\" and \"everyone\": true.")
        }
        let object: ToolRule.Object
        switch (try members.string("server"), try members.string("tool", longest: ToolRule.longestToolName), isForAll) {
        case (let text?, let tool, false):
            guard let alias = ServerAlias(text) else { throw Refusal.invalid("\"server\" is the alias of a server.") }
            object = tool.map { .tool($0, of: alias) } ?? .server(alias)
        case (nil, nil, true): object = .everything
        case (nil, _?, _): throw Refusal.invalid("\"tool\" is a tool's own name on a \"server\"; name that too.")
        default:
            throw Refusal.invalid("Say what the rule is about: either a \"server\", with a \"tool\" of it or without, or \"every_server\": true.")
        }
        return ToolRule.Statement(effect, subject, object)
    }

    static func id(_ text: String?) throws(Refusal) -> ToolRuleID {
        guard let text, let id = Int64(text), id > 0 else { throw .notFound("rule \((text ?? "").cut(20).withoutControls)") }
        return ToolRuleID(id)
    }

    // MARK: Explaining

    /// What is decided about a user and a tool, and what the name stands for.
    struct Explanation {
        let user: User
        let tool: Tool
        let isListed: Bool
        let decision: ToolRules.Decision
    }

    /// - Parameter exposed: the name callers use. One that is on no list is taken apart as it stands.
    func explain(_ user: User, _ exposed: String) async throws -> Explanation {
        let listed = tool(exposed, user.tenant)
        let held = listed == nil ? held(exposed, user.tenant) : nil
        guard let tool = listed ?? held ?? Self.unlisted(exposed) else {
            throw Refusal.invalid("\"tool\" is a name as tools/list shows it: a server's alias, two underscores, the tool's own name.")
        }
        let decision = try await rules(user.tenant).permits(user.principal, tool)
        if held != nil, decision.isAllowed { return Explanation(user: user, tool: tool, isListed: true, decision: .held) }
        return Explanation(user: user, tool: tool, isListed: listed != nil || held != nil, decision: decision)
    }

    private static func unlisted(_ exposed: String) -> Tool? {
        guard let text = ToolName.alias(in: exposed), let alias = ServerAlias(text) else { return nil }
        let name = String(exposed.dropFirst(text.count + ToolName.separator.count))
        guard !name.isEmpty, exposed.utf8.count <= 512, !exposed.hasControls else { return nil }
        return Tool(name, of: alias, exposedAs: exposed)
    }

    // MARK: In words

    static func written(_ rules: [ToolRule]) -> JSONText {
        ["rules": .array(rules.map(written)), "otherwise": "deny", "order": .string(order)]
    }

    private static let order =
        "The most specific rule decides: one about the user before one about the role before one about everyone; then one about the tool before one about its server before one about every server; of equals, a denial."

    static func written(_ rule: ToolRule) -> JSONText {
        var (user, role): (JSONText, JSONText) = (.null, .null)
        switch rule.statement.subject {
        case .everyone: break
        case .role(let named): role = .string(named.rawValue)
        case .user(_, let name): user = .string(name)
        }
        let object = rule.statement.object
        return [
            "id": .number(rule.id.rawValue), "effect": .string(rule.statement.effect.rawValue), "user": user, "role": role,
            "everyone": .bool(rule.statement.subject == .everyone), "server": object.server.map { .string($0.description) } ?? .null,
            "tool": object.tool.map { .string($0) } ?? .null, "every_server": .bool(object == .everything),
            "words": .string(rule.statement.words), "created_at": .string(rule.createdAt.rfc3339),
        ]
    }

    static func written(_ explanation: Explanation) -> JSONText {
        let (user, tool) = (explanation.user, explanation.tool)
        var because = explanation.decision.sentence(about: tool)
        if !explanation.isListed { because += " No server lists a tool of that name at the moment." }
        if user.disabledAt != nil { because += " The user is disabled, and is let in nowhere." }
        var rule: JSONText = .null
        switch explanation.decision {
        case .allowed(let decided), .denied(let decided): rule = written(decided)
        case .noRule, .notForRole, .beyondReach, .held: break
        }
        return [
            "user": .string(user.name), "role": .string(user.role.rawValue), "tool": .string(tool.exposed),
            "server": .string(tool.server.description), "own_name": .string(tool.name), "listed": .bool(explanation.isListed),
            "allowed": .bool(explanation.decision.isAllowed && user.disabledAt == nil), "because": .string(because), "rule": rule,
        ]
    }
}
