package import Gateway
import LMDB
package import Pacing
import Synchronization

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
    private let slowestToFill: Duration
    /// Where the sweep goes on; nil before and after a round.
    private let sweptTo = Mutex<[UInt8]?>(nil)

    /// Every new bucket pays for a look at two others, so that those of users who left are cleared away as fast as
    /// new ones come.
    private static let sweepPace = 2
    /// A bucket nobody used for this long, and for as long as it takes to fill, equals no bucket.
    private static let idleFor = Duration.seconds(120)

    /// - Parameters:
    ///   - path: a folder of its own, made if need be.
    ///   - mapSize: bytes it may take, at most and at once.
    ///   - slowestToFill: the longest that a bucket of any limit takes to fill; an idle one is kept that long.
    package init(path: String, mapSize: Int, bootID: String, slowestToFill: Duration = .zero) throws {
        self.slowestToFill = slowestToFill
        try Self.discardIfForeign(path, bootID)
        do {
            let found = try Self.open(path, mapSize, bootID)
            try Self.probe(found)
            environment = found
        } catch let error as LMDBError where error.isDamage {
            try Self.discard(path)
            environment = try Self.open(path, mapSize, bootID)
        }
    }

    private static func open(_ path: String, _ mapSize: Int, _ bootID: String) throws -> Environment {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try Data(bootID.utf8).write(to: URL(filePath: path + "/boot-id"))
        return try Environment(path: path, mapSize: mapSize, readers: 126, durability: .unsynced)
    }

    private static func discardIfForeign(_ path: String, _ bootID: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        let found = try? String(contentsOfFile: path + "/boot-id", encoding: .utf8)
        if found != bootID { try discard(path) }
    }

    /// Removes what is ours, and nothing else that may lie there.
    private static func discard(_ path: String) throws {
        for name in ["data.mdb", "lock.mdb", "boot-id"] where FileManager.default.fileExists(atPath: "\(path)/\(name)") {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
    }

    /// Takes one token from a user's bucket, in one transaction. A few microseconds; safe on an event loop.
    ///
    /// - Throws: `Refusal.overloaded` when there is no room for another bucket.
    package func take(for user: UserID, of limit: RateLimit, at now: BootInstant) throws -> TokenBucket.Decision {
        let key = [UInt8(ascii: "u")] + withUnsafeBytes(of: user.rawValue.bigEndian) { Array($0) }
        do {
            return try environment.write { transaction in
                let stored = try transaction.value(for: key) { StoredBucket($0)?.bucket } ?? nil
                if stored == nil { try sweep(transaction, limit, now) }
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

    /// Deletes a few buckets that are full by now.
    ///
    /// A bucket does not say whose limit it has, so each is judged by the slowest there is.
    private func sweep(_ transaction: borrowing WriteTransaction, _ limit: RateLimit, _ now: BootInstant) throws {
        let wait = max(Self.idleFor, slowestToFill, limit.timeToFill).nanoseconds
        let next = try transaction.sweep(from: sweptTo.withLock { $0 } ?? [], count: Self.sweepPace) { bytes in
            guard let bucket = StoredBucket(bytes) else { return true }
            let (idle, isBeyondMeasure) = now.nanoseconds.subtractingReportingOverflow(bucket.creditedAt)
            return isBeyondMeasure || idle > wait
        }
        sweptTo.withLock { $0 = next }
    }

    /// Whether the environment still answers.
    package func probe() throws { try Self.probe(environment) }

    private static func probe(_ environment: Environment) throws { try environment.read { _ = try $0.value(for: [0]) { _ in true } } }
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
