import Dispatch
import Foundation
import GRDB
import Gateway
import Proof
import Reports
import Testing

@testable import Storage

/// What happens to rows while many wait at once.
struct InboxTests {
    /// Has so many callers wait for one transaction, and shows the file as it is right after it, before a row was moved.
    private static func rush<Value: Sendable>(
        _ count: Int, in database: Storage.Database, _ look: @escaping @Sendable (GRDB.Database) throws -> Value
    ) async throws -> Value {
        let (isHeld, isReady) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        async let holding: Void = database.betweenTransactions { _, _ in
            isHeld.signal()
            isReady.wait()
        }
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                isHeld.wait()
                continuation.resume()
            }
        }
        let (answers, answer) = AsyncStream.makeStream(of: (any Error)?.self)
        for number in 1...count { database.submit([audit("call \(number)", at: Int64(number))]) { answer.yield($0) } }
        async let seen = database.betweenTransactions { db, _ in try look(db) }
        // Asked for before the transaction begins, so that it comes right behind it.
        while !database.writer.isSomebodyBetween { await Task.yield() }
        isReady.signal()
        try await holding
        let value = try await seen
        var answered = 0
        for await error in answers {
            #expect(error == nil)
            answered += 1
            if answered == count { break }
        }
        return value
    }

    private static func inboxRows(_ db: GRDB.Database) throws -> Int { try Int.fetchOne(db, sql: "SELECT count(*) FROM audit_inbox") ?? -1 }

    @Test func `rows of many callers at once go to the inbox, and reports find them in the log`() async throws {
        try await withDatabase { database in
            try await database.append([audit("call 0", at: 0)])
            let inInbox = try await Self.rush(64, in: database) { try Self.inboxRows($0) }
            #expect(inInbox == 64)
            #expect(try await database.actions() == (0...64).map { "call \($0)" })
            let (left, inLog) = try await database.read { (try Self.inboxRows($0), try Int.fetchOne($0, sql: "SELECT count(*) FROM audit_logs")) }
            #expect(left == 0)
            #expect(inLog == 65)
            #expect(try await database.hourTotals(since: 0).map(\.sum.requests) == [65])
        }
    }

    @Test func `rows of few callers go to the log at once`() async throws {
        try await withDatabase { database in
            let inInbox = try await Self.rush(8, in: database) { try Self.inboxRows($0) }
            #expect(inInbox == 0)
            #expect(try await database.actions().count == 8)
        }
    }

    @Test func `nothing leaves the inbox but for the log, and nothing in it is changed`() async throws {
        try await withDatabase { database in
            let refused = try await Self.rush(64, in: database) { db in
                ["DELETE FROM audit_inbox", "DELETE FROM audit_inbox WHERE audit_id = 9", "UPDATE audit_inbox SET target = 'x'"].filter { sql in
                    do { try db.execute(sql: sql) } catch { return true }
                    return false
                }
            }
            #expect(refused.count == 3)
            #expect(try await database.actions().count == 64)
        }
    }

    @Test func `a full inbox survives a kill, verifies before and after, and the chain and the sums go on`() async throws {
        try await withTemporaryFolder { folder in
            let running = try Database(folder)
            try await running.append([audit("call 0", at: 0)])
            let path = running.path
            let report = try await Self.rush(200, in: running) { _ in
                for suffix in ["", "-wal"] { try FileManager.default.copyItem(atPath: path + suffix, toPath: folder + "/copy.sqlite" + suffix) }
                return try AuditVerifier(path: path).verify(key: recordKey)
            }
            #expect(report.finding == nil)
            #expect(report.rows == 201)
            try await running.close()
            #expect(try AuditVerifier(path: path).verify(key: recordKey).rows == 201)

            let restarted = try Database(path: folder + "/copy.sqlite", key: recordKey) { Timestamp(microseconds: 1_000_000) }
            try await restarted.append([audit("call 201", at: 201)])
            #expect(try await restarted.actions() == (0...201).map { "call \($0)" })
            #expect(try await restarted.hourTotals(since: 0).map(\.sum.requests) == [202])
            try await restarted.close()
            let again = try AuditVerifier(path: folder + "/copy.sqlite").verify(key: recordKey)
            #expect(again.finding == nil)
            #expect(again.rows == 202)
        }
    }

    @Test func `both tables are read in their order, without sorting`() async throws {
        try await withDatabase { database in
            let plan = try await database.read { db in
                try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN SELECT * FROM audit_rows WHERE audit_id > 5 ORDER BY audit_id LIMIT 4096").map {
                    $0["detail"] as String
                }
            }
            #expect(plan.filter { $0.contains("USING INTEGER PRIMARY KEY") }.count == 2, "\(plan)")
            #expect(!plan.contains { $0.contains("B-TREE") }, "\(plan)")
        }
    }

    @Test(arguments: [
        ("UPDATE audit_inbox SET action = 'nothing' WHERE audit_id = 37", 37), ("DELETE FROM audit_inbox WHERE audit_id = 20", 20),
        ("INSERT INTO audit_logs SELECT * FROM audit_inbox WHERE audit_id = 30", 30),
    ])
    func `an edit of the inbox is found, and its first row named`(sql: String, row: Int64) async throws {
        try await withTemporaryFolder { folder in
            let running = try Database(folder)
            let path = running.path
            _ = try await Self.rush(64, in: running) { _ in
                for suffix in ["", "-wal"] { try FileManager.default.copyItem(atPath: path + suffix, toPath: folder + "/copy.sqlite" + suffix) }
            }
            try await running.close()
            let editor = try DatabaseQueue(path: folder + "/copy.sqlite")
            try await editor.write { db in
                for trigger in try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger'") {
                    try db.execute(sql: "DROP TRIGGER \(trigger)")
                }
                try db.execute(sql: sql)
            }
            try editor.close()
            let finding = try AuditVerifier(path: folder + "/copy.sqlite").verify(key: recordKey).finding
            // A row that stands in both is met the second time where the next one should be.
            #expect((row...row + 1).contains(try #require(finding?.row)))
        }
    }

    @Test func `a report over a log that was edited under the inbox says so`() async throws {
        try await withDatabase { database in
            _ = try await Self.rush(64, in: database) { db in
                try db.execute(sql: "INSERT INTO audit_logs SELECT * FROM audit_inbox WHERE audit_id = 64")
            }
            await #expect(throws: Database.Damaged.self) { try await database.auditRows(of: nil, since: AuditRecordsTests.dawn, limit: 9) }
            #expect(try AuditVerifier(path: database.path).verify(key: recordKey).finding != nil)
        }
    }

    @Test func `a report that would leave out the inbox is refused while the disk is full, and complete afterwards`() async throws {
        try await withDatabase { database in
            _ = try await Self.rush(1000, in: database) { db in try db.execute(sql: "PRAGMA max_page_count = 1") }
            let refusal = await #expect(throws: Refusal.self) { try await database.auditRows(of: nil, since: AuditRecordsTests.dawn, limit: 9) }
            #expect(refusal?.code == Refusal.auditUnavailable.code)
            try await database.betweenTransactions { db, _ in try db.execute(sql: "PRAGMA max_page_count = 1000000") }
            #expect(try await database.actions().count == 1000)
        }
    }
}
