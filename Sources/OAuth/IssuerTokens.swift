package import Gateway

/// What an issuer gave for one user, at sign-in or at a refresh (RFC 6749, section 5.1). It never leaves the gateway.
package struct IssuerTokens: Sendable {
    package var accessToken: Secret<String>
    /// Nil if the issuer gave none. In the answer to a refresh that means: the one that was used stays good (section 6).
    package var refreshToken: Secret<String>?
    /// The ID token, to be shown again when the user signs out there (OpenID Connect RP-Initiated Logout, section 2). Nil in
    /// the answer to a refresh means that the earlier one stays.
    package var idTokenHint: Secret<String>?
    package var issuer: String
    /// Names separated by blanks, as the issuer granted them.
    package var scope: String
    package var obtainedAt: Timestamp
    package var expiresAt: Timestamp

    package init(
        accessToken: Secret<String>, refreshToken: Secret<String>? = nil, idTokenHint: Secret<String>? = nil, scope: String,
        expiresAt: Timestamp, obtainedAt: Timestamp, issuer: String
    ) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.idTokenHint = idTokenHint
        self.issuer = issuer
        self.scope = scope
        self.obtainedAt = obtainedAt
        self.expiresAt = expiresAt
    }
}

/// What is known of a user's tokens without looking at them. It outlives the access token by five minutes, so that what
/// came too late to be refreshed can still be told from what never was.
package struct IssuerTokenMetadata: Hashable, Sendable {
    package let issuer: String
    package let scope: String
    package let obtainedAt: Timestamp
    /// Of the access token.
    package let expiresAt: Timestamp
    package let hasRefreshToken: Bool

    package init(issuer: String, scope: String, obtainedAt: Timestamp, expiresAt: Timestamp, hasRefreshToken: Bool) {
        self.issuer = issuer
        self.scope = scope
        self.obtainedAt = obtainedAt
        self.expiresAt = expiresAt
        self.hasRefreshToken = hasRefreshToken
    }
}

/// A user whom tokens are held for.
package struct TokenHolder: Hashable, Sendable {
    package let user: UserID
    /// Nil when only a refresh token is left: the access token has been over for more than five minutes.
    package let metadata: IssuerTokenMetadata?
    package let obtainedAt: Timestamp

    package init(user: UserID, metadata: IssuerTokenMetadata?, obtainedAt: Timestamp) {
        self.user = user
        self.metadata = metadata
        self.obtainedAt = obtainedAt
    }

    package var expiresAt: Timestamp? { metadata?.expiresAt }
    package var hasRefreshToken: Bool { metadata?.hasRefreshToken ?? true }
}

/// A refresh that was noted durably and may now be tried: the refresh token, and where to show it.
package struct RefreshAttempt: Sendable {
    package let user: UserID
    package let refreshToken: Secret<String>
    package let issuer: String
    package let scope: String
    /// 1 for the first use of this refresh token; more when it is not known what became of an earlier one.
    package let number: Int
    /// When the first was noted.
    package let begunAt: Timestamp

    package init(user: UserID, refreshToken: Secret<String>, issuer: String, scope: String, number: Int, begunAt: Timestamp) {
        self.user = user
        self.refreshToken = refreshToken
        self.issuer = issuer
        self.scope = scope
        self.number = number
        self.begunAt = begunAt
    }
}

/// A refresh that was begun and neither finished nor given up. After a crash nobody knows whether the issuer acted on it:
/// the same refresh token may be tried again, and where it is refused the user signs in anew.
package struct OpenRefresh: Hashable, Sendable {
    package let user: UserID
    /// How often the refresh token was shown to the issuer, or was about to be.
    package let attempts: Int
    package let begunAt: Timestamp

    package init(user: UserID, attempts: Int, begunAt: Timestamp) {
        self.user = user
        self.attempts = attempts
        self.begunAt = begunAt
    }
}
