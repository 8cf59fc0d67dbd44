import Gateway
import Testing

@testable import Access

struct RoleMapTests {
    private func map(_ entries: String...) throws -> RoleMap { try RoleMap(entries) }

    @Test func `the first rule that fits decides, in the order the operator wrote`() throws {
        let map = try map("auditor=role:Audit", "admin=role:Admin", "user=everyone")
        #expect(map.decide(roles: ["Admin", "Audit"], groups: []) == .role(.auditor, by: map.rules[0]))
        #expect(map.decide(roles: ["Admin"], groups: []) == .role(.admin, by: map.rules[1]))
        #expect(map.decide(roles: [], groups: nil) == .role(.user, by: map.rules[2]))
    }

    @Test func `whom no rule fits has no role`() throws {
        #expect(RoleMap.byName.decide(roles: ["Admin", "administrator"], groups: ["admin"]) == .none)
        #expect(RoleMap.byName.decide(roles: ["admin"], groups: nil) == .role(.admin, by: RoleMap.byName.rules[0]))
    }

    @Test func `groups that are not known are never taken for none`() throws {
        let map = try map("admin=role:Admin", "server_owner=group:6F1C0000-0000-0000-0000-000000000001", "user=everyone")
        #expect(map.decide(roles: [], groups: nil) == .groupsNeeded)
        #expect(map.decide(roles: ["Admin"], groups: nil) == .role(.admin, by: map.rules[0]))
        #expect(map.decide(roles: [], groups: ["6f1c0000-0000-0000-0000-000000000001"]) == .role(.serverOwner, by: map.rules[1]))
        #expect(map.decide(roles: [], groups: []) == .role(.user, by: map.rules[2]))
    }

    @Test(arguments: [
        "", "admin", "admin=", "root=role:x", "anonymous=everyone", "admin=everybody", "admin=role:", "admin=name:alice", "=everyone",
        "admin=group:\u{7}",
    ])
    func `what is no rule is named`(_ entry: String) {
        #expect(throws: Refusal.self) { try RoleMap([entry]) }
    }
}
