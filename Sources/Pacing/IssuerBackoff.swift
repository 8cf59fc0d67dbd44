package import Gateway

/// Whether an issuer may be asked for tokens: a value that hears what came of each request.
///
/// It closes when the issuer says how long to leave it alone (`Retry-After`), or fails so often in a row that it is not the
/// tokens' fault. After that one request at a time probes it, the pauses between probes double, and the first that is
/// answered opens it.
package struct IssuerBackoff: Hashable, Sendable {
    /// Leave to ask once. Each is given back exactly once: `answered`, `failed` or `returned`.
    package enum Pass: Hashable, Sendable {
        case ordinary
        /// The only one while it is closed.
        case probe
    }

    /// Failures in a row that close it. One in ten requests may fail for a long time, and five in a row say more than that.
    static let tolerance = 5
    /// What an issuer may ask for at most; tokens would expire meanwhile.
    static let longestRetryAfter = Duration.seconds(3600)
    private static let backoff = Backoff(first: .seconds(1), longest: .seconds(300))

    package private(set) var failuresInRow = 0
    /// Nil while it is open.
    private var closedUntil: BootInstant?
    private var isProbing = false
    /// How often it was closed without having been open in between.
    private var closings = 0

    package init() {}

    package var isClosed: Bool { closedUntil != nil }
    /// Whether nothing is known against it.
    package var isBlank: Bool { failuresInRow == 0 && closedUntil == nil }

    /// When there is a pass at the earliest: nil for now. While a probe is under way nobody can tell, and it is the time of the
    /// next one should this fail at once.
    package func closed(at now: BootInstant) -> BootInstant? {
        guard let closedUntil else { return nil }
        if isProbing { return max(closedUntil, now.advanced(by: Self.backoff.wait(afterFailures: closings + 1))) }
        return now < closedUntil ? closedUntil : nil
    }

    /// Leave to ask now; nil while it is closed.
    package mutating func pass(at now: BootInstant) -> Pass? {
        guard let closedUntil else { return .ordinary }
        guard !isProbing, now >= closedUntil else { return nil }
        isProbing = true
        return .probe
    }

    /// It answered, if only to refuse.
    package mutating func answered(_ pass: Pass) {
        // What was asked before it closed says nothing about now.
        guard pass == .probe || closedUntil == nil else { return }
        self = Self()
    }

    /// It could not be reached, failed, or asked to be left alone.
    package mutating func failed(_ pass: Pass, retryAfter: Duration? = nil, at now: BootInstant) {
        let asked = retryAfter.map { min(max(.zero, $0), Self.longestRetryAfter) }
        failuresInRow = min(failuresInRow + 1, Int(Int32.max))
        if pass == .probe { isProbing = false }
        if let closedUntil, pass == .ordinary {
            // Sent before it closed: no news, unless it asks for more.
            self.closedUntil = max(closedUntil, now.advanced(by: asked ?? .zero))
        } else if pass == .probe || asked != nil || failuresInRow >= Self.tolerance {
            closings = min(closings + 1, Int(Int32.max))
            closedUntil = now.advanced(by: max(Self.backoff.wait(afterFailures: closings), asked ?? .zero))
        }
    }

    /// It was not asked after all.
    package mutating func returned(_ pass: Pass) {
        if pass == .probe { isProbing = false }
    }
}
