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

    /// Lines that are nothing but a comment explain a migration, not the schema.
    private static func withoutComments(_ schema: String) -> String {
        schema.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.drop { $0 == " " }.hasPrefix("--") }.joined(separator: "\n")
    }
}
