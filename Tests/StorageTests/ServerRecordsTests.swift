import GRDB
import Gateway
import Testing

@testable import Storage

struct ServerRecordsTests {
    static let everything = StdioCommand(
        path: "/usr/bin/python3", arguments: ["-c", "print('a \"b\" \\ é')", "", "--flag=1"], environment: ["LANG": "C.UTF-8", "EMPTY": ""],
        isShared: true)
    static let transports: [Transport] = [
        .http(endpoint: "https://example.com/mcp?a=1"), .stdio(everything), .stdio(StdioCommand(path: "/bin/cat", arguments: [])),
    ]

    @Test(arguments: transports)
    func `a server comes back as it was registered`(transport: Transport) async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            var wanted = try draft("demo", transport, status: .disabled, tags: ["a", "b \"c\"", "é"])
            wanted.era = .legacy
            let made = try await database.createServer(wanted, owner: home.owner, tenant: home.tenant, audit: audit("server.create", at: 5))
            #expect(made.transport == transport && made.tags == wanted.tags && made.owner == home.owner && made.tenant == home.tenant)
            #expect(
                made.status == .disabled && made.era == .legacy && made.createdAt == Timestamp(microseconds: 5) && made.updatedAt == made.createdAt)
            #expect(try await database.server(made.id) == made)
            #expect(try await database.server(wanted.alias, of: home.tenant) == made)
        }
    }

    @Test func `where else a server is, and the names of its sealed variables, come back too`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            var wanted = try draft("demo")
            wanted.replicas = [ServerReplica(endpoint: "https://b.example/mcp", weight: 7), ServerReplica(endpoint: "https://c.example/mcp")]
            wanted.strategy = .consistentHash
            wanted.questions = [.roots, .elicitation]
            wanted.weight = 3
            let made = try await database.createServer(wanted, owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            #expect(made.replicas == wanted.replicas && made.strategy == .consistentHash && made.questions == wanted.questions && made.weight == 3)
            #expect(try await database.server(made.id) == made)
            let fewer = made.changed {
                $0.replicas.removeLast()
                $0.strategy = .random
                $0.questions = []
                $0.weight = 100
            }
            let changed = try await database.updateServer(fewer, basis: made.updatedAt, audit: audit("server.change"))
            #expect(changed.replicas.count == 1 && changed.questions.isEmpty && changed.weight == 100)
            #expect(try await database.server(made.id) == changed)

            let program = StdioCommand(path: "/bin/cat", arguments: [], environment: ["A": "b"], sealedNames: ["Z", "TOKEN"])
            let sealed = try await database.createServer(
                try draft("cat", .stdio(program)), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            #expect(try await database.server(sealed.id)?.transport == .stdio(program))
        }
    }

    @Test func `registering, changing and deleting are each recorded`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let made = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            let changed = made.changed { $0.title = "Another" }
            let server = try await database.updateServer(changed, basis: made.updatedAt, audit: audit("server.update"))
            try await database.deleteServer(server.id, audit: audit("server.delete"))
            #expect(try await database.actions() == ["tenant.create", "user.create", "server.create", "server.update", "server.delete"])
            #expect(try await database.server(server.id) == nil)
        }
    }

    @Test func `without its record nothing is registered, changed or deleted`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            await #expect(throws: DatabaseError.self) {
                _ = try await database.createServer(try draft("none"), owner: home.owner, tenant: home.tenant, audit: impossibleAudit())
            }
            let server = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            let changed = server.changed { $0.status = .disabled }
            await #expect(throws: DatabaseError.self) {
                _ = try await database.updateServer(changed, basis: server.updatedAt, audit: impossibleAudit())
            }
            await #expect(throws: DatabaseError.self) { try await database.deleteServer(server.id, audit: impossibleAudit()) }
            #expect(try await database.servers(of: home.tenant, filter: ServerFilter(), after: nil, limit: 9) == [server])
            #expect(try await database.actions() == ["tenant.create", "user.create", "server.create"])
        }
    }

    @Test func `an alias is taken once in a tenant, and a refused attempt is no success on record`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let away = try await Household("away", in: database)
            let first = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            await #expect(throws: Refusal.conflict("There is a server with the alias “demo” already.")) {
                _ = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("again"))
            }
            let other = try await database.createServer(try draft("demo"), owner: away.owner, tenant: away.tenant, audit: audit("server.create"))
            #expect(first.id != other.id)
            #expect(try await !database.actions().contains("again"))
        }
    }

    @Test func `of many who register an alias at once, one succeeds`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let wanted = try draft("demo")
            let refusals = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        do {
                            _ = try await database.createServer(wanted, owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
                            return false
                        } catch { return (error as? Refusal)?.code == "conflict" }
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(refusals == 15)
            #expect(try await database.actions().filter { $0 == "server.create" }.count == 1)
        }
    }

    @Test func `a tenant finds and lists its own servers only`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let away = try await Household("away", in: database)
            let ours = try await database.createServer(try draft("ours"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            let theirs = try await database.createServer(try draft("theirs"), owner: away.owner, tenant: away.tenant, audit: audit("server.create"))
            #expect(try await database.servers(of: home.tenant, filter: ServerFilter(), after: nil, limit: 9) == [ours])
            #expect(try await database.servers(of: away.tenant, filter: ServerFilter(), after: nil, limit: 9) == [theirs])
            #expect(try await database.server(theirs.alias, of: home.tenant) == nil)
            #expect(try await database.server(ours.alias, of: away.tenant) == nil)
            #expect(try await database.servers(of: TenantID(99), filter: ServerFilter(), after: nil, limit: 9) == [])
        }
    }

    @Test func `pages follow one another without gap or repeat`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let away = try await Household("away", in: database)
            for number in 1...7 {
                _ = try await database.createServer(try draft("s\(number)"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
                _ = try await database.createServer(try draft("s\(number)"), owner: away.owner, tenant: away.tenant, audit: audit("server.create"))
            }
            var pages: [[String]] = []
            var last: ServerID?
            repeat {
                let page = try await database.servers(of: home.tenant, filter: ServerFilter(), after: last, limit: 3)
                pages.append(page.map(\.alias.description))
                last = page.last?.id
            } while last != nil
            #expect(pages == [["s1", "s2", "s3"], ["s4", "s5", "s6"], ["s7"], []])
        }
    }

    @Test(
        arguments: [
            (ServerFilter(), ["a", "b", "c", "d"]), (ServerFilter(status: .active), ["a", "c", "d"]), (ServerFilter(status: .disabled), ["b"]),
            (ServerFilter(transport: "http"), ["a", "b", "d"]), (ServerFilter(transport: "stdio"), ["c"]), (ServerFilter(transport: "ftp"), []),
            (ServerFilter(tag: "x"), ["a", "b"]), (ServerFilter(tag: "xy"), ["c"]), (ServerFilter(tag: ""), []), (ServerFilter(tag: "%"), []),
            (ServerFilter(tag: "x\",\"y"), []), (ServerFilter(tag: "'"), ["d"]), (ServerFilter(status: .active, transport: "http", tag: "x"), ["a"]),
        ] as [(ServerFilter, [String])])
    func `a filter shows what it says, whole tags only`(filter: ServerFilter, aliases: [String]) async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let drafts = [
                try draft("a", tags: ["x", "y"]), try draft("b", status: .disabled, tags: ["x"]),
                try draft("c", .stdio(Self.everything), tags: ["xy"]), try draft("d", tags: ["'"]),
            ]
            for draft in drafts {
                _ = try await database.createServer(draft, owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            }
            let found = try await database.servers(of: home.tenant, filter: filter, after: nil, limit: 9)
            #expect(found.map(\.alias.description) == aliases)
        }
    }

    @Test func `only active servers are started, those of all tenants`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let away = try await Household("away", in: database)
            _ = try await database.createServer(try draft("on"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            _ = try await database.createServer(
                try draft("off", status: .disabled), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            _ = try await database.createServer(try draft("too"), owner: away.owner, tenant: away.tenant, audit: audit("server.create"))
            #expect(try await Set(database.activeServers().map(\.alias.description)) == ["on", "too"])
        }
    }

    @Test func `a change is stored whole, even from one transport to the other`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let server = try await database.createServer(
                try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create", at: 5)
            ).changed {
                $0.title = "Another"
                $0.transport = .stdio(Self.everything)
                $0.status = .disabled
                $0.era = .modern
                $0.tags = ["new"]
            }
            let changed = try await database.updateServer(server, basis: server.updatedAt, audit: audit("server.update", at: 9))
            #expect(changed.updatedAt == Timestamp(microseconds: 9) && changed.createdAt == Timestamp(microseconds: 5))
            #expect(changed.title == "Another" && changed.transport == server.transport && changed.tags == ["new"])
            #expect(try await database.server(server.id) == changed)
        }
    }

    @Test func `the id of a deleted server is never given again`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let first = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            try await database.deleteServer(first.id, audit: audit("server.delete"))
            let second = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            #expect(second.id > first.id)
        }
    }

    @Test func `who changes an old version is refused, and their change is not made`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let read = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            let first = read.changed { $0.title = "First" }
            let second = read.changed { $0.title = "Second" }
            // In the same microsecond as the registration: the moment moves on all the same.
            let changed = try await database.updateServer(first, basis: read.updatedAt, audit: audit("server.update"))
            #expect(changed.updatedAt > read.updatedAt)
            let refusal = await #expect(throws: Refusal.self) {
                _ = try await database.updateServer(second, basis: read.updatedAt, audit: audit("too late"))
            }
            #expect(refusal?.code == "conflict")
            #expect(try await database.server(read.id) == changed)
            #expect(try await !database.actions().contains("too late"))
        }
    }

    @Test func `a clock that went backward does not let an old version win`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let read = try await database.createServer(
                try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create", at: 100))
            let changed = try await database.updateServer(read, basis: read.updatedAt, audit: audit("server.update", at: 50))
            #expect(changed.updatedAt == Timestamp(microseconds: 101))
            await #expect(throws: Refusal.self) { _ = try await database.updateServer(read, basis: read.updatedAt, audit: audit("too late", at: 60)) }
        }
    }

    @Test func `a server that is gone cannot be changed or deleted`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let server = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            try await database.deleteServer(server.id, audit: audit("server.delete"))
            await #expect(throws: Refusal.notFound("server \(server.id.rawValue)")) {
                try await database.deleteServer(server.id, audit: audit("again"))
            }
            await #expect(throws: Refusal.notFound("server \(server.id.rawValue)")) {
                _ = try await database.updateServer(server, basis: server.updatedAt, audit: audit("again"))
            }
            #expect(try await !database.actions().contains("again"))
            #expect(try await database.server(server.id) == nil)
        }
    }

    @Test(arguments: [
        "UPDATE server_registrations SET command = '{}'", "UPDATE server_registrations SET endpoint = NULL",
        "UPDATE server_registrations SET transport = 'stdio'", "UPDATE server_registrations SET transport = 'sse'",
        "UPDATE server_registrations SET status = 'gone'", "UPDATE server_registrations SET era = 'stone'",
        "UPDATE server_registrations SET title = ''", "UPDATE server_registrations SET alias = 'abcdefghijklm'",
        "UPDATE server_registrations SET tenant_id = 99", "UPDATE server_registrations SET owner_id = 99",
        "UPDATE server_registrations SET created_at = 'noon'", "DELETE FROM users", "DELETE FROM tenants",
    ])
    func `the table itself holds what must be true`(sql: String) async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            _ = try await database.createServer(try draft("demo"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            await #expect(throws: DatabaseError.self) { try await database.write { db, _ in try db.execute(sql: sql) } }
        }
    }
}
