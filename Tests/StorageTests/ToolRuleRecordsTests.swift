import Access
import Foundation
import GRDB
import Gateway
import Testing

@testable import Storage

struct ToolRuleRecordsTests {
    private let db = ServerAlias("db")!

    @Test func `a tenant begins with one rule that allows everything, and it can be removed`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let rules = try await database.toolRules(of: home.tenant)
            #expect(rules.map(\.statement) == [.init(.allow, .everyone, .everything)])
            let left = try await database.removeToolRule(rules[0].id, of: home.tenant, audit: audit("tool_rule.delete"))
            #expect(left.all.isEmpty)
            #expect(try await database.allToolRules() == [home.tenant: []])
            await #expect(throws: Refusal.notFound("rule \(rules[0].id.rawValue)")) {
                try await database.removeToolRule(rules[0].id, of: home.tenant, audit: audit("tool_rule.delete"))
            }
        }
    }

    @Test func `tenants of before the rules begin open too`() async throws {
        try await withTemporaryFolder { folder in
            try await Database(folder).close()
            // As the file was before.
            let old = try DatabaseQueue(path: folder + "/gateway.sqlite")
            try await old.write { db in
                try db.execute(sql: "DROP TRIGGER tenants_begin_open; DROP TABLE tool_rules")
                try db.execute(sql: "DELETE FROM grdb_migrations WHERE identifier = 'v0010-tool-rules'")
                for name in ["a", "b"] { try db.execute(sql: "INSERT INTO tenants (name, created_at) VALUES (?, 5)", arguments: [name]) }
            }
            try old.close()
            let database = try Database(folder)
            let rules = try await database.allToolRules()
            #expect(rules.count == 2)
            #expect(rules.values.allSatisfy { $0.map(\.statement) == [.init(.allow, .everyone, .everything)] })
            try await database.close()
        }
    }

    @Test func `every kind of rule comes back as it was added, and each is on record`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let subjects: [ToolRule.Subject] = [.everyone, .role(.user), .role(.serverOwner), .role(.admin), .user(home.owner, name: "owner")]
            var statements: [ToolRule.Statement] = [.init(.allow, .everyone, .everything)]
            var order = 0
            for subject in subjects {
                for object in [.everything, .server(db), .tool("drop “it”\u{1F600}", of: db)] as [ToolRule.Object] {
                    for effect in ToolRule.Effect.allCases where statements.first != .init(effect, subject, object) {
                        let statement = ToolRule.Statement(effect, subject, object)
                        let added = try await database.addToolRule(statement, of: home.tenant, audit: audit("tool_rule.create"))
                        statements.append(statement)
                        #expect(added.all.map(\.statement) == statements)
                        #expect(added.order > order)
                        order = added.order
                    }
                }
            }
            #expect(try await database.toolRules(of: home.tenant).map(\.statement) == statements)
            #expect(try await database.actions().filter { $0 == "tool_rule.create" }.count == statements.count - 1)
        }
    }

    @Test func `what is said already is refused by its number, a look-alike is not`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let added = try await database.addToolRule(
                .init(.deny, .everyone, .tool("caf\u{E9}", of: db)), of: home.tenant, audit: audit("tool_rule.create"))
            let error = await #expect(throws: Refusal.self) {
                try await database.addToolRule(.init(.deny, .everyone, .tool("caf\u{E9}", of: db)), of: home.tenant, audit: audit("tool_rule.create"))
            }
            #expect(error?.code == "conflict")
            #expect(error?.sentence.contains("Rule \(added.rule.id.rawValue) ") == true)
            _ = try await database.addToolRule(
                .init(.deny, .everyone, .tool("cafe\u{301}", of: db)), of: home.tenant, audit: audit("tool_rule.create"))
        }
    }

    @Test func `a rule and its record are written together or not at all`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let before = try await database.toolRules(of: home.tenant)
            await #expect(throws: (any Error).self) {
                try await database.addToolRule(.init(.deny, .everyone, .everything), of: home.tenant, audit: impossibleAudit())
            }
            await #expect(throws: (any Error).self) {
                try await database.removeToolRule(before[0].id, of: home.tenant, audit: impossibleAudit())
            }
            #expect(try await database.toolRules(of: home.tenant) == before)
        }
    }

    @Test func `the rules of a tenant are nobody else's`() async throws {
        try await withDatabase { database in
            let (home, other) = (try await Household("home", in: database), try await Household("other", in: database))
            let rule = try #require(try await database.toolRules(of: other.tenant).first)
            await #expect(throws: Refusal.notFound("rule \(rule.id.rawValue)")) {
                try await database.removeToolRule(rule.id, of: home.tenant, audit: audit("tool_rule.delete"))
            }
            #expect(try await database.toolRules(of: other.tenant) == [rule])
        }
    }

    @Test func `a tenant has as many rules as there may be, and no more`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            try await database.write { db, _ in
                for number in 2...ToolRule.most {
                    try db.execute(
                        sql: "INSERT INTO tool_rules (tenant_id, server, tool, effect, created_at) VALUES (?, 'db', ?, 'deny', 1)",
                        arguments: [home.tenant.rawValue, "t\(number)"])
                }
            }
            let error = await #expect(throws: Refusal.self) {
                try await database.addToolRule(.init(.deny, .everyone, .server(db)), of: home.tenant, audit: audit("tool_rule.create"))
            }
            #expect(error?.code == "conflict")
        }
    }

    @Test func `a number that was a rule's is never another's`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let first = try await database.addToolRule(.init(.deny, .everyone, .everything), of: home.tenant, audit: audit("tool_rule.create")).rule
                .id
            _ = try await database.removeToolRule(first, of: home.tenant, audit: audit("tool_rule.delete"))
            let second = try await database.addToolRule(.init(.deny, .everyone, .everything), of: home.tenant, audit: audit("tool_rule.create")).rule
                .id
            #expect(second > first)
        }
    }
}
