import Gateway

/// How a client proves at the token endpoint who it is (RFC 7591, section 2; RFC 7523).
package enum ClientAuthentication: String, Hashable, Sendable {
    /// A public client: everybody can read what it is made of, so it has no secret.
    case none
    case clientSecretBasic = "client_secret_basic"
    case clientSecretPost = "client_secret_post"
    case privateKeyJWT = "private_key_jwt"
}

package enum GrantType: String, Hashable, Sendable, CaseIterable {
    case authorizationCode = "authorization_code"
    case refreshToken = "refresh_token"
    case clientCredentials = "client_credentials"
}

/// What a client says about itself (RFC 7591, section 2). Nothing of it is proved, save where a redirect URI leads.
package struct ClientMetadata: Hashable, Sendable {
    /// For people to read: 1 to 80 characters, without controls. Anyone may call themselves anything.
    package let name: String
    /// 1 to 5, each once; a client that only acts for itself may have none.
    package let redirectURIs: [RedirectURI]
    package let applicationType: ApplicationType
    package let authentication: ClientAuthentication
    /// In the order of `GrantType`, each once.
    package let grantTypes: [GrantType]
    /// What it will ask for at most; empty if it did not say.
    package let scopes: ScopeList
    /// Its home page, https.
    package let clientURI: String?
    package let softwareID: String?
    package let softwareVersion: String?
    /// There if and only if it authenticates with a key of its own.
    package let keys: ClientKeys?

    package static let mostRedirectURIs = 5
    package static let longestName = 80

    /// - Parameter isEvaluation: what is on this machine may be a web application's, or http.
    /// - Throws: `invalid_redirect_uri` or `invalid_client_metadata`, with the rule that was broken.
    package init(
        name: String, redirectURIs: [RedirectURI], applicationType: ApplicationType, authentication: ClientAuthentication = .none,
        grantTypes: [GrantType] = [.authorizationCode, .refreshToken], scopes: ScopeList = [], clientURI: String? = nil, softwareID: String? = nil,
        softwareVersion: String? = nil, keys: ClientKeys? = nil, isEvaluation: Bool = false
    ) throws(OAuthError) {
        try Self.checkText(name, "client_name", longest: Self.longestName)
        if let softwareID { try Self.checkText(softwareID, "software_id", longest: 128) }
        if let softwareVersion { try Self.checkText(softwareVersion, "software_version", longest: 64) }
        if let clientURI, !Self.isWebPage(clientURI, isEvaluation: isEvaluation) {
            throw Self.invalid("\"client_uri\" is an https URL of at most 512 bytes.")
        }
        let grants = GrantType.allCases.filter(grantTypes.contains)
        guard grants.contains(.authorizationCode) || grants == [.clientCredentials] else {
            throw Self.invalid("\"grant_types\" has \"authorization_code\", or is \"client_credentials\" alone.")
        }
        let distinct = redirectURIs.enumerated().filter { !redirectURIs[..<$0].contains($1) }.map(\.element)
        guard (grants.contains(.authorizationCode) ? 1...Self.mostRedirectURIs : 0...Self.mostRedirectURIs).contains(distinct.count) else {
            throw OAuthError(.invalidRedirectURI, "\"redirect_uris\" has 1 to \(Self.mostRedirectURIs) URIs.")
        }
        for uri in distinct { try uri.check(for: applicationType, isEvaluation: isEvaluation) }
        guard authentication != .none || !grants.contains(.clientCredentials) else {
            throw Self.invalid("A client that cannot prove who it is gets no token for itself: \"client_credentials\" needs a key or a secret.")
        }
        guard (authentication == .privateKeyJWT) == (keys != nil) else {
            throw Self.invalid("\"jwks\" or \"jwks_uri\" is there if and only if \"token_endpoint_auth_method\" is \"private_key_jwt\".")
        }
        try keys?.check(isEvaluation: isEvaluation)

        self.name = name
        self.redirectURIs = distinct
        self.applicationType = applicationType
        self.authentication = authentication
        self.grantTypes = grants
        self.scopes = scopes
        self.clientURI = clientURI
        self.softwareID = softwareID
        self.softwareVersion = softwareVersion
        self.keys = keys
    }

    /// Whether every answer goes to the user's own machine, so that any program there could pose as this client.
    package var isLoopbackOnly: Bool { redirectURIs.allSatisfy(\.isLoopback) }

    /// Where to answer a request: what it presents, if that is registered.
    ///
    /// - Parameter presented: nil stands for the only one there is (RFC 6749, section 3.1.2.3).
    package func redirectURI(for presented: String?) -> RedirectURI? {
        guard let presented else { return redirectURIs.count == 1 ? redirectURIs.first : nil }
        return redirectURIs.contains { $0.isMatched(by: presented) } ? try? RedirectURI(presented) : nil
    }

    /// What an application is that did not say: native if any answer goes to the user's machine or to an application there.
    /// (The default of OpenID Connect, web, would refuse every client older than the rule.)
    package static func guessType(_ uris: [RedirectURI]) -> ApplicationType { uris.contains { $0.isLoopback || $0.isCustomScheme } ? .native : .web }

    static func isWebPage(_ text: String, isEvaluation: Bool) -> Bool {
        guard text.utf8.count <= 512, let endpoint = Endpoint(text), endpoint.origin.isPlain else { return false }
        return endpoint.isSecure || isEvaluation && endpoint.origin.isLoopback
    }

    private static func checkText(_ text: String, _ name: String, longest: Int) throws(OAuthError) {
        guard (1...longest).contains(text.unicodeScalars.count), !text.hasControls, text.contains(where: { !$0.isWhitespace }) else {
            throw invalid("\"\(name)\" is 1 to \(longest) characters, without control characters.")
        }
    }

    static func invalid(_ sentence: String) -> OAuthError { OAuthError(.invalidClientMetadata, sentence) }
}
