import Foundation
import GRDB
import Schema
import Testing

@testable import Storage

struct SchemaTests {
    @Test func `the schema as it stands is what the migrations make`() async throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../schema/current.sql")
        try await withDatabase { database in
            let found = Self.withoutComments(try await database.schema())
            // `MREG_WRITE_DOCUMENTS=1 swift test --filter SchemaTests` writes it anew.
            if ProcessInfo.processInfo.environment["MREG_WRITE_DOCUMENTS"] != nil { try found.write(to: file, atomically: true, encoding: .utf8) }
            let expected = try String(contentsOf: file, encoding: .utf8)
            #expect(found == expected, "schema/current.sql should be:\n\(found)")
        }
    }

    @Test func `migrations have names that sort in their order`() {
        #expect(Schema.migrations.map(\.name) == Schema.migrations.map(\.name).sorted())
        #expect(Set(Schema.migrations.map(\.name)).count == Schema.migrations.count)
    }

    @Test func `every migration file is listed`() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../schema/migrations").standardizedFileURL
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted()
        #expect(files == Schema.migrations.map { $0.name + ".sql" })
    }

    @Test func `every table is strict`() async throws {
        try await withDatabase { database in
            let loose = try await database.read { db in
                try String.fetchAll(
                    db,
                    sql:
                        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'grdb_%'"
                )
            }
            #expect(loose == [])
        }
    }

    /// A table made anew keeps its rows, who refers to them, and that no identity is given twice.
    @Test func `making the servers' table anew loses nothing`() throws {
        let database = try DatabaseQueue()
        var migrator = DatabaseMigrator()
        for migration in Schema.migrations { migrator.registerMigration(migration.name) { try $0.execute(sql: migration.sql) } }
        try migrator.migrate(database, upTo: "v0011-upstream-credentials")
        let columns = "server_id, tenant_id, owner_id, alias, title, transport, endpoint, status, era, tags, created_at, updated_at"
        try database.write { db in
            let tenant = try Int64.fetchOne(db, sql: "INSERT INTO tenants (name, created_at) VALUES ('t', 0) RETURNING tenant_id")
            let user = try Int64.fetchOne(
                db, sql: "INSERT INTO users (tenant_id, name, role, created_at) VALUES (?, 'u', 'user', 0) RETURNING user_id", arguments: [tenant])
            for (id, alias) in [(1, "one"), (9, "nine")] {
                try db.execute(
                    sql:
                        "INSERT INTO server_registrations (\(columns)) VALUES (?, ?, ?, ?, 'T', 'http', 'https://a', 'active', 'legacy', '[]', 5, 6)",
                    arguments: [id, tenant, user, alias])
            }
            try db.execute(sql: "DELETE FROM server_registrations WHERE server_id = 9")
            try db.execute(
                sql: "INSERT INTO upstream_credentials (user_id, server_id, issuer, scope, connected_at) VALUES (?, 1, 'https://i', '', 7)",
                arguments: [user])
        }
        try migrator.migrate(database)
        try database.write { db in
            #expect(try Row.fetchAll(db, sql: "SELECT \(columns) FROM server_registrations").map { $0["alias"] as String } == ["one"])
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM upstream_credentials") == 1)
            let next = try Int64.fetchOne(
                db,
                sql: """
                    INSERT INTO server_registrations (tenant_id, owner_id, alias, title, transport, endpoint, status, era, tags, created_at, updated_at)
                    SELECT tenant_id, owner_id, 'two', title, transport, endpoint, status, 'sse', tags, 8, 9 FROM server_registrations
                    RETURNING server_id
                    """)
            #expect(next == 10)
            try db.execute(sql: "DELETE FROM server_registrations WHERE server_id = 1")
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM upstream_credentials") == 0)
        }
    }

    /// Lines that are nothing but a comment explain a migration, not the schema.
    private static func withoutComments(_ schema: String) -> String {
        schema.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.drop { $0 == " " }.hasPrefix("--") }.joined(separator: "\n")
    }
}
