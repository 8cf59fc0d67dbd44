import Testing

@testable import Pacing

struct DecisionTimesTests {
    static func times(_ durations: [Duration]) -> DecisionTimes {
        var times = DecisionTimes()
        for duration in durations { times.note(duration) }
        return times
    }

    @Test func `without decisions there is nothing to tell`() {
        #expect(DecisionTimes().percentile(0.5) == nil)
        #expect(DecisionTimes().count == 0)
    }

    @Test func `a figure is never too low, and at most an eighth too high`() {
        var chance = Chance(3)
        var wrong: [Int64] = []
        for _ in 0..<50_000 {
            let nanoseconds = chance.pick(64...1 << chance.pick(7...31))
            guard case let figure? = Self.times([.nanoseconds(nanoseconds)]).percentile(1) else { return wrong.append(nanoseconds) }
            if figure < .nanoseconds(nanoseconds) || figure > .nanoseconds(nanoseconds + nanoseconds / 8) { wrong.append(nanoseconds) }
        }
        #expect(wrong == [])
    }

    @Test func `each doubling has eight steps`() {
        let figures = Set((1024...2047).compactMap { Self.times([.nanoseconds($0)]).percentile(1) })
        #expect(figures == Set((1...8).map { .nanoseconds(1024 + 128 * $0) }))
    }

    @Test func `a percentile is what so many took at most`() {
        let times = Self.times(Array(repeating: .nanoseconds(100), count: 98) + [.microseconds(10), .milliseconds(3)])
        #expect([0, 0.5, 0.98].map { times.percentile($0) } == [.nanoseconds(104), .nanoseconds(104), .nanoseconds(104)])
        #expect(times.percentile(0.99) == .nanoseconds(10_240))
        #expect(times.percentile(0.999) == times.percentile(1))
        #expect(times.percentile(1).map { $0 >= .milliseconds(3) } == true)
    }

    @Test func `figures of two gateways are added up`() {
        var sum = Self.times([.nanoseconds(100), .nanoseconds(100), .nanoseconds(100)])
        sum.add(Self.times([.seconds(1)]))
        #expect(sum.count == 4)
        #expect(sum.percentile(0.75) == .nanoseconds(104))
        #expect(sum.percentile(1).map { $0 >= .seconds(1) } == true)
    }

    @Test(
        arguments: [(Duration.zero, 72), (.nanoseconds(-1), 72), (.seconds(-1_000_000), 72), (.nanoseconds(63), 72), (.seconds(4), 4_026_531_840)]
            + [Duration.seconds(5), .seconds(Int64.max)].map { ($0, 4_026_531_840) } as [(Duration, Int64)])
    func `what lies outside is counted at the edge, and traps nobody`(duration: Duration, nanoseconds: Int64) {
        #expect(Self.times([duration]).percentile(1) == .nanoseconds(nanoseconds))
    }
}
