/// How many handles a pool keeps, decided from how many it needed. A value: no clock, no handle.
package struct PoolSizing: Hashable, Sendable {
    package let minimum: Int
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

    /// The size of a pool in which somebody would have to wait.
    ///
    /// - Parameter room: handles that all pools together may still add.
    package func grown(from size: Int, inUse: Int, waiting: Int, room: Int) -> Int {
        let limit = min(ceiling, size + max(0, room))
        guard size < limit else { return size }
        guard size > 0, Double(inUse + waiting) / Double(size) > threshold else { return max(size, min(limit, size == 0 ? 1 : size)) }
        return min(limit, max(size + 1, Self.rounded(up: Double(size) * growthFactor)))
    }

    /// The size of a pool after a minute.
    ///
    /// - Parameter history: the largest used share of each minute, newest last.
    package func shrunk(from size: Int, history: some Collection<Double>) -> Int {
        guard size > minimum, history.count >= Self.quietMinutes else { return size }
        let peak = history.suffix(Self.quietMinutes).max() ?? 1
        let smaller = max(minimum, Int(Double(size) / growthFactor))
        let needed = peak * Double(size)
        // Twice the step: a pool that would soon grow again does not shrink.
        guard smaller < size, needed <= threshold / growthFactor * Double(smaller) else { return size }
        return max(smaller, Self.rounded(up: needed))
    }

    private static func rounded(up value: Double) -> Int { Int(min(value.rounded(.up), 1_000_000)) }
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
