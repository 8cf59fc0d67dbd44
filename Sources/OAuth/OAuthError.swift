/// An error of the OAuth endpoints: a code of the RFCs and a sentence for whoever wrote the client.
package struct OAuthError: Error, Hashable, Sendable {
    /// RFC 6749 (4.1.2.1, 5.2), RFC 8707 (2), RFC 7591 (3.2.2), OpenID Connect Core (3.1.2.6).
    package enum Code: String, Sendable {
        case invalidRequest = "invalid_request"
        case invalidClient = "invalid_client"
        case invalidGrant = "invalid_grant"
        case unauthorizedClient = "unauthorized_client"
        case unsupportedGrantType = "unsupported_grant_type"
        case unsupportedResponseType = "unsupported_response_type"
        case invalidScope = "invalid_scope"
        case invalidTarget = "invalid_target"
        case accessDenied = "access_denied"
        case invalidRedirectURI = "invalid_redirect_uri"
        case invalidClientMetadata = "invalid_client_metadata"
        case serverError = "server_error"
        case temporarilyUnavailable = "temporarily_unavailable"
        case requestNotSupported = "request_not_supported"
        case requestURINotSupported = "request_uri_not_supported"
        case interactionRequired = "interaction_required"
    }

    package let code: Code
    package let sentence: String

    package init(_ code: Code, _ sentence: String) {
        self.code = code
        self.sentence = sentence
    }

    /// The sentence in the characters that `error_description` may have (RFC 6749, section 5.2).
    package var errorDescription: String {
        String(
            String.UnicodeScalarView(
                sentence.unicodeScalars.map { scalar in
                    switch scalar {
                    case "\"", "\u{201C}", "\u{201D}", "\u{2019}": "'"
                    case " "..."~" where scalar != "\\": scalar
                    default: "?"
                    }
                }))
    }
}
