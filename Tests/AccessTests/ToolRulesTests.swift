import Gateway
import Testing

@testable import Access

struct ToolRulesTests {
    /// Rules as a line of words: `allow everyone *`, `deny role:user db`, `allow user:1 db/drop`; numbered from 1.
    struct Case: Sendable, CustomTestStringConvertible {
        let rules: [String]
        let expected: String
        var testDescription: String { rules.joined(separator: "; ") + " → " + expected }
        init(_ rules: String..., decides expected: String) {
            self.rules = rules
            self.expected = expected
        }
    }

    // Ada is user 1 with the role user, and asks for the tool drop of db.
    @Test(arguments: [
        Case(decides: "no rule"),
        Case("allow everyone *", decides: "allowed by 1"),
        Case("deny everyone *", decides: "denied by 1"),
        Case("allow everyone db", decides: "allowed by 1"),
        Case("allow everyone db/drop", decides: "allowed by 1"),
        // About others, other servers, other tools.
        Case("allow everyone mail", "allow everyone db/query", "allow role:admin *", "allow user:2 *", decides: "no rule"),
        Case("allow everyone db/Drop", "allow everyone db/drop_", "allow everyone db/dro", decides: "no rule"),
        // Tool before server before all.
        Case("allow everyone *", "deny everyone db", decides: "denied by 2"),
        Case("deny everyone *", "allow everyone db", decides: "allowed by 2"),
        Case("allow everyone db/drop", "deny everyone db", "deny everyone *", decides: "allowed by 1"),
        Case("deny everyone db/drop", "allow everyone db", "allow everyone *", decides: "denied by 1"),
        // User before role before everyone, whatever it is about.
        Case("deny everyone db/drop", "allow role:user *", decides: "allowed by 2"),
        Case("allow everyone db/drop", "deny role:user *", decides: "denied by 2"),
        Case("deny role:user db/drop", "allow user:1 *", decides: "allowed by 2"),
        Case("allow role:user db/drop", "deny user:1 *", decides: "denied by 2"),
        Case("allow user:1 db/query", "deny role:user db", "allow everyone *", decides: "denied by 2"),
        // Of equals a denial, wherever it stands; the first of those that say the same.
        Case("allow everyone *", "deny everyone *", decides: "denied by 2"),
        Case("deny everyone *", "allow everyone *", decides: "denied by 1"),
        Case("allow role:user db/drop", "deny role:user db/drop", "deny role:user db/drop", decides: "denied by 2"),
        Case("allow user:1 db", "allow user:1 db", decides: "allowed by 1"),
    ])
    func `the most specific rule decides`(_ test: Case) throws {
        let rules = ToolRules(try test.rules.enumerated().map { try rule($0.element, $0.offset + 1) })
        let decision = rules.permits(ada(), Tool("drop", of: try alias("db"), exposedAs: "db__drop"))
        #expect(words(decision) == test.expected)
    }

    @Test(arguments: [Role.anonymous, .auditor])
    func `a role that uses no tools uses none, whatever a rule says`(role: Role) throws {
        let rules = ToolRules([try rule("allow user:1 db/drop", 1), try rule("allow everyone *", 2)])
        #expect(rules.permits(ada(role), try tool("drop")) == .notForRole)
        #expect(!rules.showsAnything(of: try alias("db"), to: ada(role)))
    }

    @Test(arguments: Role.allCases)
    func `who uses tools is what the permissions say`(role: Role) {
        #expect(role.usesTools == role.permissions.contains(.useTools))
    }

    @Test func `a credential narrows what the rules allow, and widens nothing`() throws {
        let (db, mail) = (try alias("db"), try alias("mail"))
        let open = ToolRules([try rule("allow everyone *", 1)])
        let oneTool = ada(reach: .only(servers: [], tools: ["db__query"]))
        #expect(open.permits(oneTool, try tool("query")).isAllowed)
        #expect(open.permits(oneTool, try tool("drop")) == .beyondReach)
        #expect(open.showsAnything(of: db, to: oneTool))
        #expect(!open.showsAnything(of: mail, to: oneTool))
        let oneServer = ada(reach: .only(servers: [db], tools: []))
        #expect(open.permits(oneServer, try tool("drop")).isAllowed)
        #expect(open.permits(oneServer, Tool("read", of: mail, exposedAs: "mail__read")) == .beyondReach)
        #expect(ToolRules([]).permits(oneServer, try tool("drop")) == .noRule)
    }

