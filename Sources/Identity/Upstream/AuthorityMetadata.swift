import Gateway
import MCP
import OAuth

/// What the authorization server of some server says about itself (RFC 8414), as far as it is believed.
///
/// Strangers write it. It says where to send browsers and codes, so every address in it is an https URL, or on loopback if
/// the whole server is; that they are at other origins than the issuer is common and allowed.
struct AuthorityMetadata: Hashable, Sendable {
    let issuer: String
    let authorizationEndpoint: Endpoint?
    let tokenEndpoint: Endpoint
    let registrationEndpoint: Endpoint?
    let revocationEndpoint: Endpoint?
    /// Of those known here.
    let authentications: Set<GatewayClient.Authentication>
    /// Nil if it keeps silent about PKCE.
    let offersS256: Bool?
    /// Whether every authorization response of it has `iss` (RFC 9207).
    let announcesIssuerInResponses: Bool
    /// Whether a client may be a URL at which it describes itself.
    let takesClientDocuments: Bool
    /// Nil if it does not say.
    let scopes: [String]?

    static let largest = 64 << 10

    /// - Parameter issuer: whose it must be, to the letter (RFC 8414, section 3.3).
    /// - Throws: `.configuration`.
    init(_ json: JSON, of issuer: String) throws(IssuerFailure) {
        let named = json["issuer"]?.string ?? ""
        guard named.isExactly(issuer) else {
            throw Self.refused(issuer, "is that of “\(named.cut(200).withoutControls)”; both must be the same to the letter")
        }
        self.issuer = issuer
        guard let own = Endpoint(issuer) else { throw Self.refused(issuer, "belongs to no URL") }
        func endpoint(_ name: String) throws(IssuerFailure) -> Endpoint? {
            guard let member = json[name], !member.isNull else { return nil }
            guard let endpoint = member.string.flatMap({ Endpoint($0) }), endpoint.origin.isPlain else {
                throw Self.refused(issuer, "has a \(name) that is no http or https URL")
            }
            guard endpoint.isSecure || endpoint.origin.isLoopback && own.origin.isLoopback && !own.isSecure else {
                throw Self.refused(issuer, "has its \(name) at \(endpoint.origin), which is not https")
            }
            return endpoint
        }
        func texts(_ name: String) throws(IssuerFailure) -> [String]? {
            guard let member = json[name], !member.isNull else { return nil }
            let texts = member.elements.compactMap(\.string)
            guard member.kind == .array, texts.count == member.elements.count else {
                throw Self.refused(issuer, "has a \(name) that is no list of strings")
            }
            return texts
        }
        authorizationEndpoint = try endpoint("authorization_endpoint")
        guard let tokenEndpoint = try endpoint("token_endpoint") else { throw Self.refused(issuer, "has no token_endpoint") }
        self.tokenEndpoint = tokenEndpoint
        registrationEndpoint = try endpoint("registration_endpoint")
        revocationEndpoint = try endpoint("revocation_endpoint")
        // RFC 8414, section 2: what is meant where nothing is said.
        var authentications = Set(
            (try texts("token_endpoint_auth_methods_supported") ?? ["client_secret_basic"]).compactMap { GatewayClient.Authentication(rawValue: $0) })
        // The gateway has keys of one kind.
        if let algorithms = try texts("token_endpoint_auth_signing_alg_values_supported"), !algorithms.contains("ES256") {
            authentications.remove(.privateKeyJWT)
        }
        self.authentications = authentications
        offersS256 = try texts("code_challenge_methods_supported").map { $0.contains("S256") }
        announcesIssuerInResponses = json["authorization_response_iss_parameter_supported"]?.bool == true
        takesClientDocuments = json["client_id_metadata_document_supported"]?.bool == true
        scopes = try texts("scopes_supported")
        if let types = try texts("response_types_supported"), authorizationEndpoint != nil, !types.contains("code") {
            throw Self.refused(issuer, "does not offer the response type “code”")
        }
    }

