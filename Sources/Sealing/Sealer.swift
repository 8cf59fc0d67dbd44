import COpenSSL
import Synchronization

/// Seals secrets for rest, and opens them: AES-256-GCM (NIST SP 800-38D) by OpenSSL, some microseconds each.
///
/// A sealed value is its version (1 byte), the id of its key (8), a random nonce (12), the ciphertext and the tag (16); it is
/// `overhead` longer than what is in it. Version and id are authenticated along with the binding.
///
/// Nonces are random, so one key may seal 2³² times: beyond, the odds that two values share a nonce, and with it give away
/// both and the key of their tags, would pass one in 2³² (section 8.3). A sealer counts, and stops there. The count is of
/// this process: keep `uses` beside what is sealed, and hand it to `countUses` at the next start.
package final class Sealer: Sendable {
    package static let mostUses: UInt64 = 1 << 32
    package static let mostBytes = 1 << 20
    package static let overhead = headerLength + nonceLength + tagLength

    private static let version: UInt8 = 1
    private static let headerLength = 9
    private static let nonceLength = 12
    private static let tagLength = 16

    package let ring: KeyRing
    private let count = Atomic<UInt64>(0)

    package init(_ ring: KeyRing) { self.ring = ring }

    /// How often the current key was used.
    package var uses: UInt64 { count.load(ordering: .relaxed) }

    /// Goes on counting from what earlier processes counted.
    package func countUses(atLeast uses: UInt64) { count.max(uses, ordering: .relaxed) }

    /// - Parameters:
    ///   - plain: at most `mostBytes`, even none.
    ///   - binding: whose it is and where it will lie; the same is needed to open it.
    /// - Throws: `worn`, `tooLong` or `unavailable`.
    package func seal(_ plain: [UInt8], bound binding: [UInt8]) throws(SealingFailure) -> [UInt8] {
        guard plain.count <= Self.mostBytes, binding.count <= Self.mostBytes else { throw .tooLong }
        let key = ring.current
        // What is counted may come to nothing, never the other way round.
        guard count.add(1, ordering: .relaxed).oldValue < Self.mostUses else {
            count.store(Self.mostUses, ordering: .relaxed)
            throw .worn(key.id)
        }
        var nonce = [UInt8](repeating: 0, count: Self.nonceLength)
        guard RAND_bytes(&nonce, Int32(nonce.count)) == 1 else { throw .unavailable }
        let header = [Self.version] + key.id.bytes
        guard let (text, tag) = Self.encrypt(plain, key, nonce, [header, binding]) else { throw .unavailable }
        return header + nonce + text + tag
    }

    /// - Throws: `malformed`, `unknownKey`, `notAuthentic` or `unavailable`; then nothing of what was in it is left in memory.
    package func open(_ sealed: [UInt8], bound binding: [UInt8]) throws(SealingFailure) -> [UInt8] {
        guard let id = Self.keyID(of: sealed), sealed.count <= Self.overhead + Self.mostBytes else { throw .malformed }
        guard binding.count <= Self.mostBytes else { throw .tooLong }
        guard let key = ring.key(id) else { throw .unknownKey(id) }
        let header = Array(sealed.prefix(Self.headerLength))
        let nonce = Array(sealed.dropFirst(Self.headerLength).prefix(Self.nonceLength))
        let text = Array(sealed.dropFirst(Self.headerLength + Self.nonceLength).dropLast(Self.tagLength))
        return try Self.decrypt(text, Array(sealed.suffix(Self.tagLength)), key, nonce, [header, binding])
    }

    /// Which key something was sealed with; nil if it is no sealed value of this version. It need not be on the ring.
    package static func keyID(of sealed: some Collection<UInt8>) -> SealingKey.ID? {
        guard sealed.count >= overhead, sealed.first == version else { return nil }
        return SealingKey.ID(sealed.dropFirst().prefix(8))
    }

    // MARK: OpenSSL

    private static func encrypt(_ plain: [UInt8], _ key: SealingKey, _ nonce: [UInt8], _ additional: [[UInt8]]) -> (text: [UInt8], tag: [UInt8])? {
        let context = EVP_CIPHER_CTX_new()
        // Overwrites the key in it, too.
        defer { EVP_CIPHER_CTX_free(context) }
        guard key.withBytes({ EVP_EncryptInit_ex2(context, EVP_aes_256_gcm(), $0.baseAddress, nonce, nil) }) == 1 else { return nil }
        var length: Int32 = 0
        for bytes in additional where !bytes.isEmpty {
            guard EVP_EncryptUpdate(context, nil, &length, bytes, Int32(bytes.count)) == 1 else { return nil }
        }
        var text = [UInt8](repeating: 0, count: plain.count)
        if !plain.isEmpty {
            guard EVP_EncryptUpdate(context, &text, &length, plain, Int32(plain.count)) == 1, length == plain.count else { return nil }
        }
        // In this mode nothing is left to be written at the end.
        var rest = [UInt8](repeating: 0, count: 16)
        var tag = [UInt8](repeating: 0, count: tagLength)
        guard EVP_EncryptFinal_ex(context, &rest, &length) == 1, length == 0,
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tagLength), &tag) == 1
        else { return nil }
        return (text, tag)
    }

    private static func decrypt(
        _ text: [UInt8], _ tag: [UInt8], _ key: SealingKey, _ nonce: [UInt8], _ additional: [[UInt8]]
    ) throws(SealingFailure) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        guard key.withBytes({ EVP_DecryptInit_ex2(context, EVP_aes_256_gcm(), $0.baseAddress, nonce, nil) }) == 1 else { throw .unavailable }
        var length: Int32 = 0
        for bytes in additional where !bytes.isEmpty {
            guard EVP_DecryptUpdate(context, nil, &length, bytes, Int32(bytes.count)) == 1 else { throw .unavailable }
        }
        var plain = [UInt8](repeating: 0, count: text.count)
        var isGood = text.isEmpty || EVP_DecryptUpdate(context, &plain, &length, text, Int32(text.count)) == 1 && length == text.count
        var tag = tag
        var rest = [UInt8](repeating: 0, count: 16)
        isGood = isGood && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagLength), &tag) == 1
        isGood = isGood && EVP_DecryptFinal_ex(context, &rest, &length) == 1 && length == 0
        guard isGood else {
            // What was deciphered is nobody's word yet, and may be somebody's secret.
            wipe(&plain)
            throw .notAuthentic
        }
        return plain
    }
}
