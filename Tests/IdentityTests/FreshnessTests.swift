import Gateway
import Testing

@testable import Identity

struct FreshnessTests {
    private func lifetime(_ headers: [(name: String, value: String)]) -> Int64 {
        // 2026-07-28T09:30:00Z
        let asked = Timestamp(microseconds: 1_785_231_000_000_000)
        return Freshness.lifetime(of: FetchedAnswer(status: 200, headers: headers, body: []), asked: asked).components.seconds
    }

    @Test(arguments: [
        ("max-age=3600", 3600), ("Max-Age=3600", 3600), ("public, max-age=3600, immutable", 3600), (" max-age = 3600 ", 3600),
        (#"max-age="3600""#, 3600),
        ("max-age=301", 301), ("max-age=300", 300), ("max-age=299", 300), ("max-age=0", 300), ("max-age=86400", 86_400), ("max-age=86401", 86_400),
        ("max-age=99999999999999999999999999", 86_400), ("max-age=-1", 300), ("max-age=", 300), ("max-age", 300), ("max-age=1h", 300),
        ("max-age=٣٦٠٠", 300),
        ("max-age=3600, max-age=600", 600), ("max-age=600, max-age=3600", 600), ("max-age=3600, max-age=x", 300),
        ("s-maxage=3600", 300), ("private, max-age=3600", 3600), ("must-revalidate, max-age=3600", 3600), ("", 300), (",,,", 300), ("public", 300),
        (#"private="a, no-store", max-age=3600"#, 3600), (#"ext="max-age=9999", max-age=3600"#, 3600), ("x-max-age=3600", 300), ("no-storey", 300),
        ("no-store", 0), ("NO-STORE, max-age=3600", 0), ("max-age=3600, no-store", 0), ("no-cache", 0), ("no-cache, max-age=3600", 0),
        (#"no-cache="set-cookie""#, 0), ("max-age=3600,no-cache", 0), (#"""#, 300), (#"max-age=3600, x="open, no-store"#, 3600),
    ])
    func `what Cache-Control says holds within the bounds`(value: String, seconds: Int64) {
        #expect(lifetime([("cache-control", value)]) == seconds)
    }

    @Test func `several Cache-Control headers are one list`() {
        #expect(lifetime([("cache-control", "max-age=3600"), ("cache-control", "no-store")]) == 0)
        #expect(lifetime([("cache-control", "public"), ("cache-control", "max-age=600"), ("cache-control", "max-age=3600")]) == 600)
    }

    @Test(arguments: [("600", 3000), ("0", 3600), ("3599", 300), ("99999999999999999999", 300), ("-600", 3600), ("x", 3600), ("", 3600)])
    func `the time an answer spent in other caches counts`(age: String, seconds: Int64) {
        #expect(lifetime([("cache-control", "max-age=3600"), ("age", age)]) == seconds)
    }

    @Test(
        arguments: [
            ("Tue, 28 Jul 2026 10:30:00 GMT", nil, 3600), ("Tue, 28 Jul 2026 10:30:00 GMT", "Tue, 28 Jul 2026 10:00:00 GMT", 1800),
            // A server whose clock is wrong is consistent with itself.
            ("Sat, 01 Jan 2000 01:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", 3600), ("Tue, 28 Jul 2026 09:30:00 GMT", nil, 300),
            ("Thu, 01 Jan 1970 00:00:00 GMT", nil, 300), ("Fri, 31 Dec 9999 23:59:59 GMT", nil, 86_400), ("0", nil, 300), ("-1", nil, 300),
            ("", nil, 300),
            ("Tue, 28 Jul 2026 10:30:00 GMT", "now", 3600),
        ] as [(String, String?, Int64)])
    func `without max-age, Expires counts from Date`(expires: String, date: String?, seconds: Int64) {
        #expect(lifetime([("expires", expires)] + (date.map { [("date", $0)] } ?? [])) == seconds)
    }

    @Test func `max-age overrides Expires, and nothing said is the least`() {
        #expect(lifetime([("expires", "Tue, 28 Jul 2026 12:30:00 GMT"), ("cache-control", "max-age=600")]) == 600)
        #expect(lifetime([("expires", "Tue, 28 Jul 2026 12:30:00 GMT"), ("cache-control", "no-store")]) == 0)
        #expect(lifetime([]) == 300)
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800), ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ])
    func `a date of HTTP is read`(text: String, seconds: Int64) {
        #expect(HTTPDate.parse(text) == seconds)
    }

    @Test(arguments: [
        "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06  Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, ٠٦ Nov 1994 08:49:37 GMT", "2026-07-28T09:30:00Z", "784111777",
    ])
    func `anything else is no date`(text: String) {
        #expect(HTTPDate.parse(text) == nil)
    }
}
