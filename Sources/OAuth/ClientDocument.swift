package import Gateway

/// A client id that is the address of the client's own metadata document (OAuth Client ID Metadata Document, section 3).
package struct ClientDocumentURL: Hashable, Sendable, CustomStringConvertible {
    /// Byte for byte the client id.
    package let text: String
    package let endpoint: Endpoint

    package static let longest = 512

    /// Whether a client id is of this kind, before it is known to be a good one.
    package static func isMeant(by id: String) -> Bool { id.hasPrefix("https://") || id.hasPrefix("http://") }

    /// - Parameter allowsLoopback: http on this machine is good too; for evaluation.
    /// - Throws: `invalid_client`. Whether the address may be connected to is for the egress policy to say.
    package init(_ text: String, allowsLoopback: Bool = false) throws(OAuthError) {
        guard text.utf8.count <= Self.longest, let endpoint = Endpoint(text), endpoint.origin.isPlain else {
            throw Self.refused("an absolute URL of at most \(Self.longest) bytes, without user name and fragment")
        }
        guard endpoint.isSecure || allowsLoopback && endpoint.origin.isLoopback else { throw Self.refused("https") }
        // Written in one way, or one document would be several clients.
        guard text.utf8.elementsEqual(endpoint.description.utf8) else {
            throw Self.refused("written with scheme and host in lower case, without the port that https has anyway, and with a path")
        }
        let path = endpoint.path.prefix { $0 != "?" }
        guard path != "/" else { throw Self.refused("more than the address of a host: it has a path") }
        guard URIText.isPlain(path.utf8, in: .path), URIText.isPlain(endpoint.path[path.endIndex...].utf8, in: .query) else {
            throw Self.refused("without dot segments and broken escapes")
        }
        self.text = text
        self.endpoint = endpoint
    }

    package var description: String { text }
    /// What the document vouches for: whoever controls this host controls the client.
    package var host: String { endpoint.host }

    private static func refused(_ rule: String) -> OAuthError { OAuthError(.invalidClient, "A client id that is a URL is \(rule).") }
}

extension ClientMetadata {
    /// What FastMCP allows too.
    package static let longestDocument = 5 << 10

    /// Reads a client's metadata document as it was fetched from there.
    ///
    /// - Throws: `invalid_redirect_uri` or `invalid_client_metadata`.
    package init(document bytes: [UInt8], at url: ClientDocumentURL, isEvaluation: Bool = false) throws(OAuthError) {
        let statement = try ClientStatement.read(bytes, longest: Self.longestDocument)
        guard let id = statement.clientID, id.utf8.elementsEqual(url.text.utf8) else {
            throw Self.invalid("\"client_id\" in the document is not the URL it was fetched from.")
        }
        guard let name = statement.name else { throw Self.invalid("\"client_name\" is missing.") }
        guard statement.names.isDisjoint(with: ["client_secret", "client_secret_expires_at"]) else {
            throw Self.invalid("A document that everybody can read holds no \"client_secret\".")
        }
        let authentication = ClientAuthentication(rawValue: statement.authentication ?? "none")
        guard authentication == ClientAuthentication.none || authentication == .privateKeyJWT, let authentication else {
            throw Self.invalid("\"token_endpoint_auth_method\" is \"none\" or \"private_key_jwt\".")
        }
        let uris = try statement.parsedRedirectURIs()
        try self.init(
            name: name, redirectURIs: uris, applicationType: statement.parsedType(uris), authentication: authentication,
            grantTypes: statement.parsedGrants(offered: [.authorizationCode, .refreshToken]), scopes: statement.parsedScopes(),
            clientURI: statement.parsedClientURI(isEvaluation: isEvaluation), softwareID: statement.softwareID,
            softwareVersion: statement.softwareVersion,
            keys: authentication == .privateKeyJWT ? Self.keys(of: statement) : nil, isEvaluation: isEvaluation)
    }

    private static func keys(of statement: ClientStatement) throws(OAuthError) -> ClientKeys? {
        guard statement.keySet == nil || statement.keySetURI == nil else {
            throw invalid("\"jwks\" and \"jwks_uri\" are not both there (RFC 7591, section 2).")
        }
        return statement.keySet.map { .inline($0) } ?? statement.keySetURI.map { .published(at: $0) }
    }
}
