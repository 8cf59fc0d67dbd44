extension Timestamp {
    /// `2026-07-28T09:30:00.000000Z`.
    package var rfc3339: String {
        let date = CivilDate(daysSince1970: daysSince1970)
        let ofDay = microseconds - daysSince1970 * Self.microsecondsInDay
        func padded(_ number: Int64, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let seconds = ofDay / 1_000_000
        return padded(date.year, 4) + "-" + padded(date.month, 2) + "-" + padded(date.day, 2) + "T" + padded(seconds / 3600, 2) + ":"
            + padded(seconds / 60 % 60, 2)
            + ":" + padded(seconds % 60, 2) + "." + padded(ofDay % 1_000_000, 6) + "Z"
    }
}
