import Crypto
package import Gateway
import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What this instance marks things with that come back to it: client ids, refresh tokens, token ids, forms.
///
/// It is never rotated, and belongs into a backup of the keys: whoever restores a gateway with it strands no client.
package struct InstanceKey: Sendable {
    private let key: SymmetricKey

    /// - Parameter bytes: 32 of them.
    package init?(_ bytes: Secret<[UInt8]>) {
        guard bytes.revealed.count == 32 else { return nil }
        key = SymmetricKey(data: bytes.revealed)
    }

    package static func randomBytes() -> Secret<[UInt8]> {
        Secret(SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) })
    }

    /// A key for one purpose, from which neither this one nor that of another purpose can be told (HKDF-SHA256).
    func derived(for purpose: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: Data("mreg \(purpose)".utf8), outputByteCount: 32)
    }

    /// The same as bytes, for rooms that do not know this one.
    package func secret(for purpose: String) -> Secret<[UInt8]> { Secret(derived(for: purpose).withUnsafeBytes { Array($0) }) }
}

/// Vouches for what is random, so that what is ours can be told from what is made up without asking anybody.
struct TokenMarks: Sendable {
    private let key: SymmetricKey

    init(_ key: InstanceKey) { self.key = key.derived(for: "token id") }

    /// 32 random hexadecimal digits and 16 that vouch for them.
    func makeID() -> String {
        let random = RequestID.random().description + RequestID.random().description
        return random + mark(of: random.utf8)
    }

    /// Whether an id is one of ours; that it is good, something else has to tell.
    func isOurs(_ id: some Collection<UInt8>) -> Bool {
        id.count == 48 && id.suffix(16).elementsEqual(mark(of: id.prefix(32)).utf8)
    }

    private func mark(of random: some Sequence<UInt8>) -> String {
        HMAC<SHA256>.authenticationCode(for: Array(random), using: key).prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// Seals small texts that clients carry for this instance: AES-256-GCM, bound to what they are for.
package struct CarriedSeal: Sendable {
    private let key: SymmetricKey

    package init(_ key: InstanceKey) { self.key = key.derived(for: "carried state") }

    /// Base64url without padding: nonce, text and tag.
    package func seal(_ plain: [UInt8], bound binding: [UInt8]) throws -> String {
        let sealed = try AES.GCM.seal(plain, using: key, authenticating: binding)
        return OAuth.Base64URL.encode(Array(sealed.nonce) + Array(sealed.ciphertext) + Array(sealed.tag))
    }

    /// Nil for what was not sealed here, or is bound to something else.
    package func open(_ text: String, bound binding: [UInt8]) -> [UInt8]? {
        guard let bytes = OAuth.Base64URL.decode(text.utf8), bytes.count >= 28, let box = try? AES.GCM.SealedBox(combined: bytes) else { return nil }
        return (try? AES.GCM.open(box, using: key, authenticating: binding)).map { Array($0) }
    }
}
