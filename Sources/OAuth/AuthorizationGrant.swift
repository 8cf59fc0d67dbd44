package import Gateway

/// Names a grant: 63 random bits.
package struct GrantID: Hashable, Sendable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
    package static func random() -> Self { Self(.random(in: 1 ... .max)) }
}

/// What a user allowed a client, as the record of truth keeps it: the code it began with, and the refresh token that is
/// good for it now. Neither is kept itself.
package struct AuthorizationGrant: Hashable, Sendable {
    package let id: GrantID
    package let user: UserID
    package let tenant: TenantID
    /// All tokens of a grant belong to one sign-in.
    package let session: SessionID
    package let client: String
    package let scope: String
    /// Canonical URIs of what its tokens are for.
    package let resources: [String]
    package let redirectURI: String
    package let codeChallenge: String
    /// SHA-256.
    package let codeHash: [UInt8]
    package let codeExpiresAt: Timestamp
    package var codeUsedAt: Timestamp?
    package let salt: [UInt8]
    /// Of the refresh token that is good now.
    package var generation: UInt32
    package var rotatedAt: Timestamp
    package let createdAt: Timestamp
    /// Moves on with each use.
    package var expiresAt: Timestamp
    package var revokedAt: Timestamp?

    package init(
        id: GrantID, user: UserID, tenant: TenantID, session: SessionID, client: String, scope: String, resources: [String], redirectURI: String,
        codeChallenge: String, codeHash: [UInt8], codeExpiresAt: Timestamp, codeUsedAt: Timestamp? = nil, salt: [UInt8], generation: UInt32 = 0,
        rotatedAt: Timestamp, createdAt: Timestamp, expiresAt: Timestamp, revokedAt: Timestamp? = nil
    ) {
        self.id = id
        self.user = user
        self.tenant = tenant
        self.session = session
        self.client = client
        self.scope = scope
        self.resources = resources
        self.redirectURI = redirectURI
        self.codeChallenge = codeChallenge
        self.codeHash = codeHash
        self.codeExpiresAt = codeExpiresAt
        self.codeUsedAt = codeUsedAt
        self.salt = salt
        self.generation = generation
        self.rotatedAt = rotatedAt
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
    }
}
