import Crypto
package import Gateway
import OAuth
import Synchronization

/// What the gateway shows servers, of its own and in users' names; nothing of it comes from who calls.
package final class UpstreamCredentials: Sendable {
    let store: CredentialStore
    let fetcher: Fetcher
    let now: @Sendable () -> Moment
    let origin: @Sendable () -> Origin
    let shelf: TokenShelf
    let discovery: UpstreamDiscovery
    let registrar: ClientRegistrar
    let proof: ClientProof?
    private let linkKey: SymmetricKey
    private let report: @Sendable (ServerRecord, _ reason: String) -> Void
    /// Scopes that servers asked for and users have not allowed yet.
    private let wanted = Mutex<[TokenShelf.Key: String]>([:])

    /// - Parameters:
    ///   - fetcher: the one for strangers' URLs.
    ///   - proof: nil if the gateway has no key to prove itself with where its document says what it is.
    ///   - report: told why there is no token; for the operator's eyes.
    package init(
        store: CredentialStore, fetcher: Fetcher, instance: InstanceKey, proof: ClientProof? = nil, origin: @escaping @Sendable () -> Origin,
        now: @escaping @Sendable () -> Moment, report: @escaping @Sendable (ServerRecord, _ reason: String) -> Void
    ) {
        self.store = store
        self.fetcher = fetcher
        self.now = now
        self.origin = origin
        self.report = report
        self.proof = proof
        shelf = TokenShelf(now: now)
        discovery = UpstreamDiscovery(fetcher: fetcher)
        registrar = ClientRegistrar(store: store, fetcher: fetcher, proof: proof, origin: origin, now: now)
        linkKey = instance.derived(for: "connect link")
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
        let key = key(server, user)
        if let scope = why.wantedScope {
            guard let user, case .perUser = server.credential else {
                throw CredentialFailure(.owner, "“\(server.alias)” wants more (\(scope)) than the credential it is registered with is good for.")
            }
            want(scope, key)
            throw CredentialFailure(.user, "“\(server.alias)” wants you to allow more than you did. \(invitation(to: server, for: user))")
        }
        let isRenewable = if case .fixed = server.credential { false } else { true }
        let failure = turnedAwayForGood(server, user)
        switch shelf.turnedAway(key, mark: why.mark, isRenewable: isRenewable, otherwise: failure) {
        case .tryAgain: return
        case .hopeless:
            if let user, case .perUser = server.credential { await markRefused(server, user, "turned_away") }
            throw failure
        }
    }

    private func turnedAwayForGood(_ server: ServerRecord, _ user: UserID?) -> CredentialFailure {
        guard let user, server.credential.isPersonal else { return .turnedAway(server) }
        return CredentialFailure(.user, "“\(server.alias)” no longer takes your account's token. \(invitation(to: server, for: user))")
    }

    /// In whose name the tools of a server are listed where each user is somebody else to it: its owner's if they are
    /// connected, else whoever connected first.
    package func lister(of server: ServerRecord) async throws(CredentialFailure) -> UserID {
        let users: [UserID]
        do { users = try await store.connectedUsers(server.id) } catch {
            throw CredentialFailure(.later, "the gateway cannot look up who is connected to it")
        }
        if users.contains(server.owner) { return server.owner }
        guard let first = users.first else {
            throw CredentialFailure(
                .user, "nobody has connected an account to it yet; open \(Self.link(to: server, at: origin())) in your browser to be the first")
        }
        return first
    }

    /// The server was changed or removed, or was given another secret.
    package func forget(_ server: ServerID) { shelf.forget(server) }

    func key(_ server: ServerRecord, _ user: UserID?) -> TokenShelf.Key {
        TokenShelf.Key(server: server.id, user: server.credential.isPersonal ? user : nil)
    }

    func tell(_ server: ServerRecord, _ reason: String) { report(server, reason) }

    // MARK: Links

    static func link(to server: ServerRecord, at origin: Origin) -> String { "\(origin)/connect/\(server.alias)" }

    /// What a user is told to do. The link is theirs: it says for whom it was made, and nobody else can follow it to its end.
    func invitation(to server: ServerRecord, for user: UserID) -> String {
        "Open \(Self.link(to: server, at: origin()))?for=\(tag(of: user)) in your browser to connect your account, then call the tool again."
    }

    /// Stands for a user in a link; only this gateway can make one.
    package func tag(of user: UserID) -> String {
        Base64URL.encode(HMAC<SHA256>.authenticationCode(for: Array("\(user.rawValue)".utf8), using: linkKey).prefix(12))
    }

    // MARK: More than was allowed

    private func want(_ scope: String, _ key: TokenShelf.Key) {
        guard let scopes = try? ScopeList(parsing: scope) else { return }
        wanted.withLock { wanted in
            guard wanted.count < TokenShelf.capacity || wanted[key] != nil else { return }
            let earlier = (try? ScopeList(parsing: wanted[key] ?? "")) ?? []
            wanted[key] = earlier.union(scopes).description
        }
    }

    func wantedScope(_ key: TokenShelf.Key) -> String? { wanted.withLock { $0[key] } }
    func satisfied(_ key: TokenShelf.Key) { _ = wanted.withLock { $0.removeValue(forKey: key) } }

    // MARK: Obtaining

    private func obtain(for server: ServerRecord, _ user: UserID?, _ isReplacement: Bool) async throws(CredentialFailure) -> TokenShelf.Item {
        switch server.credential {
        case .fixed: return TokenShelf.Item(value: try secret(of: server), expiresAt: nil)
        case .clientCredentials(let client): return try await ownToken(client, of: server)
        case .perUser(let client):
            guard let user else { throw CredentialFailure(.owner, "“\(server.alias)” is asked only in a user's name.") }
            return try await userToken(client, user, server, isReplacement)
        case .onBehalfOf(let scope):
            guard let user else { throw CredentialFailure(.owner, "“\(server.alias)” is asked only in a user's name.") }
            return try await exchangedToken(scope, user, server)
        case .none: throw CredentialFailure(.owner, "“\(server.alias)” is shown nothing.")
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

    private func exchangedToken(_ scope: String, _ user: UserID, _ server: ServerRecord) async throws(CredentialFailure) -> TokenShelf.Item {
        do {
            guard let tokens = try await store.exchange(user, scope) else {
                throw CredentialFailure(
                    .user, "“\(server.alias)” is asked in your name, and your sign-in is too long ago for that. \(invitation(to: server, for: user))")
            }
            return TokenShelf.Item(value: tokens.accessToken, expiresAt: tokens.expiresAt)
        } catch let failure as CredentialFailure {
            throw failure
        } catch let failure as IssuerFailure {
            report(server, failure.sentence)
            if failure.isTerminal {
                throw CredentialFailure(
                    .user, "Your issuer gives no token for “\(server.alias)” before you have signed in anew. \(invitation(to: server, for: user))")
            }
            throw CredentialFailure(failure, of: server)
        } catch {
            report(server, "\(error)")
            throw CredentialFailure(.later, "The gateway cannot have a token for “\(server.alias)” at the moment; try again in a while.")
        }
    }

    /// What the server's owner gave, if it was given for where the server is now.
    func secret(of server: ServerRecord) throws(CredentialFailure) -> Secret<String> {
        guard let bytes = try read(server, { try store.secret(server.id) }), let placed = PlacedSecret(bytes),
            placed.places == server.credential.places(of: server)
        else {
            throw CredentialFailure(
                .owner, "The credential of “\(server.alias)” is missing, or was given for another place; its owner has to give it again.")
        }
        return placed.value
    }

    /// Looks into the vault.
    func read<Value>(_ server: ServerRecord, _ body: () throws -> Value) throws(CredentialFailure) -> Value {
        do { return try body() } catch {
            report(server, "the vault: \(error)")
            throw CredentialFailure(.later, "The gateway cannot open its credential for “\(server.alias)” at the moment.")
        }
    }
}

extension AuthorityMetadata {
    /// How a client shows its secret; nil if it cannot.
    var secretAuthentication: IssuerMetadata.ClientAuthentication? {
        authentications.contains(.basic) ? .basic : authentications.contains(.post) ? .post : nil
    }
}
