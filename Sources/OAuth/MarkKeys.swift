import Crypto
import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Keys that vouch for what the gateway gave out: the newest marks, and every one of them recognises.
struct MarkKeys: Sendable {
    private let newest: SymmetricKey
    private let older: [SymmetricKey]

    /// - Parameters:
    ///   - secret: at least 32 bytes, random.
    ///   - label: what the marks are for, so that those of one kind never pass for another.
    init(_ secret: Secret<[UInt8]>, older: [Secret<[UInt8]>], label: String) {
        func key(_ secret: Secret<[UInt8]>) -> SymmetricKey {
            precondition(secret.revealed.count >= 32, "a key of less than 32 bytes")
            return SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Array(label.utf8), using: SymmetricKey(data: secret.revealed)))
        }
        newest = key(secret)
        self.older = older.map(key)
    }

    /// 32 bytes.
    func mark(of bytes: [UInt8]) -> [UInt8] { Array(HMAC<SHA256>.authenticationCode(for: bytes, using: newest)) }

    /// Whether this is a mark of those bytes, or the beginning of one of at least 16 bytes. The time it takes tells nothing
    /// of where it is wrong, nor which key it is of.
    func isMark(_ given: [UInt8], of bytes: [UInt8]) -> Bool {
        guard (16...32).contains(given.count) else { return false }
        return ([newest] + older).reduce(false) { found, key in
            Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key).prefix(given.count)).isSame(as: given) || found
        }
    }
}
