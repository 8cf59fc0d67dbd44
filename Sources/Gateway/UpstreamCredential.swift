/// What the gateway shows a server so that it is let in: something of its own, or of the user's account there, and never
/// what a caller showed the gateway (Z-45). This is what may be told of it; secrets lie sealed in the vault.
package enum UpstreamCredential: Hashable, Sendable {
    /// The server wants none.
    case none
    /// The same header for everybody; its value is the secret.
    case fixed(header: String)
    /// A token for an account of the gateway's own (RFC 6749, section 4.4).
    case clientCredentials(Client)
    /// A token for the account that each user connects for themselves (MCP authorization).
    case perUser(Client)
    /// A token that the issuer people sign in with gives in exchange for the user's own there (Entra ID's on-behalf-of flow).
    case onBehalfOf(scope: String)

    /// What the gateway is to an authorization server; nil where that is found out.
    package struct Client: Hashable, Sendable {
        /// The authorization server's exact name.
        package var issuer: String?
        /// Where tokens are asked for, if nobody need be asked.
        package var tokenEndpoint: String?
        package var clientID: String?
        /// Names separated by blanks.
        package var scope: String?
        /// What tokens are to be good for (RFC 8707); else the server's own URL.
        package var resource: String?

        package init(
            issuer: String? = nil, tokenEndpoint: String? = nil, clientID: String? = nil, scope: String? = nil, resource: String? = nil
        ) {
            self.issuer = issuer
            self.tokenEndpoint = tokenEndpoint
            self.clientID = clientID
            self.scope = scope
            self.resource = resource
        }
    }

    package var mode: String {
        switch self {
        case .none: "none"
        case .fixed: "static"
        case .clientCredentials: "client_credentials"
        case .perUser: "per_user"
        case .onBehalfOf: "on_behalf_of"
        }
    }

    /// Whether each user is somebody else to the server.
    package var isPersonal: Bool {
        switch self {
        case .none, .fixed, .clientCredentials: false
        case .perUser, .onBehalfOf: true
        }
    }

    /// Everything but the mode, by name, as the API and the record of truth write it.
    package var members: [(name: String, value: String)] {
        switch self {
        case .none: []
        case .fixed(let header): [("header", header)]
        case .clientCredentials(let client), .perUser(let client): client.members
        case .onBehalfOf(let scope): [("scope", scope)]
        }
    }

    /// The inverse of `mode` and `members`; nil for what neither would write. Whether it is any good is not looked at.
    package init?(mode: String, members: [String: String]) {
        switch mode {
        case "none": self = .none
        case "static":
            guard let header = members["header"] else { return nil }
            self = .fixed(header: header)
        case "client_credentials": self = .clientCredentials(Client(members))
        case "per_user": self = .perUser(Client(members))
        case "on_behalf_of":
            guard let scope = members["scope"] else { return nil }
            self = .onBehalfOf(scope: scope)
        default: return nil
        }
    }
}

extension UpstreamCredential.Client {
    fileprivate init(_ members: [String: String]) {
        self.init(
            issuer: members["issuer"], tokenEndpoint: members["token_endpoint"], clientID: members["client_id"], scope: members["scope"],
            resource: members["resource"])
    }

    fileprivate var members: [(name: String, value: String)] {
        let all = [("issuer", issuer), ("token_endpoint", tokenEndpoint), ("client_id", clientID), ("scope", scope), ("resource", resource)]
        return all.compactMap { name, value in value.map { (name, $0) } }
    }
}

/// Headers that show a server who asks, and a mark that tells this credential from the one before and after it.
package struct ShownCredential: Sendable {
    package let headers: [(name: String, value: Secret<String>)]
    package let mark: Int64

    package init(headers: [(name: String, value: Secret<String>)], mark: Int64) {
        self.headers = headers
        self.mark = mark
    }
}

/// A server turned away what it was shown.
package struct TurnedAway: Hashable, Sendable {
    /// Of the credential it was shown.
    package let mark: Int64
    /// The scope it asks for if the credential is good and not for this (RFC 6750, section 3.1); empty if it does not say.
    package let wantedScope: String?

    package init(mark: Int64, wantedScope: String? = nil) {
        self.mark = mark
        self.wantedScope = wantedScope
    }
}
