import Gateway
import Testing

@testable import Pacing

struct QuotaPeriodTests {
    static let day: Int64 = 86_400_000_000
    static func days(_ days: Int64, _ microseconds: Int64 = 0) -> Timestamp { Timestamp(microseconds: days * day + microseconds) }

    /// Checked against `date -u -d`.
    @Test(
        arguments: [
            (0, 0, 0, 31), (30, 0, 1_000, 1), (31, 1, 0, 28), (58, 1, 0, 1), (59, 2, 0, 31), (364, 11, 0, 1), (365, 12, 0, 31),
            // 28 and 29 February and 1 March of 2000, of 2024, of 2025, of 2100.
            (11_015, 361, 0, 2), (11_016, 361, 0, 1), (11_017, 362, 0, 31), (19_781, 649, 0, 2), (19_782, 649, 0, 1), (19_783, 650, 0, 31),
            (20_147, 661, 0, 1), (20_148, 662, 0, 31), (47_540, 1561, 0, 1), (47_541, 1562, 0, 31),
            // The ends of 2024, of 2026 and of 1969.
            (20_088, 659, 0, 1), (20_089, 660, 0, 31), (20_818, 683, 0, 1), (-1, -1, 0, 1), (-31, -1, 0, 31), (-32, -2, 0, 1), (-61, -2, 0, 30),
        ] as [(Int64, Int64, Int64, Int64)])
    func `a moment lies in its day and its month, so many days before the next`(day: Int64, month: Int64, microseconds: Int64, left: Int64) {
        for offset in [0, microseconds, Self.day - 1] {
            let moment = Self.days(day, offset)
            #expect(QuotaPeriod.day.number(at: moment) == day)
            #expect(QuotaPeriod.month.number(at: moment) == month)
            #expect(QuotaPeriod.day.remaining(at: moment) == .microseconds(Self.day - offset))
            #expect(QuotaPeriod.month.remaining(at: moment) == .microseconds(left * Self.day - offset))
        }
    }

    @Test(arguments: QuotaPeriod.allCases)
    func `what remains leads exactly to the next period`(period: QuotaPeriod) {
        var chance = Chance(7)
        var wrong: [Timestamp] = []
        for _ in 0..<20_000 {
            // From 1900 to 2500.
            let moment = Timestamp(microseconds: chance.pick(-25_567 * Self.day...193_600 * Self.day))
            let next = moment.advanced(by: period.remaining(at: moment))
            let before = Timestamp(microseconds: next.microseconds - 1)
            if period.number(at: next) != period.number(at: moment) + 1 || period.number(at: before) != period.number(at: moment) {
                wrong.append(moment)
            }
        }
        #expect(wrong.map(\.rfc3339) == [])
    }
}

struct QuotaCountTests {
    /// A quota of five a period.
    static func take(_ count: inout QuotaCount, in period: Int64) -> Bool {
        count.turn(to: period)
        guard count.used < 5 else { return false }
        count.use(1)
        return true
    }

    static func granted(_ count: inout QuotaCount, in period: Int64) -> Int { (0..<20).count { _ in take(&count, in: period) } }

    @Test func `each period begins anew, and none carries over`() {
        var count = QuotaCount()
        #expect((20_000...20_003).map { Self.granted(&count, in: $0) } == [5, 5, 5, 5])
        #expect(Self.granted(&count, in: 20_400) == 5)
        #expect(Self.granted(&count, in: 20_400) == 0)
    }

    /// 3,650 days are ten years.
    @Test(arguments: [1, 2, 30, 3650, 1_000_000] as [Int64])
    func `a clock that is set back grants nothing, and nothing again when it is right`(back: Int64) {
        var count = QuotaCount()
        #expect(Self.granted(&count, in: 20_000) == 5)
        #expect(Self.granted(&count, in: 20_000 - back) == 0)
        #expect(Self.granted(&count, in: 20_000 - back) == 0)
    }

    @Test func `a clock set back by a day grants nothing until the day after the one it was`() {
        var count = QuotaCount()
        #expect(Self.granted(&count, in: 20_000) == 5)
        #expect((19_999...20_002).map { Self.granted(&count, in: $0) } == [0, 0, 5, 5])
    }

    @Test func `a clock that was wrong, and is corrected, goes on counting, and begins anew with the next period`() {
        var count = QuotaCount()
        for _ in 0..<3 { #expect(Self.take(&count, in: 23_650)) }
        #expect(Self.granted(&count, in: 20_000) == 2)
        #expect(count == QuotaCount(period: 20_000, used: 5))
        #expect(Self.granted(&count, in: 20_001) == 5)
    }

    @Test func `a stored count below nothing is none`() {
        #expect(QuotaCount(period: 1, used: -5).used == 0)
        var count = QuotaCount(period: 20_000, used: .min)
        #expect(Self.granted(&count, in: 20_000) == 5)
    }
}
