package import Gateway

/// What an authorization server gave the gateway for one user's account at one server, with all that is needed to use it
/// and to have it renewed: whatever the server says later on of where tokens come from, these are shown nowhere else.
package struct UpstreamTokens: Sendable {
    package var issuer: String
    package var tokenEndpoint: String
    /// Where they are given back (RFC 7009); nil if the authorization server names no such place.
    package var revocationEndpoint: String?
    package var clientID: String
    package var authentication: GatewayClient.Authentication
    /// The origin of the server they are for.
    package var server: String
    package var resource: String
    /// Names separated by blanks, as they were granted.
    package var scope: String
    package var accessToken: Secret<String>
    package var refreshToken: Secret<String>?
    package var obtainedAt: Timestamp
    /// Nil if the authorization server does not say.
    package var expiresAt: Timestamp?
    /// Whether they are of no use any more.
    package var isRefused: Bool

    package init(
        issuer: String, tokenEndpoint: String, revocationEndpoint: String? = nil, clientID: String, authentication: GatewayClient.Authentication,
        server: String, resource: String, scope: String, accessToken: Secret<String>, refreshToken: Secret<String>?, obtainedAt: Timestamp,
        expiresAt: Timestamp?, isRefused: Bool = false
    ) {
        self.issuer = issuer
        self.tokenEndpoint = tokenEndpoint
        self.revocationEndpoint = revocationEndpoint
        self.clientID = clientID
        self.authentication = authentication
        self.server = server
        self.resource = resource
        self.scope = scope
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.obtainedAt = obtainedAt
        self.expiresAt = expiresAt
        self.isRefused = isRefused
    }

    package init?(_ bytes: Secret<[UInt8]>) {
        guard let form = SealedForm<Form>.read(bytes) else { return nil }
        self.init(
            issuer: form.issuer, tokenEndpoint: form.tokenEndpoint, revocationEndpoint: form.revocationEndpoint, clientID: form.clientID,
            authentication: form.authentication, server: form.server, resource: form.resource, scope: form.scope,
            accessToken: Secret(form.accessToken), refreshToken: form.refreshToken.map { Secret($0) },
            obtainedAt: Timestamp(microseconds: form.obtainedAt),
            expiresAt: form.expiresAt.map { Timestamp(microseconds: $0) }, isRefused: form.isRefused)
    }

    package var bytes: Secret<[UInt8]> {
        SealedForm.write(
            Form(
                issuer: issuer, tokenEndpoint: tokenEndpoint, revocationEndpoint: revocationEndpoint, clientID: clientID,
                authentication: authentication, server: server, resource: resource, scope: scope, accessToken: accessToken.revealed,
                refreshToken: refreshToken?.revealed, obtainedAt: obtainedAt.microseconds,
                expiresAt: expiresAt?.microseconds, isRefused: isRefused))
    }

    private struct Form: Codable {
        let issuer, tokenEndpoint: String
        let revocationEndpoint: String?
        let clientID: String
        let authentication: GatewayClient.Authentication
        let server, resource, scope, accessToken: String
        let refreshToken: String?
        let obtainedAt: Int64
        let expiresAt: Int64?
        let isRefused: Bool
    }
}

/// What the gateway is to one authorization server: registered there by an administrator, by itself (RFC 7591), or by the
/// document it publishes. Never used with another issuer than the one it is registered with.
package struct GatewayClient: Sendable {
    package enum Authentication: String, Hashable, Sendable, Codable {
        case none
        case basic = "client_secret_basic"
        case post = "client_secret_post"
        /// With the key that the gateway publishes.
        case privateKeyJWT = "private_key_jwt"
    }

    package let issuer: String
    package let id: String
    package let secret: Secret<String>?
    package let authentication: Authentication
    package let redirectURI: String
    /// Until when the secret is good.
    package let expiresAt: Timestamp?

    package init(
        issuer: String, id: String, secret: Secret<String>?, authentication: Authentication, redirectURI: String, expiresAt: Timestamp? = nil
    ) {
        self.issuer = issuer
        self.id = id
        self.secret = secret
        self.authentication = authentication
        self.redirectURI = redirectURI
        self.expiresAt = expiresAt
    }

    package init?(_ bytes: Secret<[UInt8]>) {
        guard let form = SealedForm<Form>.read(bytes) else { return nil }
        self.init(
            issuer: form.issuer, id: form.id, secret: form.secret.map { Secret($0) }, authentication: form.authentication,
            redirectURI: form.redirectURI, expiresAt: form.expiresAt.map { Timestamp(microseconds: $0) })
    }

    package var bytes: Secret<[UInt8]> {
        SealedForm.write(
            Form(
                issuer: issuer, id: id, secret: secret?.revealed, authentication: authentication, redirectURI: redirectURI,
                expiresAt: expiresAt?.microseconds))
    }

    private struct Form: Codable {
        let issuer, id: String
        let secret: String?
        let authentication: Authentication
        let redirectURI: String
        let expiresAt: Int64?
    }
}
