import Foundation
import GRDB
import Gateway
import Proof
import Synchronization
import Testing

@testable import Storage

struct DatabaseTests {
    @Test func `what was written survives reopening`() async throws {
        try await withTemporaryFolder { folder in
            let first = try Database(folder)
            let home = try await Household("home", in: first)
            try await first.close()
            let second = try Database(folder)
            #expect(try await second.tenant(named: "home")?.id == home.tenant)
            #expect(try await second.user(home.owner)?.name == "owner")
            #expect(try await second.actions() == ["tenant.create", "user.create"])
            try await second.close()
        }
    }

    @Test func `what was written survives a program that never closed`() async throws {
        try await withTemporaryFolder { folder in
            let running = try Database(folder)
            try await running.append([audit("a"), audit("b")])
            // As after a kill: the WAL as it lies there, with nothing copied back.
            for name in ["gateway.sqlite", "gateway.sqlite-wal"] {
                try FileManager.default.copyItem(atPath: folder + "/" + name, toPath: folder + "/copy-" + name)
            }
            let restarted = try Database(path: folder + "/copy-gateway.sqlite", key: recordKey) { Timestamp(microseconds: 0) }
            #expect(try await restarted.actions() == ["a", "b"])
            try await restarted.close()
            try await running.close()
        }
    }

    @Test(arguments: [
        ("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", "2"), ("PRAGMA foreign_keys", "1"), ("PRAGMA wal_autocheckpoint", "0"),
        ("PRAGMA mmap_size", "0"), ("PRAGMA temp_store", "2"), ("PRAGMA trusted_schema", "0"), ("PRAGMA cell_size_check", "1"),
        ("PRAGMA journal_size_limit", "16777216"),
    ])
    func `the writer runs as reliability asks`(question: String, answer: String) async throws {
        try await withDatabase { database in
            let found = try await database.betweenTransactions { db, _ in try String.fetchOne(db, sql: question) }
            #expect(found == answer)
        }
    }

