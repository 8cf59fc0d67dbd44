import Testing

@testable import Gateway

struct TimestampTests {
    /// Checked against `date -u -d` and, beyond what it takes, by hand from the calendar's cycle of 400 years.
    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (999_999, "1970-01-01T00:00:00.999999Z"),
        (-1_000_000, "1969-12-31T23:59:59.000000Z"),
        (-86_400_000_000, "1969-12-31T00:00:00.000000Z"),
        (-86_400_000_001, "1969-12-30T23:59:59.999999Z"),
        (86_399_999_999, "1970-01-01T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
        (1_709_164_800_000_000, "2024-02-29T00:00:00.000000Z"),
        (1_740_787_199_999_999, "2025-02-28T23:59:59.999999Z"),
        (1_740_787_200_000_000, "2025-03-01T00:00:00.000000Z"),
        (1_735_689_599_000_000, "2024-12-31T23:59:59.000000Z"),
        (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        (-2_203_977_600_000_000, "1900-02-28T00:00:00.000000Z"),
        (-2_203_891_200_000_000, "1900-03-01T00:00:00.000000Z"),
        (-11_670_998_400_000_000, "1600-02-29T00:00:00.000000Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
        (-62_135_596_800_000_001, "0000-12-31T23:59:59.999999Z"),
        (-62_162_208_000_000_000, "0000-02-28T00:00:00.000000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ])
    func `a moment is written as RFC 3339 says`(microseconds: Int64, text: String) {
        #expect(Timestamp(microseconds: microseconds).rfc3339 == text)
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", Int64(0)), ("2026-07-28T09:30:00.25Z", 1_785_231_000_250_000), ("2026-07-28t09:30:00z", 1_785_231_000_000_000),
        ("2026-07-28T11:30:00+02:00", 1_785_231_000_000_000), ("2026-07-28T04:00:00.000001-05:30", 1_785_231_000_000_001),
        ("2026-07-28T09:30:00.123456789Z", 1_785_231_000_123_456), ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ("1969-12-31T23:59:59.999999Z", -1), ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ])
    func `a moment is read as RFC 3339 says`(text: String, microseconds: Int64) {
        #expect(Timestamp(rfc3339: text) == Timestamp(microseconds: microseconds))
    }

    @Test(arguments: [
        "", "2026-07-28", "2026-07-28T09:30:00", "2026-07-28 09:30:00Z", "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0200", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00ZZ", "+026-01-01T00:00:00Z",
        "2026-01-01T00:00:0\u{0661}Z", "2026/01/01T00:00:00Z", "2026-01-01T00:00:00.123", "2026-01-01T00:00:00+02:0",
    ])
    func `what is no moment is not read as one`(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test func `each day of four hundred years follows the one before`() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        var (year, month, day) = (1800, 1, 1)
        var wrong: [String] = []
        for number in Int64(-62_091)..<(-62_091 + 146_097) {
            func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
            let text = Timestamp(microseconds: number * 86_400_000_000).rfc3339
            if text != "\(year)-\(padded(month))-\(padded(day))T00:00:00.000000Z" { wrong.append(text) }
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            day += 1
            if day > lengths[month - 1] + (month == 2 && isLeap ? 1 : 0) { (month, day) = (month + 1, 1) }
            if month > 12 { (year, month) = (year + 1, 1) }
        }
        #expect(wrong == [])
        #expect(year == 2200)
    }

    @Test(
        arguments: [(Duration.zero, 0), (.microseconds(1), 1), (.nanoseconds(1999), 1), (.seconds(-1), -1_000_000), (.nanoseconds(-1999), -1)]
            as [(Duration, Int64)])
    func `a duration moves a moment by its whole microseconds`(duration: Duration, microseconds: Int64) {
        #expect(Timestamp(microseconds: 5).advanced(by: duration) == Timestamp(microseconds: 5 + microseconds))
    }

    @Test(arguments: [(Duration.nanoseconds(1), 1), (.seconds(2), 2_000_000_000), (.nanoseconds(-1), -1)] as [(Duration, Int64)])
    func `a duration moves an instant by its nanoseconds`(duration: Duration, nanoseconds: Int64) {
        #expect(BootInstant(nanoseconds: 7).advanced(by: duration) == BootInstant(nanoseconds: 7 + nanoseconds))
    }

    @Test func `seconds are whole, as a token's claims count them`() {
        #expect(Timestamp(microseconds: 1_999_999).seconds == 1)
        #expect(Timestamp(microseconds: 2_000_000).seconds == 2)
    }
}

struct RequestIDTests {
    @Test(arguments: [
        (UInt64.min, "0000000000000000"), (1, "0000000000000001"), (0xABCD, "000000000000abcd"), (0x0123_4567_89AB_CDEF, "0123456789abcdef"),
        (1 << 63, "8000000000000000"), (.max, "ffffffffffffffff"),
    ])
    func `a request id is sixteen lower-case digits`(rawValue: UInt64, text: String) {
        #expect(RequestID(rawValue).description == text)
    }

    @Test func `random ids differ`() {
        #expect(Set((0..<1000).map { _ in RequestID.random() }).count == 1000)
    }
}
