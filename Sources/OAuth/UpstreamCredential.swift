package import Gateway

/// A server's credential as somebody sets it: what may be told of it, and what may not.
package struct CredentialDraft: Sendable {
    package let credential: UpstreamCredential
    package let secret: Secret<String>?

    package static let longestSecret = 8192

    /// - Parameters:
    ///   - members: as they came, by name.
    ///   - transport: of the server it is for.
    /// - Throws: `Refusal.invalid` with what to write instead. No secret is repeated.
    package init(_ members: [String: String], for transport: Transport) throws(Refusal) {
        let mode = members["mode"] ?? "none"
        guard let known = Self.known[mode] else {
            throw .invalid("The \"mode\" of \"credential\" is one of \(Self.known.keys.sorted().joined(separator: ", ")).")
        }
        if let stranger = members.keys.filter({ $0 != "mode" && !known.contains($0) }).min() {
            throw .invalid(
                "\"\(stranger.cut(64).withoutControls)\" is not known in a \"credential\" of the mode \(mode); known are "
                    + "\((["mode"] + known).joined(separator: ", ")).")
        }
        guard mode == "none" || transport.httpEndpoint != nil else { throw .invalid("Only a server over HTTP can be shown a credential.") }
        switch mode {
        case "static":
            (credential, secret) = (.fixed(header: try Self.header(members["header"])), Secret(try Self.value(members["secret"])))
        case "client_credentials":
            let client = try Self.client(members)
            guard (client.issuer == nil) != (client.tokenEndpoint == nil) else {
                throw .invalid("Name either the \"issuer\" that gives the tokens or its \"token_endpoint\": a secret is shown to nobody else.")
            }
            guard client.clientID != nil, let secret = members["secret"] else { throw .invalid("\"client_id\" and \"secret\" are both needed.") }
            (credential, self.secret) = (.clientCredentials(client), Secret(try Self.visible(secret, "secret", longest: 4096)))
        case "per_user":
            let client = try Self.client(members)
            guard client.clientID == nil || client.issuer != nil else {
                throw .invalid("A \"client_id\" is one issuer's: name the \"issuer\" it is registered with.")
            }
            guard members["secret"] == nil || client.clientID != nil else { throw .invalid("A \"secret\" goes with a \"client_id\".") }
            credential = .perUser(client)
            secret = try members["secret"].map { text throws(Refusal) in Secret(try Self.visible(text, "secret", longest: 4096)) }
        case "on_behalf_of":
            guard let scope = try Self.scope(members["scope"]) else {
                throw .invalid("\"scope\" is missing: which API's token to ask for, such as api://…/.default.")
            }
            (credential, secret) = (.onBehalfOf(scope: scope), nil)
        default: (credential, secret) = (.none, nil)
        }
    }

    private static let known: [String: [String]] = [
        "none": [], "static": ["header", "secret"],
        "client_credentials": ["issuer", "token_endpoint", "client_id", "secret", "scope", "resource"],
        "per_user": ["issuer", "client_id", "secret", "scope"], "on_behalf_of": ["scope"],
    ]

    // MARK: Members

    private static func client(_ members: [String: String]) throws(Refusal) -> UpstreamCredential.Client {
        UpstreamCredential.Client(
            issuer: try address(members["issuer"], "issuer"), tokenEndpoint: try address(members["token_endpoint"], "token_endpoint"),
            clientID: try members["client_id"].map { text throws(Refusal) in try visible(text, "client_id", longest: 512) },
            scope: try scope(members["scope"]), resource: try resource(members["resource"]))
    }

    /// A header that no transport writes itself, and that means nothing but who asks.
    private static func header(_ text: String?) throws(Refusal) -> String {
        let name = text ?? "Authorization"
        let isToken = (1...64).contains(name.utf8.count) && name.utf8.allSatisfy { URIText.isUnreserved($0) && $0 != UInt8(ascii: "~") }
        let lower = name.lowercased()
        guard isToken, !reserved.contains(lower), !reservedBeginnings.contains(where: { lower.hasPrefix($0) }) else {
            throw .invalid("\"header\" is the name of a header such as Authorization or X-API-Key, and none that the gateway writes itself.")
        }
        return name
    }

    private static let reserved: Set<String> = [
        "host", "user-agent", "content-type", "content-length", "content-encoding", "accept", "accept-encoding", "connection", "keep-alive",
        "transfer-encoding", "te", "trailer", "upgrade", "expect", "origin", "referer", "forwarded", "via", "date", "last-event-id",
    ]
    private static let reservedBeginnings = ["mcp-", "proxy-", "sec-", "x-forwarded-"]

    /// A header's value.
    private static func value(_ text: String?) throws(Refusal) -> String {
        guard let text else { throw .invalid("\"secret\" is missing: the whole value of the header, such as Bearer ….") }
        guard (1...longestSecret).contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }), text.first != " ", text.last != " "
        else { throw .invalid("\"secret\" is 1 to \(longestSecret) visible ASCII characters, with blanks only between them.") }
        return text
    }

    private static func visible(_ text: String, _ name: String, longest: Int) throws(Refusal) -> String {
        guard (1...longest).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .invalid("\"\(name)\" is 1 to \(longest) visible ASCII characters without blanks: is there a line break at its end?")
        }
        return text
    }

    private static func address(_ text: String?, _ name: String) throws(Refusal) -> String? {
        guard let text else { return nil }
        guard let endpoint = Endpoint(text), endpoint.origin.isPlain, endpoint.isSecure || endpoint.origin.isLoopback,
            name != "issuer" || !text.contains("?")
        else { throw .invalid("\"\(name)\" is an https URL, as the authorization server writes it.") }
        return text
    }

    private static func scope(_ text: String?) throws(Refusal) -> String? {
        guard let text, !text.isEmpty else { return nil }
        do throws(OAuthError) { return try ScopeList(parsing: text).description } catch { throw .invalid(error.sentence) }
    }

    /// An absolute URI without a fragment (RFC 8707, section 2).
    private static func resource(_ text: String?) throws(Refusal) -> String? {
        guard let text else { return nil }
        let scheme = text.prefix { $0 != ":" }
        guard (3...2048).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }), !text.contains("#"),
            scheme.utf8.count < text.utf8.count, scheme.utf8.first.map(URIText.isLetter) == true
        else { throw .invalid("\"resource\" is an absolute URI without a fragment.") }
        return text
    }
}

