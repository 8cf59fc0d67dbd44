import Crypto
import Gateway
import Testing

@testable import Proof

struct SealChainTests {
    static let key = RecordKey(Secret([UInt8](repeating: 7, count: 32)))!

    static func record(_ number: Int, target: String = "demo__echo") -> AuditRecord {
        AuditRecord(
            requestID: RequestID(UInt64(number)), at: Timestamp(microseconds: Int64(number)), user: UserID(1), tenant: TenantID(2),
            server: ServerID(3),
            action: "tools/call", target: target, duration: .microseconds(1234), address: "10.0.0.1")
    }

    /// Rows and seals of `count` records, a seal after every tenth.
    static func log(_ count: Int) -> (rows: [AuditRow], seals: [Seal]) {
        var chain = SealChain(after: .start)
        var log: (rows: [AuditRow], seals: [Seal]) = ([], [])
        for number in 1...count {
            log.rows.append(chain.row(for: record(number), key: key))
            if number % 10 == 0, let seal = chain.seal(at: Timestamp(microseconds: 0)) { log.seals.append(seal) }
        }
        return log
    }

    static func verify(_ rows: [AuditRow], _ seals: [Seal], key: RecordKey? = key) throws(Verification.Finding) -> Verification {
        var verification = Verification(after: .start, key: key)
        var rest = rows[...]
        for seal in seals {
            while let row = rest.first, verification.expects(rowUpTo: seal.lastRow) {
                try verification.take(row)
                rest.removeFirst()
            }
            try verification.take(seal)
        }
        for row in rest { try verification.take(row) }
        return verification
    }

    @Test func `what was written verifies, with the rows that are not sealed yet`() throws {
        let log = Self.log(25)
        let verification = try Self.verify(log.rows, log.seals)
        #expect(verification.rows == 25)
        #expect(verification.seals == 2)
    }

    @Test(arguments: [1, 7, 10, 11, 20, 25]) func `an altered row is named`(row: Int) {
        var log = Self.log(25)
        let old = log.rows[row - 1]
        log.rows[row - 1] = AuditRow(id: old.id, record: Self.record(row, target: "another"), mac: old.mac)
        #expect(throws: Verification.Finding.self) { try Self.verify(log.rows, log.seals) }
        do { _ = try Self.verify(log.rows, log.seals) } catch { #expect(error.row == Int64(row)) }
    }

    @Test(arguments: [1, 7, 10, 11, 20]) func `a missing row is named`(row: Int) {
        var log = Self.log(25)
        log.rows.remove(at: row - 1)
        do {
            _ = try Self.verify(log.rows, log.seals)
            Issue.record("it verified")
        } catch { #expect(error.row == Int64(row)) }
    }

    @Test func `rows that changed places are named`() {
        var log = Self.log(25)
        log.rows.swapAt(4, 5)
        do {
            _ = try Self.verify(log.rows, log.seals)
            Issue.record("it verified")
        } catch { #expect(error.row == 5) }
    }

    @Test func `without the key the chain alone finds the run that was altered`() {
        var log = Self.log(20)
        let old = log.rows[12]
        log.rows[12] = AuditRow(id: old.id, record: Self.record(13, target: "another"), mac: old.mac)
        do {
            _ = try Self.verify(log.rows, log.seals, key: nil)
            Issue.record("it verified")
        } catch { #expect(error.row == 11) }
    }

    @Test func `a seal that is missing or was made anew is found`() {
        let log = Self.log(30)
        #expect(throws: Verification.Finding.self) { try Self.verify(log.rows, [log.seals[0], log.seals[2]]) }
        let forged = Seal(id: 2, firstRow: 11, lastRow: 20, at: log.seals[1].at, hash: [UInt8](repeating: 1, count: 32))
        #expect(throws: Verification.Finding.self) { try Self.verify(log.rows, [log.seals[0], forged, log.seals[2]]) }
    }

    @Test func `the rest verifies after rows were dropped up to a seal`() throws {
        let log = Self.log(25)
        var verification = Verification(after: ChainPosition(log.seals[0]), key: Self.key)
        for row in log.rows[10..<20] { try verification.take(row) }
        try verification.take(log.seals[1])
        #expect(verification.sealed.lastRow == 20)
    }

    @Test func `a chain taken up after a restart seals as if nothing had happened`() throws {
        let log = Self.log(15)
        var chain = SealChain(after: ChainPosition(log.seals[0]))
        for row in log.rows[10...] { chain.resume(with: row) }
        var whole = SealChain(after: .start)
        for number in 1...15 {
            _ = whole.row(for: Self.record(number), key: Self.key)
            if number == 10 { _ = whole.seal(at: Timestamp(microseconds: 0)) }
        }
        #expect(chain.seal(at: Timestamp(microseconds: 5)) == whole.seal(at: Timestamp(microseconds: 5)))
    }

    @Test func `a copy from before a failed transaction goes on where the log is`() {
        var chain = SealChain(after: .start)
        _ = chain.row(for: Self.record(1), key: Self.key)
        let before = chain
        _ = chain.row(for: Self.record(2), key: Self.key)
        chain = before
        #expect(chain.row(for: Self.record(3), key: Self.key).id == 2)
    }

    @Test func `a run is due when it is long, or its first row has waited`() {
        var chain = SealChain(after: .start)
        let start = Timestamp(microseconds: 1)
        #expect(!chain.isDue(at: start))
        _ = chain.row(for: Self.record(1), key: Self.key)
        #expect(!chain.isDue(at: start))
        #expect(chain.isDue(at: start.advanced(by: SealChain.longestWait)))
        for number in 2...SealChain.longestRun { _ = chain.row(for: Self.record(number), key: Self.key) }
        #expect(chain.isDue(at: start))
    }

    @Test func `every column is part of what is marked`() {
        let plain = Self.record(1)
        let changes: [(inout AuditRecord) -> Void] = [
            { $0.requestID = RequestID(9) }, { $0.at = Timestamp(microseconds: 9) }, { $0.user = nil }, { $0.tenant = nil }, { $0.server = nil },
            { $0.action = "x" }, { $0.target = "x" }, { $0.outcome = .failed }, { $0.reason = "x" }, { $0.status = 500 },
            { $0.duration = .zero }, { $0.address = "" }, { $0.weight = 2 },
        ]
        var seen: Set<[UInt8]> = [AuditRow.canonicalBytes(id: 1, plain), AuditRow.canonicalBytes(id: 2, plain)]
        for change in changes {
            var record = plain
            change(&record)
            seen.insert(AuditRow.canonicalBytes(id: 1, record))
        }
        #expect(seen.count == changes.count + 2)
        #expect(
            Mirror(reflecting: plain).children.count == changes.count, "a new field needs a column, a place in the canonical form, and a line here")
    }

    @Test func `no text flows into the next column`() {
        var one = Self.record(1)
        (one.action, one.target) = ("ab", "c")
        var other = one
        (other.action, other.target) = ("a", "bc")
        #expect(AuditRow.canonicalBytes(id: 1, one) != AuditRow.canonicalBytes(id: 1, other))
    }
}
