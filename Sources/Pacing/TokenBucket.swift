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
        guard perMinute > 0 else { return nil }
        self.perMinute = Int64(min(perMinute, 10_000_000))
        capacity = max(1, Int64((Double(self.perMinute) * min(burst, 10)).rounded()))
    }
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

    /// A bucket as it was stored.
    package init(level: Int64, creditedAt: BootInstant) {
        self.level = level
        self.creditedAt = creditedAt
    }

    /// Takes tokens if there are enough; a refusal takes nothing.
    ///
    /// A clock that stands still or runs backward credits nothing.
    package mutating func take(_ tokens: Int64 = 1, of limit: RateLimit, at now: BootInstant) -> Decision {
        credit(limit, at: now)
        let wanted = tokens * Self.token
        guard level >= wanted else {
            let missing = wanted - level
            let nanoseconds = (missing + limit.perMinute - 1) / limit.perMinute
            return .throttled(retryAfter: .nanoseconds(nanoseconds))
        }
        level -= wanted
        return .admitted(remaining: level / Self.token)
    }

    private mutating func credit(_ limit: RateLimit, at now: BootInstant) {
        let full = limit.capacity * Self.token
        let elapsed = max(0, now.nanoseconds - creditedAt.nanoseconds)
        creditedAt = max(creditedAt, now)
        // A limit that was lowered empties what no longer fits; a long wait fills the bucket without overflowing.
        if level >= full || elapsed >= (full - level) / limit.perMinute + 1 {
            level = full
        } else {
            level += elapsed * limit.perMinute
        }
    }
}
