import COpenSSL
package import Gateway

/// Whether the bytes are the same, in a time that depends on how many there are and on nothing in them.
///
/// For secrets, codes, MACs and hashes of tokens. That two lengths differ is no secret.
package func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    guard !left.isEmpty else { return true }
    return left.withUnsafeBytes { left in right.withUnsafeBytes { CRYPTO_memcmp(left.baseAddress, $0.baseAddress, left.count) } } == 0
}

extension Secret<[UInt8]> {
    /// In constant time.
    package func isEqual(to other: Self) -> Bool { Sealing.isEqual(revealed, other.revealed) }
}

extension Secret<String> {
    /// In constant time, byte by byte: two spellings of one accent differ.
    package func isEqual(to other: Self) -> Bool { Sealing.isEqual(Array(revealed.utf8), Array(other.revealed.utf8)) }
}

/// SHA-256: by what a secret may be remembered and looked up.
package func digest(of bytes: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let isDone = bytes.withUnsafeBytes { EVP_Digest($0.baseAddress, $0.count, &digest, nil, EVP_sha256(), nil) == 1 }
    // Only for want of memory; a hash of zeros in its place would equal others.
    precondition(isDone, "OpenSSL cannot hash")
    return digest
}
