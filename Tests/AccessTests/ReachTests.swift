import Gateway
import Testing

@testable import Access

/// What a credential for some servers and tools is not good for, whoever holds it.
struct ReachTests {
    private static let policy = Policy()
    private static let home = TenantID(1)
    private static let mine = server(of: UserID(1), in: home)
    private static let git = ServerAlias("git")

    private static func principal(_ role: Role, servers: Set<ServerAlias>, tools: Set<String> = []) -> Principal {
        Principal(user: UserID(1), name: "me", tenant: home, role: role, reach: .only(servers: servers, tools: tools))
    }

    @Test(arguments: [Role.serverOwner, .admin])
    func `a server beyond it is not there`(role: Role) throws {
        let narrow = Self.principal(role, servers: [try #require(Self.git)])
        let unseen = Refusal.notFound("server \(Self.mine.id.rawValue)")
        #expect(throws: unseen) { try Self.policy.requireRead(Self.mine, by: narrow) }
        #expect(throws: unseen) { try Self.policy.requireWrite(Self.mine, by: narrow) }
    }

    @Test(arguments: [Role.serverOwner, .admin])
    func `a tool of a server shows the server and changes nothing of it`(role: Role) {
        let alias = Self.mine.alias
        let narrow = Self.principal(role, servers: [], tools: ["\(alias)__echo"])
        let needs = Refusal.forbidden(needs: "a credential that is good for the whole of “\(alias)”")
        #expect(throws: Never.self) { try Self.policy.requireRead(Self.mine, by: narrow) }
        #expect(throws: needs) { try Self.policy.requireWrite(Self.mine, by: narrow) }
        #expect(throws: needs) { try Self.policy.requireCreate(alias, by: narrow) }
        #expect(throws: needs) { try Self.policy.requireRuleChange(about: Self.mine, called: alias, by: narrow) }
    }

    @Test func `the whole of a server is changed, and rules about every server are not`() {
        let narrow = Self.principal(.admin, servers: [Self.mine.alias])
        #expect(throws: Never.self) { try Self.policy.requireWrite(Self.mine, by: narrow) }
        #expect(throws: Never.self) { try Self.policy.requireCreate(Self.mine.alias, by: narrow) }
        #expect(throws: Never.self) { try Self.policy.requireRuleChange(about: Self.mine, called: Self.mine.alias, by: narrow) }
        #expect(throws: Refusal.forbidden(needs: "a credential that is good for every server")) {
            try Self.policy.requireRuleChange(about: nil, called: nil, by: narrow)
        }
    }
}