extension UpstreamCredential {
    /// To whom the secret may be shown, and for whom: one that was given for other places is not used.
    package func places(of server: ServerRecord) -> [String] {
        let origin = server.transport.httpEndpoint.map(\.origin.description) ?? ""
        let others = Set(server.replicas.map { Endpoint($0.endpoint)?.origin.description ?? "" }).subtracting([origin]).sorted()
        switch self {
        case .none, .onBehalfOf: return []
        case .fixed(let header): return [origin, header.lowercased()] + others
        case .clientCredentials(let client), .perUser(let client):
            return [origin, client.issuer ?? client.tokenEndpoint ?? "", client.clientID ?? ""] + others
        }
    }
}

/// A secret with the places it was given for, as it is sealed: whoever can change where a server is cannot have its secret
/// sent there.
package struct PlacedSecret: Sendable {
    package let places: [String]
    package let value: Secret<String>

    package init(_ value: Secret<String>, for places: [String]) {
        self.places = places
        self.value = value
    }

    package init?(_ bytes: Secret<[UInt8]>) {
        guard let form = SealedForm<Form>.read(bytes) else { return nil }
        self.init(Secret(form.secret), for: form.places)
    }

    package var bytes: Secret<[UInt8]> { SealedForm.write(Form(places: places, secret: value.revealed)) }

    private struct Form: Codable {
        let places: [String]
        let secret: String
    }
}
