package import Gateway

/// A value of the document that answers a registration.
package enum ClientValue: Hashable, Sendable {
    case text(String)
    case texts([String])
    case number(Int64)
}

extension ClientMetadata {
    package static let longestRegistration = 16 << 10

    /// Reads the body of a registration request (RFC 7591, section 3.1).
    ///
    /// What is registered is a public client: who asks for a secret gets none, and reads so in the answer. What else this
    /// gateway does not offer is left out where the client can do without it, and refused where it cannot.
    ///
    /// - Throws: `invalid_redirect_uri` or `invalid_client_metadata`.
    package init(registration bytes: [UInt8], isEvaluation: Bool = false) throws(OAuthError) {
        let statement = try ClientStatement.read(bytes, longest: Self.longestRegistration)
        let uris = try statement.parsedRedirectURIs()
        guard ["none", "client_secret_basic", "client_secret_post", nil].contains(statement.authentication) else {
            throw Self.invalid(
                "\"token_endpoint_auth_method\" is \"none\": registered clients are public. A client with a key of its own publishes a metadata document."
            )
        }
        try self.init(
            name: statement.name ?? "Client at \(uris.first?.host ?? "")".cut(Self.longestName), redirectURIs: uris,
            applicationType: statement.parsedType(uris),
            grantTypes: statement.parsedGrants(offered: [.authorizationCode, .refreshToken]), scopes: statement.parsedScopes(),
            clientURI: statement.parsedClientURI(isEvaluation: isEvaluation), softwareID: statement.softwareID,
            softwareVersion: statement.softwareVersion,
            isEvaluation: isEvaluation)
    }

    /// The members of the answer to a registration (RFC 7591, section 3.2.1): everything as it is now registered.
    package func registrationAnswer(id: ClientID, at issuedAt: Timestamp) -> [(name: String, value: ClientValue)] {
        var members: [(name: String, value: ClientValue)] = [
            ("client_id", .text(id.text)), ("client_id_issued_at", .number(issuedAt.seconds)), ("client_name", .text(name)),
            ("redirect_uris", .texts(redirectURIs.map(\.text))), ("application_type", .text(applicationType.rawValue)),
            ("token_endpoint_auth_method", .text(authentication.rawValue)), ("grant_types", .texts(grantTypes.map(\.rawValue))),
            ("response_types", .texts(["code"])),
        ]
        if !scopes.isEmpty { members.append(("scope", .text(scopes.description))) }
        if let clientURI { members.append(("client_uri", .text(clientURI))) }
        if let softwareID { members.append(("software_id", .text(softwareID))) }
        if let softwareVersion { members.append(("software_version", .text(softwareVersion))) }
        return members
    }
}
