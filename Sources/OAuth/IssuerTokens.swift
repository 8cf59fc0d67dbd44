package import Gateway

/// What an issuer gave us for a user.
package struct IssuerTokens: Sendable {
    package let accessToken: Secret<String>
    /// Nil if the issuer gave none: the user signs in again when the access token has expired.
    package let refreshToken: Secret<String>?
    /// As the issuer wrote it, separated by spaces.
    package let scope: String
    package let expiresAt: Timestamp
    package let obtainedAt: Timestamp
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
