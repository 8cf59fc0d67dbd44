import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension String {
    /// Byte for byte. (`==` holds for texts that only look alike: the Kelvin sign equals K.)
    func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }

    /// The same, in a time that does not tell where the texts part.
    func isExactlyInConstantTime(_ other: String) -> Bool { SHA256.hash(data: Data(utf8)) == SHA256.hash(data: Data(other.utf8)) }

    /// Whether it is all visible ASCII, and how much of it there may be.
    func isVisibleASCII(_ lengths: ClosedRange<Int>) -> Bool { lengths.contains(utf8.count) && utf8.allSatisfy { (0x21...0x7E).contains($0) } }
}

/// Names and values as queries and forms carry them.
enum FormText {
    static func encode(_ fields: [(name: String, value: String)]) -> String {
        fields.map { "\(escape($0.name))=\(escape($0.value))" }.joined(separator: "&")
    }

    /// Everything but letters, digits and `-._~` as `%XX`: read alike by those who decode forms and by those who decode URLs.
    static func escape(_ text: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                bytes.append(byte)
            default:
                bytes.append(UInt8(ascii: "%"))
                bytes.append(contentsOf: digits[Int(byte >> 4)..<Int(byte >> 4) + 1])
                bytes.append(contentsOf: digits[Int(byte & 15)..<Int(byte & 15) + 1])
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static let digits = Array("0123456789ABCDEF".utf8)
}
