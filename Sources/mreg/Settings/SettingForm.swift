import Access
import Gateway
import Identity

/// How a value of one kind is written: what is expected, in words, and the way from text to value and back.
struct SettingForm<Value: Sendable>: Sendable {
    let expected: String
    /// Whether an empty value stands for none at all.
    var isOptional = false
    var isSecret = false
    /// `nil` for every text that is not exactly what is expected.
    let parse: @Sendable (String) -> Value?
    let text: @Sendable (Value) -> String
}

extension SettingForm {
    init(expected: String, parse: @escaping @Sendable (String) -> Value?) where Value: CustomStringConvertible {
        self.init(expected: expected, parse: parse, text: \.description)
    }

    static func optional<Some>(_ form: SettingForm<Some>) -> Self where Value == Some? {
        Self(expected: form.expected, isOptional: true, parse: { form.parse($0).map { .some($0) } }, text: { $0.map(form.text) ?? "" })
    }

    /// Items with commas between them, blanks around them ignored; an item left out is a mistake.
    static func list<Item>(of item: SettingForm<Item>, mayBeEmpty: Bool = false) -> Self where Value == [Item] {
        let parse: @Sendable (String) -> Value? = { text in
            let parts = text.split(separator: ",", omittingEmptySubsequences: false)
            let items = parts.compactMap { item.parse(String($0.trimmingBlanks)) }
            return items.count == parts.count ? items : nil
        }
        let expected = "a comma-separated list, each item \(item.expected)"
        return Self(expected: expected, isOptional: mayBeEmpty, parse: parse, text: { $0.map(item.text).joined(separator: ",") })
    }
}

extension SettingForm where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
    static var choice: Self {
        let names = Value.allCases.map(\.rawValue)
        return Self(expected: "one of \(names.joined(separator: ", "))", parse: { Value(rawValue: $0) }, text: \.rawValue)
    }
}

extension SettingForm where Value == Bool {
    static var boolean: Self {
        Self(expected: "true or false (also 1 or 0, yes or no)") { text in
            switch text.lowercased() {
            case "true", "1", "yes": true
            case "false", "0", "no": false
            default: nil
            }
        }
    }
}

/// Digits of ASCII and nothing else: `Int.init` would take signs.
private func digits(_ text: some StringProtocol) -> Int? {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
}

