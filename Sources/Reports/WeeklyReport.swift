package import Gateway

/// Seven days against the seven before, and where it leads.
package struct WeeklyReport: Sendable {
    /// A rule that fired.
    package struct Opportunity: Hashable, Sendable {
        package let rule: String
        package let evidence: String
        /// What to change, by its name.
        package let setting: String
    }

    package let performanceImprovement: [Figure]
    package let capacityGrowth: [Figure]
    package let optimizationOpportunities: [Opportunity]
    package let infrastructureScaling: [Figure]

    /// A trend over fewer days says nothing.
    static let fewestDays = 4
    static let fewestRequests = 100
    package static let days: Int64 = 14

    /// - Parameters:
    ///   - hours: of the last 14 days.
    ///   - samples: of the last 14 days, oldest first.
    package init(hours allHours: [HourTotals], samples allSamples: [UsageSample], bounds: Bounds, now: Timestamp) {
        let now = max(now, Timestamp(microseconds: 0))
        let today = now.seconds / 86_400
        let hours = allHours.filter { $0.day > today - Self.days && $0.day <= today }
        let samples = allSamples.filter { $0.at <= now && HourTotals.day(ofHour: $0.hour) > today - Self.days }
        let recent = Self.sum(hours.filter { $0.day > today - 7 && $0.day <= today })
        let before = Self.sum(hours.filter { $0.day > today - 14 && $0.day <= today - 7 })
        let week = "the 7 days to \(now.rfc3339) against the 7 before"
        let isComparable = min(recent.requests, before.requests) >= Self.fewestRequests
        let few = "not enough data: \(recent.requests) and \(before.requests) requests, \(Self.fewestRequests) are needed in each week"
        func p95(_ sum: RollupSum) -> Double? { sum.latency.percentile(0.95).map { Double($0.microseconds) } }
        func errors(_ sum: RollupSum) -> Double { Double(sum.errors) / Double(max(1, sum.requests)) }
        performanceImprovement = [
            Figure(
                "p95_change", isComparable ? p95(recent).flatMap { new in p95(before).map { new / $0 - 1 } } : nil, unit: "share", window: week,
                formula: "p95 of this week / p95 of the week before - 1; below 0 is faster", target: .below(0.05, "0.05"),
                note: isComparable ? nil : few),
            Figure(
                "error_rate_change", isComparable ? errors(recent) - errors(before) : nil, unit: "share points", window: week,
                formula: "error rate of this week - that of the week before; below 0 is better", target: .below(0.005, "0.005"),
                note: isComparable ? nil : few),
        ]

        let users = Self.daily(samples) { Double($0.activeUsers) }
        let disk = Self.daily(samples) { Double($0.diskBytes) }
        var requests: [Int64: Double] = [:]
        for hour in hours { requests[hour.day, default: 0] += Double(hour.sum.requests) }
        // What came before the fortnight tells that its first day was seen from the beginning.
        let (sampledDays, summedDays) = (Self.wholeDays(allSamples.map(\.hour), today), Self.wholeDays(allHours.map(\.hour), today))
        let wholeDaysOfUsers = users.filter { sampledDays.contains($0.key) }
        let wholeDaysOfRequests = requests.filter { summedDays.contains($0.key) }
        let whole = "the whole days with data of the \(Self.days) to \(now.rfc3339)"
        let period = "the days with data of the \(Self.days) to \(now.rfc3339)"
        let trends = [
            (name: "users", unit: "peak users", window: whole, days: wholeDaysOfUsers, trend: Trend(wholeDaysOfUsers)),
            (name: "requests", unit: "requests", window: whole, days: wholeDaysOfRequests, trend: Trend(wholeDaysOfRequests)),
            (name: "disk", unit: "bytes of the database file", window: period, days: disk, trend: Trend(disk)),
        ]
        func fewDays(_ days: [Int64: Double]) -> String { "not enough data: \(days.count) days, \(Self.fewestDays) are needed" }
        capacityGrowth = trends.flatMap { name, unit, period, days, trend -> [Figure] in
            let note = trend == nil ? fewDays(days) : nil
            return [
                Figure(
                    "\(name)_per_day", trend?.slope, unit: "\(unit) a day", window: period,
                    formula: "slope of the least-squares line through the days",
                    note: note),
                Figure(
                    "\(name)_per_day_confidence", trend?.halfInterval, unit: "± \(unit) a day", window: period,
                    formula: "half of the slope's 95 % confidence interval (Student's t)", note: note),
                Figure("\(name)_fit", trend?.fit, unit: "R²", window: period, formula: "share of the variance that the line explains", note: note),
            ]
        }

        optimizationOpportunities = Self.opportunities(samples, recent, bounds, now)

        func days(_ trend: Trend?, of days: [Int64: Double], from present: Double?, to bound: Double) -> (Double?, String?) {
            if let present, present >= bound { return (0, "the bound is reached") }
            guard let trend, let present else { return (nil, fewDays(days)) }
            guard trend.slope > trend.halfInterval else { return (nil, "no growth that the data bears out: the bound is not in sight") }
            return ((bound - present) / trend.slope, nil)
        }
        // Today's peak may be yet to come, and yesterday's may be past.
        let latest = [users[today], users.filter { $0.key < today }.max { $0.key < $1.key }?.value].compactMap(\.self).max()
        let toUsers = days(trends[0].trend, of: trends[0].days, from: latest, to: Double(bounds.users))
        let toDisk = days(trends[2].trend, of: disk, from: samples.last.map { Double($0.diskBytes) }, to: Double(bounds.databaseBytes))
        infrastructureScaling = [
            Figure(
                "days_until_users", toUsers.0, unit: "days", window: whole,
                formula: "(MREG_FASTMCP_MAX_CONCURRENT_USERS - the larger peak of today and the day before) / peak users a day",
                target: .above(30, "30 days"),
                note: toUsers.1),
            Figure(
                "days_until_disk", toDisk.0, unit: "days", window: period,
                formula: "(MREG_AUDIT_MAX_BYTES - the database file) / its bytes a day", target: .above(30, "30 days"), note: toDisk.1),
        ]
    }

    private static func sum(_ hours: [HourTotals]) -> RollupSum {
        hours.reduce(into: RollupSum()) { $0.add($1.sum) }
    }

    /// Days that are over and were seen from their first hour on: a part of a day would look like fewer users and requests.
    private static func wholeDays(_ hours: [Int64], _ today: Int64) -> Range<Int64> {
        guard let first = hours.min() else { return today..<today }
        let day = HourTotals.day(ofHour: first)
        return min(first % 24 == 0 ? day : day + 1, today)..<today
    }

    /// The largest sample of each day.
    private static func daily(_ samples: [UsageSample], _ value: (UsageSample) -> Double) -> [Int64: Double] {
        samples.reduce(into: [:]) { days, sample in
            let day = HourTotals.day(ofHour: sample.hour)
            days[day] = max(days[day] ?? 0, value(sample))
        }
    }

    private static func opportunities(_ all: [UsageSample], _ sum: RollupSum, _ bounds: Bounds, _ now: Timestamp) -> [Opportunity] {
        let samples = all.filter { $0.at >= now.advanced(by: .seconds(-7 * 86_400)) }
        var found: [Opportunity] = []
        func fire(_ rule: String, _ evidence: String, _ setting: String) {
            found.append(Opportunity(rule: rule, evidence: evidence, setting: setting))
        }
        for name in samples.poolNames {
            let pools = samples.pools(named: name)
            let peak = pools.map(\.peakShare).max() ?? 0
            // Counted since the start of the program: fewer than before means that it began anew, and all of them are new.
            let timeouts = zip(pools, pools.dropFirst()).reduce(0) { sum, pair in
                let (before, after) = (pair.0.timeouts, pair.1.timeouts)
                return sum.adding(saturating: after < before ? after : after - before)
            }
            let size = "MREG_POOL_\(name.uppercased())_SIZE"
            if timeouts > 0 {
                let lendsHandles = pools.contains(where: \.lendsHandles)
                fire(
                    "somebody waited in vain for a handle", "\(timeouts) timeouts in the pool \(name)",
                    lendsHandles ? "\(size), DB_MAX_CONNECTIONS" : size)
            }
            if peak > 0.8 { fire("a pool comes near its ceiling", "\(percent(peak)) of the pool \(name) in use", size) }
        }
        if let handles = samples.map(\.handles).max(), Double(handles) > 0.8 * Double(bounds.handles) {
            fire(
                "all pools together come near their ceiling", "\(handles) of \(bounds.handles) handles",
                "DB_MAX_CONNECTIONS, MREG_FASTMCP_MAX_POOL_SIZE")
        }
        if let wal = samples.map(\.walBytes).max(), wal > 32 << 20 {
            fire("the write-ahead log grows long", "\(wal >> 20) MiB at its largest", "shorter reports; end foreign readers of the database")
        }
        if let disk = samples.last?.diskBytes, Double(disk) > 0.8 * Double(bounds.databaseBytes) {
            fire(
                "the record comes near its bound", "\(percent(Double(disk) / Double(bounds.databaseBytes))) of MREG_AUDIT_MAX_BYTES",
                "MREG_AUDIT_RETENTION_DAYS, MREG_AUDIT_MAX_BYTES")
        }
        if let users = samples.map(\.activeUsers).max(), Double(users) > 0.8 * Double(bounds.users) {
            fire("as many users as are allowed at once", "\(users) of \(bounds.users)", "MREG_FASTMCP_MAX_CONCURRENT_USERS")
        }
        if sum.requests >= fewestRequests, Double(sum.errors) > 0.01 * Double(sum.requests) {
            fire("many calls fail", "\(sum.errors) of \(sum.requests) requests", "the servers concerned: mreg report calls")
        }
        if let cpu = samples.isEmpty ? nil : samples.map(\.cpuShare).reduce(0, +) / Double(samples.count), cpu > 0.6 {
            fire("the processors are busy", "\(percent(cpu)) on average", "a larger machine")
        }
        return found
    }

    private static func percent(_ share: Double) -> String { "\(Int(exactly: (share * 100).rounded()) ?? .max) %" }
}

