import Crypto

/// SHA-256 over a tool's canonical definition.
package struct ToolFingerprint: Hashable, Sendable, CustomStringConvertible {
    package let bytes: [UInt8]

    package init(of canonical: some Sequence<UInt8>) {
        var hash = SHA256()
        hash.update(data: Array(canonical))
        bytes = Array(hash.finalize())
    }

    /// Nil for anything but 32 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == SHA256.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Nil for anything but 64 hexadecimal digits.
    package init?(_ text: String) {
        let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard text.utf8.count == 64, digits.count == 64 else { return nil }
        self.init(bytes: stride(from: 0, to: 64, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) })
    }

    /// 64 lower-case digits.
    package var description: String {
        String(decoding: bytes.flatMap { [Self.digits[Int($0 >> 4)], Self.digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    private static let digits = Array("0123456789abcdef".utf8)
}