extension SettingForm where Value == Int {
    static func integer(_ range: ClosedRange<Int>) -> Self {
        Self(expected: "an integer from \(range.lowerBound) to \(range.upperBound)") { text in
            digits(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    static func bytes(_ range: ClosedRange<Int>) -> Self {
        let expected = "a number of bytes from \(byteText(range.lowerBound)) to \(byteText(range.upperBound)), plain or with KiB, MiB or GiB"
        let parse: @Sendable (String) -> Int? = { text in
            let unit = byteUnits.first { text.hasSuffix($0.name) }
            guard let count = digits(text.dropLast(unit?.name.count ?? 0)) else { return nil }
            let (bytes, overflow) = count.multipliedReportingOverflow(by: unit?.size ?? 1)
            return !overflow && range.contains(bytes) ? bytes : nil
        }
        return Self(expected: expected, parse: parse, text: byteText)
    }
}

private let byteUnits = [(name: "GiB", size: 1 << 30), (name: "MiB", size: 1 << 20), (name: "KiB", size: 1 << 10)]

@Sendable private func byteText(_ bytes: Int) -> String {
    guard let unit = byteUnits.first(where: { bytes > 0 && bytes % $0.size == 0 }) else { return String(bytes) }
    return String(bytes / unit.size) + unit.name
}

extension SettingForm where Value == Double {
    /// Decimal digits with or without a point; no sign, no exponent, no `nan`.
    static func number(_ range: ClosedRange<Double>) -> Self {
        Self(expected: "a number from \(range.lowerBound) to \(range.upperBound)") { text in
            let parts = text.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count <= 2, parts.allSatisfy({ digits($0) != nil }), let number = Double(text) else { return nil }
            return range.contains(number) ? number : nil
        }
    }
}

extension SettingForm where Value == Duration {
    static func seconds(_ range: ClosedRange<Int>) -> Self { whole("seconds", of: 1, range) }
    static func minutes(_ range: ClosedRange<Int>) -> Self { whole("minutes", of: 60, range) }
    static func days(_ range: ClosedRange<Int>) -> Self { whole("days", of: 86_400, range) }

    private static func whole(_ unit: String, of seconds: Int, _ range: ClosedRange<Int>) -> Self {
        let count = SettingForm<Int>.integer(range)
        return Self(
            expected: "\(count.expected) (\(unit))",
            parse: { count.parse($0).map { .seconds($0 * seconds) } },
            text: { String($0.components.seconds / Int64(seconds)) }
        )
    }
}

extension SettingForm where Value == String {
    static var path: Self {
        Self(expected: "a path without control characters, and without blanks at its ends") { isPlain($0) ? $0 : nil }
    }

    /// Becomes the name of a file, so nothing in it can lead elsewhere.
    static var fileName: Self {
        Self(expected: "at most 64 of a-z, A-Z, 0-9, “_”, “-” and “.”, not beginning with “.”") { text in
            isMade(of: "_-.", text, atMost: 64) && text.first != "." ? text : nil
        }
    }

    /// Becomes part of a URL path.
    static var directoryID: Self {
        Self(expected: "a directory (tenant) id, organizations or common") { text in
            isMade(of: "-.", text, atMost: 253) && text.first != "." ? text : nil
        }
    }

    static var roleRule: Self {
        Self(expected: "a rule such as admin=role:NAME, server_owner=group:ID or user=everyone") { text in
            (try? RoleMap([text])) != nil ? text : nil
        }
    }

    static var visible: Self {
        Self(expected: "at most 256 visible ASCII characters") { isVisible($0) ? $0 : nil }
    }

    static var host: Self {
        Self(expected: "an IPv4 address, an IPv6 address without brackets, or localhost") { text in
            text == "localhost" || IPAddress(text) != nil ? text : nil
        }
    }

    /// Kept as it was written: issuers and callbacks are compared character by character.
    static var url: Self {
        url("an absolute http or https URL without user name and fragment") { _ in true }
    }

    static var issuer: Self {
        url("an https URL without user name and fragment (http only on a loopback host)") { $0.isSecure || $0.isLoopback }
    }

    private static func url(_ expected: String, isFit: @escaping @Sendable (Origin) -> Bool) -> Self {
        Self(expected: expected) { text in
            guard let origin = Endpoint(text)?.origin, origin.isPlain, isFit(origin) else { return nil }
            return text
        }
    }
}

private func isPlain(_ text: String) -> Bool {
    let breaks: [Unicode.GeneralCategory] = [.control, .lineSeparator, .paragraphSeparator]
    guard (1...4096).contains(text.utf8.count), text.first != " ", text.last != " " else { return false }
    return !text.unicodeScalars.contains { breaks.contains($0.properties.generalCategory) }
}

private func isVisible(_ text: String) -> Bool {
    (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
}

private func isMade(of others: String, _ text: String, atMost limit: Int) -> Bool {
    (1...limit).contains(text.utf8.count)
        && text.unicodeScalars.allSatisfy { "a"..."z" ~= $0 || "A"..."Z" ~= $0 || "0"..."9" ~= $0 || others.unicodeScalars.contains($0) }
}

extension SettingForm where Value == Secret<String>? {
    static var secret: Self {
        Self(
            expected: "1 to 4096 bytes of text in one line, without blanks at its ends", isOptional: true, isSecret: true,
            parse: { isPlain($0) ? .some(Secret($0)) : nil },
            text: { $0 == nil ? "" : "redacted" }
        )
    }
}

extension SettingForm where Value == AddressRange {
    static var addresses: Self {
        Self(expected: "an IPv4 or IPv6 address, or a CIDR block without bits beyond its prefix") { AddressRange($0) }
    }
}

extension SettingForm where Value == Origin {
    static var origin: Self {
        Self(expected: "an http or https origin without path, query and fragment, such as https://gateway.example") { Origin($0) }
    }
}

extension SettingForm where Value == [Settings.Upstreams.ExemptIssuer] {
    static var exemptIssuers: Self {
        let issuer = SettingForm<String>.issuer
        let list = SettingForm.list(
            of: SettingForm<Settings.Upstreams.ExemptIssuer>(expected: "the word entra, or \(issuer.expected)") { text in
                text == "entra" ? .entra : issuer.parse(text).map { .url($0) }
            })
        return Self(
            expected: "none, or \(list.expected)", parse: { $0 == "none" ? [] : list.parse($0) }, text: { $0.isEmpty ? "none" : list.text($0) })
    }
}

extension SettingForm where Value == [String] {
    /// Scope tokens of RFC 6749, section 3.3.
    static var scopes: Self {
        let parse: @Sendable (String) -> Value? = { text in
            let scopes = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            return scopes.allSatisfy { isVisible($0) && !$0.contains("\"") && !$0.contains("\\") } ? scopes : nil
        }
        return Self(expected: "OAuth scopes with single spaces between them", parse: parse, text: { $0.joined(separator: " ") })
    }
}

extension Substring {
    /// Without spaces, tabs and carriage returns at its ends.
    var trimmingBlanks: Substring {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
        var text = drop(while: isBlank)
        while text.last.map(isBlank) == true { text.removeLast() }
        return text
    }
}

extension SettingForm where Value == ClientDomain {
    static var clientDomain: Self {
        Self(expected: "a domain of two labels or more, or *. and one for all below it") { ClientDomain($0) }
    }
}