    @Test func `the reader cannot write`() async throws {
        try await withDatabase { database in
            await #expect(throws: DatabaseError.self) {
                try await database.read { try $0.execute(sql: "INSERT INTO tenants (name, created_at) VALUES ('x', 0)") }
            }
            let tenant = try await database.tenant(named: "x")
            #expect(tenant == nil)
        }
    }

    @Test func `a write that throws changes nothing`() async throws {
        struct Stop: Error {}
        try await withDatabase { database in
            await #expect(throws: Stop.self) {
                try await database.write { db, ledger in
                    try db.execute(sql: "INSERT INTO tenants (name, created_at) VALUES ('x', 0)")
                    throw Stop()
                }
            }
            let tenant = try await database.tenant(named: "x")
            #expect(tenant == nil)
        }
    }

    static let foreign = [
        Data("this is a letter, not a database\n".utf8), Data(String(repeating: "a longer letter, of several pages. ", count: 1000).utf8),
        Data("SQLite format 3\0".utf8) + Data(repeating: 0xFF, count: 8176), Data(count: 8192),
    ]

    @Test(arguments: foreign)
    func `a file that is no database is damaged, and is left as it is`(content: Data) async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/gateway.sqlite"
            try content.write(to: URL(filePath: path))
            let error = #expect(throws: Database.Damaged.self) { _ = try Database(folder) }
            #expect(error?.description.contains(path) == true)
            #expect(try Data(contentsOf: URL(filePath: path)) == content)
        }
    }

    @Test func `a database of which only the first page is left is damaged`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/gateway.sqlite"
            let database = try Database(folder)
            _ = try await Household("home", in: database)
            try await database.close()
            var content = try Data(contentsOf: URL(filePath: path))
            content.replaceSubrange(4096..., with: Data(repeating: 0xA5, count: content.count - 4096))
            try content.write(to: URL(filePath: path))
            #expect(throws: Database.Damaged.self) { _ = try Database(folder) }
        }
    }

    @Test func `a database with one broken page is damaged`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/gateway.sqlite"
            let database = try Database(folder)
            _ = try await Household("home", in: database)
            let page = try await database.read { try Int.fetchOne($0, sql: "SELECT rootpage FROM sqlite_schema WHERE name = 'users'") }
            try await database.close()
            let start = (try #require(page) - 1) * 1024
            var content = try Data(contentsOf: URL(filePath: path))
            content.replaceSubrange(start..<start + 1024, with: Data(repeating: 0xA5, count: 1024))
            try content.write(to: URL(filePath: path))
            #expect(throws: Database.Damaged.self) { _ = try Database(folder) }
        }
    }

    @Test func `the database of another program is damaged, and nothing is added to it`() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/gateway.sqlite"
            let theirs = try DatabaseQueue(path: path)
            try await theirs.write { try $0.execute(sql: "CREATE TABLE recipes (name TEXT)") }
            try theirs.close()
            #expect(throws: Database.Damaged.self) { _ = try Database(folder) }
            let reopened = try DatabaseQueue(path: path)
            #expect(try await reopened.read { try String.fetchAll($0, sql: "SELECT name FROM sqlite_schema") } == ["recipes"])
            try reopened.close()
        }
    }

    @Test func `a newer schema is not touched`() async throws {
        try await withTemporaryFolder { folder in
            let newer = try Database(folder)
            try await newer.write { db, _ in try db.execute(sql: "INSERT INTO grdb_migrations (identifier) VALUES ('v9999-future')") }
            try await newer.close()
            let error = #expect(throws: Database.Damaged.self) { _ = try Database(folder) }
            #expect(error?.description.contains("newer") == true)
        }
    }

    @Test func `a folder that does not exist is an error`() async throws {
        try await withTemporaryFolder { folder in
            #expect(throws: (any Error).self) { _ = try Database(folder + "/none") }
        }
    }

    @Test func `a probe answers while the database is open`() async throws {
        try await withDatabase { try await $0.probe() }
    }

    /// In a process of its own, because what uses a connection that is gone may take the process with it: a request
    /// that outlives the shutdown must get an error.
    @Test func `a closed database throws`() async {
        await #expect(processExitsWith: .success) {
            try await withTemporaryFolder { folder in
                let database = try Database(folder)
                try await database.close()
                await #expect(throws: (any Error).self) { try await database.probe() }
                await #expect(throws: (any Error).self) { try await database.append([audit("late")]) }
            }
        }
    }

    @Test func `commits copy the WAL back, so that it does not grow`() async throws {
        try await withTemporaryFolder { folder in
            let database = try Database(folder)
            let batch = (0..<500).map { audit("write \($0)") }
            for _ in 0..<60 { try await database.append(batch) }
            #expect(database.walBytes < 24 << 20)
            try await database.close()
            #expect(database.walBytes == 0)
        }
    }

    /// A snapshot that nobody lets go of, as of a forgotten shell.
    @Test func `a stranger's old snapshot stops writing before the WAL passes its bound, and writing goes on when it ends`() async throws {
        try await withTemporaryFolder { folder in
            let database = try Database(folder)
            try await database.append([audit("first")])
            var configuration = Configuration()
            configuration.allowsUnsafeTransactions = true
            let stranger = try DatabaseQueue(path: folder + "/gateway.sqlite", configuration: configuration)
            try await stranger.writeWithoutTransaction { db in
                try db.execute(sql: "BEGIN")
                _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM audit_logs")
            }
            let batch = (0..<2000).map { AuditRecord(requestID: RequestID(1), at: Timestamp(microseconds: 0), user: UserID(Int64($0)), action: "x") }
            var refused = false
            for _ in 0..<400 where !refused {
                do { try await database.append(batch) } catch is Writer.LogFull { refused = true }
            }
            #expect(refused)
            #expect(database.walBytes < 64 << 20)
            try await stranger.writeWithoutTransaction { try $0.execute(sql: "COMMIT") }
            try stranger.close()
            try await database.append([audit("again")])
            #expect(try await database.auditRows(of: nil, since: Timestamp(microseconds: 0), limit: 1).first?.record.action == "again")
            try await database.close()
        }
    }

    @Test func `a report that holds the WAL back is interrupted and says so`() async throws {
        try await withTemporaryFolder { folder in
            let database = try Database(folder)
            try await database.append([audit("first")])
            let (begun, begin) = AsyncStream<Void>.makeStream()
            let report = Task {
                try await database.report { db in
                    begin.finish()
                    // Counts until it is interrupted.
                    return try Int.fetchOne(
                        db, sql: "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0) SELECT count(*) FROM n, audit_logs")
                }
            }
            for await _ in begun {}
            let batch = (0..<2000).map { AuditRecord(requestID: RequestID(1), at: Timestamp(microseconds: 0), user: UserID(Int64($0)), action: "x") }
            let writing = Task { while !Task.isCancelled { try await database.append(batch) } }
            await #expect(throws: Refusal.self) { _ = try await report.value }
            writing.cancel()
            _ = await writing.result
            #expect(database.walBytes < 64 << 20)
            try await database.close()
        }
    }

    /// The commit whose checkpoint follows it: the caller goes away between the two.
    @Test(arguments: [1, 256])
    func `what was committed is never reported as failed`(commit: Int) async throws {
        try await withDatabase { database in
            for _ in 1..<commit { try await database.append([audit("before")]) }
            let caller = Mutex<Task<Int, any Error>?>(nil)
            let (ready, go) = AsyncStream<Void>.makeStream()
            let task = Task {
                for await _ in ready {}
                return try await database.write { db, ledger in
                    try ledger.append(audit("last"), db)
                    db.afterNextTransaction { _ in caller.withLock { $0 }?.cancel() }
                    return 42
                }
            }
            caller.withLock { $0 = task }
            go.finish()
            let result = await task.result
            #expect(try await database.actions().last == "last")
            #expect(throws: Never.self) { try result.get() }
        }
    }
}
