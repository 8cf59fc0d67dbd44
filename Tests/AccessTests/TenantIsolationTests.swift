import Gateway
import Testing

@testable import Access

struct TenantIsolationTests {
    static let strangers: [Role] = [.anonymous, .user, .serverOwner, .auditor]
    let policy = Policy()

    @Test(arguments: strangers)
    func `a server of another tenant is refused in the words for one that does not exist`(role: Role) {
        let stranger = Principal(user: UserID(1), name: "eve", tenant: TenantID(1), role: role)
        let theirs = server(of: UserID(2), in: TenantID(2), id: 42)
        #expect(throws: Refusal.notFound("server 42")) { try policy.requireRead(theirs, by: stranger) }
        #expect(throws: Refusal.notFound("server 42")) { try policy.requireWrite(theirs, by: stranger) }
    }

    @Test(arguments: strangers)
    func `owning a server that is now in another tenant opens nothing`(role: Role) {
        let stranger = Principal(user: UserID(1), name: "eve", tenant: TenantID(1), role: role)
        let moved = server(of: stranger.user, in: TenantID(2), id: 42)
        #expect(throws: Refusal.notFound("server 42")) { try policy.requireRead(moved, by: stranger) }
        #expect(throws: Refusal.notFound("server 42")) { try policy.requireWrite(moved, by: stranger) }
    }

    @Test(arguments: [Role.user, .auditor])
    func `whoever lost the right to write servers cannot write their own`(role: Role) {
        let owner = Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: role)
        let own = server(of: owner.user, in: owner.tenant)
        #expect(throws: Never.self) { try policy.requireRead(own, by: owner) }
        #expect(throws: Refusal.forbidden(needs: Permission.writeOwnServers.holders)) { try policy.requireWrite(own, by: owner) }
    }

    @Test func `an owner who writes a colleague's server is told what it needs`() {
        let owner = Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: .serverOwner)
        #expect(throws: Refusal.forbidden(needs: Permission.writeAllServers.holders)) {
            try policy.requireWrite(server(of: UserID(2), in: owner.tenant), by: owner)
        }
    }
}