    @Test func `a name that looks the same is another tool`() throws {
        let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
        let rules = ToolRules([
            ToolRule(ToolRuleID(1), .init(.allow, .everyone, .tool(composed, of: try alias("db"))), createdAt: Timestamp(microseconds: 0))
        ])
        #expect(rules.permits(ada(), try tool(composed)).isAllowed)
        #expect(rules.permits(ada(), try tool(decomposed)) == .noRule)
    }

    @Test func `what decides says so in words, and who can change it`() throws {
        let rules = ToolRules([try rule("deny role:user db/drop", 7), try rule("allow everyone db/query", 8)])
        let drop = try tool("drop")
        #expect(
            rules.permits(ada(), drop).sentence(about: drop)
                == "“db__drop” is denied by rule 7: the role user may not use the tool “drop” of “db”. An administrator or the owner of “db” can change that."
        )
        let other = try tool("other")
        #expect(rules.permits(ada(), other).sentence(about: other).hasPrefix("No rule allows “db__other”."))
        let query = try tool("query")
        #expect(rules.permits(ada(), query).sentence(about: query) == "“db__query” is allowed by rule 8: everyone may use the tool “query” of “db”.")
    }

    @Test func `a grant names the tool, and a denial says why to those who may know`() throws {
        let policy = Policy()
        let rules = ToolRules([try rule("deny everyone db/drop", 3), try rule("allow everyone *", 4)])
        #expect(try policy.grant(try tool("query"), to: ada(), under: rules).tool?.name == "query")
        let denial = try #require(throws: ToolDenial.self) { try policy.grant(try tool("drop"), to: ada(), under: rules) }
        #expect(denial.refusal.sentence.contains("rule 3"))
        let (me, eve) = (UserID(1), UserID(2))
        #expect(!policy.mayKnow(denial, owner: eve, ada()))
        #expect(policy.mayKnow(denial, owner: eve, ada(.admin)))
        #expect(policy.mayKnow(denial, owner: me, ada(.serverOwner)))
        #expect(!policy.mayKnow(denial, owner: eve, ada(.serverOwner)))
        // Somebody who owned servers once is no owner now, and a credential for other tools hears nothing.
        #expect(!policy.mayKnow(denial, owner: me, ada(.user)))
        #expect(!policy.mayKnow(denial, owner: eve, ada(.admin, reach: .only(servers: [], tools: ["db__query"]))))
    }

    // MARK: Against the plain reading of the rule book

    @Test(arguments: 0..<40)
    func `sorted rules decide as a search through all of them does`(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let aliases = try ["db", "mail", "x"].map(alias)
        let names = ["a", "b", "caf\u{E9}", "cafe\u{301}"]
        let rules = (0..<Int.random(in: 0...24, using: &random)).map { number in
            let subject: [ToolRule.Subject] = [.everyone, .role(.user), .role(.admin), .user(UserID(1), name: "ada"), .user(UserID(2), name: "bob")]
            let server = aliases.randomElement(using: &random)!
            let object: [ToolRule.Object] = [.everything, .server(server), .tool(names.randomElement(using: &random)!, of: server)]
            return ToolRule(
                ToolRuleID(Int64(number + 1)),
                .init(
                    ToolRule.Effect.allCases.randomElement(using: &random)!, subject.randomElement(using: &random)!,
                    object.randomElement(using: &random)!),
                createdAt: Timestamp(microseconds: 0))
        }
        let sorted = ToolRules(rules.shuffled(using: &random))
        var shown: [ToolRules.Class: Set<Tool>] = [:]
        for user in 1...3 {
            for role in Role.allCases {
                for reach in [Reach.everything, .only(servers: [aliases[0]], tools: ["mail__a"])] {
                    let principal = Principal(user: UserID(Int64(user)), name: "u", tenant: TenantID(1), role: role, reach: reach)
                    var permitted: Set<Tool> = []
                    for server in aliases {
                        let tools = names.map { Tool($0, of: server, exposedAs: "\(server)__\($0)") }
                        for tool in tools {
                            let decision = sorted.permits(principal, tool)
                            #expect(decision.isAllowed == Self.plainly(rules, principal, tool))
                            if decision.isAllowed { permitted.insert(tool) }
                        }
                        if tools.contains(where: permitted.contains) { #expect(sorted.showsAnything(of: server, to: principal)) }
                    }
                    // One class, one set of tools.
                    let key = sorted.policyClass(of: principal)
                    if let other = shown[key] { #expect(other == permitted) }
                    shown[key] = permitted
                }
            }
        }
    }

    private static func plainly(_ rules: [ToolRule], _ principal: Principal, _ tool: Tool) -> Bool {
        func rank(_ rule: ToolRule) -> Int? {
            let who: Int
            switch rule.statement.subject {
            case .everyone: who = 0
            case .role(let role): who = role == principal.role ? 1 : -1
            case .user(let user, name: _): who = user == principal.user ? 2 : -1
            }
            let what: Int
            switch rule.statement.object {
            case .everything: what = 0
            case .server(let alias): what = alias == tool.server ? 1 : -1
            case .tool(let name, of: let alias): what = alias == tool.server && Array(name.utf8) == Array(tool.name.utf8) ? 2 : -1
            }
            return who < 0 || what < 0 ? nil : who * 3 + what
        }
        guard [.user, .serverOwner, .admin].contains(principal.role), principal.reach.includes(tool: tool.exposed, of: tool.server) else {
            return false
        }
        let ranked = rules.compactMap { rule in rank(rule).map { ($0, rule.statement.effect) } }
        guard let top = ranked.map(\.0).max() else { return false }
        return ranked.filter { $0.0 == top }.allSatisfy { $0.1 == .allow }
    }

    // MARK: Props

    private func alias(_ text: String) throws -> ServerAlias { try #require(ServerAlias(text)) }
    private func tool(_ name: String) throws -> Tool { Tool(name, of: try alias("db"), exposedAs: "db__\(name)") }

    private func ada(_ role: Role = .user, reach: Reach = .everything) -> Principal {
        Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: role, reach: reach)
    }

    private func words(_ decision: ToolRules.Decision) -> String {
        switch decision {
        case .allowed(let rule): "allowed by \(rule.id.rawValue)"
        case .denied(let rule): "denied by \(rule.id.rawValue)"
        case .noRule: "no rule"
        case .notForRole: "not for role"
        case .beyondReach: "beyond reach"
        case .held: "held"
        }
    }

    private func rule(_ line: String, _ id: Int) throws -> ToolRule {
        let words = line.split(separator: " ").map(String.init)
        let subject: ToolRule.Subject
        switch words[1].split(separator: ":").map(String.init) {
        case ["everyone"]: subject = .everyone
        case let parts where parts[0] == "role": subject = .role(try #require(Role(rawValue: parts[1])))
        case let parts: subject = .user(UserID(try #require(Int64(parts[1]))), name: "user-\(parts[1])")
        }
        let object: ToolRule.Object
        switch words[2].split(separator: "/").map(String.init) {
        case ["*"]: object = .everything
        case let parts where parts.count == 1: object = .server(try alias(parts[0]))
        case let parts: object = .tool(parts[1], of: try alias(parts[0]))
        }
        return ToolRule(
            ToolRuleID(Int64(id)), .init(try #require(ToolRule.Effect(rawValue: words[0])), subject, object), createdAt: Timestamp(microseconds: 0))
    }
}

/// Numbers that are the same in every run.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
