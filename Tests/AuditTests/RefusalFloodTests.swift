import Gateway
import Testing

@testable import Audit

extension AuditRecord {
    static func refusal(
        _ number: Int, user: UserID? = nil, address: String = "192.0.2.1", reason: String = "unauthenticated", at seconds: Int64 = 0
    ) -> Self {
        AuditRecord(
            requestID: RequestID(UInt64(number)), at: Timestamp(microseconds: seconds * 1_000_000), user: user, action: "mcp", outcome: .refused,
            reason: reason, status: 401, address: address)
    }
}

struct RefusalFloodTests {
    /// Rows that were written for refusals, and how many refusals they stand for.
    static func rows(_ refusals: some Sequence<AuditRecord>) -> (rows: Int, events: Int) {
        var flood = RefusalFlood()
        var (rows, events) = (0, 0)
        var second: Int64 = -1
        for refusal in refusals {
            // As the trail does, once a second.
            if refusal.at.seconds != second {
                second = refusal.at.seconds
                for sum in flood.sums(endedAt: refusal.at) {
                    rows += 1
                    events += sum.weight
                }
            }
            if flood.admit(refusal) {
                rows += 1
                events += 1
            }
        }
        for sum in flood.sums(endedAt: Timestamp(microseconds: .max), all: true) {
            rows += 1
            events += sum.weight
        }
        return (rows, events)
    }

    // 5 MB, at 200 bytes a row.
    static let bound = 25_000

    @Test(arguments: [1, 10, 24])
    func `a million bad logins from one address stay within their bound, and are all counted`(hours: Int64) {
        let (rows, events) = Self.rows((0..<1_000_000).lazy.map { .refusal($0, at: Int64($0) * hours * 3600 / 1_000_000) })
        #expect(events == 1_000_000)
        #expect(rows < Self.bound)
    }

    @Test(arguments: [1, 10, 24])
    func `so do a million from as many addresses`(hours: Int64) {
        let (rows, events) = Self.rows(
            (0..<1_000_000).lazy.map {
                .refusal($0, address: "198.\($0 >> 16 & 255).\($0 >> 8 & 255).\($0 & 255)", at: Int64($0) * hours * 3600 / 1_000_000)
            })
        #expect(events == 1_000_000)
        #expect(rows < Self.bound)
    }

    @Test(arguments: [1, 10, 24])
    func `so do a million throttled calls of one user`(hours: Int64) {
        let (rows, events) = Self.rows(
            (0..<1_000_000).lazy.map { .refusal($0, user: UserID(1), reason: "throttled", at: Int64($0) * hours * 3600 / 1_000_000) })
        #expect(events == 1_000_000)
        #expect(rows < Self.bound)
    }

    @Test func `addresses of one IPv6 network are one`() {
        var flood = RefusalFlood()
        for number in 0..<100 { _ = flood.admit(.refusal(number, address: "2001:db8:0:1::\(String(number + 1, radix: 16))")) }
        let sums = flood.sums(endedAt: Timestamp(microseconds: 60_000_000))
        #expect(sums.map(\.address) == ["2001:db8:0:1::/64"])
        #expect(sums.map(\.weight) == [90])
    }

    @Test func `one who is refused for long does not hide another`() {
        var flood = RefusalFlood()
        for number in 0..<10_000 { _ = flood.admit(.refusal(number)) }
        let stranger = flood.admit(.refusal(1, address: "192.0.2.2"))
        #expect(stranger)
        let acquaintance = flood.admit(.refusal(2, user: UserID(1), reason: "forbidden"))
        #expect(acquaintance)
    }

    @Test func `a sum names whom it counts and when it was last`() throws {
        var flood = RefusalFlood()
        for number in 0..<25 { _ = flood.admit(.refusal(number, user: UserID(7), reason: "throttled", at: Int64(number))) }
        #expect(flood.sums(endedAt: Timestamp(microseconds: 59_000_000)).isEmpty)
        let sum = try #require(flood.sums(endedAt: Timestamp(microseconds: 60_000_000)).first)
        #expect(sum.user == UserID(7))
        #expect(sum.reason == "throttled")
        #expect(sum.weight == 15)
        #expect(sum.at == Timestamp(microseconds: 24_000_000))
    }

    @Test func `a clock that is set back ends the window instead of holding it`() {
        var flood = RefusalFlood()
        for number in 0..<20 { _ = flood.admit(.refusal(number, at: 1_000)) }
        #expect(flood.sums(endedAt: Timestamp(microseconds: 0)).map(\.weight) == [10])
    }
}
