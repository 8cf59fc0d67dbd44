package import Gateway

/// How fast a bucket fills and how much it holds.
package struct RateLimit: Hashable, Sendable {
    /// Tokens a minute, 1 to 10,000,000.
    package let perMinute: Int64
    /// Tokens a full bucket holds, at least 1.
    package let capacity: Int64

    /// - Parameters:
    ///   - perMinute: 0 means there is no limit: nil.
    ///   - burst: capacity as a multiple of a minute's tokens.
    package init?(perMinute: Int, burst: Double) {
        precondition(perMinute >= 0, "a rate is not negative")
        guard perMinute > 0 else { return nil }
        self.perMinute = Int64(min(perMinute, 10_000_000))
        let factor = burst.isNaN ? 1 : min(max(burst, 0), 10)
        capacity = max(1, Int64((Double(self.perMinute) * factor).rounded()))
    }

    /// How long an empty bucket takes to fill.
    package var timeToFill: Duration { .nanoseconds((capacity * 60_000_000_000 + perMinute - 1) / perMinute) }
}

/// A token bucket, as arithmetic: no clock, no lock, no storage.
///
/// Nothing tops the bucket up; each `take` first credits the time since the last one. The level is counted in
/// sixty-milliard-ths of a token, so that a rate per minute over nanoseconds is a whole number and nothing is ever
/// rounded: over any number of takes the bucket grants exactly what time and capacity allow.
package struct TokenBucket: Hashable, Sendable {
    package enum Decision: Hashable, Sendable {
        case admitted(remaining: Int64)
        case throttled(retryAfter: Duration)
    }

    /// What one token weighs: nanoseconds in a minute.
    static let token: Int64 = 60_000_000_000

    package private(set) var level: Int64
    package private(set) var creditedAt: BootInstant

    /// A full bucket: what a principal nobody has seen yet has.
    package init(full limit: RateLimit, at now: BootInstant) {
        level = limit.capacity * Self.token
        creditedAt = now
    }

    /// A bucket as it was stored. A level below nothing is damage, and counts as empty.
    package init(level: Int64, creditedAt: BootInstant) {
        self.level = max(0, level)
        self.creditedAt = creditedAt
    }

    /// Takes tokens if there are enough; a refusal takes nothing.
    ///
    /// A clock that stands still or runs backward credits nothing.
    ///
    /// - Parameter tokens: 1 to the limit's capacity.
    package mutating func take(_ tokens: Int64 = 1, of limit: RateLimit, at now: BootInstant) -> Decision {
        precondition((1...limit.capacity).contains(tokens), "a take that no bucket could ever admit")
        credit(limit, at: now)
        if let wait = wait(for: tokens, of: limit) { return .throttled(retryAfter: wait) }
        remove(tokens)
        return .admitted(remaining: remaining)
    }

    /// Whole tokens in it.
    package var remaining: Int64 { level / Self.token }

    /// How long until that many tokens are in it; nil if they are.
    func wait(for tokens: Int64, of limit: RateLimit) -> Duration? {
        let missing = tokens * Self.token - level
        return missing > 0 ? .nanoseconds((missing + limit.perMinute - 1) / limit.perMinute) : nil
    }

    /// How long until it is full.
    package func timeToFill(of limit: RateLimit) -> Duration { wait(for: limit.capacity, of: limit) ?? .zero }

    mutating func remove(_ tokens: Int64) {
        level -= tokens * Self.token
        assert(level >= 0, "tokens are removed only where they are")
    }

    package mutating func credit(_ limit: RateLimit, at now: BootInstant) {
        let full = limit.capacity * Self.token
        guard now > creditedAt else { return level = min(level, full) }
        let (elapsed, isBeyondMeasure) = now.nanoseconds.subtractingReportingOverflow(creditedAt.nanoseconds)
        creditedAt = now
        // A limit that was lowered empties what no longer fits; a long wait fills the bucket without overflowing.
        if isBeyondMeasure || level >= full || elapsed >= (full - level) / limit.perMinute + 1 {
            level = full
        } else {
            level += elapsed * limit.perMinute
        }
    }
}
