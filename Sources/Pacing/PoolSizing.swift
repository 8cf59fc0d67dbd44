/// How many handles a pool keeps, decided from how many it needed. A value: no clock, no handle.
package struct PoolSizing: Hashable, Sendable {
    /// Handles it keeps at least, 1 to `ceiling`.
    package let minimum: Int
    /// Handles it holds at most, at least 1.
    package let ceiling: Int
    /// How much larger a pool grows in one step, at least 1.
    package let growthFactor: Double
    /// The used share above which it grows, above 0 and at most 1.
    package let threshold: Double

    /// A pool shrinks when so many minutes in a row would have fitted into the smaller one.
    package static let quietMinutes = 5

    package init(minimum: Int, ceiling: Int, growthFactor: Double = 1.5, threshold: Double = 0.8) {
        self.ceiling = max(1, ceiling)
        self.minimum = min(max(1, minimum), self.ceiling)
        self.growthFactor = growthFactor.isFinite ? max(1, growthFactor) : 1
        self.threshold = threshold.isFinite ? min(max(threshold, 0.01), 1) : 1
    }

    /// The size of a pool in which somebody would have to wait: never smaller than `size`. Counts below zero are zero.
    ///
    /// - Parameters:
    ///   - waiting: who waits, whoever asks now among them.
    ///   - room: handles that all pools together may still add.
    package func grown(from size: Int, inUse: Int, waiting: Int, room: Int) -> Int {
        let (sum, isBeyond) = max(0, size).addingReportingOverflow(max(0, room))
        let limit = min(ceiling, isBeyond ? .max : sum)
        guard size < limit else { return size }
        guard size > 0 else { return 1 }
        guard (Double(max(0, inUse)) + Double(max(0, waiting))) / Double(size) > threshold else { return size }
        return min(limit, max(size + 1, Self.whole((Double(size) * growthFactor).rounded(.up))))
    }

    /// The size of a pool after a minute: never larger than `size`, and never below `minimum` nor what the last five
    /// minutes needed.
    ///
    /// - Parameter history: the largest used share of each minute, of a pool of this `size`, newest last.
    package func shrunk(from size: Int, history: some Collection<Double>) -> Int {
        let peaks = history.suffix(Self.quietMinutes)
        // A share that is no number says nothing about how quiet it was.
        guard size > minimum, peaks.count == Self.quietMinutes, let peak = peaks.max(), !peaks.contains(where: \.isNaN) else { return size }
        // One at least, as it grows: a factor of 1 would otherwise keep for good whatever was added.
        let smaller = max(minimum, min(size - 1, Self.whole((Double(size) / growthFactor).rounded(.down))))
        // Twice the step: a pool that would soon grow again does not shrink. It also holds what is needed, as threshold <= 1 <= factor.
        guard peak * Double(size) <= threshold / growthFactor * Double(smaller) else { return size }
        return smaller
    }

    /// A whole number of handles; more than can be counted is `Int.max`.
    private static func whole(_ value: Double) -> Int { Int(exactly: value) ?? .max }
}

/// How full a pool was: 24 hours, one sample a minute.
package struct UsageHistory: Hashable, Sendable {
    package static let capacity = 1440
    package private(set) var values: [Double] = []

    package init() {}

    package mutating func record(_ share: Double) {
        if values.count == Self.capacity { values.removeFirst() }
        values.append(share)
    }
}

/// The last hundred durations.
package struct LatencyRing: Hashable, Sendable {
    package static let capacity = 100
    private var values: [Duration] = []
    private var next = 0

    package init() {}

    package var count: Int { values.count }

    package mutating func record(_ duration: Duration) {
        if values.count < Self.capacity { values.append(duration) } else { values[next] = duration }
        next = (next + 1) % Self.capacity
    }

    package var average: Duration? { values.isEmpty ? nil : values.reduce(.zero, +) / values.count }
    package var longest: Duration? { values.max() }
}
