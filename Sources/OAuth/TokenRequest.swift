package import Gateway

/// What a client asks of the token endpoint (RFC 6749, sections 4.1.3, 4.4.2 and 6).
package struct TokenRequest: Sendable {
    package enum Grant: Sendable {
        case authorizationCode(Secret<String>, redirectURI: String?, verifier: CodeVerifier)
        case refresh(Secret<String>, scopes: ScopeList?)
        case clientCredentials(scopes: ScopeList?)
    }

    package let client: ClientCredentials
    package let grant: Grant
    /// Canonical; empty for a client that names none.
    package let resources: [String]

    private static let longestToken = 512

    /// - Parameters:
    ///   - authorization: every `Authorization` header of the request.
    ///   - isOurs: the canonical form of a resource of this gateway's, nil for another's.
    /// - Throws: `invalid_request`, `invalid_client`, `unsupported_grant_type`, `invalid_scope` or `invalid_target`.
    package init(_ parameters: Parameters, authorization: [String], isOurs: (String) -> String?) throws(OAuthError) {
        try parameters.checkOnce(except: ["resource"])
        guard let type = try parameters.one("grant_type", longest: 128) else { throw OAuthError(.invalidRequest, "\"grant_type\" is missing.") }
        guard let type = GrantType(rawValue: type) else {
            throw OAuthError(.unsupportedGrantType, "\"grant_type\" is one of \(GrantType.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        client = try ClientCredentials(parameters, authorization: authorization)
        let scopes: ScopeList? = if let text = try parameters.one("scope") { try ScopeList(parsing: text) } else { nil }
        switch type {
        case .authorizationCode:
            let code = try Self.token("code", parameters)
            guard let verifier = try parameters.one("code_verifier") else { throw OAuthError(.invalidRequest, "\"code_verifier\" is missing.") }
            grant = .authorizationCode(code, redirectURI: try parameters.one("redirect_uri"), verifier: try CodeVerifier(verifier))
        case .refreshToken: grant = .refresh(try Self.token("refresh_token", parameters), scopes: scopes)
        case .clientCredentials: grant = .clientCredentials(scopes: scopes)
        }
        resources = try ResourceParameter.read(parameters, isOurs: isOurs)
    }

    private static func token(_ name: String, _ parameters: Parameters) throws(OAuthError) -> Secret<String> {
        guard let text = try parameters.one(name) else { throw OAuthError(.invalidRequest, "\"\(name)\" is missing.") }
        // Whatever it is, it is none of ours.
        guard text.utf8.count <= longestToken else { throw OAuthError(.invalidGrant, "\"\(name)\" is not known here, or not good any more.") }
        return Secret(text)
    }
}
