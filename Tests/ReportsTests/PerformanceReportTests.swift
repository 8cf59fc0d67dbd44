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

    static func sample(
        _ at: Timestamp, users: Int, disk: Int = 0, wal: Int = 0, inUse: Int = 1, timeouts: Int = 0, pool: String = "read"
    ) -> UsageSample {
        UsageSample(
            at: at, activeUsers: users, cpuShare: 0.25, memoryBytes: 1, diskBytes: disk, walBytes: wal,
            pools: [.init(name: pool, size: 4, ceiling: 10, inUsePeak: inUse, waitMilliseconds: 0, timeouts: timeouts)])
    }

    static func named(_ figures: [Figure]) -> [String: Figure] { Dictionary(figures.map { ($0.name, $0) }) { $1 } }

    /// Half past midnight, so many days ago.
    static func ago(_ days: Int) -> Timestamp { Timestamp(microseconds: now.microseconds - Int64(days) * day) }

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

    @Test func `one request and one sample are a day`() {
        let report = Self.daily([Self.totals(Self.hour, requests: 1, errors: 1)], [Self.sample(Self.now, users: 3, disk: 250, inUse: 4)])
        #expect(report.averageResponseTime.value == 10)
        #expect(report.errorRate.value == 1)
        #expect(report.errorRate.isMet == false)
        #expect(report.authenticationSuccessRate.value == nil)
        #expect(report.authenticationSuccessRate.note == "not enough data: 1 requests, 20 are needed")
        let figures = Self.named(report.resourceUtilization)
        #expect(figures["cpu_average"]?.value == 0.25)
        #expect(figures["cpu_peak"]?.value == 0.25)
        #expect(figures["memory_peak"]?.value == 1)
        #expect(figures["disk"]?.value == 0.25)
        #expect(figures["pool_read_peak"]?.value == 0.4)
        #expect(figures["handles_peak"]?.value == 0.08)
        #expect(figures["handles_peak"]?.isMet == true)
    }

    @Test func `slots in the writer's queue are no handles`() {
        let figures = Self.named(Self.daily([], [Self.sample(Self.now, users: 0, inUse: 10, pool: "write")]).resourceUtilization)
        #expect(figures["handles_peak"]?.value == 0)
        #expect(figures["pool_write_peak"]?.value == 1)
    }

    @Test func `a pool that the last sample does not name is still reported`() {
        let bare = UsageSample(at: Self.now, activeUsers: 0, cpuShare: 0, memoryBytes: 0, diskBytes: 0, walBytes: 0, pools: [])
        #expect(Self.named(Self.daily([], [Self.sample(Self.now, users: 0, inUse: 7), bare]).resourceUtilization)["pool_read_peak"]?.value == 0.7)
    }

    @Test func `every figure says in what unit, over which time and by which formula`() {
        let (daily, weekly) = (Self.daily([]), Self.weekly([]))
        let figures =
            [daily.averageResponseTime, daily.authenticationSuccessRate, daily.concurrentUserPeak, daily.errorRate] + daily.percentiles
            + daily.resourceUtilization + weekly.performanceImprovement + weekly.capacityGrowth + weekly.infrastructureScaling
        for figure in figures {
            #expect(!figure.unit.isEmpty && !figure.window.isEmpty && !figure.formula.isEmpty, "\(figure.name)")
            #expect(figure.value == nil && figure.isMet == nil && figure.note != nil, "\(figure.name)")
        }
        #expect(Set(figures.map(\.name)).count == figures.count)
    }

    @Test(arguments: [Int64.min, -1, 0, 1, hour * 3_600_000_000, .max], [Int64.min, -1, 0, hour, .max])
    func `no number in the database stops a report`(moment: Int64, hour: Int64) {
        var sum = RollupSum()
        let stored = [0, 90, 200].flatMap { [$0] + [UInt8](repeating: 0xFF, count: 8) + [0x7F] }
        stored.withUnsafeBytes { sum.latency.add(stored: $0, total: .microseconds(Int64.max)) }
        let now = Timestamp(microseconds: moment)
        for number in [Int.min, -1, 0, .max] {
            (sum.requests, sum.errors, sum.unauthenticated, sum.microseconds) = (number, number, number, Int64(number))
            let hours = [hour, hour, moment / 3_600_000_000, 0].map { HourTotals(hour: $0, sum: sum) }
            let samples = [now, Timestamp(microseconds: .min), Timestamp(microseconds: .max), Timestamp(microseconds: 0), now].flatMap { at in
                [number, 0, number].map { Self.sample(at, users: $0, disk: $0, wal: $0, inUse: $0, timeouts: $0) }
            }
            let bounds = Bounds(users: 0, databaseBytes: 0, handles: number)
            let daily = DailyReport(hours: hours, samples: samples, bounds: bounds, now: now)
            let weekly = WeeklyReport(hours: hours, samples: samples, bounds: bounds, now: now)
            for figure in daily.resourceUtilization + daily.percentiles + weekly.capacityGrowth + weekly.infrastructureScaling {
                #expect(figure.value?.isFinite ?? true)
            }
            #expect((0...1).contains(daily.errorRate.value ?? 0))
            #expect((0...1).contains(daily.authenticationSuccessRate.value ?? 0))
        }
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

    @Test func `a day that is not over does not bend the trend`() {
        // The same every day; today, half an hour old, had one request and one user so far.
        let hours = (1...6).map { Self.totals(Self.hour - Int64($0) * 24, requests: 100) } + [Self.totals(Self.hour, requests: 1)]
        let samples = (1...6).reversed().map { Self.sample(Self.ago($0), users: 50) } + [Self.sample(Self.now, users: 1)]
        let growth = Self.named(Self.weekly(hours, samples).capacityGrowth)
        #expect(growth["requests_per_day"]?.value == 0)
        #expect(growth["users_per_day"]?.value == 0)
    }

    @Test func `nor does a first day that was not seen from its beginning`() {
        let hours = [Self.totals(Self.hour - 6 * 24 + 20, requests: 3)] + (1...5).map { Self.totals(Self.hour - Int64($0) * 24, requests: 100) }
        let samples =
            [Self.sample(Self.ago(6).advanced(by: .seconds(72_000)), users: 1)] + (1...5).reversed().map { Self.sample(Self.ago($0), users: 50) }
        let growth = Self.named(Self.weekly(hours, samples).capacityGrowth)
        #expect(growth["requests_per_day"]?.value == 0)
        #expect(growth["users_per_day"]?.value == 0)
    }

    @Test func `a day that begins quietly is whole when there was data before it`() {
        let quiet = [4, 3, 2, 1].map { Self.totals(Self.hour - $0 * 24 + 8, requests: 100) }
        #expect(Self.named(Self.weekly(quiet).capacityGrowth)["requests_per_day"]?.value == nil)
        let withBefore = [Self.totals(Self.hour - 14 * 24, requests: 5)] + quiet
        #expect(Self.named(Self.weekly(withBefore).capacityGrowth)["requests_per_day"]?.value == 0)
    }

    @Test func `three whole days are too few for a trend, and the note counts them`() {
        let growth = Self.named(Self.weekly((0...3).map { Self.totals(Self.hour - Int64($0) * 24, requests: 100) }).capacityGrowth)
        #expect(growth["requests_per_day"]?.value == nil)
        #expect(growth["requests_per_day"]?.note == "not enough data: 3 days, 4 are needed")
    }

    @Test func `the disk is full on the day the line says`() {
        let samples = (0..<8).map { Self.sample(Self.ago(7 - $0), users: 0, disk: 100 + 50 * $0) }
        // 450 of 1000 bytes today, 50 more a day.
        let days = Self.named(Self.weekly([], samples).infrastructureScaling)["days_until_disk"]
        #expect(days?.value == 11)
        #expect(days?.isMet == false)
    }

    @Test func `what shrinks reaches no bound`() {
        let samples = (0..<8).map { Self.sample(Self.ago(7 - $0), users: 80 - 5 * $0, disk: 800 - 50 * $0) }
        for figure in Self.weekly([], samples).infrastructureScaling {
            #expect(figure.value == nil && figure.note?.contains("no growth") == true, "\(figure.name)")
        }
    }

    @Test func `a bound that is reached needs no trend to be told`() {
        let days = Self.named(Self.weekly([], [Self.sample(Self.now, users: 100, disk: 2000)]).infrastructureScaling)
        #expect(days["days_until_users"]?.value == 0)
        #expect(days["days_until_disk"]?.value == 0)
    }

    @Test func `hours and samples outside the fortnight change nothing`() {
        let hours = (0..<14).map { Self.totals(Self.hour - Int64($0) * 24, requests: 100 + $0) }
        let samples = (0..<14).reversed().map { Self.sample(Self.ago($0), users: 50 + $0, disk: 500) }
        let strayHours = [-1, 14, 40].map { Self.totals(Self.hour - $0 * 24, requests: 99_999, errors: 99_999) }
        let strays = [Self.sample(Self.ago(20), users: 9_999, disk: 9_999), Self.sample(Self.ago(14), users: 9_999, disk: 9_999)]
        let clean = Self.weekly(hours, samples)
        let report = Self.weekly(hours + strayHours, strays + samples + [Self.sample(Self.ago(-1), users: 9_999, disk: 9_999)])
        #expect(report.capacityGrowth == clean.capacityGrowth)
        #expect(report.performanceImprovement == clean.performanceImprovement)
        #expect(report.infrastructureScaling == clean.infrastructureScaling)
        #expect(report.optimizationOpportunities == clean.optimizationOpportunities)
    }

    @Test func `timeouts are counted through a restart`() {
        // 2 more, then a new start with 3, then 1 more.
        let samples = [5, 7, 3, 4].map { Self.sample(Self.now, users: 0, timeouts: $0) }
        #expect(Self.weekly([], samples).optimizationOpportunities.map(\.evidence) == ["6 timeouts in the pool read"])
    }

    @Test func `more handles do not help those who wait for the writer`() {
        let samples = [0, 1].map { Self.sample(Self.now, users: 0, timeouts: $0, pool: "write") }
        #expect(Self.weekly([], samples).optimizationOpportunities.map(\.setting) == ["MREG_POOL_WRITE_SIZE"])
    }

    @Test(arguments: [(32 << 20, false), (32 << 20 + 1, true)])
    func `a log longer than 32 MiB is told`(bytes: Int, isTold: Bool) {
        let found = Self.weekly([], [Self.sample(Self.now, users: 0, wal: bytes)]).optimizationOpportunities
        #expect(found.contains { $0.rule.contains("write-ahead log") } == isTold)
    }

    @Test(arguments: [(8, false), (9, true)])
    func `all pools together are held against what they share`(inUse: Int, isTold: Bool) {
        let report = WeeklyReport(
            hours: [], samples: [Self.sample(Self.now, users: 0, inUse: inUse)], bounds: Bounds(users: 100, databaseBytes: 1000, handles: 10),
            now: Self.now)
        #expect(report.optimizationOpportunities.map(\.setting).contains("DB_MAX_CONNECTIONS, MREG_FASTMCP_MAX_POOL_SIZE") == isTold)
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
