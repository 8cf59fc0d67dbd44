package import Gateway

/// What an issuer's token endpoint gave for a user. Kept sealed on this side; no client ever sees it.
package struct IssuerTokens: Sendable {
    package let accessToken: Secret<String>
    /// Nil if the issuer gave no new one: the one it was asked with stays.
    package let refreshToken: Secret<String>?
    /// As granted, separated by spaces; as asked if the issuer does not say.
    package let scope: String
    package let expiresAt: Timestamp
    package let obtainedAt: Timestamp
    /// Whose tokens they are. They are sent to nobody else.
    package let issuer: String

    package init(
        accessToken: Secret<String>, refreshToken: Secret<String>?, scope: String, expiresAt: Timestamp, obtainedAt: Timestamp, issuer: String
    ) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.scope = scope
        self.expiresAt = expiresAt
        self.obtainedAt = obtainedAt
        self.issuer = issuer
    }
}
