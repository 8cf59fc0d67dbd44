package import Gateway

/// What a server says that nobody waits for, as arithmetic: beyond a burst it is read at a pace only, and a server that keeps that up for
/// too long is not listened to any more.
///
/// Reading on later is all it takes to slow a server down: what is not read stays in its pipe or connection until that is full.
package struct Chatter: Sendable {
    package struct Bound: Sendable {
        let burst: Int
        let perSecond: Int
        let longest: Duration

        /// - Parameters:
        ///   - burst: bytes that are read at once.
        ///   - perSecond: bytes that come free each second.
        ///   - longest: how long a server may have more to say than that.
        package init(burst: Int, perSecond: Int, longest: Duration) {
            precondition(burst > 0 && perSecond > 0, "a bound that lets nothing through")
            (self.burst, self.perSecond, self.longest) = (burst, perSecond, longest)
        }

        package static let standard = Bound(burst: 1 << 20, perSecond: 256 << 10, longest: .seconds(60))
    }

    package enum Decision: Hashable, Sendable {
        case readOn
        case pause(Duration)
        /// It has gone on for too long.
        case enough
    }

    /// What a message takes at the least, for the work is not in its bytes alone.
    package static let leastCost = 64
    private static let second: Int64 = 1_000_000_000

    private let bound: Bound
    /// In milliardths of a byte, so that nothing is rounded. Below nothing it is a debt.
    private var level: Int64
    private var creditedAt: BootInstant
    /// Since when there is more than the pace; nil when there is not.
    private var since: BootInstant?

    package init(_ bound: Bound, at now: BootInstant) {
        self.bound = bound
        level = Int64(bound.burst) * Self.second
        creditedAt = now
    }

    /// Counts what was read and belonged to nobody.
    ///
    /// A single message never takes more than the burst: the late answer of a call that was given up is large once, not without end.
    package mutating func heard(_ bytes: Int, at now: BootInstant) -> Decision {
        credit(at: now)
        // Silent for as long as a burst takes, it begins anew.
        if level == Int64(bound.burst) * Self.second { since = nil }
        level -= Int64(min(max(bytes, Self.leastCost), bound.burst)) * Self.second
        guard level < 0 else { return .readOn }
        let begun = since ?? now
        since = begun
        if begun.advanced(by: bound.longest) < now { return .enough }
        // Not message by message.
        let missing = Int64(min(bound.perSecond, bound.burst)) * Self.second / 4 - level
        return .pause(.nanoseconds((missing + Int64(bound.perSecond) - 1) / Int64(bound.perSecond)))
    }

    /// A clock that stands still or runs backward credits nothing.
    private mutating func credit(at now: BootInstant) {
        guard now > creditedAt else { return }
        let full = Int64(bound.burst) * Self.second
        let elapsed = now.nanoseconds - creditedAt.nanoseconds
        creditedAt = now
        level = elapsed > (full - level) / Int64(bound.perSecond) ? full : level + elapsed * Int64(bound.perSecond)
    }
}
