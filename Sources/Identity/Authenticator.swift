import Crypto
package import Gateway
package import OAuth
import Synchronization

/// Where the authenticator finds users: live, the record of truth; in a test, a literal.
package struct UserDirectory: Sendable {
    package var find: @Sendable (UserID) async throws -> User?
    /// The API key with this SHA-256.
    package var key: @Sendable ([UInt8]) async throws -> APIKey?

    package init(
        find: @escaping @Sendable (UserID) async throws -> User?, key: @escaping @Sendable ([UInt8]) async throws -> APIKey? = { _ in nil }
    ) {
        self.find = find
        self.key = key
    }
}

/// Issues the gateway's tokens and tells who sent one.
///
/// A signature is verified once per token; afterwards the token's SHA-256 finds its principal in memory. Tokens
/// themselves are kept nowhere.
package final class Authenticator: Sendable {
    /// What a verified token says, kept until it expires, its user signs out, or `trustedFor` has passed.
    private struct Entry {
        let principal: Principal
        let resources: Set<Resource>
        let expiresAt: Timestamp
        let trustedUntil: Timestamp
    }

    private struct Known {
        var entries: [SHA256.Digest: Entry] = [:]
        /// Sessions that were ended before their tokens expired; a token lives for an hour, so no longer do these.
        var ended: [SessionID: Timestamp] = [:]
        /// The same of clients, as tokens call them.
        var endedClients: [String: Timestamp] = [:]
        /// When each API key was last used, since somebody asked.
        var used: [APIKeyID: Timestamp] = [:]
        /// Raised by each `forget`, so that what was looked up before is not remembered after.
        var epoch = 0
    }

    private let origin: @Sendable () -> Origin
    private let keys: TokenKeys
    private let marks: TokenMarks
    private let users: UserDirectory
    private let known = Mutex(Known())

    /// How long a role or a revocation may go unnoticed that nobody told us of.
    private static let trustedFor = Duration.seconds(60)
    private static let capacity = 10_000
    private static let skew = Duration.seconds(60)
    package static let lifetime = Duration.seconds(3600)

    /// - Parameter origin: asked anew each time, for a port chosen by the system is known only once it listens.
    package init(keys: TokenKeys, instance: InstanceKey, users: UserDirectory, origin: @escaping @Sendable () -> Origin) {
        self.origin = origin
        self.keys = keys
        marks = TokenMarks(instance)
        self.users = users
    }

    /// A token for a user, good for these resources for an hour.
    ///
    /// - Parameters:
    ///   - scopes: what it is given for.
    ///   - client: whom it is issued to; empty for the command line and for evaluation.
    ///   - session: the sign-in it belongs to.
    package func issue(
        to user: User, for resources: [Resource], scopes: Scopes = .all, client: String = "", session: SessionID = .none, at now: Timestamp
    ) async throws -> Secret<String> {
        let origin = origin()
        // Counted in whole seconds, and later than the moment before which tokens are revoked.
        let issuedAt = max(now.seconds, (user.revokedBefore.microseconds + 999_999) / 1_000_000)
        let token = AccessToken(
            iss: origin.description, sub: String(user.id.rawValue), aud: resources.map { $0.uri(at: origin) }, iat: issuedAt,
            exp: now.advanced(by: Self.lifetime).seconds, jti: marks.makeID(), sid: session == .none ? nil : String(session.rawValue),
            client_id: client.isEmpty ? nil : client, scope: scopes.names.joined(separator: " "))
        return Secret(try await keys.sign(token))
    }

    /// A new API key: what its owner is shown once, and what is kept of it.
    package func makeKey() -> (key: Secret<String>, hash: [UInt8], hint: String) {
        let text = Self.keyPrefix + marks.makeID()
        return (Secret(text), Array(SHA256.hash(data: Array(text.utf8))), String(text.prefix(Self.keyPrefix.count + 6)))
    }

    private static let keyPrefix = "mreg_"

    /// Who sent this `Authorization` header, if that is known already; nil if it takes `verify` to tell.
    package func recognize(_ authorization: [String], for resource: Resource, at now: Timestamp) throws(Refusal) -> Principal? {
        let digest = Self.digest(try Self.bearer(authorization))
        guard let entry = known.withLock({ $0.entries[digest] }), now < entry.trustedUntil else { return nil }
        return try Self.admit(entry, to: resource, at: now)
    }

    /// Who sent this `Authorization` header: checks the token and looks its user up.
    package func verify(_ authorization: [String], for resource: Resource, at now: Timestamp) async throws -> Principal {
        let token = try Self.bearer(authorization)
        let digest = Self.digest(token)
        let epoch = known.withLock { $0.epoch }
        let entry = token.hasPrefix(Self.keyPrefix) ? try await verifyKey(token, digest, at: now) : try await verifyToken(String(token), at: now)
        remember(entry, digest, of: epoch, at: now)
        return try Self.admit(entry, to: resource, at: now)
    }

    private func verifyKey(_ token: Substring, _ digest: SHA256.Digest, at now: Timestamp) async throws -> Entry {
        guard marks.isOurs(token.utf8.dropFirst(Self.keyPrefix.utf8.count)), let key = try await users.key(Array(digest)) else {
            throw Refusal.unauthenticated(.unknown)
        }
        guard key.revokedAt == nil else { throw Refusal.unauthenticated(.revoked) }
        guard now < key.expiresAt else { throw Refusal.unauthenticated(.expired) }
        let user = try await user(key.user)
        guard key.createdAt >= user.revokedBefore else { throw Refusal.unauthenticated(.revoked) }
        return Entry(
            principal: user.principal(in: .none, key: key.id, keyPerMinute: key.perMinute, scopes: key.scopes, reach: key.reach),
            resources: Set(Resource.allCases),
            expiresAt: key.expiresAt,
            trustedUntil: now.advanced(by: Self.trustedFor))
    }

    private func verifyToken(_ token: String, at now: Timestamp) async throws -> Entry {
        // Unpadded (RFC 7515, section 2), so that one token has one spelling.
        guard !token.utf8.contains(UInt8(ascii: "=")) else { throw Refusal.unauthenticated(.malformed) }
        let claims = try await keys.verify(token)
        guard claims.exp.magnitude < 1 << 40, claims.iat.magnitude < 1 << 40 else { throw Refusal.unauthenticated(.unknown) }
        let origin = origin()
        guard origin.spellings.contains(claims.iss) else { throw Refusal.unauthenticated(.unknown) }
        let expiresAt = Timestamp(microseconds: claims.exp * 1_000_000)
        guard now < expiresAt else { throw Refusal.unauthenticated(.expired) }
        guard max(claims.iat, claims.nbf ?? claims.iat) <= now.advanced(by: Self.skew).seconds else { throw Refusal.unauthenticated(.unknown) }
        guard let id = Int64(claims.sub) else { throw Refusal.unauthenticated(.unknown) }
        let user = try await user(UserID(id))
        guard claims.iat * 1_000_000 >= user.revokedBefore.microseconds else { throw Refusal.unauthenticated(.revoked) }

        let session = SessionID(claims.sid.flatMap { Int64($0) } ?? 0)
        let client = claims.client_id ?? ""
        let isEnded = known.withLock { $0.ended.keys.contains(session) || $0.endedClients.keys.contains(client) }
        guard !isEnded else { throw Refusal.unauthenticated(.revoked) }

        let resources = claims.aud.compactMap { Resource(uri: $0, at: origin) }
        return Entry(
            principal: user.principal(in: session, scopes: Scopes(names: claims.scope.split(separator: " ")), client: client),
            resources: Set(resources), expiresAt: expiresAt, trustedUntil: now.advanced(by: Self.trustedFor))
    }

    private func user(_ id: UserID) async throws -> User {
        guard let user = try await users.find(id) else { throw Refusal.unauthenticated(.unknown) }
        guard user.disabledAt == nil else { throw Refusal.unauthenticated(.revoked) }
        return user
    }

    /// - Parameter epoch: of the moment it was looked up.
    private func remember(_ entry: Entry, _ digest: SHA256.Digest, of epoch: Int, at now: Timestamp) {
        known.withLock { known in
            guard known.epoch == epoch else { return }
            if known.entries.count >= Self.capacity {
                known.entries = known.entries.filter { now < $0.value.trustedUntil }
                // Still full of live tokens: everybody is verified once more, nobody is turned away.
                if known.entries.count >= Self.capacity { known.entries.removeAll(keepingCapacity: true) }
            }
            known.entries[digest] = entry
            if let key = entry.principal.key { known.used[key] = now }
        }
    }

    /// The API keys that were used since this was last asked, to within a minute.
    package func takeUsedKeys() -> [APIKeyID: Timestamp] {
        known.withLock { known in
            defer { known.used = [:] }
            return known.used
        }
    }

    /// Who holds this token, of those whose signature was found good before and that have not expired, for whatever it is
    /// good; nil for every other.
    package func familiar(_ authorization: [String], at now: Timestamp) -> Principal? {
        guard let token = try? Self.bearer(authorization) else { return nil }
        let digest = Self.digest(token)
        guard let entry = known.withLock({ $0.entries[digest] }), now < entry.expiresAt else { return nil }
        return entry.principal
    }

    /// Whether a header may hold a token of ours, as far as its id tells: for some microseconds, where checking the signature
    /// is rationed.
    package func isPlausible(_ authorization: [String]) -> Bool {
        guard let token = try? Self.bearer(authorization), token.utf8.count < 4096 else { return false }
        if token.hasPrefix(Self.keyPrefix) { return marks.isOurs(token.utf8.dropFirst(Self.keyPrefix.utf8.count)) }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let claims = Base64URL.decode(parts[1]), let start = claims.firstRange(of: Array(#""jti":""#.utf8)) else {
            return false
        }
        return marks.isOurs(claims[start.upperBound...].prefix { $0 != UInt8(ascii: "\"") })
    }

    /// Who holds this token, for whatever it is good: checks it if need be. Nil for one that is not good.
    package func holder(_ authorization: [String], at now: Timestamp) async -> Principal? {
        if let principal = familiar(authorization, at: now) { return principal }
        _ = try? await verify(authorization, for: .api, at: now)
        return familiar(authorization, at: now)
    }

    /// The same, but what is none of ours by its id is not checked any further: for where nothing is asked but who it was.
    package func knownHolder(_ authorization: [String], at now: Timestamp) async -> Principal? {
        if let principal = familiar(authorization, at: now) { return principal }
        return isPlausible(authorization) ? await holder(authorization, at: now) : nil
    }

    /// Whose an access token is, if it was issued to that client and is good.
    func holder(ofToken token: String, issuedTo client: String, at now: Timestamp) async throws -> Principal? {
        guard try await keys.verify(token).client_id == client else { return nil }
        return try await verifyToken(token, at: now).principal
    }

    /// Forgets what is known of a user's tokens, so that the next use looks them up anew.
    package func forget(_ user: UserID) {
        known.withLock { known in
            known.epoch += 1
            known.entries = known.entries.filter { $0.value.principal.user != user }
        }
    }

    /// Refuses an API key from now on.
    package func end(_ key: APIKeyID) {
        known.withLock { known in
            known.epoch += 1
            known.entries = known.entries.filter { $0.value.principal.key != key }
        }
    }

    /// Refuses a session's tokens from now on.
    package func end(_ session: SessionID, at now: Timestamp) {
        known.withLock { known in
            known.epoch += 1
            known.entries = known.entries.filter { $0.value.principal.session != session }
            let limit = now.advanced(by: .zero - Self.lifetime - Self.skew)
            known.ended = known.ended.filter { $0.value > limit }
            known.ended[session] = now
        }
    }

    /// Refuses everything that was issued to a client from now on.
    ///
    /// - Parameter client: as tokens call it (`KnownClient.fingerprint(of:)`).
    package func end(client: String, at now: Timestamp) {
        known.withLock { known in
            known.epoch += 1
            known.entries = known.entries.filter { $0.value.principal.client != client }
            let limit = now.advanced(by: .zero - Self.lifetime - Self.skew)
            known.endedClients = known.endedClients.filter { $0.value > limit }
            known.endedClients[client] = now
        }
    }

    private static func admit(_ entry: Entry, to resource: Resource, at now: Timestamp) throws(Refusal) -> Principal {
        guard now < entry.expiresAt else { throw .unauthenticated(.expired) }
        guard entry.resources.covers(resource) else { throw .unauthenticated(.wrongAudience) }
        return entry.principal
    }

    /// The token of an `Authorization: Bearer` header (RFC 6750, section 2.1); there must be exactly one.
    private static func bearer(_ authorization: [String]) throws(Refusal) -> Substring {
        guard let header = authorization.first else { throw .unauthenticated(.missing) }
        guard authorization.count == 1, let space = header.utf8.firstIndex(of: UInt8(ascii: " ")), header[..<space].lowercased() == "bearer"
        else { throw .unauthenticated(.malformed) }
        let token = header[header.utf8.index(after: space)...]
        guard (1...8192).contains(token.utf8.count), isMadeOfTokenBytes(token) else { throw .unauthenticated(.malformed) }
        return token
    }

    // Every request passes here: byte by byte through a string's view these two would be most of what recognizing takes.

    /// By what a token is known here.
    private static func digest(_ token: Substring) -> SHA256.Digest {
        var hash = SHA256()
        var token = token
        token.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        return hash.finalize()
    }

    private static func isMadeOfTokenBytes(_ token: Substring) -> Bool {
        var token = token
        return token.withUTF8 { $0.allSatisfy(isTokenByte) }
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "-")...UInt8(ascii: "/"), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "+"), UInt8(ascii: "="):
            true
        default: false
        }
    }
}
