import Gateway
import MCP
import OAuth
import Synchronization

/// What the gateway is to an authorization server, found in this order (Z-42): registered by an administrator, by the
/// document it publishes, by registering itself (RFC 7591). Where none is possible, an administrator has to.
final class ClientRegistrar: Sendable {
    private struct Place: Hashable {
        let server: ServerID
        let issuer, redirectURI: String
    }
    private typealias Outcome = Result<GatewayClient, IssuerFailure>

    private let store: CredentialStore
    private let fetcher: Fetcher
    private let origin: @Sendable () -> Origin
    private let now: @Sendable () -> Moment
    /// Nil where the gateway has no key to prove itself with.
    private let proof: ClientProof?
    /// Registrations under way: whoever needs one meanwhile waits for it.
    private let running = Mutex<[Place: SharedWork<Outcome>]>([:])
    /// Longer than the one request that a registration is.
    private static let patience = Duration.seconds(12)

    init(
        store: CredentialStore, fetcher: Fetcher, proof: ClientProof?, origin: @escaping @Sendable () -> Origin,
        now: @escaping @Sendable () -> Moment
    ) {
        self.store = store
        self.fetcher = fetcher
        self.origin = origin
        self.now = now
        self.proof = proof
    }

    /// Where authorization servers send browsers back to.
    static func redirectURI(at origin: Origin) -> String { "\(origin)/connect/callback" }
    /// What the gateway is where it can prove it with its key, and where nobody takes that. A document says one of them.
    static func documentURL(at origin: Origin) -> String { "\(origin)/oauth/client.json" }
    static func publicDocumentURL(at origin: Origin) -> String { "\(origin)/oauth/public-client.json" }

    /// - Parameters:
    ///   - named: what an administrator registered.
    ///   - secret: what they gave with it.
    func client(
        of server: ServerRecord, at authority: AuthorityMetadata, named: String?, secret: Secret<String>?
    ) async throws(IssuerFailure) -> GatewayClient {
        let origin = origin()
        let redirectURI = Self.redirectURI(at: origin)
        func client(_ id: String, _ secret: Secret<String>?, _ authentication: GatewayClient.Authentication) -> GatewayClient {
            GatewayClient(issuer: authority.issuer, id: id, secret: secret, authentication: authentication, redirectURI: redirectURI)
        }
        if let named {
            guard secret != nil else { return client(named, nil, .none) }
            guard let way = authority.secretAuthentication else {
                throw AuthorityMetadata.refused(authority.issuer, "offers no way to authenticate with a client secret")
            }
            return client(named, secret, way == .basic ? .basic : .post)
        }
        if authority.takesClientDocuments && origin.isSecure {
            return proof != nil && authority.authentications.contains(.privateKeyJWT)
                ? client(Self.documentURL(at: origin), nil, .privateKeyJWT) : client(Self.publicDocumentURL(at: origin), nil, .none)
        }
        if let held = held(server, at: authority, redirectURI) { return held }
        guard let endpoint = authority.registrationEndpoint else {
            throw AuthorityMetadata.refused(
                authority.issuer,
                "offers no way for the gateway to register itself: register it with the redirect URI \(redirectURI), and give the "
                    + "server's credential the issuer and the client id")
        }
        let place = Place(server: server.id, issuer: authority.issuer, redirectURI: redirectURI)
        let (work, isFirst) = running.withLock { running in
            if let work = running[place] { return (work, false) }
            let work = SharedWork<Outcome>()
            running[place] = work
            return (work, true)
        }
        if isFirst {
            // Unstructured on purpose: it is everybody's who waits, and a registration that was made is kept. The fetcher's deadline ends it.
            Task {
                let outcome: Outcome
                do throws(IssuerFailure) {
                    outcome = .success(try await self.registered(server, at: endpoint, authority, redirectURI, isWeb: origin.isSecure))
                } catch {
                    outcome = .failure(error)
                }
                self.running.withLock { $0[place] = nil }
                work.end(outcome)
            }
        }
        guard let outcome = await work.outcome(within: Self.patience) else {
            throw IssuerFailure(.later(after: nil), "The registration at \(authority.issuer) took longer than the gateway waits.")
        }
        return try outcome.get()
    }

