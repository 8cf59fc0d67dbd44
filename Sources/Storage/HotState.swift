package import Gateway
import LMDB
package import Pacing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What must be fast and may be lost: token buckets, in LMDB.
///
/// It survives the process and not the machine. Of another boot its times mean nothing, so it is thrown away; a
/// damaged one is thrown away too: it is never the reason for a failed start.
package final class HotState: Sendable {
    private let environment: Environment

    /// - Parameters:
    ///   - path: a folder of its own, made if need be.
    ///   - mapSize: bytes it may take, at most and at once.
    package init(path: String, mapSize: Int, bootID: String) throws {
        try Self.discardIfForeign(path, bootID)
        do {
            environment = try Self.open(path, mapSize, bootID)
        } catch let error as LMDBError where error.isDamage {
            try FileManager.default.removeItem(atPath: path)
            environment = try Self.open(path, mapSize, bootID)
        }
    }

    private static func open(_ path: String, _ mapSize: Int, _ bootID: String) throws -> Environment {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try Data(bootID.utf8).write(to: URL(filePath: path + "/boot-id"))
        if !FileManager.default.fileExists(atPath: path + "/data.mdb") {
            // Made once without preallocation: LMDB writes its own first pages, and the file is grown when reopened.
            _ = try Environment(path: path, mapSize: mapSize, readers: 126, durability: .synced)
        }
        return try Environment(path: path, mapSize: mapSize, readers: 126, durability: .unsynced)
    }

    private static func discardIfForeign(_ path: String, _ bootID: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        let found = try? String(contentsOfFile: path + "/boot-id", encoding: .utf8)
        if found != bootID { try FileManager.default.removeItem(atPath: path) }
    }

    /// Takes one token from a user's bucket, in one transaction. A few microseconds; safe on an event loop.
    ///
    /// - Throws: `Refusal.overloaded` when there is no room for another bucket.
    package func take(for user: UserID, of limit: RateLimit, at now: BootInstant) throws -> TokenBucket.Decision {
        let key = [UInt8(ascii: "u")] + withUnsafeBytes(of: user.rawValue.bigEndian) { Array($0) }
        do {
            return try environment.write { transaction in
                let stored = try transaction.value(for: key) { StoredBucket($0)?.bucket } ?? nil
                var bucket = stored ?? TokenBucket(full: limit, at: now)
                let decision = bucket.take(of: limit, at: now)
                if case .admitted = decision {
                    try withUnsafeBytes(of: StoredBucket(bucket)) { try transaction.put($0, for: key) }
                }
                return decision
            }
        } catch let error as LMDBError where error == .mapFull {
            throw Refusal.overloaded("The gateway has no room to count more callers; raise MREG_BUCKETS_MAP_BYTES.")
        }
    }

    /// Whether the environment still answers.
    package func probe() throws { try environment.read { _ = try $0.value(for: [0]) { _ in true } } }
}

/// A bucket as it lies in the map: this machine's byte order, for the map never leaves it.
private struct StoredBucket: BitwiseCopyable {
    let level: Int64
    let creditedAt: Int64

    init(_ bucket: TokenBucket) {
        level = bucket.level
        creditedAt = bucket.creditedAt.nanoseconds
    }

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == MemoryLayout<Self>.size else { return nil }
        self = bytes.loadUnaligned(as: Self.self)
    }

    var bucket: TokenBucket { TokenBucket(level: level, creditedAt: BootInstant(nanoseconds: creditedAt)) }
}
