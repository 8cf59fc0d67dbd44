import Testing

@testable import Reports

struct TrendTests {
    static func trend(_ values: [Double]) -> Trend? {
        Trend(Dictionary(uniqueKeysWithValues: values.enumerated().map { (Int64($0.offset), $0.element) }))
    }

    @Test func `the line, its interval and its fit are those of a computation by hand`() throws {
        // Means 2 and 4; xx = 10, xy = 6, yy = 6; what the line leaves is 6 - 0.6 * 6 = 2.4; t of 3 is 3.182.
        let trend = try #require(Self.trend([2, 4, 5, 4, 5]))
        #expect(abs(trend.slope - 0.6) < 1e-12)
        #expect(abs(trend.fit - 0.6) < 1e-12)
        #expect(abs(trend.halfInterval - 3.182 * (2.4 / 3 / 10).squareRoot()) < 1e-12)
    }

    @Test func `days without data leave a gap and do not shorten time`() {
        let trend = Trend([19_000: 0, 19_001: 10, 19_005: 50, 19_010: 100])
        #expect(trend?.slope == 10)
        #expect(trend?.fit == 1)
    }

    @Test func `what stays as it is has no slope`() {
        let trend = Self.trend([7, 7, 7, 7, 7])
        #expect(trend?.slope == 0)
        #expect(trend?.halfInterval == 0)
    }

    @Test(arguments: 0..<4)
    func `three days are no trend`(days: Int) {
        #expect(Self.trend([Double](repeating: 1, count: days)) == nil)
    }

    @Test func `the largest numbers there are make no trap`() {
        let trend = Self.trend([0, Double(Int.max), 0, Double(Int.max)])
        #expect(trend?.slope.isFinite == true)
        #expect(trend?.halfInterval.isFinite == true)
    }
}