/// A straight line through daily values, by least squares.
struct Trend: Hashable {
    /// Per day.
    let slope: Double
    /// Half of its 95 % confidence interval.
    let halfInterval: Double
    /// R²: 1 for a line that meets every point.
    let fit: Double

    /// Nil for fewer than four days.
    init?(_ days: [Int64: Double]) {
        guard days.count >= WeeklyReport.fewestDays, let first = days.keys.min() else { return nil }
        let points = days.sorted { $0.key < $1.key }.map { (x: Double($0.key - first), y: $0.value) }
        let count = Double(points.count)
        let meanX = points.reduce(0) { $0 + $1.x } / count
        let meanY = points.reduce(0) { $0 + $1.y } / count
        let xx = points.reduce(0) { $0 + ($1.x - meanX) * ($1.x - meanX) }
        let xy = points.reduce(0) { $0 + ($1.x - meanX) * ($1.y - meanY) }
        let yy = points.reduce(0) { $0 + ($1.y - meanY) * ($1.y - meanY) }
        slope = xy / xx
        let rest = max(0, yy - slope * xy)
        fit = yy == 0 ? 1 : 1 - rest / yy
        halfInterval = Self.quantile(freedom: points.count - 2) * (rest / (count - 2) / xx).squareRoot()
    }

    /// Student's t, two-sided 95 %; beyond the table its last value, which makes the interval wider than it need be.
    private static func quantile(freedom: Int) -> Double {
        let table = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160]
        return table[min(max(1, freedom), table.count) - 1]
    }
}
