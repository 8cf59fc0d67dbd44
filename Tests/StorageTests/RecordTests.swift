import Foundation
import GRDB
import Gateway
import Proof
import Reports
import Testing

@testable import Storage

/// The audit log as a whole: sealed, summed, cut and copied.
struct RecordTests {
    static let start = Timestamp(microseconds: 1_700_000_000_000_000)

    static func call(_ number: Int, at offset: Duration = .zero, user: Int64 = 1, tenant: TenantID = TenantID(1), weight: Int = 1) -> AuditRecord {
        AuditRecord(
            requestID: RequestID(UInt64(number)), at: start.advanced(by: offset), user: UserID(user), tenant: tenant, server: ServerID(1),
            action: "tools/call", target: "demo__echo", duration: .milliseconds(10), address: "10.0.0.1", weight: weight)
    }

    @Test func `rows are sealed in runs, and the rest when it has waited`() async throws {
        try await withTemporaryFolder { folder in
            let clock = WallClock()
            let database = try Database(folder, clock: clock)
            try await database.append((1...600).map { Self.call($0) })
            #expect(try AuditVerifier(path: database.path).verify(key: recordKey).seals == 1)
            try await database.append((601...700).map { Self.call($0, at: .seconds(1)) })
            clock.advance(by: .seconds(60))
            try await database.settle()
            let report = try AuditVerifier(path: database.path).verify(key: recordKey)
            #expect(report.finding == nil)
            #expect(report.rows == 700)
            #expect(report.unsealedRows == 0)
            try await database.close()
        }
    }

    @Test func `a program that was killed goes on with the chain and the sums where they are`() async throws {
        try await withTemporaryFolder { folder in
            let running = try Database(folder)
            try await running.append((1...300).map { Self.call($0) })
            try await running.append((301...310).map { Self.call($0) })
            for name in ["gateway.sqlite", "gateway.sqlite-wal"] {
                try FileManager.default.copyItem(atPath: folder + "/" + name, toPath: folder + "/copy-" + name)
            }
            let restarted = try Database(path: folder + "/copy-gateway.sqlite", key: recordKey) { Self.start }
            try await restarted.append((311...320).map { Self.call($0) })
            #expect(try await restarted.hourTotals(since: 0).map(\.sum.requests) == [320])
            try await restarted.close()
            let report = try AuditVerifier(path: folder + "/copy-gateway.sqlite").verify(key: recordKey)
            #expect(report.finding == nil)
            #expect(report.rows == 320)
            #expect(report.unsealedRows == 0)
            try await running.close()
        }
    }

    /// Whoever edits the file has SQLite, and no triggers in the way.
    @Test(
        arguments: [
            ("UPDATE audit_logs SET target = 'demo__other' WHERE audit_id = 37", 37),
            ("UPDATE audit_logs SET user_id = NULL WHERE audit_id = 290", 290),
            ("DELETE FROM audit_logs WHERE audit_id = 100", 100), ("DELETE FROM audit_logs WHERE audit_id = 295", 295),
            (
                "UPDATE audit_logs SET audit_id = -audit_id WHERE audit_id IN (5, 6); UPDATE audit_logs SET audit_id = 11 + audit_id WHERE audit_id < 0",
                5
            ),
            ("DELETE FROM audit_seals", nil), ("UPDATE audit_seals SET hash = zeroblob(32)", 1),
            (
                "DELETE FROM audit_logs WHERE audit_id <= 100; INSERT INTO audit_watermarks (last_id, seal_id, hash, set_at, mac) VALUES (100, 1, zeroblob(32), 0, zeroblob(8))",
                100
            ),
        ] as [(String, Int64?)])
    func `an edit of the file is found, and its first row named`(sql: String, row: Int64?) async throws {
        try await withTemporaryFolder { folder in
            let database = try Database(folder)
            try await database.append((1...280).map { Self.call($0) })
            try await database.append((281...300).map { Self.call($0) })
            try await database.close()
            let editor = try DatabaseQueue(path: database.path)
            try await editor.write { db in
                for trigger in try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger'") {
                    try db.execute(sql: "DROP TRIGGER \(trigger)")
                }
                try db.execute(sql: sql)
            }
            try editor.close()
            let report = try AuditVerifier(path: database.path).verify(key: recordKey)
            if let row { #expect(report.finding?.row == row) } else { #expect(report.unsealedRows == 300 || report.finding != nil) }
        }
    }

