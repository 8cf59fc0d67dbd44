/// What a client asks of a user (RFC 6749, section 4.1.1), checked.
package struct AuthorizationRequest: Hashable, Sendable {
    package let clientID: String
    /// Where the answer goes.
    package let redirectURI: RedirectURI
    /// Whether the request named it: then the token request has to name it too.
    package let isRedirectURINamed: Bool
    /// Verbatim.
    package let state: String?
    package let challenge: CodeChallenge
    package let scopes: ScopeList
    /// Canonical, at least one.
    package let resources: [String]
    package let nonce: String?
    package let prompts: Set<Prompt>

    package enum Prompt: String, Hashable, Sendable {
        case none, login, consent
        case selectAccount = "select_account"
    }

    package enum Reading: Hashable, Sendable {
        case accepted(AuthorizationRequest)
        /// Shown to the user, and sent nowhere: whoever is behind the redirect URI is not known.
        case refusedHere(OAuthError)
        /// Sent to the client.
        case refusedThere(OAuthError, AuthorizationResponse)
    }

    /// Who is asked about.
    ///
    /// - Throws: an error to be shown here.
    package static func clientID(in parameters: Parameters) throws(OAuthError) -> String {
        guard let id = try parameters.one("client_id", longest: ClientID.longest) else {
            throw OAuthError(.invalidRequest, "\"client_id\" is missing.")
        }
        return id
    }

    /// Reads a request of a client that is known by now.
    ///
    /// First whether the client may be answered where it says, then everything else: an error before that is shown here, one
    /// after it is the client's.
    ///
    /// - Parameters:
    ///   - issuer: goes into the answer (RFC 9207).
    ///   - scopes: what this client may ask for; what else it asks for is left out.
    ///   - defaultScopes: for a client that asks for none.
    ///   - isOurs: the canonical form of a resource of this gateway's, nil for another's.
    ///   - defaultResources: for a client that names none; if there are none, it has to.
    package static func read(
        _ parameters: Parameters, from client: ClientMetadata, issuer: String, scopes: ScopeList = .known, defaultScopes: ScopeList,
        isOurs: (String) -> String?, defaultResources: [String]
    ) -> Reading {
        let response: AuthorizationResponse
        let id: String
        let isNamed: Bool
        do throws(OAuthError) {
            id = try clientID(in: parameters)
            let presented = try parameters.one("redirect_uri")
            guard let uri = client.redirectURI(for: presented) else {
                throw OAuthError(.invalidRequest, "\"redirect_uri\" is not one that this client registered, byte for byte.")
            }
            isNamed = presented != nil
            // A state that cannot be kept is not sent back in part.
            response = AuthorizationResponse(to: uri, state: try? parameters.one("state", longest: longestState), issuer: issuer)
        } catch {
            return .refusedHere(error)
        }

        do throws(OAuthError) {
            _ = try parameters.one("state", longest: longestState)
            guard !parameters.has("request") else { throw OAuthError(.requestNotSupported, "\"request\" is not supported.") }
            guard !parameters.has("request_uri") else { throw OAuthError(.requestURINotSupported, "\"request_uri\" is not supported.") }
            guard let type = try parameters.one("response_type") else { throw OAuthError(.invalidRequest, "\"response_type\" is missing.") }
            guard type == "code" else { throw OAuthError(.unsupportedResponseType, "\"response_type\" is \"code\".") }
            guard try parameters.one("response_mode") ?? "query" == "query" else {
                throw OAuthError(.invalidRequest, "\"response_mode\" is \"query\".")
            }
            guard client.grantTypes.contains(.authorizationCode) else {
                throw OAuthError(.unauthorizedClient, "This client is not registered for \"authorization_code\".")
            }
            let challenge = try CodeChallenge(parameters.one("code_challenge"), method: parameters.one("code_challenge_method"))
            let resources = try ResourceParameter.read(parameters, isOurs: isOurs)
            guard !resources.isEmpty || !defaultResources.isEmpty else { throw OAuthError(.invalidTarget, "\"resource\" is missing.") }
            return .accepted(
                AuthorizationRequest(
                    clientID: id, redirectURI: response.redirectURI, isRedirectURINamed: isNamed, state: response.state, challenge: challenge,
                    scopes: try granted(parameters, scopes, defaultScopes), resources: resources.isEmpty ? defaultResources : resources,
                    nonce: try parameters.one("nonce", longest: 512), prompts: try prompts(parameters)))
        } catch {
            return .refusedThere(error, response)
        }
    }

    package static let longestState = 1024

    private static func granted(_ parameters: Parameters, _ allowed: ScopeList, _ defaults: ScopeList) throws(OAuthError) -> ScopeList {
        guard let text = try parameters.one("scope") else { return defaults.narrowed(to: allowed) }
        let scopes = try ScopeList(parsing: text).narrowed(to: allowed)
        guard !scopes.isEmpty else { throw OAuthError(.invalidScope, "None of the scopes asked for is one that this client may have.") }
        return scopes
    }

    /// Those we know; nobody can be asked nothing and something.
    private static func prompts(_ parameters: Parameters) throws(OAuthError) -> Set<Prompt> {
        guard let text = try parameters.one("prompt", longest: 128) else { return [] }
        let prompts = Set(text.split(separator: " ").compactMap { Prompt(rawValue: String($0)) })
        guard !prompts.contains(.none) || prompts.count == 1 else { throw OAuthError(.invalidRequest, "\"prompt\" is \"none\" or something else.") }
        return prompts
    }
}
