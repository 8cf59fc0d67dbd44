package import Gateway

/// The last 24 hours: hours as they began on the clock, the present one as far as it has come.
package struct DailyReport: Sendable {
    package let averageResponseTime: Figure
    package let percentiles: [Figure]
    package let authenticationSuccessRate: Figure
    package let concurrentUserPeak: Figure
    package let resourceUtilization: [Figure]
    package let errorRate: Figure
    package let requests: Int

    /// Fewer requests than this have no percentiles, and fewer authentications no rate.
    static let fewest = 20
    package static let hours: Int64 = 24

    /// - Parameters:
    ///   - hours: of the window; others are left out.
    ///   - samples: of the window, oldest first.
    package init(hours all: [HourTotals], samples allSamples: [UsageSample], bounds: Bounds, now: Timestamp) {
        let now = max(now, Timestamp(microseconds: 0))
        let last = now.seconds / 3600
        let hours = all.filter { $0.hour > last - Self.hours && $0.hour <= last }
        let start = Timestamp(microseconds: (last - Self.hours + 1) * 3_600_000_000)
        let samples = allSamples.filter { $0.at >= start && $0.at <= now }
        let window = "\(start.rfc3339) to \(now.rfc3339)"
        var sum = RollupSum()
        for hour in hours { sum.add(hour.sum) }
        requests = sum.requests

        func figure(_ name: String, _ value: Double?, _ unit: String, _ formula: String, _ target: Figure.Target? = nil, note: String? = nil)
            -> Figure
        {
            Figure(name, value, unit: unit, window: window, formula: formula, target: target, note: note)
        }
        func perRequest(_ value: Double) -> Double? { sum.requests > 0 ? value / Double(sum.requests) : nil }
        let timed = sum.latency.count
        let few = "not enough data: \(sum.requests) requests, \(Self.fewest) are needed"

        averageResponseTime = figure(
            "avg_response_time", timed > 0 ? Double(sum.microseconds) / 1000 / Double(timed) : nil, "ms",
            "sum of the response times of all timed rows / their number", .below(100, "100 ms"), note: timed == 0 ? "no requests" : nil)
        percentiles = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)].map { name, share in
            figure(
                name, timed >= Self.fewest ? sum.latency.percentile(share).map { Double($0.microseconds) / 1000 } : nil, "ms",
                "the upper bound of the histogram bucket that holds the \(name.dropFirst())th percentile: never too low, above 50 µs at most 26 % too high",
                note: timed >= Self.fewest ? nil : "not enough data: \(timed) timed requests, \(Self.fewest) are needed")
        }
        authenticationSuccessRate = figure(
            "authentication_success_rate", sum.requests >= Self.fewest ? perRequest(Double(sum.requests - sum.unauthenticated)) : nil, "share",
            "(requests - requests refused because nobody known asked) / requests", .above(0.95, "0.95"),
            note: sum.requests >= Self.fewest ? nil : few)
        concurrentUserPeak = figure(
            "concurrent_user_peak", samples.map { Double($0.activeUsers) }.max(), "users",
            "the largest of the minute samples of users with a request within MREG_FASTMCP_USER_ACTIVITY_TIMEOUT",
            .below(Double(bounds.users), "MREG_FASTMCP_MAX_CONCURRENT_USERS (\(bounds.users))"))
        errorRate = figure(
            "error_rate", perRequest(Double(sum.errors)), "share",
            "requests that failed, whose outcome is unknown, or that were answered 5xx / requests",
            .below(0.01, "0.01"), note: sum.requests == 0 ? "no requests" : nil)

        func peak(_ value: (UsageSample) -> Double?) -> Double? { samples.compactMap(value).max() }
        let cpu = samples.map(\.cpuShare)
        resourceUtilization =
            [
                figure(
                    "cpu_average", cpu.isEmpty ? nil : cpu.reduce(0, +) / Double(cpu.count), "share",
                    "mean of the minute samples of processor time / (time × processors)", .below(0.8, "0.8")),
                figure("cpu_peak", cpu.max(), "share", "largest minute sample of processor time / (time × processors)"),
                figure("memory_peak", peak { Double($0.memoryBytes) }, "bytes", "largest minute sample of resident memory"),
                figure(
                    "handles_peak", peak { Double($0.handles) / Double(bounds.handles) }, "share",
                    "largest minute sum of the reading pools' most handles lent at once / the smaller of DB_MAX_CONNECTIONS and "
                        + "MREG_FASTMCP_MAX_POOL_SIZE", .below(0.8, "0.8")),
                figure(
                    "disk", samples.last.map { Double($0.diskBytes) / Double(bounds.databaseBytes) }, "share",
                    "database file at the last sample / MREG_AUDIT_MAX_BYTES", .below(0.8, "0.8")),
                figure(
                    "wal_peak", peak { Double($0.walBytes) }, "bytes", "largest minute sample of the write-ahead log", .below(67_108_864, "64 MiB")),
            ]
            + samples.poolNames.flatMap { name -> [Figure] in
                let pools = samples.pools(named: name)
                return [
                    figure(
                        "pool_\(name)_peak", pools.map(\.peakShare).max(), "share",
                        "most handles lent at once / the pool's ceiling", .below(0.8, "0.8")),
                    figure(
                        "pool_\(name)_longest_wait", pools.map(\.waitMilliseconds).max(), "ms", "longest wait for a handle", .below(10, "10 ms")),
                ]
            }
    }
}