    @Test func `retention drops whole sealed runs, is on record, and the rest verifies`() async throws {
        try await withTemporaryFolder { folder in
            let clock = WallClock()
            let database = try Database(folder, clock: clock)
            try await database.append((1...3000).map { Self.call($0) })
            clock.advance(by: .seconds(10 * 86_400))
            try await database.append((3001...3010).map { Self.call($0, at: .seconds(10 * 86_400)) })
            try await database.settle()
            let retention = Retention(rows: .seconds(5 * 86_400), bytes: .max)
            let dropped = try await database.retain(retention, audit: audit("audit.retain", at: clock.now.microseconds))
            #expect(dropped > 2700)
            #expect(dropped <= 3000)
            #expect(try await database.actions().contains("audit.retain"))
            let report = try AuditVerifier(path: database.path).verify(key: recordKey)
            #expect(report.finding == nil)
            #expect(report.firstRow == Int64(dropped) + 1)
            // What is above the watermark is still not to be deleted, and what was summed still counts.
            await #expect(throws: DatabaseError.self) { try await database.write { db, _ in try db.execute(sql: "DELETE FROM audit_logs") } }
            #expect(try await database.hourTotals(since: 0).map(\.sum.requests).reduce(0, +) == 3011)
            #expect(try await database.retain(retention, audit: audit("audit.retain")) == 0)
            try await database.close()
        }
    }

