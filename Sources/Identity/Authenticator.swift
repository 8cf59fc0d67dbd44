import Crypto
package import Gateway
import Synchronization

/// Where the authenticator finds users: live, the record of truth; in a test, a literal.
package struct UserDirectory: Sendable {
    package var find: @Sendable (UserID) async throws -> User?

    package init(find: @escaping @Sendable (UserID) async throws -> User?) { self.find = find }
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
        /// Raised by each `forget`, so that what was looked up before is not remembered after.
        var epoch = 0
    }

    private let origin: @Sendable () -> Origin
    private let key: SigningKey
    private let users: UserDirectory
    private let known = Mutex(Known())

    /// How long a role or a revocation may go unnoticed that nobody told us of.
    private static let trustedFor = Duration.seconds(60)
    private static let capacity = 10_000
    private static let skew = Duration.seconds(60)
    package static let lifetime = Duration.seconds(3600)

    /// - Parameter origin: asked anew each time, for a port chosen by the system is known only once it listens.
    package init(key: SigningKey, users: UserDirectory, origin: @escaping @Sendable () -> Origin) {
        self.origin = origin
        self.key = key
        self.users = users
    }

    /// A token for a user, good for these resources for an hour.
    ///
    /// - Parameter session: the sign-in it belongs to.
    package func issue(to user: User, for resources: [Resource], session: SessionID = .none, at now: Timestamp) async throws -> Secret<String> {
        let origin = origin()
        // Counted in whole seconds, and later than the moment before which tokens are revoked.
        let issuedAt = max(now.seconds, (user.revokedBefore.microseconds + 999_999) / 1_000_000)
        let token = AccessToken(
            iss: origin.description, sub: String(user.id.rawValue), aud: resources.map { $0.uri(at: origin) }, iat: issuedAt,
            exp: now.advanced(by: Self.lifetime).seconds, jti: key.makeTokenID(),
            sid: session == .none ? nil : String(session.rawValue))
        return Secret(try await key.sign(token))
    }

    /// Who sent this `Authorization` header, if that is known already; nil if it takes `verify` to tell.
    package func recognize(_ authorization: [String], for resource: Resource, at now: Timestamp) throws(Refusal) -> Principal? {
        let digest = SHA256.hash(data: Array(try Self.bearer(authorization).utf8))
        guard let entry = known.withLock({ $0.entries[digest] }), now < entry.trustedUntil else { return nil }
        return try Self.admit(entry, to: resource, at: now)
    }

    /// Who sent this `Authorization` header: checks the token and looks its user up.
    package func verify(_ authorization: [String], for resource: Resource, at now: Timestamp) async throws -> Principal {
        let token = try Self.bearer(authorization)
        let epoch = known.withLock { $0.epoch }
        let claims = try await key.verify(token)
        guard claims.exp.magnitude < 1 << 40, claims.iat.magnitude < 1 << 40 else { throw Refusal.unauthenticated(.unknown) }
        let origin = origin()
        guard origin.spellings.contains(claims.iss) else { throw Refusal.unauthenticated(.unknown) }
        let expiresAt = Timestamp(microseconds: claims.exp * 1_000_000)
        guard now < expiresAt else { throw Refusal.unauthenticated(.expired) }
        guard claims.iat <= now.advanced(by: Self.skew).seconds else { throw Refusal.unauthenticated(.unknown) }
        guard let id = Int64(claims.sub), let user = try await users.find(UserID(id)) else { throw Refusal.unauthenticated(.unknown) }
        guard claims.iat * 1_000_000 >= user.revokedBefore.microseconds else { throw Refusal.unauthenticated(.revoked) }

        let session = SessionID(claims.sid.flatMap { Int64($0) } ?? 0)
        guard !known.withLock({ $0.ended.keys.contains(session) }) else { throw Refusal.unauthenticated(.revoked) }

        let resources = Resource.allCases.filter { resource in
            origin.spellings.contains { claims.aud.contains($0 + resource.path) }
        }
        let entry = Entry(
            principal: user.principal(in: session), resources: Set(resources), expiresAt: expiresAt, trustedUntil: now.advanced(by: Self.trustedFor))
        let digest = SHA256.hash(data: Array(token.utf8))
        known.withLock { known in
            guard known.epoch == epoch else { return }
            if known.entries.count >= Self.capacity {
                known.entries = known.entries.filter { now < $0.value.trustedUntil }
                // Still full of live tokens: everybody is verified once more, nobody is turned away.
                if known.entries.count >= Self.capacity { known.entries.removeAll(keepingCapacity: true) }
            }
            known.entries[digest] = entry
        }
        return try Self.admit(entry, to: resource, at: now)
    }

    /// Who holds this token, of those whose signature was found good before and that have not expired, for whatever it is
    /// good; nil for every other.
    package func familiar(_ authorization: [String], at now: Timestamp) -> Principal? {
        guard let token = try? Self.bearer(authorization) else { return nil }
        let digest = SHA256.hash(data: Array(token.utf8))
        guard let entry = known.withLock({ $0.entries[digest] }), now < entry.expiresAt else { return nil }
        return entry.principal
    }

    /// Whether a header may hold a token of ours, as far as its id tells: for some microseconds, where checking the signature
    /// is rationed.
    package func isPlausible(_ authorization: [String]) -> Bool {
        guard let token = try? Self.bearer(authorization), token.utf8.count < 4096 else { return false }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let claims = Base64URL.decode(parts[1]), let start = claims.firstRange(of: Array(#""jti":""#.utf8)) else {
            return false
        }
        return key.isOurID(claims[start.upperBound...].prefix { $0 != UInt8(ascii: "\"") })
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

    /// Forgets what is known of a user's tokens, so that the next use looks them up anew.
    package func forget(_ user: UserID) {
        known.withLock { known in
            known.epoch += 1
            known.entries = known.entries.filter { $0.value.principal.user != user }
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

    private static func admit(_ entry: Entry, to resource: Resource, at now: Timestamp) throws(Refusal) -> Principal {
        guard now < entry.expiresAt else { throw .unauthenticated(.expired) }
        guard entry.resources.contains(resource) else { throw .unauthenticated(.wrongAudience) }
        return entry.principal
    }

    /// The token of an `Authorization: Bearer` header (RFC 6750, section 2.1); there must be exactly one.
    private static func bearer(_ authorization: [String]) throws(Refusal) -> Substring {
        guard let header = authorization.first else { throw .unauthenticated(.missing) }
        guard authorization.count == 1, let space = header.utf8.firstIndex(of: UInt8(ascii: " ")), header[..<space].lowercased() == "bearer"
        else { throw .unauthenticated(.malformed) }
        let token = header[header.utf8.index(after: space)...]
        guard (1...8192).contains(token.utf8.count), token.utf8.allSatisfy(isTokenByte) else { throw .unauthenticated(.malformed) }
        return token
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

extension SigningKey {
    fileprivate func verify(_ token: Substring) async throws(Refusal) -> AccessToken { try await verify(String(token)) }
}
