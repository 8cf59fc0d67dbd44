package import Gateway
import LMDB
package import Pacing
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What must be fast and may be lost: token buckets, windows, quotas and violations, in LMDB.
///
/// It survives the process and not the machine. Of another boot its times mean nothing, so it is thrown away; a
/// damaged one is thrown away too: it is never the reason for a failed start. What matters of it is checkpointed to the
/// record of truth, and taken from there when it was lost.
///
/// Bounded: the map grows up to the size it was given. When that has no room, what is over goes first; then callers
/// nobody knows find no room for a new key; then nobody does.
package final class HotState: Sendable {
    private struct State {
        var environment: Environment
        var mapSize: Int
        /// How the global bucket is divided; nil if it is not.
        var share: FairShare?
        /// Where the sweep goes on; empty before and after a round.
        var sweptTo: [UInt8] = []
    }

    private let path: String
    private let mostBytes: Int
    private let bootID: String
    private let state: Mutex<State>

    /// Every new key pays for a look at two others, so that those of callers who left are cleared away as fast as
    /// new ones come.
    private static let sweepPace = 2
    /// When there is no room, a refusal pays for this.
    private static let urgentSweep = 64
    /// What an entry takes at most, in half-filled pages and with room for a transaction to copy what it changes.
    static let entryBytes = 160
    private static let firstMapSize = 8 << 20
    private static let restoredKey: [UInt8] = [0]

    /// - Parameters:
    ///   - path: a folder of its own, made if need be.
    ///   - mapSize: bytes it may take at most.
    ///   - share: how the global bucket is divided, if it is.
    package init(path: String, mapSize: Int, bootID: String, share: FairShare? = nil) throws {
        self.path = path
        mostBytes = mapSize
        self.bootID = bootID
        try Self.discardIfForeign(path, bootID)
        // One that had grown is not made smaller than what lies in it.
        let size = min(max(Self.firstMapSize, Self.fileSize(path)), mapSize)
        let environment = try Self.openSound(path, size, bootID)
        state = Mutex(State(environment: environment, mapSize: size, share: share))
    }

    private static func fileSize(_ path: String) -> Int {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path + "/data.mdb")
        return (attributes?[.size] as? any BinaryInteger).map { Int($0) } ?? 0
    }

    private static func openSound(_ path: String, _ mapSize: Int, _ bootID: String) throws -> Environment {
        do {
            let found = try open(path, mapSize, bootID)
            try probe(found)
            return found
        } catch let error as LMDBError where error.isDamage {
            try discard(path)
            return try open(path, mapSize, bootID)
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

    // MARK: Admission

    /// Judges a request, and takes all that it asks or nothing, in one transaction. Some microseconds; safe on an event loop.
    ///
    /// - Throws: `Refusal.overloaded` when there is no room to count another caller.
    package func admit(_ request: AdmissionRequest, at now: Moment) throws -> Verdict {
        try writing(now.boot) { state, transaction in
            let keys = request.claims.map { HotKey.bucket($0.key) }
            var holdings = Holdings()
            holdings.buckets = try keys.map { try Self.stored($0, transaction).map(TokenBucket.init) }
            holdings.window = try request.window.flatMap { limit in
                try Self.stored(.window(request.tenant), transaction).map { SlidingWindow($0, limit) }
            }
            holdings.quotas = try request.quotas.map { try Self.stored(.quota($0.period, request.tenant), transaction).map(QuotaCount.init) }
            let known = holdings
            let verdict = request.judge(&holdings, share: &state.share, at: now)
            guard case .admitted = verdict else { throw Undone(verdict: verdict) }
            for (index, claim) in request.claims.enumerated() {
                guard let bucket = holdings.buckets[index] else { continue }
                if known.buckets[index] == nil { try makeRoom(for: keys[index], &state, transaction, now.boot) }
                try Self.store(StoredEntry(bucket, claim.limit, now.boot), keys[index], transaction)
            }
            if let limit = request.window, let window = holdings.window {
                try Self.store(StoredEntry(window, limit, now.boot), .window(request.tenant), transaction)
            }
            for (claim, count) in zip(request.quotas, holdings.quotas) {
                guard let count else { continue }
                try Self.store(StoredEntry(count, claim.period, now), .quota(claim.period, request.tenant), transaction)
            }
            return verdict
        } committed: { state in
            if request.claims.contains(where: { $0.key == .global }) { state.share?.take(1, of: request.tenant) }
        }
    }

    /// What is left of a bucket, without taking from it; nil if nobody has used it for long.
    package func bucket(_ key: BucketKey, of limit: RateLimit, at now: BootInstant) throws -> TokenBucket? {
        try reading { snapshot in
            try snapshot.value(for: HotKey.bucket(key).bytes) { bytes -> TokenBucket? in
                guard var bucket = StoredEntry(bytes).map(TokenBucket.init) else { return nil }
                bucket.credit(limit, at: now)
                return bucket
            } ?? nil
        }
    }

    /// What a tenant has used of a quota.
    package func quotaUsed(_ period: QuotaPeriod, of tenant: TenantID, at now: Timestamp) throws -> Int64 {
        try reading { snapshot in
            var count =
                try snapshot.value(for: HotKey.quota(period, tenant).bytes) { StoredEntry($0).map(QuotaCount.init) }?.flatMap { $0 } ?? QuotaCount()
            count.turn(to: period.number(at: now))
            return count.used
        }
    }

    // MARK: Violations

    /// Counts a violation of an address.
    ///
    /// - Returns: how many the window holds now; nil if there is no room to count those of another address.
    package func countViolation(of address: AddressPrefix, in limit: WindowLimit, at now: BootInstant) throws -> Int64? {
        do { return try count(.violations(address), limit, now) } catch is Refusal { return nil }
    }

    /// Counts what somebody known did wrong.
    package func countMisdeed(of user: UserID, in limit: WindowLimit, at now: BootInstant) throws -> Int64? {
        do { return try count(.misdeeds(user), limit, now) } catch is Refusal { return nil }
    }

    package func misdeeds(of user: UserID, in limit: WindowLimit, at now: BootInstant) throws -> Int64 {
        try reading { snapshot in
            let window = try snapshot.value(for: HotKey.misdeeds(user).bytes) { bytes in StoredEntry(bytes).map { SlidingWindow($0, limit) } }?
                .flatMap { $0 }
            guard var window else { return 0 }
            return window.count(in: limit, at: now)
        }
    }

    package func forgetViolations(of address: AddressPrefix) throws {
        try state.withLock { state in
            _ = try state.environment.write { try $0.delete(HotKey.violations(address).bytes) }
        }
    }

    private func count(_ key: HotKey, _ limit: WindowLimit, _ now: BootInstant) throws -> Int64 {
        try writing(now) { state, transaction in
            let stored = try Self.stored(key, transaction)
            if stored == nil { try makeRoom(for: key, &state, transaction, now) }
            var window = stored.map { SlidingWindow($0, limit) } ?? SlidingWindow()
            window.add(1, in: limit, at: now)
            let count = window.count(in: limit, at: now)
            try Self.store(StoredEntry(window, limit, now, keptFor: Self.patience(count, limit)), key, transaction)
            return count
        }
    }

    /// How long violations are remembered after the last one: the fewer there are the shorter, so that a flood of addresses
    /// with one each makes room soon. Whoever comes back just then makes them at half the rate that blocks.
    private static func patience(_ count: Int64, _ limit: WindowLimit) -> Duration {
        let twice = Int128(limit.length.nanoseconds) * 2
        return max(.seconds(120), .nanoseconds(Int64(min(twice, twice * Int128(count) / Int128(limit.most)))))
    }

    // MARK: Transactions

    /// Carries a verdict out of a transaction that is not to be committed.
    private struct Undone: Error {
        let verdict: Verdict
    }

    private func writing<Value: Sendable>(
        _ now: BootInstant, _ body: (inout State, borrowing WriteTransaction) throws -> Value, committed: (inout State) -> Void = { _ in }
    ) throws -> Value {
        func attempt(_ state: inout State) throws -> Value {
            do {
                let value = try Self.transact(&state, body)
                committed(&state)
                return value
            } catch let undone as Undone {
                guard let value = undone.verdict as? Value else { throw undone }
                return value
            }
        }
        return try state.withLock { state in
            do {
                return try attempt(&state)
            } catch let error as LMDBError where error == .mapFull {
                // Not for want of pages alone: a reader that died may hold on to old ones.
                try state.environment.clearStaleReaders()
                guard grow(&state) else { throw Self.noRoom }
                return try attempt(&state)
            } catch let refusal as Refusal {
                // In a transaction of its own, for the one that found no room was undone.
                try? Self.transact(&state) { try sweep(&$0, $1, now, count: Self.urgentSweep) }
                throw refusal
            }
        }
    }

    private static func transact<Value: Sendable>(_ state: inout State, _ body: (inout State, borrowing WriteTransaction) throws -> Value) throws
        -> Value
    {
        let environment = state.environment
        return try environment.write { try body(&state, $0) }
    }

    private func reading<Value: Sendable>(_ body: (borrowing Snapshot) throws -> Value) throws -> Value {
        try state.withLock { try $0.environment.read(body) }
    }

    private static let noRoom = Refusal.overloaded(
        "The gateway has no room to count more callers; raise MREG_BUCKETS_MAP_BYTES.", retryAfter: .seconds(60))

    /// Sees to it that another key finds room, or refuses it.
    private func makeRoom(for key: HotKey, _ state: inout State, _ transaction: borrowing WriteTransaction, _ now: BootInstant) throws {
        try sweep(&state, transaction, now, count: Self.sweepPace)
        let most = mostBytes / Self.entryBytes
        let mostOfThis = key.isAnonymous ? most / 4 * 3 : most
        guard transaction.count >= min(mostOfThis, state.mapSize / Self.entryBytes) else { return }
        throw transaction.count < mostOfThis ? LMDBError.mapFull : Self.noRoom
    }

    /// - Returns: whether there is more room now.
    private func grow(_ state: inout State) -> Bool {
        let size = min(state.mapSize * 2, mostBytes)
        guard size > state.mapSize else { return false }
        do { try state.environment.grow(to: size) } catch { return false }
        state.mapSize = size
        return true
    }

    /// Deletes a few entries that mean nothing by now.
    private func sweep(_ state: inout State, _ transaction: borrowing WriteTransaction, _ now: BootInstant, count: Int) throws {
        state.sweptTo =
            try transaction.sweep(from: state.sweptTo, count: count) { key, bytes in
                guard key.first != 0 else { return false }
                guard let entry = StoredEntry(bytes) else { return true }
                return entry.expiresAt <= now.nanoseconds
            } ?? []
    }

    private static func stored(_ key: HotKey, _ transaction: borrowing WriteTransaction) throws -> StoredEntry? {
        try transaction.value(for: key.bytes) { StoredEntry($0) } ?? nil
    }

    private static func store(_ entry: StoredEntry, _ key: HotKey, _ transaction: borrowing WriteTransaction) throws {
        try withUnsafeBytes(of: entry) { try transaction.put($0, for: key.bytes) }
    }

    // MARK: Keeping it

    /// Whether the environment still answers.
    package func probe() throws { try state.withLock { try Self.probe($0.environment) } }

    private static func probe(_ environment: Environment) throws { try environment.read { _ = try $0.value(for: [0]) { _ in true } } }

    /// Entries that there are.
    package var count: Int { (try? state.withLock { try $0.environment.write { $0.count } }) ?? 0 }

    /// Deletes what means nothing by now, among the next so many.
    package func sweep(_ count: Int, at now: BootInstant) throws {
        try writing(now) { state, transaction in try sweep(&state, transaction, now, count: count) }
    }

    package enum Condition: Sendable {
        case sound
        /// The file was gone, and was written anew from what was held.
        case mended
        /// The file was cut off: what is in it cannot be looked at any more.
        case truncated
    }

    /// Looks after the file.
    package func mend() throws -> Condition {
        try state.withLock { state in
            switch state.environment.fileState(mapSize: state.mapSize) {
            case .whole:
                try state.environment.clearStaleReaders()
                return .sound
            case .truncated: return .truncated
            case .gone:
                let held = state.environment
                try Self.discard(path)
                let fresh = try Self.open(path, state.mapSize, bootID)
                try held.read { snapshot in
                    try fresh.write { transaction in
                        _ = try snapshot.entries(from: [], count: .max) { key, value in try transaction.put(value, for: Array(key)) }
                    }
                }
                state.environment = fresh
                return .mended
            }
        }
    }

    // MARK: Checkpoints

    /// Whether it was filled from the last checkpoint, or goes on from an earlier process.
    package var isRestored: Bool { (try? reading { try $0.value(for: Self.restoredKey) { _ in true } }) ?? nil ?? false }

    /// Takes over what was stored. Nothing is credited for the time in between.
    ///
    /// What somebody took meanwhile stays taken.
    package func restore(_ rows: [BucketRow], at now: Moment) throws {
        // A map that was made smaller may not hold them all.
        for start in stride(from: 0, to: min(rows.count, mostBytes / Self.entryBytes / 2), by: 256) {
            try writing(now.boot) { state, transaction in
                for row in rows[start..<min(start + 256, rows.count)] {
                    guard let key = HotKey(text: row.key), let entry = StoredEntry(row, key, now) else { continue }
                    if try Self.stored(key, transaction) == nil { try Self.store(entry, key, transaction) }
                }
            }
        }
        try writing(now.boot) { _, transaction in try withUnsafeBytes(of: UInt8(1)) { try transaction.put($0, for: Self.restoredKey) } }
    }

    /// What is worth keeping over a reboot, in pieces: everything but the buckets of addresses, which fill in minutes.
    ///
    /// - Parameter start: empty to begin with, then what the piece before returned.
    package func checkpoint(from start: [UInt8], count: Int, at now: Moment) throws -> (rows: [BucketRow], next: [UInt8]?) {
        var rows: [BucketRow] = []
        let first = start.isEmpty ? [UInt8(ascii: "b")] : start
        let next = try reading { snapshot in
            try snapshot.entries(from: first, count: count) { key, value in
                guard let key = HotKey(bytes: key), let entry = StoredEntry(value), entry.expiresAt > now.boot.nanoseconds else { return }
                if let row = entry.row(key, now) { rows.append(row) }
            }
        }
        return (rows, next)
    }
}

/// A piece of hot state as the record of truth keeps it.
package struct BucketRow: Hashable, Sendable {
    package let key: String
    package let level: Int64
    package let expiresAt: Timestamp

    package init(key: String, level: Int64, expiresAt: Timestamp) {
        self.key = key
        self.level = level
        self.expiresAt = expiresAt
    }
}

/// An entry as it lies in the map: three numbers and when it means nothing any more, in nanoseconds since boot; in this
/// machine's byte order, for the map never leaves it.
private struct StoredEntry: BitwiseCopyable {
    let first: Int64
    let second: Int64
    let third: Int64
    let expiresAt: Int64

    /// A bucket nobody used for this long, and for as long as it takes to fill, equals no bucket.
    private static let idleFor = Duration.seconds(120)
    /// A day longer than a quota counts, for clocks that are set back.
    private static let quotaGrace = Duration.seconds(86_400)
    /// Up to so many violations of an address are forgotten by a reboot.
    private static let pettyViolations: Int64 = 100

    init(_ bucket: TokenBucket, _ limit: RateLimit, _ now: BootInstant) {
        (first, second, third) = (bucket.level, bucket.creditedAt.nanoseconds, 0)
        expiresAt = now.advanced(by: max(Self.idleFor, bucket.timeToFill(of: limit))).nanoseconds
    }

    init(_ window: SlidingWindow, _ limit: WindowLimit, _ now: BootInstant, keptFor time: Duration? = nil) {
        // When it began rather than its number, which means something for windows of one length alone.
        let began = window.number == SlidingWindow.unplaced ? window.number : window.number * limit.length.nanoseconds
        (first, second, third) = (began, window.current, window.previous)
        expiresAt = now.advanced(by: time ?? limit.length * 2).nanoseconds
    }

    init(_ count: QuotaCount, _ period: QuotaPeriod, _ now: Moment) {
        (first, second, third) = (count.period, count.used, 0)
        expiresAt = now.boot.advanced(by: period.remaining(at: now.wall) + Self.quotaGrace).nanoseconds
    }

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == MemoryLayout<Self>.size else { return nil }
        self = bytes.loadUnaligned(as: Self.self)
    }

    // MARK: In the record of truth

    /// Nil for what is not worth it.
    func row(_ key: HotKey, _ now: Moment) -> BucketRow? {
        if case .violations = key, second + third <= Self.pettyViolations { return nil }
        let level =
            switch key {
            case .bucket: first
            case .window, .violations, .misdeeds: second + third
            case .quota: second
            }
        let left = Duration.nanoseconds(expiresAt - now.boot.nanoseconds)
        return BucketRow(key: key.text, level: level, expiresAt: now.wall.advanced(by: left))
    }

    /// Nil for what cannot be: damage, or a row of another version.
    init?(_ row: BucketRow, _ key: HotKey, _ now: Moment) {
        guard row.level >= 0 else { return nil }
        let left = max(0, min(row.expiresAt.microseconds - now.wall.microseconds, 40 * 86_400_000_000))
        expiresAt = now.boot.advanced(by: .microseconds(left)).nanoseconds
        switch key {
        case .bucket: (first, second, third) = (row.level, now.boot.nanoseconds, 0)
        case .window, .violations, .misdeeds: (first, second, third) = (SlidingWindow.unplaced, row.level, 0)
        case .quota(let period, _):
            // An hour before its end: the clocks that this is reckoned by do not agree to the second.
            let end = row.expiresAt.advanced(by: .zero - Self.quotaGrace - .seconds(3600))
            (first, second, third) = (period.number(at: end), row.level, 0)
        }
    }
}

extension TokenBucket {
    fileprivate init(_ entry: StoredEntry) { self.init(level: entry.first, creditedAt: BootInstant(nanoseconds: entry.second)) }
}

extension SlidingWindow {
    fileprivate init(_ entry: StoredEntry, _ limit: WindowLimit) {
        let number = entry.first < 0 ? Self.unplaced : entry.first / limit.length.nanoseconds
        self.init(number: number, current: entry.second, previous: entry.third)
    }
}

extension QuotaCount {
    fileprivate init(_ entry: StoredEntry) { self.init(period: entry.first, used: entry.second) }
}
