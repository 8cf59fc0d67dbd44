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

    /// A moment as RFC 3339 writes it: `2026-07-28T09:30:00Z`, with a fraction or without, of any offset.
    ///
    /// Digits beyond the microsecond are dropped. Nil for anything else, also for a day or an hour that there is not, and for a
    /// leap second.
    package init?(rfc3339 text: String) {
        let bytes = Array(text.utf8)
        guard (20...40).contains(bytes.count) else { return nil }
        func number(_ range: Range<Int>, _ allowed: ClosedRange<Int64>) -> Int64? {
            guard range.upperBound <= bytes.count, bytes[range].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            let value = bytes[range].reduce(Int64(0)) { $0 * 10 + Int64($1 - 0x30) }
            return allowed.contains(value) ? value : nil
        }
        guard let year = number(0..<4, 1...9999), let month = number(5..<7, 1...12), let day = number(8..<10, 1...31),
            let hour = number(11..<13, 0...23), let minute = number(14..<16, 0...59), let second = number(17..<19, 0...59),
            bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"), bytes[10] | 0x20 == UInt8(ascii: "t"),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":")
        else { return nil }
        let days = CivilDate.firstDay(year: year, month: month) + day - 1
        guard CivilDate(daysSince1970: days).month == month else { return nil }

        var place = 19
        var fraction: Int64 = 0
        if bytes[place] == UInt8(ascii: ".") {
            let digits = bytes[(place + 1)...].prefix { (0x30...0x39).contains($0) }
            guard !digits.isEmpty else { return nil }
            for index in 0..<6 { fraction = fraction * 10 + (index < digits.count ? Int64(digits[digits.startIndex + index] - 0x30) : 0) }
            place = digits.endIndex
        }
        guard place < bytes.count else { return nil }
        var offset: Int64 = 0
        switch bytes[place] {
        case UInt8(ascii: "Z"), UInt8(ascii: "z"):
            guard bytes.count == place + 1 else { return nil }
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            guard bytes.count == place + 6, bytes[place + 3] == UInt8(ascii: ":"), let hours = number((place + 1)..<(place + 3), 0...23),
                let minutes = number((place + 4)..<(place + 6), 0...59)
            else { return nil }
            offset = (hours * 60 + minutes) * (bytes[place] == UInt8(ascii: "+") ? 60 : -60)
        default: return nil
        }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
        self.init(microseconds: seconds * 1_000_000 + fraction)
    }
}
