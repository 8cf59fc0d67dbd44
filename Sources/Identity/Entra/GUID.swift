import Crypto

/// An id as Entra ID writes them, of tenants, users and applications: `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, hexadecimal.
struct GUID: Hashable, Sendable, CustomStringConvertible {
    /// In lower case.
    let description: String

    init?(_ text: String) {
        guard Self.isOne(text) else { return nil }
        description = text.lowercased()
    }

    static func isOne(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map(\.utf8.count) == [8, 4, 4, 4, 12] && parts.allSatisfy { $0.utf8.allSatisfy(isHexadecimal) }
    }

    /// The first id that stands in a text by itself: not as part of a longer word.
    static func first(in text: String) -> String? {
        text.split { !isPart($0) }.first { isOne(String($0)) }.map { $0.lowercased() }
    }

    /// The id of a name under the URL namespace: version 5 of RFC 9562, section 5.5. The same name gives the same id.
    static func named(_ name: String) -> String {
        let namespace: [UInt8] = [0x6B, 0xA7, 0xB8, 0x11, 0x9D, 0xAD, 0x11, 0xD1, 0x80, 0xB4, 0x00, 0xC0, 0x4F, 0xD4, 0x30, 0xC8]
        var bytes = Array(Insecure.SHA1.hash(data: namespace + Array(name.utf8)).prefix(16))
        bytes[6] = bytes[6] & 0x0F | 0x50
        bytes[8] = bytes[8] & 0x3F | 0x80
        let digits = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        return [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { digits[$0].joined() }.joined(separator: "-")
    }

    private static func isPart(_ character: Character) -> Bool { character == "-" || character.isLetter || character.isNumber }

    static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }
}
