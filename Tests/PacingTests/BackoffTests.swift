import Testing

@testable import Pacing

struct BackoffTests {
    @Test(arguments: [(0, 0), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (62, 60), (63, 60), (1000, 60), (.max, 60), (-1, 0), (.min, 0)])
    func `each failure doubles the wait, up to the longest`(failures: Int, seconds: Int) {
        let backoff = Backoff(first: .seconds(1), longest: .seconds(60))
        #expect(backoff.wait(afterFailures: failures) == .seconds(seconds))
    }

    @Test(arguments: [1, 2, 100])
    func `the first wait is cut to the longest too`(failures: Int) {
        #expect(Backoff(first: .seconds(9), longest: .seconds(5)).wait(afterFailures: failures) == .seconds(5))
    }

    @Test(arguments: [1, 40, .max])
    func `a wait of nothing stays nothing`(failures: Int) {
        #expect(Backoff(first: .zero, longest: .seconds(5)).wait(afterFailures: failures) == .zero)
    }
}
