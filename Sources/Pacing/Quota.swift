package import Gateway

/// A stretch of the calendar, in UTC, after which a quota begins anew.
package enum QuotaPeriod: String, Hashable, Sendable, CaseIterable {
    case day, month

    /// Days since 1970, or months.
    package func number(at moment: Timestamp) -> Int64 {
        let days = moment.daysSince1970
        guard self == .month else { return days }
        let date = CivilDate(daysSince1970: days)
        return (date.year - 1970) * 12 + date.month - 1
    }

    /// How long one is, of months the longest.
    var length: Duration { .seconds(86_400 * (self == .day ? 1 : 31)) }

    /// How long until the next one begins.
    package func remaining(at moment: Timestamp) -> Duration {
        let next = number(at: moment) + 1
        let firstDay = self == .day ? next : CivilDate.firstDay(year: 1970 + (next >= 0 ? next : next - 11) / 12, month: (next % 12 + 12) % 12 + 1)
        return .microseconds(firstDay * Timestamp.microsecondsInDay - moment.microseconds)
    }
}

/// What was used of a quota in one period.
package struct QuotaCount: Hashable, Sendable {
    package private(set) var period: Int64
    package private(set) var used: Int64

    package init(period: Int64 = .min, used: Int64 = 0) {
        self.period = period
        self.used = max(0, used)
    }

    /// Begins anew if the period is over.
    ///
    /// A clock set back by a period at most is waited for, and one set back by more was wrong before: the count goes on
    /// in the period that it shows now. Either way nothing is granted twice.
    package mutating func turn(to now: Int64) {
        if now > period {
            self = QuotaCount(period: now)
        } else if now < period - 1 {
            period = now
        }
    }

    mutating func use(_ count: Int64) { used += count }
}
