import Testing

@testable import Reports

struct LatencyHistogramTests {
    /// SplitMix64: the same numbers in every run.
    struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return mixed ^ mixed >> 31
        }
    }

    /// Between 50 µs and 100 s, the small as often as the large, to the nanosecond.
    static func durations(_ count: Int, seed: Int) -> [Duration] {
        var numbers = Numbers(state: UInt64(seed))
        return (0..<count).map { _ in
            let magnitude = Int64.random(in: 0..<21, using: &numbers)
            let floor = Int64(50_000) << magnitude
            return .nanoseconds(min(100_000_000_000, Int64.random(in: floor...floor * 2, using: &numbers)))
        }
    }

    static func histogram(_ durations: [Duration]) -> LatencyHistogram {
        var histogram = LatencyHistogram()
        for duration in durations { histogram.record(duration) }
        return histogram
    }

    @Test(arguments: [1, 2, 3, 19, 100, 1000, 4321], [0, 1, 25, 50, 75, 90, 95, 99, 100])
    func `a percentile is never too low, and at most 26 % too high`(count: Int, percent: Int) throws {
        let durations = Self.durations(count, seed: count).sorted()
        let exact = durations[max(1, (percent * count + 99) / 100) - 1]
        let found = try #require(Self.histogram(durations).percentile(Double(percent) / 100))
        #expect(found >= exact)
        // One microsecond more, because bounds are whole ones.
        #expect(found <= exact * 126 / 100 + .microseconds(1))
    }

    @Test(
        arguments: [
            .zero, .nanoseconds(1), .microseconds(49), .nanoseconds(50_001), .nanoseconds(62_900), .microseconds(63), .milliseconds(1), .seconds(1),
            .milliseconds(99_999), .seconds(9_000_000_000_000_000), .seconds(100), .seconds(100) + .nanoseconds(1), .seconds(101), .seconds(3600),
            .seconds(86_400),
        ] as [Duration])
    func `no duration is told to be shorter than it was`(duration: Duration) throws {
        let found = try #require(Self.histogram([duration]).percentile(1))
        #expect(found >= duration)
    }

    @Test func `a duration on a bound is told exactly`() {
        let told = LatencyHistogram.bounds.map { Self.histogram([.microseconds($0)]).percentile(0.5) }
        #expect(told == LatencyHistogram.bounds.map { .microseconds($0) })
    }

    @Test func `bounds rise from 50 µs to 100 s`() {
        #expect(LatencyHistogram.bounds.first == 50)
        #expect(LatencyHistogram.bounds.last == 100_000_000)
        #expect(zip(LatencyHistogram.bounds, LatencyHistogram.bounds.dropFirst()).allSatisfy { $0 < $1 })
    }

    @Test(arguments: [0, 0.5, 0.99, 1])
    func `an empty histogram has no percentile`(share: Double) {
        #expect(LatencyHistogram().percentile(share) == nil)
        #expect(LatencyHistogram().count == 0)
        #expect(LatencyHistogram().total == .zero)
    }

    @Test(arguments: [(0, 0), (0, 10), (10, 0), (500, 3), (777, 888)])
    func `two histograms add up to that of all durations`(left: Int, right: Int) {
        let first = Self.durations(left, seed: 1)
        let second = Self.durations(right, seed: 2)
        var sum = Self.histogram(first)
        sum.add(Self.histogram(second))
        #expect(sum == Self.histogram(first + second))
        #expect(sum.count == left + right)
        #expect(sum.total == (first + second).reduce(.zero, +))
    }

    @Test func `a duration below zero is counted with the shortest`() {
        #expect(Self.histogram([.seconds(-1)]).percentile(1) == .microseconds(50))
    }
}
