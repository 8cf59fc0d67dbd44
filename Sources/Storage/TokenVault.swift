package import Gateway
import LMDB
package import OAuth
package import Sealing
import Synchronization

/// The tokens and credentials that the gateway holds for its users, sealed, each under its user's number.
///
/// What is stored is on disk when the call returns, which waits for it: storing, forgetting and resealing are not for an
/// event loop. Reading takes some microseconds and waits for no writer, except while the map grows. Damage, a deleted
/// folder and a missing key are errors with a sentence, never an absent token.
///
/// Who can write to the disk can delete an entry, or put back an earlier value of the same entry; no seal tells.
package final class TokenVault: Sendable {
    /// Of one token or credential, in bytes.
    package static let longestSecret = 64 << 10
    /// By how much metadata outlives the access token.
    package static let metadataGrace = Duration.seconds(300)

    private struct Positions {
        /// Where the next round goes on; empty before and after one.
        var swept: [UInt8] = []
        var resealed: [UInt8] = []
    }

    /// Each store pays for a look at two other entries, so that users who left are cleared away as others come.
    private static let sweepPace = 2

    let file: VaultFile
    let sealer: Sealer
    private let positions = Mutex(Positions())
    private let failPoint: @Sendable (String) throws -> Void

    /// - Parameter path: a folder of its own, made at the first start; afterwards it has to be there.
    /// - Throws: `TokenVaultError`; `StateDirectory.Unusable` when the folder cannot be made or is open to others.
    package convenience init(path: String, sealer: Sealer) throws {
        try self.init(path: path, sealer: sealer, firstBytes: VaultFile.firstBytes, mostBytes: VaultFile.mostBytes)
    }

    /// - Parameter failPoint: hears of each step within a transaction, and may fail it.
    init(
        path: String, sealer: Sealer, firstBytes: Int, mostBytes: Int, failPoint: @escaping @Sendable (String) throws -> Void = { _ in }
    ) throws {
        file = try VaultFile(path, firstBytes: firstBytes, mostBytes: mostBytes)
        self.sealer = sealer
        self.failPoint = failPoint
        let uses = try file.read { snapshot in
            try snapshot.value(for: Self.usesKey(sealer)) { VaultField.decode(Array($0)) { $0.number() } }
        }
        if let uses {
            guard let uses else { throw TokenVaultError.damaged(path, reason: "the count of a key's uses is no number") }
            sealer.countUses(atLeast: UInt64(max(0, uses)))
        }
    }

    /// Whether the file is there and answers.
    package func probe() throws { try file.read { _ = try $0.value(for: [0]) { _ in true } } }

    // MARK: Tokens of the issuer

    /// Keeps what a sign-in gave, in place of everything that an earlier one left.
    package func store(_ tokens: IssuerTokens, for user: UserID, at now: Timestamp) throws {
        try write { transaction in
            try forget(user, in: transaction)
            try put(tokens, for: user, in: transaction)
            _ = try sweep(Self.sweepPace, at: now, in: transaction)
        }
    }

    /// What tokens there are with a good access token; nil if there is none, or it is over.
    package func tokens(of user: UserID, at now: Timestamp) throws -> IssuerTokens? {
        try file.read { snapshot in
            guard let access = try open(snapshot.entry(.accessToken(user)), .accessToken(user), at: now, { $0.text() }) else { return nil }
            guard let metadata = try metadata(of: user, at: now, in: snapshot) else {
                throw TokenVaultError.missing(VaultKey.tokenMetadata(user).name)
            }
            let refresh = try open(snapshot.entry(.refreshToken(user)), .refreshToken(user), HeldRefreshToken.init)
            let hint = try open(snapshot.entry(.idToken(user)), .idToken(user)) { $0.text() }
            return IssuerTokens(
                accessToken: Secret(access), refreshToken: refresh?.token, idTokenHint: hint.map(Secret.init), scope: metadata.scope,
                expiresAt: metadata.expiresAt, obtainedAt: metadata.obtainedAt, issuer: metadata.issuer)
        }
    }

    /// The same also when the access token is over, as long as there is a refresh token: then it is empty, and expired.
    package func heldTokens(of user: UserID, at now: Timestamp) throws -> IssuerTokens? {
        if let tokens = try tokens(of: user, at: now) { return tokens }
        return try file.read { snapshot in
            guard let held = try open(snapshot.entry(.refreshToken(user)), .refreshToken(user), HeldRefreshToken.init) else { return nil }
            let metadata = try metadata(of: user, at: now, in: snapshot)
            return IssuerTokens(
                accessToken: Secret(""), refreshToken: held.token, scope: held.scope, expiresAt: min(metadata?.expiresAt ?? now, now),
                obtainedAt: metadata?.obtainedAt ?? held.obtainedAt, issuer: held.issuer)
        }
    }

    /// Opens no token.
    package func metadata(of user: UserID, at now: Timestamp) throws -> IssuerTokenMetadata? {
        try file.read { try metadata(of: user, at: now, in: $0) }
    }

    private func metadata(of user: UserID, at now: Timestamp, in snapshot: borrowing Snapshot) throws -> IssuerTokenMetadata? {
        let hasRefreshToken = try snapshot.value(for: VaultKey.refreshToken(user).bytes) { _ in true } ?? false
        return try metadata(snapshot.entry(.tokenMetadata(user)), of: user, at: now, hasRefreshToken: hasRefreshToken)
    }

    private func metadata(_ entry: SealedEntry?, of user: UserID, at now: Timestamp, hasRefreshToken: Bool) throws -> IssuerTokenMetadata? {
        try open(entry, .tokenMetadata(user), at: now) { fields in
            guard let issuer = fields.text(), let scope = fields.text(), let obtainedAt = fields.number(), let expiresAt = fields.number() else {
                return nil
            }
            return IssuerTokenMetadata(
                issuer: issuer, scope: scope, obtainedAt: Timestamp(microseconds: obtainedAt), expiresAt: Timestamp(microseconds: expiresAt),
                hasRefreshToken: hasRefreshToken)
        }
    }

    /// Forgets all that sign-ins left, and a refresh under way with it. Credentials for upstreams stay.
    package func forget(_ user: UserID) throws { try write(isDeletion: true) { try forget(user, in: $0) } }

    private func forget(_ user: UserID, in transaction: borrowing WriteTransaction) throws {
        for key in VaultKey.ofSignIn(user) { try delete(key, in: transaction) }
    }

    /// Writes the access token and its metadata, and a refresh token and an ID token if there are new ones.
    func put(_ tokens: IssuerTokens, for user: UserID, in transaction: borrowing WriteTransaction) throws {
        let (issuer, scope) = (VaultField.text(tokens.issuer), VaultField.text(tokens.scope))
        try put([.text(tokens.accessToken.revealed)], under: .accessToken(user), until: tokens.expiresAt, in: transaction)
        try put(
            [issuer, scope, .number(tokens.obtainedAt.microseconds), .number(tokens.expiresAt.microseconds)], under: .tokenMetadata(user),
            until: tokens.expiresAt.advanced(by: Self.metadataGrace), in: transaction)
        if let refresh = tokens.refreshToken {
            try put(
                [.text(refresh.revealed), issuer, scope, .number(tokens.obtainedAt.microseconds)], under: .refreshToken(user),
                in: transaction)
        }
        if let hint = tokens.idTokenHint { try put([.text(hint.revealed)], under: .idToken(user), in: transaction) }
    }

    // MARK: All users

    /// Some of those whom tokens are held for, in the order of their names in the map.
    package struct TokenHolders: Sendable {
        package let holders: [TokenHolder]
        /// Entries that do not open. They hold nobody up but their users.
        package let spoiled: [TokenVaultError]
        /// Where to go on; nil at the end.
        package let next: UserID?
    }

    /// Walks over all users with metadata or a refresh token; opens a refresh token only where nothing else says when it was obtained.
    ///
    /// - Parameter limit: how many entries to look at, 1 to 1000.
    package func metadataOfAll(from start: UserID? = nil, limit: Int = 100, at now: Timestamp) throws -> TokenHolders {
        let limit = min(max(limit, 1), 1000)
        return try file.read { snapshot in
            let described = try entries(VaultKey.metadataPrefix, after: start, limit, in: snapshot)
            let refreshable = try entries(VaultKey.refreshPrefix, after: start, limit, in: snapshot)
            let users = Set(described.keys).union(refreshable.keys).sorted { String($0.rawValue) < String($1.rawValue) }
            var (holders, spoiled): ([TokenHolder], [TokenVaultError]) = ([], [])
            for user in users.prefix(limit) {
                do {
                    let hasRefreshToken = refreshable[user] != nil
                    let metadata = try metadata(described[user], of: user, at: now, hasRefreshToken: hasRefreshToken)
                    if let metadata {
                        holders.append(TokenHolder(user: user, metadata: metadata, obtainedAt: metadata.obtainedAt))
                    } else if let held = try open(refreshable[user], .refreshToken(user), HeldRefreshToken.init) {
                        holders.append(TokenHolder(user: user, metadata: nil, obtainedAt: held.obtainedAt))
                    }
                } catch let error as TokenVaultError {
                    spoiled.append(error)
                }
            }
            return TokenHolders(holders: holders, spoiled: spoiled, next: users.count >= limit ? users[limit - 1] : nil)
        }
    }

    private func entries(_ prefix: String, after user: UserID?, _ limit: Int, in snapshot: borrowing Snapshot) throws -> [UserID: SealedEntry] {
        // The first key that is not before all others of a later user.
        let start = user.map { "\(prefix)\($0.rawValue)\0" } ?? prefix
        var found: [UserID: SealedEntry] = [:]
        _ = try snapshot.entries(from: Array(start.utf8), count: limit) { key, value in
            guard key.starts(with: prefix.utf8), let owner = VaultKey(key)?.owner else { return }
            found[owner] = SealedEntry(value)
        }
        return found
    }

    // MARK: What is over

    /// Deletes what is over among the next so many entries; for housekeeping.
    ///
    /// - Returns: how many were deleted.
    package func sweep(_ count: Int, at now: Timestamp) throws -> Int {
        try write(isDeletion: true) { try sweep(count, at: now, in: $0) }
    }

    private func sweep(_ count: Int, at now: Timestamp, in transaction: borrowing WriteTransaction) throws -> Int {
        var deleted = 0
        let next = try transaction.sweep(from: positions.withLock { $0.swept }, count: count) { key, value in
            // One whose time was tampered with stays, to be found by whoever reads it.
            guard let key = VaultKey(key), (try? isOver(SealedEntry(value), key, at: now)) == true else { return false }
            deleted += 1
            return true
        }
        positions.withLock { $0.swept = next ?? [] }
        return deleted
    }

    // MARK: Entries

    /// Runs in one transaction: all of it is on disk afterwards, or nothing.
    func write<Value>(isDeletion: Bool = false, _ body: (borrowing WriteTransaction) throws -> Value) throws -> Value {
        try file.write(isDeletion: isDeletion) { transaction in
            let uses = sealer.uses
            let value = try body(transaction)
            // Uses whose values never reached the disk need not be remembered.
            if sealer.uses != uses {
                let counted = VaultField.encode([.number(Int64(clamping: sealer.uses))])
                try counted.withUnsafeBytes { try transaction.put($0, for: Self.usesKey(sealer)) }
            }
            try failPoint("commit")
            return value
        }
    }

    private static func usesKey(_ sealer: Sealer) -> [UInt8] { Array("key_uses:\(sealer.ring.current.id)".utf8) }

    func put(_ fields: [VaultField], under key: VaultKey, until expiresAt: Timestamp = .never, in transaction: borrowing WriteTransaction) throws {
        var plain = VaultField.encode(fields)
        defer { wipe(&plain) }
        try put(plain, under: key, until: expiresAt, in: transaction)
    }

    func put(_ plain: [UInt8], under key: VaultKey, until expiresAt: Timestamp, in transaction: borrowing WriteTransaction) throws {
        guard plain.count <= Self.longestSecret else { throw TokenVaultError.tooLong(key.name, bytes: Self.longestSecret) }
        let sealed: [UInt8]
        do throws(SealingFailure) {
            sealed = try sealer.seal(plain, bound: key.binding(expiresAt))
        } catch {
            throw TokenVaultError.entry(key.name, error)
        }
        try transaction.put(SealedEntry(expiresAt: expiresAt, sealed: sealed), under: key)
        try failPoint(key.name)
    }

    func delete(_ key: VaultKey, in transaction: borrowing WriteTransaction) throws {
        if try transaction.delete(key.bytes) { try failPoint(key.name) }
    }

    /// Nil if there is none or it is over.
    func open<Value>(
        _ entry: SealedEntry?, _ key: VaultKey, at now: Timestamp = Timestamp(microseconds: 0), _ read: (inout VaultField.Reader) -> Value?
    ) throws -> Value? {
        guard let entry, try !isOver(entry, key, at: now) else { return nil }
        var plain = try opened(entry, key)
        defer { wipe(&plain) }
        guard let value = VaultField.decode(plain, read) else { throw TokenVaultError.entry(key.name, .malformed) }
        return value
    }

    /// The time lies in the clear; only the seal says whether it is the one that was written.
    private func isOver(_ entry: SealedEntry, _ key: VaultKey, at now: Timestamp) throws(TokenVaultError) -> Bool {
        guard entry.expiresAt <= now else { return false }
        do throws(TokenVaultError) {
            var plain = try opened(entry, key)
            wipe(&plain)
        } catch .entry(_, .unknownKey) {
            // Nobody needs that key for what is over.
        }
        return true
    }

    func opened(_ entry: SealedEntry, _ key: VaultKey) throws(TokenVaultError) -> [UInt8] {
        do throws(SealingFailure) {
            return try sealer.open(entry.sealed, bound: key.binding(entry.expiresAt))
        } catch {
            throw .entry(key.name, error)
        }
    }

    /// Where resealing goes on.
    var resealed: [UInt8] {
        get { positions.withLock { $0.resealed } }
        set { positions.withLock { $0.resealed = newValue } }
    }
}

extension Snapshot {
    func entry(_ key: VaultKey) throws -> SealedEntry? { try value(for: key.bytes) { SealedEntry($0) } }
}

extension WriteTransaction {
    func entry(_ key: VaultKey) throws -> SealedEntry? { try value(for: key.bytes) { SealedEntry($0) } }
    func put(_ entry: SealedEntry, under key: VaultKey) throws { try entry.bytes.withUnsafeBytes { try put($0, for: key.bytes) } }
}
