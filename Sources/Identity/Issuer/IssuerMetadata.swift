package import Gateway
import MCP

/// What an issuer says about itself (OpenID Connect Discovery 1.0), as far as it is believed.
///
/// The document tells where endpoints are, and that only within the issuer's own origin and those the settings name. It
/// never tells which signatures count.
package struct IssuerMetadata: Hashable, Sendable {
    package enum ClientAuthentication: Hashable, Sendable {
        /// `client_secret_basic`
        case basic
        /// `client_secret_post`
        case post
    }

    package let issuer: String
    package let authorizationEndpoint: Endpoint
    package let tokenEndpoint: Endpoint
    package let keysEndpoint: Endpoint
    package let endSessionEndpoint: Endpoint?
    package let userInfoEndpoint: Endpoint?
    package let revocationEndpoint: Endpoint?
    package let clientAuthentication: ClientAuthentication
    /// Whether every authorization response of the issuer has `iss` (RFC 9207).
    package let announcesIssuerInResponses: Bool
    /// Nil if it does not say.
    package let scopes: [String]?

    static let largest = 64 << 10

    /// - Throws: `.configuration`, with a sentence that says what the document should have said.
    package init(reading bytes: [UInt8], for settings: IssuerSettings) throws(IssuerFailure) {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: bytes, limits: JSON.Limits(depth: 16, nodes: 10_000))
        } catch {
            throw Self.refused(settings, "is not JSON: \(error.reason.rawValue) (byte \(error.offset))")
        }
        guard json.isObject else { throw Self.refused(settings, "is no JSON object") }
        guard let issuer = json["issuer"]?.string else { throw Self.refused(settings, "names no issuer") }
        guard issuer.isExactly(settings.issuer) else {
            throw Self.refused(
                settings,
                "is that of “\(issuer.cut(200).withoutControls)”, while “\(settings.issuer)” is configured; both must be the same to the letter")
        }
        self.issuer = issuer

        authorizationEndpoint = try Self.endpoint("authorization_endpoint", of: json, settings)
        tokenEndpoint = try Self.endpoint("token_endpoint", of: json, settings)
        keysEndpoint = try Self.endpoint("jwks_uri", of: json, settings)
        endSessionEndpoint = try Self.optionalEndpoint("end_session_endpoint", of: json, settings)
        userInfoEndpoint = try Self.optionalEndpoint("userinfo_endpoint", of: json, settings)
        revocationEndpoint = try Self.optionalEndpoint("revocation_endpoint", of: json, settings)

        if let methods = try Self.texts("code_challenge_methods_supported", of: json, settings) {
            guard methods.contains("S256") else { throw Self.refused(settings, "offers PKCE without S256, so codes could be stolen") }
        } else if !settings.allowsMissingPKCEMetadata {
            throw Self.refused(
                settings,
                "does not say that the issuer knows PKCE (code_challenge_methods_supported); if it does know it, allow this issuer to keep silent")
        }
        if let types = try Self.texts("response_types_supported", of: json, settings), !types.contains("code") {
            throw Self.refused(settings, "does not offer the response type “code”")
        }

        announcesIssuerInResponses = json["authorization_response_iss_parameter_supported"]?.bool == true
        scopes = try Self.texts("scopes_supported", of: json, settings)

        let methods = try Self.texts("token_endpoint_auth_methods_supported", of: json, settings) ?? ["client_secret_basic"]
        // Either would do at Entra ID; its own libraries use the second.
        let preferred: [(String, ClientAuthentication)] = [("client_secret_basic", .basic), ("client_secret_post", .post)]
        let inOrder = settings.entra == nil ? preferred : preferred.reversed()
        if let method = inOrder.first(where: { methods.contains($0.0) }) {
            clientAuthentication = method.1
        } else if settings.clientSecret == nil {
            clientAuthentication = .basic
        } else {
            throw Self.refused(settings, "offers no way to authenticate with a client secret (client_secret_basic or client_secret_post)")
        }
    }

    private static func endpoint(_ name: String, of json: JSON, _ settings: IssuerSettings) throws(IssuerFailure) -> Endpoint {
        guard let endpoint = try optionalEndpoint(name, of: json, settings) else { throw refused(settings, "has no \(name)") }
        return endpoint
    }

    private static func optionalEndpoint(_ name: String, of json: JSON, _ settings: IssuerSettings) throws(IssuerFailure) -> Endpoint? {
        guard let member = json[name], !member.isNull else { return nil }
        guard let text = member.string, let endpoint = Endpoint(text) else { throw refused(settings, "has a \(name) that is no URL") }
        guard let own = settings.origin, endpoint.origin == own || settings.otherOrigins.contains(endpoint.origin) else {
            throw refused(
                settings, "has its \(name) at \(endpoint.origin), which is neither the issuer's own origin nor one of those allowed beside it")
        }
        guard endpoint.isSecure || endpoint.origin.isLoopback && own.isLoopback && !own.isSecure else {
            throw refused(settings, "has its \(name) at \(endpoint.origin), which is not https")
        }
        return endpoint
    }

    /// Nil if there is no such member.
    private static func texts(_ name: String, of json: JSON, _ settings: IssuerSettings) throws(IssuerFailure) -> [String]? {
        guard let member = json[name], !member.isNull else { return nil }
        let texts = member.elements.compactMap(\.string)
        guard member.kind == .array, texts.count == member.elements.count else { throw refused(settings, "has a \(name) that is no list of strings") }
        return texts
    }

    private static func refused(_ settings: IssuerSettings, _ what: String) -> IssuerFailure {
        IssuerFailure(.configuration, "The issuer's metadata at \(settings.discoveryURL) \(what).")
    }
}
