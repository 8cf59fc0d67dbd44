package import Gateway

/// How much may happen within any stretch of time of some length.
package struct WindowLimit: Hashable, Sendable {
    package let most: Int64
    package let length: Duration
    /// False for windows that begin anew at fixed times.
    package let slides: Bool

    /// - Parameters:
    ///   - most: at least 1.
    ///   - length: at least a second.
    package init(most: Int64, length: Duration, slides: Bool = true) {
        self.most = max(1, most)
        self.length = max(length, .seconds(1))
        self.slides = slides
    }
}

/// A count over a window that slides, from two windows that stand: what was counted in the one before is weighted by the
/// share of it that the sliding window still covers.
///
/// It supposes that the window before was filled evenly. Where it was not, a stretch of the window's length can hold more
/// than the limit, and never twice as much; a token bucket of the same capacity allows twice.
package struct SlidingWindow: Hashable, Sendable {
    /// Which of the standing windows `current` counts in.
    package private(set) var number: Int64
    package private(set) var current: Int64
    package private(set) var previous: Int64

    /// The number of a window that was stored without one: it is the one that stands when it is next looked at.
    package static let unplaced: Int64 = -1

    package init() { self.init(number: 0, current: 0, previous: 0) }

    /// As it was stored. Counts below nothing are damage, and count as nothing.
    package init(number: Int64, current: Int64, previous: Int64) {
        self.number = number
        self.current = max(0, current)
        self.previous = max(0, previous)
    }

    /// What the sliding window holds by now, rounded up.
    package mutating func count(in limit: WindowLimit, at now: BootInstant) -> Int64 {
        advance(limit, now)
        return current + weighted(limit, now)
    }

    /// How long until that many more fit; nil if they do.
    mutating func wait(for more: Int64, in limit: WindowLimit, at now: BootInstant) -> Duration? {
        if count(in: limit, at: now) + more <= limit.most { return nil }
        let length = limit.length.nanoseconds
        let elapsed = elapsed(limit, now)
        let untilNext = length - elapsed
        // Either the window before leaves enough as it slides out, or this one has to, as the next one's window before.
        let room = limit.most - more - current
        if room >= 0 { return .nanoseconds(limit.slides ? max(1, Self.fading(previous, to: room, length) - elapsed) : untilNext) }
        return .nanoseconds(untilNext + (limit.slides ? Self.fading(current, to: max(0, limit.most - more), length) : 0))
    }

    package mutating func add(_ count: Int64, in limit: WindowLimit, at now: BootInstant) {
        advance(limit, now)
        current += count
    }

    private mutating func advance(_ limit: WindowLimit, _ now: BootInstant) {
        let now = max(0, now.nanoseconds) / limit.length.nanoseconds
        if number == Self.unplaced { number = now }
        // A clock that runs backward forgets nothing.
        guard now > number else { return }
        previous = now == number + 1 && limit.slides ? current : 0
        current = 0
        number = now
    }

    private func elapsed(_ limit: WindowLimit, _ now: BootInstant) -> Int64 {
        let length = limit.length.nanoseconds
        return max(0, min(length, now.nanoseconds - number * length))
    }

    private func weighted(_ limit: WindowLimit, _ now: BootInstant) -> Int64 {
        guard previous > 0, limit.slides else { return 0 }
        let length = Int128(limit.length.nanoseconds)
        let covered = length - Int128(elapsed(limit, now))
        return Int64((Int128(previous) * covered + length - 1) / length)
    }

    /// When so many of a window's count are left, in nanoseconds after its end.
    private static func fading(_ count: Int64, to left: Int64, _ length: Int64) -> Int64 {
        guard count > left else { return 0 }
        return length - Int64(Int128(length) * Int128(left) / Int128(count))
    }
}
