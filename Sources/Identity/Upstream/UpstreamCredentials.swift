package import Gateway
import OAuth

/// Where what is shown to servers lies: live, the vault and the record of truth; in a test, dictionaries.
package struct CredentialStore: Sendable {
    /// What a server's owner gave.
    package var secret: @Sendable (ServerID) throws -> Secret<[UInt8]>?

    package init(secret: @escaping @Sendable (ServerID) throws -> Secret<[UInt8]>?) {
        self.secret = secret
    }
}

/// What the gateway shows servers, of its own and in users' names; nothing of it comes from who calls.
package final class UpstreamCredentials: Sendable {
    private let store: CredentialStore
    private let fetcher: Fetcher
    private let now: @Sendable () -> Moment
    private let report: @Sendable (ServerRecord, _ reason: String) -> Void
    private let shelf: TokenShelf
    private let discovery: UpstreamDiscovery

    /// - Parameters:
    ///   - fetcher: the one for strangers' URLs.
    ///   - report: told why there is no token; for the operator's eyes.
    package init(
        store: CredentialStore, fetcher: Fetcher, now: @escaping @Sendable () -> Moment,
        report: @escaping @Sendable (ServerRecord, _ reason: String) -> Void
    ) {
        self.store = store
        self.fetcher = fetcher
        self.now = now
        self.report = report
        shelf = TokenShelf(now: now)
        discovery = UpstreamDiscovery(fetcher: fetcher)
    }

    /// What to show a server.
    ///
    /// - Parameter user: in whose name; counts only for what is personal.
    package func show(_ server: ServerRecord, for user: UserID?) async throws(CredentialFailure) -> ShownCredential {
        let held = try await shelf.take(key(server, user)) { [self] isReplacement async throws(CredentialFailure) in
            try await obtain(for: server, user, isReplacement)
        }
        let header =
            switch server.credential {
            case .fixed(let name): (name: name, value: held.value)
            default: (name: "Authorization", value: Secret("Bearer " + held.value.revealed))
            }
        return ShownCredential(headers: [header], mark: held.mark)
    }

    /// Takes note that a server turned away what it was shown. When this returns, it is worth asking it once more.
    package func turnedAway(_ why: TurnedAway, by server: ServerRecord, for user: UserID?) async throws(CredentialFailure) {
        let isRenewable = if case .fixed = server.credential { false } else { true }
        let failure = CredentialFailure.turnedAway(server)
        switch shelf.turnedAway(key(server, user), mark: why.mark, isRenewable: isRenewable, otherwise: failure) {
        case .tryAgain: return
        case .hopeless: throw failure
        }
    }

    /// The server was changed or removed, or was given another secret.
    package func forget(_ server: ServerID) { shelf.forget(server) }

    private func key(_ server: ServerRecord, _ user: UserID?) -> TokenShelf.Key {
        TokenShelf.Key(server: server.id, user: server.credential.isPersonal ? user : nil)
    }

    // MARK: Obtaining

    private func obtain(for server: ServerRecord, _ user: UserID?, _ isReplacement: Bool) async throws(CredentialFailure) -> TokenShelf.Item {
        switch server.credential {
        case .fixed: return TokenShelf.Item(value: try secret(of: server), expiresAt: nil)
        case .clientCredentials(let client): return try await ownToken(client, of: server)
        case .none, .perUser, .onBehalfOf: throw CredentialFailure(.owner, "“\(server.alias)” is shown nothing.")
        }
    }

    private func ownToken(_ client: UpstreamCredential.Client, of server: ServerRecord) async throws(CredentialFailure) -> TokenShelf.Item {
        let secret = try secret(of: server)
        do throws(IssuerFailure) {
            guard let id = client.clientID, let server = server.transport.httpEndpoint else {
                throw IssuerFailure(.configuration, "The client id is missing.")
            }
            let (endpoint, authentication, issuer) = try await tokenEndpoint(client)
            var fields = [(name: "grant_type", value: "client_credentials")]
            if let scope = client.scope { fields.append((name: "scope", value: scope)) }
            fields.append((name: "resource", value: client.resource ?? UpstreamDiscovery.resource(of: server)))
            let asking = TokenEndpoint(clientID: id, clientSecret: secret, issuer: issuer, fetcher: fetcher)
            let answer = try await asking.ask(fields, at: endpoint, authentication, scope: client.scope ?? "") { [now] in now().wall }
            return TokenShelf.Item(value: answer.tokens.accessToken, expiresAt: answer.tokens.expiresAt)
        } catch {
            report(server, error.sentence)
            throw CredentialFailure(error, of: server)
        }
    }

    private func tokenEndpoint(
        _ client: UpstreamCredential.Client
    ) async throws(IssuerFailure) -> (Endpoint, IssuerMetadata.ClientAuthentication, issuer: String) {
        if let text = client.tokenEndpoint {
            guard let endpoint = Endpoint(text) else { throw IssuerFailure(.configuration, "The token endpoint is no URL.") }
            // Every authorization server takes it (RFC 6749, section 2.3.1).
            return (endpoint, .basic, text)
        }
        let authority = try await discovery.authority(client.issuer ?? "")
        guard let authentication = authority.secretAuthentication else {
            throw AuthorityMetadata.refused(authority.issuer, "offers no way to authenticate with a client secret")
        }
        return (authority.tokenEndpoint, authentication, authority.issuer)
    }

    /// What the server's owner gave, if it was given for where the server is now.
    private func secret(of server: ServerRecord) throws(CredentialFailure) -> Secret<String> {
        let bytes: Secret<[UInt8]>?
        do { bytes = try store.secret(server.id) } catch {
            report(server, "the vault: \(error)")
            throw CredentialFailure(.later, "The gateway cannot open its credential for “\(server.alias)” at the moment.")
        }
        guard let bytes, let placed = PlacedSecret(bytes), placed.places == server.credential.places(of: server) else {
            throw CredentialFailure(
                .owner, "The credential of “\(server.alias)” is missing, or was given for another place; its owner has to give it again.")
        }
        return placed.value
    }
}

extension AuthorityMetadata {
    /// How a client shows its secret; nil if it cannot.
    var secretAuthentication: IssuerMetadata.ClientAuthentication? {
        authentications.contains(.basic) ? .basic : authentications.contains(.post) ? .post : nil
    }
}
