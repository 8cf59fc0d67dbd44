/// What may stand in the path and query of a URI that others read too (RFC 3986, section 3).
enum URIText {
    enum Part {
        case path, query
    }

    /// Whether everybody reads the part alike: the characters of the RFC, whole percent-escapes, none of a control
    /// character, and in a path no `.` or `..` as a segment, plain or escaped, and no escaped slash.
    static func isPlain(_ text: Substring.UTF8View, in part: Part) -> Bool {
        var rest = Array(text)[...]
        var segment: [UInt8] = []
        while let byte = rest.popFirst() {
            var byte = byte
            if byte == UInt8(ascii: "%") {
                guard let high = rest.popFirst().flatMap(hexadecimal), let low = rest.popFirst().flatMap(hexadecimal) else { return false }
                byte = high << 4 | low
                guard byte >= 0x20, byte != 0x7F else { return false }
                if part == .path, byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") { return false }
            } else if part == .path, byte == UInt8(ascii: "/") {
                guard !isDots(segment) else { return false }
                segment.removeAll()
                continue
            } else {
                guard isSafe(byte) || part == .query && (byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?")) else { return false }
            }
            if part == .path { segment.append(byte) }
        }
        return !isDots(segment)
    }

    /// `.` or `..`; some servers also read `..;x` as that.
    private static func isDots(_ segment: [UInt8]) -> Bool {
        let name = segment.prefix { $0 != UInt8(ascii: ";") }
        return name == [UInt8(ascii: ".")] || name == [UInt8(ascii: "."), UInt8(ascii: ".")]
    }

    /// `pchar` without the percent sign, and without `*`, which somebody would take for a wildcard.
    private static func isSafe(_ byte: UInt8) -> Bool { isUnreserved(byte) || "!$&'()+,;=:@".utf8.contains(byte) }

    /// Letters, digits, `-`, `.`, `_` and `~`.
    static func isUnreserved(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) || "-._~".utf8.contains(byte) }

    static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
    static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    static func isUpperCase(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) }

    /// 1 to 65535, without leading zeros.
    static func isPort(_ digits: some Collection<UInt8>) -> Bool {
        guard (1...5).contains(digits.count), digits.allSatisfy(isDigit), digits.first != 0x30 else { return false }
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } <= 65535
    }

    static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