    private func registered(
        _ server: ServerRecord, at endpoint: Endpoint, _ authority: AuthorityMetadata, _ redirectURI: String, isWeb: Bool
    ) async throws(IssuerFailure) -> GatewayClient {
        // One that ended between the look before and this.
        if let held = held(server, at: authority, redirectURI) { return held }
        let made = try await register(at: endpoint, authority, redirectURI, isWeb: isWeb)
        do { try store.keepRegistration(made.bytes, server.id) } catch {
            throw IssuerFailure(.later(after: nil), "The registration at \(authority.issuer) cannot be kept: \(error).")
        }
        return made
    }

    private func held(_ server: ServerRecord, at authority: AuthorityMetadata, _ redirectURI: String) -> GatewayClient? {
        guard let held = held(server), held.issuer.utf8.elementsEqual(authority.issuer.utf8), held.redirectURI == redirectURI,
            held.expiresAt.map({ now().wall < $0 }) ?? true
        else { return nil }
        return held
    }

    /// What was registered for a server; nil also if it does not open.
    func held(_ server: ServerRecord) -> GatewayClient? { (try? store.registration(server.id)).flatMap { $0 }.flatMap { GatewayClient($0) } }

    private func register(
        at endpoint: Endpoint, _ authority: AuthorityMetadata, _ redirectURI: String, isWeb: Bool
    ) async throws(IssuerFailure) -> GatewayClient {
        func refused(_ what: String) -> IssuerFailure { AuthorityMetadata.refused(authority.issuer, "names a registration endpoint that \(what)") }
        guard let way = [GatewayClient.Authentication.none, .basic, .post].first(where: authority.authentications.contains) else {
            throw AuthorityMetadata.refused(authority.issuer, "offers no way to authenticate that the gateway knows")
        }
        let body: JSONText = [
            "client_name": "MCP Registry Gateway", "redirect_uris": [.string(redirectURI)],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"], "token_endpoint_auth_method": .string(way.rawValue),
            "application_type": isWeb ? "web" : "native",
        ]
        let request = FetchRequest(
            .post, endpoint, headers: [("content-type", "application/json"), ("accept", "application/json")], body: body.bytes,
            largestAnswer: 64 << 10)
        let answer: FetchedAnswer
        do throws(FetchFailure) { answer = try await fetcher.send(request) } catch { throw IssuerFailure(error, "\(endpoint)") }
        guard answer.status == 201 || answer.status == 200 else {
            if answer.status == 429 || answer.status >= 500 {
                throw IssuerFailure(.later(after: answer.retryAfter), "\(endpoint) was answered with status \(answer.status).")
            }
            throw refused("was answered with status \(answer.status)")
        }
        guard let json = try? JSON(parsing: answer.body, limits: JSON.Limits(depth: 16, nodes: 10_000)), let id = json["client_id"]?.string,
            id.isVisibleASCII(1...2048)
        else { throw refused("gave no client id") }
        let authentication =
            try json["token_endpoint_auth_method"]?.string.map { text throws(IssuerFailure) in
                guard let known = GatewayClient.Authentication(rawValue: text), known != .privateKeyJWT else {
                    throw refused("registered another way to authenticate")
                }
                return known
            } ?? way
        guard authentication != .none else {
            return GatewayClient(issuer: authority.issuer, id: id, secret: nil, authentication: .none, redirectURI: redirectURI)
        }
        guard let secret = json["client_secret"]?.string, secret.isVisibleASCII(1...4096) else { throw refused("gave no client secret") }
        // Zero stands for a secret that does not end (RFC 7591, section 3.2.1).
        let end = json["client_secret_expires_at"]?.integer.flatMap { $0 > 0 ? $0 : nil }
        return GatewayClient(
            issuer: authority.issuer, id: id, secret: Secret(secret), authentication: authentication, redirectURI: redirectURI,
            expiresAt: end.map { Timestamp(microseconds: min($0, Int64.max / 1_000_000) * 1_000_000) })
    }
}

extension GatewayClient {
    /// How it proves itself at a token endpoint.
    func tokenEndpoint(_ fetcher: Fetcher, _ proof: ClientProof?) -> (TokenEndpoint, IssuerMetadata.ClientAuthentication) {
        switch authentication {
        case .none: (TokenEndpoint(clientID: id, clientSecret: nil, issuer: issuer, fetcher: fetcher), .basic)
        case .basic: (TokenEndpoint(clientID: id, clientSecret: secret, issuer: issuer, fetcher: fetcher), .basic)
        case .post: (TokenEndpoint(clientID: id, clientSecret: secret, issuer: issuer, fetcher: fetcher), .post)
        case .privateKeyJWT: (TokenEndpoint(clientID: id, clientSecret: nil, issuer: issuer, fetcher: fetcher, proof: proof), .basic)
        }
    }
}
