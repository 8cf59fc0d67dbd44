import GRDB
import Gateway
import Testing

@testable import Storage

struct PeopleTests {
    @Test func `a tenant is made once, and found by its name`() async throws {
        try await withDatabase { database in
            let made = try await database.ensureTenant("home", audit: audit("tenant.create"))
            #expect(made.name == "home")
            #expect(try await database.ensureTenant("home", audit: audit("tenant.create")) == made)
            #expect(try await database.tenant(named: "home") == made)
            #expect(try await database.tenant(named: "Home") == nil)
            #expect(try await database.actions() == ["tenant.create"])
        }
    }

    @Test func `a user is made once, keeps the first role, and is found by name and by id`() async throws {
        try await withDatabase { database in
            let tenant = try await database.ensureTenant("home", audit: audit("tenant.create")).id
            let made = try await database.ensureUser("ada", role: .user, of: tenant, audit: audit("user.create"))
            #expect(made.role == .user && made.tenant == tenant && made.revokedBefore == Timestamp(microseconds: 0))
            #expect(try await database.ensureUser("ada", role: .admin, of: tenant, audit: audit("user.create")) == made)
            #expect(try await database.user(made.id) == made)
            #expect(try await database.user(named: "ada", of: tenant) == made)
            #expect(try await database.actions() == ["tenant.create", "user.create"])
        }
    }

    @Test func `the record of a new user names them and their tenant`() async throws {
        try await withDatabase { database in
            let tenant = try await database.ensureTenant("home", audit: audit("tenant.create")).id
            let user = try await database.ensureUser("ada", role: .user, of: tenant, audit: audit("user.create"))
            let record = try await database.auditRecords(of: tenant, since: Timestamp(microseconds: 0), limit: 1).first
            #expect(record?.user == user.id)
            #expect(record?.tenant == tenant)
        }
    }

    @Test func `the record of a new tenant is found among that tenant's`() async throws {
        try await withDatabase { database in
            let tenant = try await database.ensureTenant("home", audit: audit("tenant.create")).id
            #expect(try await database.auditRecords(of: tenant, since: Timestamp(microseconds: 0), limit: 9).map(\.action) == ["tenant.create"])
        }
    }

    @Test func `thirty-two callers at once make one tenant, one user and one record of each`() async throws {
        try await withDatabase { database in
            let users = try await withThrowingTaskGroup(of: User.self) { group in
                for _ in 0..<32 {
                    group.addTask {
                        let tenant = try await database.ensureTenant("home", audit: audit("tenant.create"))
                        return try await database.ensureUser("ada", role: .user, of: tenant.id, audit: audit("user.create"))
                    }
                }
                return try await group.reduce(into: Set<User>()) { $0.insert($1) }
            }
            #expect(users.count == 1)
            #expect(try await database.actions().sorted() == ["tenant.create", "user.create"])
        }
    }

    @Test func `a name means another person in another tenant`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let away = try await Household("away", in: database)
            #expect(home.tenant != away.tenant)
            #expect(home.owner != away.owner)
            #expect(try await database.user(named: "owner", of: away.tenant)?.id == away.owner)
            #expect(try await database.user(named: "nobody", of: home.tenant) == nil)
            #expect(try await database.user(UserID(999)) == nil)
        }
    }

    @Test(arguments: [Role.user, .serverOwner, .admin, .auditor])
    func `every role that somebody can have is stored`(role: Role) async throws {
        try await withDatabase { database in
            let tenant = try await database.ensureTenant("home", audit: audit("tenant.create")).id
            let user = try await database.ensureUser("ada", role: role, of: tenant, audit: audit("user.create"))
            #expect(try await database.user(user.id)?.role == role)
        }
    }

    @Test func `nobody is stored as anonymous, and the attempt leaves no record`() async throws {
        try await withDatabase { database in
            let tenant = try await database.ensureTenant("home", audit: audit("tenant.create")).id
            await #expect(throws: DatabaseError.self) {
                _ = try await database.ensureUser("ada", role: .anonymous, of: tenant, audit: audit("user.create"))
            }
            #expect(try await database.user(named: "ada", of: tenant) == nil)
            #expect(try await database.actions() == ["tenant.create"])
        }
    }

    @Test func `without its record neither a tenant nor a user is made`() async throws {
        try await withDatabase { database in
            await #expect(throws: DatabaseError.self) { _ = try await database.ensureTenant("home", audit: impossibleAudit()) }
            #expect(try await database.tenant(named: "home") == nil)
            let tenant = try await database.ensureTenant("home", audit: audit("tenant.create")).id
            await #expect(throws: DatabaseError.self) {
                _ = try await database.ensureUser("ada", role: .user, of: tenant, audit: impossibleAudit())
            }
            #expect(try await database.user(named: "ada", of: tenant) == nil)
        }
    }

    @Test(arguments: [0, 129])
    func `a tenant's name is 1 to 128 letters`(count: Int) async throws {
        try await withDatabase { database in
            await #expect(throws: DatabaseError.self) {
                _ = try await database.ensureTenant(String(repeating: "x", count: count), audit: audit("tenant.create"))
            }
            let actions = try await database.actions()
            #expect(actions == [])
        }
    }

    @Test(arguments: ["'; DROP TABLE users; --", "a\"b", "é", "e\u{301}", "😀", " ", "%", "_"])
    func `a name is text and nothing else`(name: String) async throws {
        try await withDatabase { database in
            let tenant = try await database.ensureTenant(name, audit: audit("tenant.create")).id
            let user = try await database.ensureUser(name, role: .user, of: tenant, audit: audit("user.create"))
            #expect(try await database.user(user.id)?.name.unicodeScalars.elementsEqual(name.unicodeScalars) == true)
            #expect(try await database.user(named: "x", of: tenant) == nil)
        }
    }

    @Test func `a user needs a tenant`() async throws {
        try await withDatabase { database in
            await #expect(throws: DatabaseError.self) {
                _ = try await database.ensureUser("ada", role: .user, of: TenantID(42), audit: audit("user.create"))
            }
            let actions = try await database.actions()
            #expect(actions == [])
        }
    }
}
