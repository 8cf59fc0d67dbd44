package import Gateway

/// How a client is answered: by sending the browser to its redirect URI (RFC 6749, section 4.1.2; RFC 9207).
package struct AuthorizationResponse: Hashable, Sendable {
    package let redirectURI: RedirectURI
    package let state: String?
    package let issuer: String

    /// - Parameter uri: one that was found registered.
    package init(to uri: RedirectURI, state: String?, issuer: String) {
        redirectURI = uri
        self.state = state
        self.issuer = issuer
    }

    /// Where to send the browser with a code. It holds the code; it belongs into no log.
    package func url(code: Secret<String>) -> Secret<String> { Secret(url([("code", code.revealed)])) }

    package func url(error: OAuthError) -> String { url([("error", error.code.rawValue), ("error_description", error.errorDescription)]) }

    private func url(_ pairs: [(name: String, value: String)]) -> String {
        let query = FormURLEncoded.encode(pairs + (state.map { [("state", $0)] } ?? []) + [("iss", issuer)])
        // A query of the client's own is kept (RFC 6749, section 3.1.2).
        let text = redirectURI.text
        return text + (text.contains("?") ? text.hasSuffix("?") || text.hasSuffix("&") ? "" : "&" : "?") + query
    }
}
