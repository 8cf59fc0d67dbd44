/// The parameters of a query or a form (`application/x-www-form-urlencoded`), by name.
struct Parameters: Sendable {
    private var values: [String: String] = [:]
    /// A name that stands there more than once; RFC 6749 (3.1) allows none.
    private(set) var duplicate: String?

    /// - Parameter text: at most 64 KiB of it are read.
    init(_ text: String) {
        for pair in text.utf8.prefix(64 << 10).split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let name = Self.decode(String(Substring(parts[0])).replacing("+", with: " "))
            let value = parts.count > 1 ? Self.decode(String(Substring(parts[1])).replacing("+", with: " ")) : ""
            if values.updateValue(value, forKey: name) != nil { duplicate = name }
        }
    }

    /// An empty parameter counts as absent (RFC 6749, 3.1).
    subscript(name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }

    var names: [String] { values.keys.sorted() }

    func required(_ name: String) throws(Failure) -> String {
        guard let value = self[name] else { throw Failure(.parameterMissing, "The request has to carry '\(name)'.") }
        return value
    }

    /// Undoes percent-encoding; a `%` that begins none stays.
    static func decode(_ text: some StringProtocol) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
        let bytes = Array(text.utf8)
        var decoded: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = hex(bytes[index + 1]), let low = hex(bytes[index + 2]) {
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    /// Everything but the unreserved characters (RFC 3986, 2.3) percent-encoded.
    static func encode(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                encoded += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }
        return encoded
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