    @Test func `an index whose pages are mostly empty is rebuilt, and others are left alone`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            func begin(_ numbers: ClosedRange<Int>) async throws {
                try await database.writeSessions(
                    numbers.map { number in
                        let moment = Timestamp(microseconds: Int64(number) * 1_000_000)
                        return Session(
                            id: SessionID(Int64(number)), user: home.owner, tenant: home.tenant, startedAt: moment, lastActivity: moment,
                            client: "test", era: "modern", requests: 1, errors: 0, isActive: true, activities: [])
                    })
            }
            func rebuilt() async throws -> [String] { try await database.tidy().filter { $0.hasSuffix("rebuilt") } }
            // The latest come first in the index: with each later one its first page is split, and the other half is never filled again.
            try await begin(1...40_000)
            #expect(try await rebuilt() == ["idx_user_sessions_tenant_active rebuilt"])
            #expect(try await rebuilt() == [])
        }
    }

    @Test func `a log beyond its bytes is cut to fit, and numbers are not given again`() async throws {
        try await withTemporaryFolder { folder in
            let database = try Database(folder)
            for batch in 0..<20 { try await database.append((0..<1000).map { Self.call(batch * 1000 + $0, user: Int64($0)) }) }
            let bytes = 2 << 20
            try await database.retain(Retention(rows: .seconds(86_400 * 365), bytes: bytes), audit: audit("audit.retain"))
            _ = try await database.tidy()
            try await database.betweenTransactions { db, _ in _ = try db.checkpoint(.truncate) }
            #expect(database.fileBytes < bytes * 11 / 10)
            try await database.append([Self.call(1)])
            let id = try await database.auditRows(of: nil, since: Timestamp(microseconds: 0), limit: 1).first?.id
            #expect(id ?? 0 > 20_001)
            try await database.close()
        }
    }

    // MARK: Sums

    /// The form that is served against the guide's, counted from rows, at edges all over the hour.
    @Test(arguments: [0, 1, 599, 1799, 1800, 1801, 2700, 3599] as [Int64])
    func `tenant analytics from sums say what the rows say`(edge: Int64) async throws {
        try await withDatabase { database in
            var tenants: [TenantID] = []
            for name in ["a", "b", "c"] { tenants.append(try await database.ensureTenant(name, audit: audit("tenant.create")).id) }
            var records: [AuditRecord] = []
            for number in 0..<3000 {
                records.append(
                    Self.call(
                        number, at: .seconds(number * 7), user: Int64(number * number % 40), tenant: tenants[number % 3],
                        weight: number % 50 == 0 ? 3 : 1))
            }
            try await database.append(records)
            let begin = Timestamp(microseconds: (Self.start.seconds / 3600 + 1) * 3_600_000_000).advanced(by: .seconds(edge))
            let expected = records.filter { $0.at >= begin }
            for found in try await database.tenantAnalytics(of: nil, since: begin) where tenants.contains(found.tenant) {
                let rows = expected.filter { $0.tenant == found.tenant }
                #expect(found.requests == rows.map(\.weight).reduce(0, +))
                #expect(found.uniqueUsers == Set(rows.map(\.user)).count)
                #expect(found.isExact)
                #expect(found.microseconds == Int64(rows.count) * 10_000)
            }
            let one = try await database.tenantAnalytics(of: tenants[1], since: begin)
            #expect(one.count == 1)
            #expect(one.first?.requests == expected.filter { $0.tenant == tenants[1] }.map(\.weight).reduce(0, +))
        }
    }

    @Test func `a call that was announced counts once`() async throws {
        try await withDatabase { database in
            var intent = Self.call(1)
            intent.outcome = .intended
            try await database.append([intent, Self.call(1)])
            #expect(try await database.hourTotals(since: 0).map(\.sum.requests) == [1])
        }
    }

    // MARK: Copies

    @Test func `a copy that is made while rows are written is whole`() async throws {
        try await withTemporaryFolder { folder in
            let database = try Database(folder)
            try await database.append((1...5000).map { Self.call($0, user: Int64($0)) })
            let writing = Task {
                var number = 5001
                while !Task.isCancelled {
                    try await database.append([Self.call(number)])
                    number += 1
                }
            }
            let copy = try await database.backUp(to: folder + "/copy.sqlite")
            writing.cancel()
            _ = await writing.result
            #expect(copy.auditRows >= 5000)
            #expect(copy.lastRow == Int64(copy.auditRows))
            let restored = try Database(path: folder + "/copy.sqlite", key: recordKey) { Self.start }
            try await restored.append([Self.call(1)])
            try await restored.close()
            try await database.close()
        }
    }

    /// However much there is to write, what runs between two transactions gets its place: backups, and copying the log back.
    @Test(.timeLimit(.minutes(1))) func `under writers who never pause a copy is still made`() async throws {
        try await withDatabase { database in
            try await database.append((1...3000).map { Self.call($0, user: Int64($0)) })
            let path = database.path + "-copy"
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<16 {
                    group.addTask { while !Task.isCancelled { try await database.append([Self.call(writer)]) } }
                }
                let copy = try await database.backUp(to: path)
                #expect(copy.auditRows >= 3000)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    @Test func `a log that is written and cut while it is verified verifies`() async throws {
        try await withTemporaryFolder { folder in
            let clock = WallClock()
            let database = try Database(folder, clock: clock)
            try await database.append((1...10_000).map { Self.call($0) })
            clock.advance(by: .seconds(10 * 86_400))
            try await database.settle()
            let path = database.path
            let cutting = Task {
                try await database.retain(Retention(rows: .seconds(86_400), bytes: .max), audit: audit("audit.retain", at: clock.now.microseconds))
                for number in 0..<50 { try await database.append([Self.call(number, at: .seconds(10 * 86_400))]) }
            }
            for _ in 0..<5 { #expect(try AuditVerifier(path: path).verify(key: recordKey).finding == nil) }
            _ = try await cutting.value
            let report = try AuditVerifier(path: path).verify(key: recordKey)
            #expect(report.finding == nil)
            #expect(report.lastRow > 10_000)
            try await database.close()
        }
    }

    @Test func `what has expired goes, table by table, and what has not stays`() async throws {
        try await withTemporaryFolder { folder in
            let clock = WallClock()
            let database = try Database(folder, clock: clock)
            let home = try await Household("home", in: database)
            func session(_ id: Int64, isActive: Bool) -> Session {
                Session(
                    id: SessionID(id), user: home.owner, tenant: home.tenant, startedAt: clock.now, lastActivity: clock.now, client: "",
                    era: "modern",
                    requests: 1, errors: 0, isActive: isActive, activities: [])
            }
            try await database.writeSessions([session(1, isActive: false), session(2, isActive: true)])
            try await database.append([Self.call(1, tenant: home.tenant)])
            try await database.sampleUsage(activeUsers: 1, cpuShare: 0, memoryBytes: 1)
            try await database.writeSums()
            let retention = Retention(rows: .seconds(86_400), bytes: .max)
            // The household was made in 1970.
            _ = try await database.expire(retention)
            let early = try await database.expire(retention)
            #expect(early.isEmpty)
            clock.advance(by: .seconds(500 * 86_400))
            let late = Dictionary(uniqueKeysWithValues: try await database.expire(retention).map { ($0.table, $0.rows) })
            #expect(late["user_sessions"] == 1)
            #expect(late["usage_samples"] == 1)
            #expect(late["tenant_rollups"] ?? 0 >= 1)
            #expect(try await database.sessions(of: home.tenant, isActive: true, before: nil, limit: 9).map(\.session.id) == [SessionID(2)])
            try await database.close()
        }
    }

    @Test func `a copy that was altered is not taken`() async throws {
        try await withTemporaryFolder { folder in
            let database = try Database(folder)
            try await database.append((1...300).map { Self.call($0) })
            _ = try await database.backUp(to: folder + "/copy.sqlite")
            try await database.close()
            let editor = try DatabaseQueue(path: folder + "/copy.sqlite")
            try await editor.write {
                try $0.execute(sql: "DROP TRIGGER audit_logs_refuse_update; UPDATE audit_logs SET status = 500 WHERE audit_id = 3")
            }
            try editor.close()
            #expect(throws: Database.Damaged.self) { _ = try Database.check(folder + "/copy.sqlite", recordKey) }
        }
    }

    @Test func `seven daily and four weekly copies are kept`() {
        let names: [String] = (0..<120).map { half in BackupRotation.name(at: Self.start.advanced(by: .seconds(half * 43_200))) }
        let kept = Set(names).subtracting(BackupRotation.surplus(names + ["notes.txt"]))
        #expect(kept.count >= 9)
        #expect(kept.count <= 11)
        #expect(kept.contains(names.last!))
        #expect(!BackupRotation.surplus(names + ["notes.txt"]).contains("notes.txt"))
        #expect(BackupRotation.surplus(Array(kept)).isEmpty)
    }
}
