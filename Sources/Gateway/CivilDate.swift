/// A day of the proleptic Gregorian calendar, counted in eras of 400 years that begin on the first of March, so that the
/// leap day comes last.
package struct CivilDate: Hashable, Sendable {
    package let year: Int64
    package let month: Int64
    package let day: Int64

    /// - Parameter days: since 1 January 1970.
    package init(daysSince1970 days: Int64) {
        let days = days + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shifted + 2) / 5 + 1
        month = shifted < 10 ? shifted + 3 : shifted - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// Days from 1 January 1970 to the first of a month.
    package static func firstDay(year: Int64, month: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}

extension Timestamp {
    package static let microsecondsInDay: Int64 = 86_400_000_000

    /// Whole days since 1 January 1970 UTC.
    package var daysSince1970: Int64 {
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: Self.microsecondsInDay)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
