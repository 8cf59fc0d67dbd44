import Discovery
import GRDB
import Gateway
import Testing

@testable import Storage

struct PublishedServersTests {
    private let origin = Origin("https://mcp.example.com")!

    private func draft(_ alias: String, isPublic: Bool = true, description: String? = nil) throws -> ServerDraft {
        ServerDraft(
            alias: try #require(ServerAlias(alias)), title: "Title", description: description, transport: .http(endpoint: "https://secret.example/"),
            isPublic: isPublic)
    }

    @Test func `what an owner says of a server and whether it is public comes back, and can be taken back`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let made = try await database.createServer(
                try draft("wiki", description: "Pages"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            #expect(made.isPublic && made.description == "Pages")
            #expect(try await database.server(made.id) == made)
            let changed = made.changed {
                $0.isPublic = false
                $0.description = nil
            }
            let saved = try await database.updateServer(changed, basis: made.updatedAt, audit: audit("server.change"))
            #expect(!saved.isPublic && saved.description == nil)
            #expect(try await database.server(made.id) == saved)
        }
    }

    @Test func `what is published follows what is registered, of all tenants, and outlives it`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let away = try await Household("away", in: database)
            let wiki = try await database.createServer(try draft("wiki"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            _ = try await database.createServer(try draft("wiki"), owner: away.owner, tenant: away.tenant, audit: audit("server.create"))
            _ = try await database.createServer(
                try draft("hidden", isPublic: false), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            let first = try await database.publish(at: origin, Timestamp(microseconds: 10))
            #expect(Set(first.servers.map(\.tenant)) == [home.tenant, away.tenant] && first.servers.count == 2)
            #expect(first.servers.allSatisfy { $0.isListed && $0.versions.map(\.number) == [0] })

            _ = try await database.updateServer(wiki.changed { $0.title = "Another" }, basis: wiki.updatedAt, audit: audit("server.change"))
            let second = try await database.publish(at: origin, Timestamp(microseconds: 20))
            #expect(second.servers.first { $0.tenant == home.tenant }?.versions.map(\.title) == ["Title", "Another"])
            #expect(second.order > first.order)

            try await database.deleteServer(wiki.id, audit: audit("server.delete"))
            let third = try await database.publish(at: origin, Timestamp(microseconds: 30))
            let gone = try #require(third.servers.first { $0.tenant == home.tenant })
            #expect(!gone.isListed && gone.statusChangedAt == Timestamp(microseconds: 30) && gone.versions.count == 2)
            let again = try await database.publish(at: origin, Timestamp(microseconds: 40))
            #expect(again.servers == third.servers)

            // Another server of that name goes on where the former ended.
            _ = try await database.createServer(try draft("wiki"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            let last = try await database.publish(at: origin, Timestamp(microseconds: 50))
            #expect(last.servers.first { $0.tenant == home.tenant }?.versions.map(\.number) == [0, 1, 2])
        }
    }

    @Test func `a server that is switched off is not published`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            var off = try draft("wiki")
            off.status = .disabled
            _ = try await database.createServer(off, owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            #expect(try await database.publish(at: origin, Timestamp(microseconds: 10)).servers.isEmpty)
        }
    }

    @Test func `no statement changes what was published, and versions beyond the bound are gone`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            var server = try await database.createServer(try draft("wiki"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            for number in 0..<Publication.mostVersions + 3 {
                server = try await database.updateServer(
                    server.changed { $0.title = "Title \(number)" }, basis: server.updatedAt, audit: audit("server.change"))
                _ = try await database.publish(at: origin, Timestamp(microseconds: Int64(number)))
            }
            let numbers = try await database.read { try Int.fetchAll($0, sql: "SELECT number FROM published_versions ORDER BY number") }
            #expect(numbers == Array(3..<Publication.mostVersions + 3))
            await #expect(throws: DatabaseError.self) {
                try await database.write { db, _ in try db.execute(sql: "UPDATE published_versions SET title = 'Other'") }
            }
        }
    }
}
