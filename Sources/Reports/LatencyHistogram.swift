/// Counts durations in fixed buckets, so that any number of them takes the same space and two can be added.
///
/// The bounds grow by about a quarter each from 50 µs to 100 s; a percentile is read as its bucket's upper bound, so
/// it is never too low, and above 50 µs at most 26 % too high.
package struct LatencyHistogram: Hashable, Sendable {
    /// Upper bounds in microseconds, ascending; one more bucket stands above the last.
    package static let bounds: [Int64] = {
        var bounds: [Int64] = []
        var bound = 50.0
        while bound < 100_000_000 {
            bounds.append(Int64(bound))
            bound *= 1.2589254
        }
        return bounds + [100_000_000]
    }()

    package private(set) var counts: [Int]
    package private(set) var total: Duration = .zero
    private var longest: Duration = .zero

    package init() { counts = [Int](repeating: 0, count: Self.bounds.count + 1) }

    package var count: Int { counts.reduce(0) { $0.adding(saturating: $1) } }

    package mutating func record(_ duration: Duration) {
        // More than the last bound is the same bucket, however much more.
        let (seconds, attoseconds) = min(duration, .seconds(101)).components
        let microseconds = seconds * 1_000_000 + (attoseconds + 999_999_999_999) / 1_000_000_000_000
        counts[Self.index(of: microseconds)] += 1
        total += duration
        longest = max(longest, duration)
    }

    package mutating func add(_ other: Self) {
        for index in counts.indices { counts[index] = counts[index].adding(saturating: other.counts[index]) }
        total += other.total
        longest = max(longest, other.longest)
    }

    mutating func add(bucket index: Int, count: Int) {
        guard counts.indices.contains(index) else { return }
        counts[index] = counts[index].adding(saturating: count)
        // How long the longest was is not stored; what it surely exceeded is.
        if index == Self.bounds.count { longest = max(longest, .microseconds(Self.bounds[index - 1])) }
    }

    mutating func add(total duration: Duration) { total += duration }

    /// The duration that this share of all records did not exceed; nil when there are none.
    ///
    /// - Parameter share: 0 to 1.
    package func percentile(_ share: Double) -> Duration? {
        let count = count
        guard count > 0 else { return nil }
        // What cannot be told as a whole number is beyond all of them.
        let rank = min(count, max(1, Int(exactly: (share * Double(count)).rounded(.up)) ?? count))
        var seen = 0
        for (index, here) in counts.enumerated() {
            seen = seen.adding(saturating: here)
            if seen >= rank { return index < Self.bounds.count ? .microseconds(Self.bounds[index]) : longest }
        }
        return nil
    }

    private static func index(of microseconds: Int64) -> Int {
        var low = 0
        var high = bounds.count
        while low < high {
            let middle = (low + high) / 2
            if bounds[middle] < microseconds { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension FixedWidthInteger {
    /// The sum, or the number nearest to it: sums are read from files, and a damaged one must not end the program.
    func adding(saturating other: Self) -> Self {
        let (sum, isBeyond) = addingReportingOverflow(other)
        return isBeyond ? (other < 0 ? .min : .max) : sum
    }
}