    /// Where a browser may be sent: only to who knows PKCE with S256.
    ///
    /// - Parameter allowsSilence: whether an administrator knows better than its metadata, which keeps silent.
    func browserEndpoint(allowingSilence allowsSilence: Bool) throws(IssuerFailure) -> Endpoint {
        guard let authorizationEndpoint else { throw Self.refused(issuer, "has no authorization_endpoint") }
        guard let offersS256 else {
            guard allowsSilence else {
                throw Self.refused(
                    issuer,
                    "does not say that it knows PKCE (code_challenge_methods_supported); if it does, name it in MREG_ISSUER_WITHOUT_PKCE_METADATA")
            }
            return authorizationEndpoint
        }
        guard offersS256 else { throw Self.refused(issuer, "offers PKCE without S256, so codes could be stolen") }
        return authorizationEndpoint
    }

    static func refused(_ issuer: String, _ what: String) -> IssuerFailure {
        IssuerFailure(.configuration, "The metadata of the authorization server \(issuer.cut(200).withoutControls) \(what).")
    }

    /// Where it may be, in the order in which it is looked for (MCP authorization; RFC 8414, section 3.1; OpenID Connect Discovery).
    ///
    /// - Throws: `.configuration` for a name that no URL can be made of, or that is not https.
    static func places(of issuer: String) throws(IssuerFailure) -> [Endpoint] {
        guard let own = Endpoint(issuer), own.origin.isPlain, !issuer.contains("?"), own.isSecure || own.origin.isLoopback else {
            throw IssuerFailure(.configuration, "The authorization server “\(issuer.cut(200).withoutControls)” is no https URL.")
        }
        let path = own.path.hasSuffix("/") ? String(own.path.dropLast()) : own.path
        let texts =
            path.isEmpty
            ? ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]
            : [
                "/.well-known/oauth-authorization-server\(path)", "/.well-known/openid-configuration\(path)",
                "\(path)/.well-known/openid-configuration",
            ]
        return texts.compactMap { Endpoint("\(own.origin)\($0)") }
    }
}

/// What a server says about the tokens it takes (RFC 9728), as far as it is believed.
struct ResourceMetadata: Hashable, Sendable {
    /// What tokens have to be for.
    let resource: String
    let issuers: [String]
    let scopes: [String]?

    /// - Parameter endpoint: the server's; the document must be about it, or about what it is a part of.
    /// - Throws: `.configuration`.
    init(_ json: JSON, of endpoint: Endpoint) throws(IssuerFailure) {
        func refused(_ what: String) -> IssuerFailure {
            IssuerFailure(.configuration, "The protected resource metadata of \(endpoint.origin) \(what).")
        }
        guard let text = json["resource"]?.string, let resource = Endpoint(text), Self.isPart(endpoint, of: resource) else {
            throw refused("is not about \(endpoint)")
        }
        self.resource = text
        issuers = (json["authorization_servers"]?.elements ?? []).compactMap(\.string)
        guard !issuers.isEmpty else { throw refused("names no authorization server") }
        scopes = json["scopes_supported"].map { $0.elements.compactMap(\.string) }
    }

    /// The same origin, and the same path or one below it.
    private static func isPart(_ endpoint: Endpoint, of resource: Endpoint) -> Bool {
        guard endpoint.origin == resource.origin, !resource.path.contains("?") else { return false }
        let path = endpoint.path.prefix { $0 != "?" }
        let parent = resource.path.hasSuffix("/") ? resource.path.dropLast() : resource.path[...]
        return path.utf8.starts(with: parent.utf8) && (path.utf8.count == parent.utf8.count || path.dropFirst(parent.count).first == "/")
    }

    /// Beneath the well-known name, with the server's path behind it and then without (RFC 9728, section 3.1).
    static func places(of endpoint: Endpoint) -> [Endpoint] {
        let path = endpoint.path.prefix { $0 != "?" }
        let texts = path == "/" ? [""] : [String(path), ""]
        return texts.compactMap { Endpoint("\(endpoint.origin)/.well-known/oauth-protected-resource\($0)") }
    }
}
