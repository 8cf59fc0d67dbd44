import Gateway
import Testing

@testable import Reports

struct PerformanceReportTests {
    static let hour: Int64 = 480_000
    static let now = Timestamp(microseconds: (hour * 3600 + 1800) * 1_000_000)
    static let bounds = Bounds(users: 100, databaseBytes: 1000, handles: 50)

    static func totals(_ hour: Int64, requests: Int, errors: Int = 0, unauthenticated: Int = 0, milliseconds: Int = 10) -> HourTotals {
        var sum = RollupSum()
        for _ in 0..<requests { sum.latency.record(.milliseconds(milliseconds)) }
        (sum.requests, sum.errors, sum.unauthenticated, sum.microseconds) = (requests, errors, unauthenticated, Int64(requests * milliseconds) * 1000)
        return HourTotals(hour: hour, sum: sum)
    }

    static func sample(_ at: Timestamp, users: Int, disk: Int = 0, inUse: Int = 1, timeouts: Int = 0) -> UsageSample {
        UsageSample(
            at: at, activeUsers: users, cpuShare: 0.25, memoryBytes: 1, diskBytes: disk, walBytes: 0,
            pools: [.init(name: "read", size: 4, ceiling: 10, inUsePeak: inUse, waitMilliseconds: 0, timeouts: timeouts)])
    }

    static func daily(_ hours: [HourTotals], _ samples: [UsageSample] = []) -> DailyReport {
        DailyReport(hours: hours, samples: samples, bounds: bounds, now: now)
    }

    @Test func `a day adds up its hours and leaves the day before out`() {
        let report = Self.daily([
            Self.totals(Self.hour, requests: 30, errors: 3), Self.totals(Self.hour - 23, requests: 10, unauthenticated: 2, milliseconds: 50),
            Self.totals(Self.hour - 24, requests: 1000),
        ])
        #expect(report.requests == 40)
        #expect(report.averageResponseTime.value == 20)
        #expect(report.averageResponseTime.isMet == true)
        #expect(report.authenticationSuccessRate.value == 0.95)
        #expect(report.authenticationSuccessRate.isMet == false)
        #expect(report.errorRate.value == 0.075)
        #expect(report.percentiles.map(\.name) == ["p50", "p95", "p99"])
        #expect(report.percentiles.allSatisfy { $0.value != nil })
    }

    @Test func `a gateway nobody used says so instead of naming figures`() {
        let report = Self.daily([])
        let figures =
            [report.averageResponseTime, report.authenticationSuccessRate, report.concurrentUserPeak, report.errorRate] + report.percentiles
        #expect(figures.allSatisfy { $0.value == nil && $0.isMet == nil && $0.note != nil })
    }

    @Test func `nineteen requests have no percentiles`() {
        #expect(Self.daily([Self.totals(Self.hour, requests: 19)]).percentiles.allSatisfy { $0.note?.contains("20") == true })
    }

    @Test func `samples tell the peaks`() {
        let report = Self.daily([], [Self.sample(Self.now, users: 7, disk: 900, inUse: 9), Self.sample(Self.now, users: 5, disk: 500)])
        #expect(report.concurrentUserPeak.value == 7)
        let figures = Dictionary(report.resourceUtilization.map { ($0.name, $0) }) { $1 }
        #expect(figures["pool_read_peak"]?.value == 0.9)
        #expect(figures["pool_read_peak"]?.isMet == false)
        #expect(figures["disk"]?.value == 0.5)
        #expect(figures["cpu_average"]?.value == 0.25)
    }

    // MARK: Weekly

    static let day: Int64 = 86_400_000_000

    static func weekly(_ hours: [HourTotals], _ samples: [UsageSample] = []) -> WeeklyReport {
        WeeklyReport(hours: hours, samples: samples, bounds: bounds, now: now)
    }

    @Test func `this week is held against the last`() {
        let report = Self.weekly([
            Self.totals(Self.hour - 10 * 24, requests: 200, errors: 10, milliseconds: 100), Self.totals(Self.hour, requests: 200, milliseconds: 10),
        ])
        #expect(report.performanceImprovement[0].value ?? 0 < -0.85)
        #expect(report.performanceImprovement[1].value == -0.05)
    }

    @Test func `one week alone is compared with nothing`() {
        #expect(Self.weekly([Self.totals(Self.hour, requests: 1000)]).performanceImprovement.allSatisfy { $0.value == nil && $0.note != nil })
    }

    @Test func `a steady growth is a slope, and the days to the bound`() {
        let samples = (0..<10).map {
            Self.sample(Timestamp(microseconds: Self.now.microseconds - Int64(9 - $0) * Self.day), users: 10 + 5 * $0, disk: 0)
        }
        let report = Self.weekly([], samples)
        let growth = Dictionary(report.capacityGrowth.map { ($0.name, $0.value) }) { $1 }
        #expect(growth["users_per_day"] == 5)
        #expect(growth["users_per_day_confidence"] == 0)
        #expect(growth["users_fit"] == 1)
        // 55 of 100 today, 5 more a day.
        #expect(report.infrastructureScaling[0].value == 9)
        #expect(report.infrastructureScaling[1].value == nil)
    }

    @Test func `a growth that may be chance leads nowhere`() {
        let users = [10, 60, 12, 58, 11, 61, 13, 62]
        let samples = users.enumerated().map {
            Self.sample(Timestamp(microseconds: Self.now.microseconds - Int64(7 - $0.offset) * Self.day), users: $0.element)
        }
        #expect(Self.weekly([], samples).infrastructureScaling[0].value == nil)
    }

    @Test func `each rule that fires names its evidence and its setting`() {
        let samples = [Self.sample(Self.now, users: 90, disk: 100, inUse: 10), Self.sample(Self.now, users: 1, disk: 990, timeouts: 4)]
        let found = Self.weekly([Self.totals(Self.hour, requests: 100, errors: 5)], samples).optimizationOpportunities
        #expect(found.map(\.setting).contains { $0.contains("MREG_POOL_READ_SIZE") })
        #expect(found.map(\.setting).contains { $0.contains("MREG_AUDIT_MAX_BYTES") })
        #expect(found.map(\.setting).contains("MREG_FASTMCP_MAX_CONCURRENT_USERS"))
        #expect(found.contains { $0.evidence == "4 timeouts in the pool read" })
        #expect(found.contains { $0.evidence == "5 of 100 requests" })
        #expect(Self.weekly([]).optimizationOpportunities.isEmpty)
    }
}
