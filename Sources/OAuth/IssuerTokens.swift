package import Gateway

/// What an issuer gave for a user: kept sealed, and never handed on to anybody.
package struct IssuerTokens: Sendable {
    package let accessToken: Secret<String>
    package let refreshToken: Secret<String>?
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
