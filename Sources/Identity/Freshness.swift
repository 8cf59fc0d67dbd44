package import Gateway

/// How long an answer may be used again (RFC 9111), between bounds of our own.
///
/// An answer that says nothing, or less than the least, is kept for the least: a document that is asked for several times during
/// one sign-in is fetched once. `no-store` and `no-cache` are obeyed; without validators there is nothing to revalidate
/// with, so neither is kept at all. `private` and `s-maxage` are for caches that serve a public; this one serves its owner.
package enum Freshness {
    package static let least = Duration.seconds(300)
    package static let most = Duration.seconds(86_400)

    /// From when it was asked for. Zero: not to be kept.
    ///
    /// - Parameter asked: on the wall clock, for an `Expires` that comes without a `Date`.
    package static func lifetime(of answer: FetchedAnswer, asked: Timestamp) -> Duration {
        let directives = values("cache-control", answer).flatMap(directives)
        if directives.contains(where: { $0.name == "no-store" || $0.name == "no-cache" }) { return .zero }
        return min(max(stated(answer, directives, asked), least), most)
    }

    private static func stated(_ answer: FetchedAnswer, _ directives: [Directive], _ asked: Timestamp) -> Duration {
        let ages = directives.filter { $0.name == "max-age" }
        if let shortest = ages.map({ seconds($0.argument) ?? 0 }).min() {
            return .seconds(max(0, shortest - (answer["age"].flatMap { seconds($0[...]) } ?? 0)))
        }
        guard let expires = answer["expires"] else { return .zero }
        // What is no date, such as "0", is in the past (section 5.3).
        guard let end = HTTPDate.parse(expires) else { return .zero }
        let start = answer["date"].flatMap(HTTPDate.parse) ?? asked.seconds
        return .seconds(max(0, min(end - start, most.components.seconds)))
    }

    private static func values(_ name: String, _ answer: FetchedAnswer) -> [String] {
        answer.headers.filter { $0.name == name }.map(\.value)
    }

    private typealias Directive = (name: String, argument: Substring)

    /// `max-age=60, private="x, y"`: a comma within quotes separates nothing.
    private static func directives(_ value: String) -> [Directive] {
        var isQuoted = false
        let parts = value.split(omittingEmptySubsequences: true) { character in
            if character == "\"" { isQuoted.toggle() }
            return character == "," && !isQuoted
        }
        return parts.map { part in
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let argument = pair.count == 2 ? pair[1].trimmed { $0 == " " || $0 == "\t" || $0 == "\"" } : ""
            return (pair[0].trimmed { $0 == " " || $0 == "\t" }.lowercased(), argument)
        }
    }

    /// Whole seconds, those beyond the most counted as the most; nil for anything but digits.
    private static func seconds(_ text: Substring) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return min(Int64(text) ?? .max, most.components.seconds)
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7), in seconds since 1970. The two obsolete forms are no dates here.
enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    static func parse(_ text: String) -> Int64? {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0].utf8.count == 4, parts[0].hasSuffix(","), parts[5] == "GMT" else { return nil }
        guard let day = number(parts[1], 2), let month = months.firstIndex(where: { $0 == parts[2] }), let year = number(parts[3], 4) else {
            return nil
        }
        let time = parts[4].split(separator: ":", omittingEmptySubsequences: false)
        guard time.count == 3, let hour = number(time[0], 2), let minute = number(time[1], 2), let second = number(time[2], 2) else { return nil }
        // A second 60 is a leap second.
        guard (1...31).contains(day), hour < 24, minute < 60, second <= 60 else { return nil }
        let days = CivilDate.firstDay(year: year, month: Int64(month + 1)) + day - 1
        return days * 86_400 + hour * 3600 + minute * 60 + second
    }

    private static func number(_ text: Substring, _ digits: Int) -> Int64? {
        guard text.utf8.count == digits, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(text)
    }
}

extension Substring {
    fileprivate func trimmed(_ isEdge: (Character) -> Bool) -> Substring {
        var rest = drop(while: isEdge)
        while let last = rest.last, isEdge(last) { rest.removeLast() }
        return rest
    }
}
