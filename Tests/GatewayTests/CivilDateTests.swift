import Testing

@testable import Gateway

struct CivilDateTests {
    /// `TimeTests` steps through the days; this through the months, and from there back.
    @Test func `the first of every month of three thousand years is what it says it is`() {
        let lengths: [Int64] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        var wrong: [String] = []
        var first: Int64 = -719_162
        for year in Int64(1)...3000 {
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            for month in Int64(1)...12 {
                let date = CivilDate(daysSince1970: first)
                let isRight = CivilDate.firstDay(year: year, month: month) == first && (date.year, date.month, date.day) == (year, month, 1)
                first += lengths[Int(month) - 1] + (isLeap && month == 2 ? 1 : 0)
                let last = CivilDate(daysSince1970: first - 1)
                let isLastRight = (last.year, last.month) == (year, month)
                if !isRight || !isLastRight { wrong.append("\(year)-\(month)") }
            }
        }
        #expect(wrong == [])
        #expect(first == CivilDate.firstDay(year: 3001, month: 1))
    }

    @Test(
        arguments: [
            (0, 1970, 1, 1), (-1, 1969, 12, 31), (-719_162, 1, 1, 1), (-719_163, 0, 12, 31), (-719_468, 0, 3, 1), (-719_469, 0, 2, 29),
            (-719_529, -1, 12, 31), (11_016, 2000, 2, 29), (47_541, 2100, 3, 1), (-865_565, -400, 3, 1), (-865_566, -400, 2, 29),
        ] as [(Int64, Int64, Int64, Int64)])
    func `years before the first, and days before 1970, are counted on`(days: Int64, year: Int64, month: Int64, day: Int64) {
        let date = CivilDate(daysSince1970: days)
        #expect((date.year, date.month, date.day) == (year, month, day))
        #expect(CivilDate.firstDay(year: year, month: month) + day - 1 == days)
    }

    @Test(
        arguments: [(0, 0), (-1, -1), (1, 0), (-86_400_000_000, -1), (-86_400_000_001, -2), (86_399_999_999, 0), (86_400_000_000, 1)]
            as [(Int64, Int64)])
    func `a day begins at midnight, before 1970 too`(microseconds: Int64, days: Int64) {
        #expect(Timestamp(microseconds: microseconds).daysSince1970 == days)
    }

    @Test(arguments: [Int64.min, .max])
    func `no moment that can be stored is beyond the calendar`(microseconds: Int64) {
        let date = CivilDate(daysSince1970: Timestamp(microseconds: microseconds).daysSince1970)
        #expect((1...12).contains(date.month) && (1...31).contains(date.day))
        #expect(date.year == (microseconds < 0 ? -290_308 : 294_247))
    }
}
