import Gateway

extension Timestamp {
    /// A `Date` header as all servers write it today: `Sat, 28 Nov 2026 08:30:50 GMT` (RFC 9110, section 5.6.7).
    ///
    /// Nil for the two old forms, and for what is no date; the day's name is not compared with the day.
    init?(httpDate text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0].count == 4, parts[0].hasSuffix(","), parts[5] == "GMT", parts[3].utf8.count == 4 else { return nil }
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let time = parts[4].split(separator: ":", omittingEmptySubsequences: false).map { Self.number(String($0), digits: 2) }
        guard let day = Self.number(parts[1], digits: 2), let month = months.firstIndex(of: parts[2]), let year = Self.number(parts[3], digits: 4),
            time.count == 3, let hour = time[0], let minute = time[1], let second = time[2]
        else { return nil }
        let first = CivilDate.firstDay(year: year, month: Int64(month) + 1)
        let next = month == 11 ? CivilDate.firstDay(year: year + 1, month: 1) : CivilDate.firstDay(year: year, month: Int64(month) + 2)
        guard year >= 1970, (1...next - first).contains(day), hour < 24, minute < 60, second <= 60 else { return nil }
        self.init(microseconds: ((first + day - 1) * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000)
    }

    private static func number(_ text: String, digits: Int) -> Int64? {
        text.utf8.count == digits && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(text) : nil
    }
}
