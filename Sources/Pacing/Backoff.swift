/// How long to wait before trying again something that failed so many times in a row.
package struct Backoff: Sendable {
    package let first: Duration
    package let longest: Duration

    package init(first: Duration, longest: Duration) {
        self.first = first
        self.longest = longest
    }

    /// Doubles from `first` up to `longest`; no failure means no wait.
    package func wait(afterFailures failures: Int) -> Duration {
        guard failures > 0 else { return .zero }
        var wait = first
        for _ in 1..<min(failures, 62) where wait < longest { wait = wait * 2 }
        return min(wait, longest)
    }
}
