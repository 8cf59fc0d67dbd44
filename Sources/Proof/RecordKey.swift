import Crypto
package import Gateway

/// The key that rows of the audit log are marked with: 32 random bytes, kept outside the database.
///
/// It tells an edit of the file from what the gateway wrote. It does not tell the gateway from somebody who has the key.
package struct RecordKey: Sendable {
    package static let length = 32
    private let key: SymmetricKey

    /// Nil for bytes of another length.
    package init?(_ bytes: Secret<[UInt8]>) {
        guard bytes.revealed.count == Self.length else { return nil }
        key = SymmetricKey(data: bytes.revealed)
    }

    package static func randomBytes() -> Secret<[UInt8]> {
        var generator = SystemRandomNumberGenerator()
        return Secret((0..<length).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }

    /// 8 bytes: one in 2⁶⁴ forgeries passes.
    package func mac(of bytes: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key).prefix(8))
    }
}
