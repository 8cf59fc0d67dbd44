package import Gateway

/// When a token is refreshed, as arithmetic: no clock, no timer, no issuer.
///
/// Everything is counted on the clock that never jumps: a token is placed on it once (`life`), and from then on no change of
/// the wall clock makes it due or keeps it waiting.
package struct RefreshSchedule: Hashable, Sendable {
    package enum Decision: Hashable, Sendable {
        /// Look again then; never later than the longest pause between two attempts, the token's due time or the issuer's wish.
        case notYet(until: BootInstant)
        case due(Urgency)
        /// It was tried as often as it may be: its user has to sign in again.
        case giveUp
    }

    package enum Urgency: Hashable, Sendable {
        /// Time is left.
        case proactive
        /// Less than the margin is left, or nothing.
        case emergency
    }

    /// What came of a token's refresh so far.
    package struct Attempts: Hashable, Sendable {
        /// Failures in a row that speak against the token: while its issuer is known to fail for everybody, none does.
        package var failures: Int
        package var lastFailedAt: BootInstant

        package static let none = Self(failures: 0, lastFailedAt: BootInstant(nanoseconds: 0))

        package init(failures: Int, lastFailedAt: BootInstant) {
            self.failures = failures
            self.lastFailedAt = lastFailedAt
        }
    }

    /// How long before its expiry a token is due at the latest.
    package let proactive: Duration
    /// How long before its expiry callers no longer get it without a refresh.
    package let margin: Duration
    /// The pauses after the first failure, the second and so on; the last one repeats.
    package let pauses: [Duration]
    package let mostRetries: Int

    /// Tokens that expire together are refreshed over this share of their lifetime, but not over more than `widestSpread`.
    static let spread = 0.2
    static let widestSpread = Duration.seconds(300)
    /// A pause is up to so much longer than it says, for what failed together shall not be tried again together.
    static let pauseSpread = 0.1
    /// An issuer whose tokens live for less than a minute, or not at all, is not asked more often than this in the background.
    static let shortestPause = Duration.seconds(30)
    /// A lifetime beyond this is taken for as long, so that a refresh token is used before it has idled for too long.
    static let longestLife = Duration.seconds(7 * 86_400)
    /// Two clocks that differ by less agree.
    static let skew = Duration.seconds(60)

    /// - Parameters:
    ///   - proactive: at most a day, and at least `margin`.
    ///   - margin: 0 to a day.
    ///   - pauses: each a second to a day; without any, 30 seconds.
    ///   - mostRetries: attempts after the first, 0 to 100.
    package init(
        proactive: Duration = .seconds(600), margin: Duration = .seconds(300),
        pauses: [Duration] = [.seconds(30), .seconds(60), .seconds(120), .seconds(300)], mostRetries: Int = 4
    ) {
        let day = Duration.seconds(86_400)
        self.margin = min(max(.zero, margin), day)
        self.proactive = min(max(self.margin, proactive), day)
        self.pauses = pauses.isEmpty ? [Self.shortestPause] : pauses.map { min(max(.seconds(1), $0), day) }
        self.mostRetries = min(max(0, mostRetries), 100)
    }

    /// Places a token on the clock that never jumps.
    ///
    /// How old it is can only be told by the wall clock. If that says that the token was obtained in the future, it went back
    /// since, and the age is not known: the token is refreshed soon, not together with others like it. One that has expired,
    /// as all have after a long rest, waits for its turn likewise; whoever asks for it need not.
    package func life(of user: UserID, obtainedAt: Timestamp, expiresAt: Timestamp, seenAt now: Moment) -> TokenLife {
        let lifetime = min(max(.zero, Self.span(from: obtainedAt, to: expiresAt)), Self.longestLife)
        // Half of a short life is for using the token, and the times before its expiry shrink alike.
        let scale = proactive * 2 > lifetime ? lifetime / (proactive * 2) : 1
        let (lead, margin) = (proactive * scale, margin * scale)
        let spread = min(lifetime * Self.spread, Self.widestSpread)
        let seed = UInt64(bitPattern: user.rawValue) ^ UInt64(bitPattern: expiresAt.microseconds)
        let early = spread * Self.fraction(seed)

        let age = Self.span(from: obtainedAt, to: now.wall)
        let left = age < .zero - Self.skew ? min(lifetime, lead + spread) : lifetime - min(max(.zero, age), Self.longestLife * 2)
        let expiry = now.boot.advanced(by: left)
        let start = expiry.advanced(by: .zero - lifetime)
        let due = left > .zero ? expiry.advanced(by: .zero - lead - early) : now.boot.advanced(by: early)
        return TokenLife(
            seed: seed, obtainedAt: start, dueAt: max(due, start.advanced(by: Self.shortestPause)),
            emergencyAt: expiry.advanced(by: .zero - margin), expiresAt: expiry)
    }

    /// Whether a token is to be refreshed now.
    ///
    /// - Parameters:
    ///   - isAsked: somebody waits for it: it need not be due, and one that was given up is tried again after the last pause.
    ///   - closedUntil: when its issuer may be asked again; nil if it may be asked now.
    package func next(
        for life: TokenLife, after attempts: Attempts = .none, isAsked: Bool = false, closedUntil: BootInstant? = nil, at now: BootInstant
    ) -> Decision {
        var earliest = isAsked ? now : life.dueAt
        if attempts.failures > 0 {
            guard attempts.failures <= mostRetries || isAsked else { return .giveUp }
            earliest = attempts.lastFailedAt.advanced(by: pause(afterFailures: attempts.failures, of: life))
        }
        if let closedUntil { earliest = max(earliest, closedUntil) }
        guard now >= earliest else { return .notYet(until: earliest) }
        return .due(now < life.emergencyAt ? .proactive : .emergency)
    }

    private func pause(afterFailures failures: Int, of life: TokenLife) -> Duration {
        let pause = pauses[min(failures, pauses.count) - 1]
        return pause + pause * (Self.pauseSpread * Self.fraction(life.seed &+ UInt64(failures)))
    }

    /// From 0 up to, not including, 1: the same for the same seed, and evenly spread over different ones (SplitMix64).
    private static func fraction(_ seed: UInt64) -> Double {
        var mixed = seed &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        mixed ^= mixed >> 31
        return Double(mixed >> 11) / Double(1 << 53)
    }

    /// Stops at the ends of what can be told.
    private static func span(from start: Timestamp, to end: Timestamp) -> Duration {
        let (span, isBeyond) = end.microseconds.subtractingReportingOverflow(start.microseconds)
        return .microseconds(isBeyond ? (end < start ? .min : .max) : span)
    }
}

/// A token's life on the clock that never jumps, as `RefreshSchedule.life` places it.
package struct TokenLife: Hashable, Sendable {
    /// Sets apart the tokens that expire together.
    let seed: UInt64
    package let obtainedAt: BootInstant
    /// When it is refreshed in the background.
    package let dueAt: BootInstant
    /// From here on whoever asks for it gets a new one.
    package let emergencyAt: BootInstant
    package let expiresAt: BootInstant
}
