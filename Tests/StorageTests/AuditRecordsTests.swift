import GRDB
import Gateway
import Proof
import Testing

@testable import Storage

struct AuditRecordsTests {
    static let dawn = Timestamp(microseconds: 0)

    @Test(arguments: AuditRecord.Outcome.allCases)
    func `a record comes back as it was written`(outcome: AuditRecord.Outcome) async throws {
        let record = AuditRecord(
            requestID: RequestID(0xFEDC_BA98_7654_3210), at: Timestamp(microseconds: 1_790_000_000_123_456), user: UserID(3), tenant: TenantID(2),
            server: ServerID(4),
            action: "tools/call", target: "demo__é", outcome: outcome, reason: "throttled", status: 429, duration: .microseconds(1500),
            address: "2001:db8::1", weight: 3)
        try await withDatabase { database in
            try await database.append([record])
            #expect(try await database.auditRecords(of: TenantID(2), since: Self.dawn, limit: 9) == [record])
        }
    }

    @Test(arguments: [0, 1, 999, 1001, 1003, 4097, 1_234_567, 3_600_000_001] as [Int64])
    func `a duration comes back to the microsecond`(microseconds: Int64) async throws {
        try await withDatabase { database in
            try await database.append([AuditRecord(requestID: RequestID(1), at: Self.dawn, action: "ping", duration: .microseconds(microseconds))])
            #expect(try await database.auditRecords(of: nil, since: Self.dawn, limit: 1).first?.duration == .microseconds(microseconds))
        }
    }

    /// The target is what a stranger calls a tool: whatever it is, the call is recorded and so are its neighbours.
    @Test(arguments: [
        String(repeating: "x", count: 129), String(repeating: "x", count: 100_000), String(repeating: "e\u{301}", count: 100),
        String(repeating: "👨‍👩‍👧‍👦", count: 128), "a" + String(repeating: "\u{301}", count: 5000), String(repeating: "\u{1F1E6}", count: 300),
    ])
    func `a name that is too long is cut, and the record is written`(name: String) async throws {
        let long = AuditRecord(requestID: RequestID(1), at: Self.dawn, action: name, target: name, reason: name, address: name)
        try await withDatabase { database in
            try await database.append([audit("before"), long, audit("after")])
            let records = try await database.auditRecords(of: nil, since: Self.dawn, limit: 9)
            #expect(records.count == 3)
            #expect(records.allSatisfy { $0.target.unicodeScalars.count <= 128 && $0.address.unicodeScalars.count <= 64 })
            #expect(records.dropFirst().first.map { name.unicodeScalars.starts(with: $0.target.unicodeScalars) } == true)
        }
    }

    @Test func `a name with a NUL in it is not recorded as a shorter one`() async throws {
        let disguised = AuditRecord(requestID: RequestID(1), at: Self.dawn, action: "tools/call", target: "demo__read\0../../secret")
        try await withDatabase { database in
            try await database.append([disguised])
            let target = try await database.auditRecords(of: nil, since: Self.dawn, limit: 1).first?.target
            #expect(target != "demo__read")
            #expect(target?.contains("secret") == true)
        }
    }

    @Test func `the latest come first, since a moment, as many as asked for`() async throws {
        try await withDatabase { database in
            try await database.append((1...5).map { audit("action \($0)", at: $0) })
            func actions(since: Int64, limit: Int) async throws -> [String] {
                try await database.auditRecords(of: nil, since: Timestamp(microseconds: since), limit: limit).map(\.action)
            }
            #expect(try await actions(since: 0, limit: 2) == ["action 5", "action 4"])
            #expect(try await actions(since: 4, limit: 9) == ["action 5", "action 4"])
            #expect(try await actions(since: 6, limit: 9) == [])
        }
    }

    @Test func `a tenant sees its own records and nobody else's`() async throws {
        try await withDatabase { database in
            try await database.append([
                audit("ours", tenant: TenantID(1)), audit("theirs", tenant: TenantID(2)), audit("nobody's"),
            ])
            #expect(try await database.auditRecords(of: TenantID(1), since: Self.dawn, limit: 9).map(\.action) == ["ours"])
            #expect(try await database.auditRecords(of: TenantID(3), since: Self.dawn, limit: 9) == [])
        }
    }

    /// Calls are recorded when they end and stand at the moment they began, so a slow one stands before its predecessors.
    @Test(arguments: [nil, UserID(1)]) func `page by page every row comes once, whatever order they were written in`(user: UserID?) async throws {
        try await withDatabase { database in
            try await database.append(
                (0..<300).map { number in
                    AuditRecord(
                        requestID: RequestID(UInt64(number)), at: Timestamp(microseconds: Int64(number * 7919 % 100)), user: UserID(1),
                        tenant: TenantID(1),
                        action: "x")
                })
            var seen: [UInt64] = []
            var before: Int64?
            while true {
                let page = try await database.auditRows(of: TenantID(1), user: user, since: Self.dawn, before: before, limit: 7)
                if page.isEmpty { break }
                seen += page.map(\.record.requestID.rawValue)
                before = page.last?.id
            }
            #expect(seen.count == 300)
            #expect(Set(seen).count == 300)
        }
    }

    @Test func `a batch is written whole or not at all`() async throws {
        try await withDatabase { database in
            await #expect(throws: DatabaseError.self) { try await database.append([audit("before"), impossibleAudit(), audit("after")]) }
            #expect(try await database.actions() == [])
            try await database.append([])
        }
    }

    @Test(arguments: [
        "UPDATE audit_logs SET outcome = 'refused'", "UPDATE OR REPLACE audit_logs SET audit_id = 1 WHERE audit_id = 2",
        "UPDATE OR IGNORE audit_logs SET user_id = 2", "DELETE FROM audit_logs", "DELETE FROM audit_logs WHERE audit_id = 1",
        """
        INSERT OR REPLACE INTO audit_logs
        (audit_id, created_at, action, target, outcome, reason, status, response_time_ms, address, request_id, weight, mac)
        VALUES (1, 0, 'nothing', '', 'ok', '', 200, 0, '', 0, 1, zeroblob(8))
        """,
        """
        INSERT INTO audit_logs
        (audit_id, created_at, action, target, outcome, reason, status, response_time_ms, address, request_id, weight, mac)
        VALUES (1, 0, 'nothing', '', 'ok', '', 200, 0, '', 0, 1, zeroblob(8))
        ON CONFLICT (audit_id) DO UPDATE SET action = excluded.action
        """,
    ])
    func `the trail is never changed or cut`(sql: String) async throws {
        try await withDatabase { database in
            try await database.append([audit("first"), audit("second")])
            await #expect(throws: DatabaseError.self) { try await database.write { db, _ in try db.execute(sql: sql) } }
            #expect(try await database.actions() == ["first", "second"])
        }
    }
}
