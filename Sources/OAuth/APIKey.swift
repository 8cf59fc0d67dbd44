package import Gateway

/// A key as the record of truth keeps it: all but the key.
package struct APIKey: Hashable, Sendable {
    package let id: APIKeyID
    package let user: UserID
    package let tenant: TenantID
    package let name: String
    /// The first characters, so that its owner can tell it from others.
    package let hint: String
    package let scopes: Scopes
    package let reach: Reach
    /// Requests a minute, besides its owner's own limit; nil for no more than that.
    package let perMinute: Int?
    package let createdAt: Timestamp
    /// Earlier than it was made for once a successor took its place.
    package let expiresAt: Timestamp
    package let lastUsedAt: Timestamp?
    package let successor: APIKeyID?
    package let revokedAt: Timestamp?

    package init(
        id: APIKeyID, user: UserID, tenant: TenantID, name: String, hint: String, scopes: Scopes, reach: Reach, perMinute: Int? = nil,
        createdAt: Timestamp, expiresAt: Timestamp, lastUsedAt: Timestamp? = nil, successor: APIKeyID? = nil, revokedAt: Timestamp? = nil
    ) {
        self.id = id
        self.user = user
        self.tenant = tenant
        self.name = name
        self.hint = hint
        self.scopes = scopes
        self.reach = reach
        self.perMinute = perMinute
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.lastUsedAt = lastUsedAt
        self.successor = successor
        self.revokedAt = revokedAt
    }

    package func isGood(at now: Timestamp) -> Bool { revokedAt == nil && now < expiresAt }
}

/// What somebody wants of a new key.
package struct APIKeyDraft: Hashable, Sendable {
    package var name: String
    package var scopes: Scopes
    package var reach: Reach
    package var perMinute: Int?
    package var lifetime: Duration

    /// The longest a key is good for, and what it gets if nothing is said.
    package static let longestLifetime = Duration.seconds(366 * 86_400)
    package static let usualLifetime = Duration.seconds(90 * 86_400)
    /// How long a key goes on beside the one that takes its place.
    package static let overlap = Duration.seconds(86_400)

    package static let rates = 1...10_000_000

    package init(name: String, scopes: Scopes, reach: Reach, perMinute: Int? = nil, lifetime: Duration) {
        self.name = name
        self.scopes = scopes
        self.reach = reach
        self.perMinute = perMinute
        self.lifetime = lifetime
    }

    /// One that takes the place of a key: the same again, for as long from now as that was made for.
    package init(replacing key: APIKey) {
        self.init(
            name: key.name, scopes: key.scopes, reach: key.reach, perMinute: key.perMinute,
            lifetime: .microseconds(key.expiresAt.microseconds - key.createdAt.microseconds))
    }
}
