/// What a pool is and what it has seen.
package struct PoolMetrics: Hashable, Sendable {
    package var name = ""
    /// Handles it may hold now.
    package var size = 0
    package var minimum = 0
    package var ceiling = 0
    package var timeout: Duration = .zero
    package var isSlots = false
    package var inUse = 0
    package var idle = 0
    package var waiting = 0
    package var timeouts = 0
    package var cancelled = 0
    package var grown = 0
    package var shrunk = 0
    package var opened = 0
    package var replaced = 0
    package var leases = 0
    package var reused = 0
    /// Of the last 100 leases.
    package var wait = LatencyRing()
    /// How long the last 100 leases were held.
    package var latency = LatencyRing()
    /// Most handles in use at once since the last sample, and the longest wait.
    package var peakInUse = 0
    package var longestWait: Duration = .zero
    /// Peak share in use, one a minute.
    package var history = UsageHistory()

    package init() {}

    package var utilization: Double { size == 0 ? 0 : Double(inUse) / Double(size) }
    /// Share of leases that found a handle open; nil before the first.
    package var efficiency: Double? { leases == 0 ? nil : Double(reused) / Double(leases) }
}
