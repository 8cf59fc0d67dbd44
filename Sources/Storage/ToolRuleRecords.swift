package import Access
import GRDB
package import Gateway

/// The tool rules of tenants as rows.
extension Database {
    /// Those of every tenant there is, also of one that has none.
    package func allToolRules() async throws -> [TenantID: [ToolRule]] {
        try await read { db in
            var rules: [TenantID: [ToolRule]] = [:]
            for tenant in try Int64.fetchAll(db, sql: "SELECT tenant_id FROM tenants") { rules[TenantID(tenant)] = [] }
            for row in try Row.fetchAll(db, sql: ToolRuleQuery.all) {
                rules[TenantID(row["tenant_id"])]?.append(try ToolRule(row: row))
            }
            return rules
        }
    }

    package func toolRules(of tenant: TenantID) async throws -> [ToolRule] {
        try await read { try Self.toolRules(of: tenant, $0) }
    }

    /// Adds a rule and records it, in one transaction.
    ///
    /// - Returns: the rule, all that the tenant has now, and a number that is higher for what was committed later.
    /// - Throws: `Refusal.conflict` if there is a rule that says the same, or at the bound.
    package func addToolRule(_ statement: ToolRule.Statement, of tenant: TenantID, audit: AuditRecord) async throws -> (
        rule: ToolRule, all: [ToolRule], order: Int
    ) {
        try await write { db, ledger in
            let rules = try Self.toolRules(of: tenant, db)
            if let same = rules.first(where: { $0.statement.says(statement) }) {
                throw Refusal.conflict("Rule \(same.id.rawValue) says so already: \(same.statement.words).")
            }
            guard rules.count < ToolRule.most else { throw Refusal.conflict("A tenant has at most \(ToolRule.most) rules; remove some first.") }
            let columns = statement.columns
            try db.execute(
                sql: "INSERT INTO tool_rules (tenant_id, user_id, role, server, tool, effect, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    tenant.rawValue, columns.user, columns.role, columns.server, columns.tool, statement.effect.rawValue, audit.at.microseconds,
                ])
            let rule = ToolRule(ToolRuleID(db.lastInsertedRowID), statement, createdAt: audit.at)
            var audit = audit
            audit.target = "\(rule.id.rawValue): \(statement.words)".cut(128)
            try ledger.append(audit, db)
            return (rule, rules + [rule], db.totalChangesCount)
        }
    }

    /// Removes a rule and records it, in one transaction.
    ///
    /// - Throws: `Refusal.notFound` if the tenant has no such rule.
    package func removeToolRule(_ id: ToolRuleID, of tenant: TenantID, audit: AuditRecord) async throws -> (all: [ToolRule], order: Int) {
        try await write { db, ledger in
            let rules = try Self.toolRules(of: tenant, db)
            guard let rule = rules.first(where: { $0.id == id }) else { throw Refusal.notFound("rule \(id.rawValue)") }
            try db.execute(sql: "DELETE FROM tool_rules WHERE rule_id = ?", arguments: [id.rawValue])
            var audit = audit
            audit.target = "\(id.rawValue): \(rule.statement.words)".cut(128)
            try ledger.append(audit, db)
            return (rules.filter { $0.id != id }, db.totalChangesCount)
        }
    }

    private static func toolRules(of tenant: TenantID, _ db: GRDB.Database) throws -> [ToolRule] {
        try Row.fetchAll(db, sql: ToolRuleQuery.ofTenant, arguments: [tenant.rawValue]).map(ToolRule.init(row:))
    }
}

enum ToolRuleQuery {
    private static let columns = "SELECT r.*, u.name AS user_name FROM tool_rules r LEFT JOIN users u ON u.user_id = r.user_id"
    static let all = "\(columns) ORDER BY r.rule_id"
    static let ofTenant = "\(columns) WHERE r.tenant_id = ? ORDER BY r.rule_id"
}

extension ToolRule.Statement {
    /// Whether it is the same, byte for byte.
    fileprivate func says(_ other: Self) -> Bool {
        self == other && (object.tool ?? "").utf8.elementsEqual((other.object.tool ?? "").utf8)
    }

    fileprivate var columns: (user: Int64?, role: String?, server: String?, tool: String?) {
        var (user, role): (Int64?, String?) = (nil, nil)
        switch subject {
        case .everyone: break
        case .role(let named): role = named.rawValue
        case .user(let id, name: _): user = id.rawValue
        }
        return (user, role, object.server?.description, object.tool)
    }
}

extension ToolRule {
    /// - Throws: `Database.Damaged` for a row that says nothing this program knows. A rule is never left out: it may be a denial.
    fileprivate init(row: Row) throws {
        let id: Int64 = row["rule_id"]
        let damaged = Database.Damaged(description: "Rule \(id) about tools cannot be read; the file was written by a newer program, or edited.")
        guard let effect = Effect(rawValue: row["effect"]) else { throw damaged }
        let subject: Subject
        if let user = row["user_id"] as Int64?, let name = row["user_name"] as String? {
            subject = .user(UserID(user), name: name)
        } else if let text = row["role"] as String? {
            guard let role = Role(rawValue: text) else { throw damaged }
            subject = .role(role)
        } else {
            guard (row["user_id"] as Int64?) == nil else { throw damaged }
            subject = .everyone
        }
        let object: Object
        if let text = row["server"] as String? {
            guard let alias = ServerAlias(text) else { throw damaged }
            object = (row["tool"] as String?).map { .tool($0, of: alias) } ?? .server(alias)
        } else {
            object = .everything
        }
        self.init(ToolRuleID(id), Statement(effect, subject, object), createdAt: Timestamp(microseconds: row["created_at"]))
    }
}
