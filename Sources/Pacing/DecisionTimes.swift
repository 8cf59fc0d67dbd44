/// How long decisions took: a histogram of eight steps to each doubling, from 64 ns to 4 s, so that a figure is at most
/// an eighth too high.
package struct DecisionTimes: Sendable {
    private static let steps = 8
    private static let first = 6
    private static let octaves = 26
    private var counts = [Int](repeating: 0, count: steps * octaves)
    package private(set) var count = 0

    package init() {}

    package mutating func note(_ duration: Duration) {
        let nanoseconds = max(1 << Self.first, duration.nanosecondsInside)
        let octave = Int64.bitWidth - 1 - nanoseconds.leadingZeroBitCount
        let step = Int((nanoseconds - 1 << octave) >> (octave - 3))
        counts[min(counts.count - 1, (octave - Self.first) * Self.steps + step)] += 1
        count += 1
    }

    package mutating func add(_ others: DecisionTimes) {
        for index in counts.indices { counts[index] += others.counts[index] }
        count += others.count
    }

    /// What that share of decisions took at most; nil when there were none.
    package func percentile(_ share: Double) -> Duration? {
        guard count > 0 else { return nil }
        let wanted = max(1, Int((Double(count) * share).rounded(.up)))
        var below = 0
        for (index, number) in counts.enumerated() {
            below += number
            guard below >= wanted else { continue }
            let octave = index / Self.steps + Self.first
            return .nanoseconds(Int64(1) << octave + Int64(index % Self.steps + 1) << (octave - 3))
        }
        return nil
    }
}

extension Duration {
    /// Capped at four seconds: more would not fit in the histogram.
    fileprivate var nanosecondsInside: Int64 {
        self >= .seconds(4) ? 4_000_000_000 : components.attoseconds / 1_000_000_000 + components.seconds * 1_000_000_000
    }
}
