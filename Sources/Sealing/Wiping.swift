import COpenSSL

/// Overwrites what held a secret, in a way that no compiler leaves out.
///
/// It reaches this array alone: a copy that somebody else still refers to keeps what it has.
package func wipe(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
}

/// Bytes in memory of their own, which is overwritten before it is given back.
final class WipedBytes: Sendable {
    // Safe: written by `init`, read until `deinit`.
    private nonisolated(unsafe) let memory: UnsafeMutableRawBufferPointer

    init(_ bytes: [UInt8]) {
        memory = .allocate(byteCount: bytes.count, alignment: 16)
        memory.copyBytes(from: bytes)
    }

    deinit {
        OPENSSL_cleanse(memory.baseAddress, memory.count)
        memory.deallocate()
    }

    func withBytes<Value>(_ body: (UnsafeRawBufferPointer) -> Value) -> Value { body(UnsafeRawBufferPointer(memory)) }
}
