import Gateway
import Testing

@testable import Reports

struct RefreshReportTests {
    let start = Timestamp(microseconds: 1_800_000_000_000_000)

    private func at(hour: Double) -> BootInstant { BootInstant(nanoseconds: Int64(hour * 3_600_000_000_000)) }

    private func report(_ counts: RefreshTally.Counts, after: Duration = .seconds(60)) -> RefreshReport {
        RefreshReport(counts, standing: .init(), startedAt: start, now: start.advanced(by: after))
    }

    @Test func `nothing that has not happened has a value`() {
        let report = report(RefreshTally().counts(at: at(hour: 5)))
        #expect(report.figures.map(\.name) == ["success_rate", "proactive_ratio", "emergency_ratio", "avg_retry_count"])
        #expect(report.figures.allSatisfy { $0.value == nil && $0.isMet == nil && $0.note != nil })
    }

    @Test func `each renewal counts once, when it ends`() throws {
        var tally = RefreshTally()
        for _ in 0..<6 { tally.count(.proactive, retries: 0, at: at(hour: 5)) }
        tally.count(.emergency, retries: 3, at: at(hour: 5))
        tally.count(.late, retries: 0, at: at(hour: 5))
        tally.count(.refused, retries: 0, at: at(hour: 5))
        tally.count(.givenUp, retries: 4, at: at(hour: 5))
        let report = report(tally.counts(at: at(hour: 5)))
        #expect(report.figures.map(\.value) == [0.8, 0.75, 0.125, 0.7])
        #expect(report.figures.map(\.isMet) == [false, false, false, true])
        #expect(report.successRate.window == "since the start at \(start.rfc3339)")
        #expect(self.report(tally.counts(at: at(hour: 5)), after: .seconds(200_000)).successRate.window == "the running hour and the 23 before it")
    }

    @Test func `only refusals have no share of what was renewed`() {
        var tally = RefreshTally()
        tally.count(.refused, retries: 0, at: at(hour: 5))
        #expect(report(tally.counts(at: at(hour: 5))).figures.map(\.value) == [0, nil, nil, 0])
    }

    @Test func `what is a day old counts no longer`() {
        var tally = RefreshTally()
        for hour in 0..<100 { tally.count(.proactive, retries: 1, at: at(hour: Double(hour) + 0.5)) }
        #expect(tally.counts(at: at(hour: 99.9)).proactive == 24)
        #expect(tally.counts(at: at(hour: 99.9)).retries == 24)
        #expect(tally.counts(at: at(hour: 110)).proactive == 13)
        #expect(tally.counts(at: at(hour: 200)) == RefreshTally.Counts())
    }
}
