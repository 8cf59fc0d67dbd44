import COpenSSL
package import Gateway

/// A key that secrets at rest are sealed with: 32 bytes for AES-256-GCM.
package struct SealingKey: Sendable {
    package static let length = 32

    /// Names a key beside what it sealed, and tells nothing of it: 8 bytes of an HMAC under the key, shown as 16 lower-case
    /// hexadecimal digits.
    package struct ID: Hashable, Comparable, Sendable, CustomStringConvertible {
        package let rawValue: UInt64
        package init(_ rawValue: UInt64) { self.rawValue = rawValue }

        init(_ bytes: some Sequence<UInt8>) { rawValue = bytes.reduce(0) { $0 << 8 | UInt64($1) } }

        package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

        package var description: String {
            let digits = String(rawValue, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }

        var bytes: [UInt8] { withUnsafeBytes(of: rawValue.bigEndian) { Array($0) } }
    }

    package let id: ID
    private let key: Secret<WipedBytes>

    /// Nil for another length, and for one byte 32 times: a placeholder is no key.
    package init?(_ bytes: Secret<[UInt8]>) {
        let revealed = bytes.revealed
        guard revealed.count == Self.length, revealed.contains(where: { $0 != revealed[0] }) else { return nil }
        let key = WipedBytes(revealed)
        self.key = Secret(key)
        id = ID(key.withBytes { Self.fingerprint($0) })
    }

    /// - Throws: `SealingFailure.unavailable` when the system gives no random bytes.
    package static func generate() throws(SealingFailure) -> Self {
        var bytes = [UInt8](repeating: 0, count: length)
        defer { wipe(&bytes) }
        guard RAND_priv_bytes(&bytes, Int32(length)) == 1, let key = Self(Secret(bytes)) else { throw .unavailable }
        return key
    }

    /// As it stands in a key file.
    var line: Secret<String> {
        Secret(withBytes { $0.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() })
    }

    func withBytes<Value>(_ body: (UnsafeRawBufferPointer) -> Value) -> Value { key.revealed.withBytes(body) }

    private static func fingerprint(_ key: UnsafeRawBufferPointer) -> ArraySlice<UInt8> {
        let label = Array("mreg sealing key".utf8)
        var code = [UInt8](repeating: 0, count: 32)
        let isDone = HMAC(EVP_sha256(), key.baseAddress, Int32(key.count), label, label.count, &code, nil) != nil
        // Only for want of memory; without its id nothing can be sealed or opened.
        precondition(isDone, "OpenSSL cannot compute an HMAC")
        return code.prefix(8)
    }
}
