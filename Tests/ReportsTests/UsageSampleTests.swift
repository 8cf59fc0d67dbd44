import Gateway
import Testing

@testable import Reports

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

struct UsageSampleTests {
    static func pool(_ name: String = "read", inUse: Int = 0, ceiling: Int = 10, wait: Double = 0) -> UsageSample.Pool {
        .init(name: name, size: 4, ceiling: ceiling, inUsePeak: inUse, waitMilliseconds: wait, timeouts: 0)
    }

    @Test(arguments: [(Double.nan, 0.0), (-3, 0), (-.infinity, 0), (0.5, 0.5), (7, 1), (.infinity, 1)])
    func `a share of the processors is from 0 to 1`(given: Double, kept: Double) {
        let sample = UsageSample(
            at: Timestamp(microseconds: 0), activeUsers: -1, cpuShare: given, memoryBytes: -1, diskBytes: .min, walBytes: -7, pools: [])
        #expect(sample.cpuShare == kept)
        #expect([sample.activeUsers, sample.memoryBytes, sample.diskBytes, sample.walBytes] == [0, 0, 0, 0])
    }

    @Test(arguments: [Double.nan, .infinity, -1])
    func `a wait that is none is zero`(wait: Double) {
        #expect(Self.pool(wait: wait).waitMilliseconds == 0)
    }

    @Test func `a pool comes back as it was stored, and what is stored below zero is zero`() throws {
        let pool = UsageSample.Pool(name: "read", size: 4, ceiling: 10, inUsePeak: 3, waitMilliseconds: 1.5, timeouts: 2)
        #expect(try JSONDecoder().decode(UsageSample.Pool.self, from: JSONEncoder().encode(pool)) == pool)
        let text = #"{"name":"read","size":-4,"ceiling":-1,"inUsePeak":-3,"waitMilliseconds":-1.5,"timeouts":-2}"#
        let read = try JSONDecoder().decode(UsageSample.Pool.self, from: Data(text.utf8))
        #expect(read == .init(name: "read", size: 0, ceiling: 0, inUsePeak: 0, waitMilliseconds: 0, timeouts: 0))
    }

    @Test func `handles are those of the pools that read`() {
        func handles(_ pools: [UsageSample.Pool]) -> Int {
            UsageSample(at: Timestamp(microseconds: 0), activeUsers: 0, cpuShare: 0, memoryBytes: 0, diskBytes: 0, walBytes: 0, pools: pools).handles
        }
        #expect(handles([]) == 0)
        #expect(handles([Self.pool("auth", inUse: 2), Self.pool("read", inUse: 3), Self.pool("write", inUse: 9)]) == 5)
        #expect(handles([Self.pool("auth", inUse: .max), Self.pool("read", inUse: .max)]) == .max)
    }

    @Test func `a pool without a ceiling has a share nonetheless`() {
        #expect(Self.pool(inUse: 3, ceiling: 0).peakShare == 3)
    }

    @Test(arguments: [(Int64(0), Int64(0)), (23, 0), (24, 1), (-1, -1), (-24, -1), (-25, -2), (.max, .max / 24), (.min, .min / 24 - 1)])
    func `a day has 24 hours, also before 1970`(hour: Int64, day: Int64) {
        #expect(HourTotals.day(ofHour: hour) == day)
    }

    @Test func `a part is not more than the whole, nor less than nothing`() {
        var sum = RollupSum()
        (sum.requests, sum.errors, sum.unauthenticated, sum.microseconds) = (10, 11, -1, -5)
        let kept = HourTotals(hour: 0, sum: sum).sum
        #expect((kept.requests, kept.errors, kept.unauthenticated, kept.microseconds) == (10, 10, 0, 0))
        sum.requests = -1
        #expect(HourTotals(hour: 0, sum: sum).sum.errors == 0)
    }

    @Test func `a bound is at least one`() {
        let bounds = Bounds(users: 0, databaseBytes: -1, handles: .min)
        #expect([bounds.users, bounds.databaseBytes, bounds.handles] == [1, 1, 1])
    }
}
