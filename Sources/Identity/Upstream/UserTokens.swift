package import Gateway
package import OAuth

/// Tokens for users' own accounts: kept sealed, renewed when they are over, ended by their users.
extension UpstreamCredentials {
    func userToken(
        _ client: UpstreamCredential.Client, _ user: UserID, _ server: ServerRecord, _ isReplacement: Bool
    ) async throws(CredentialFailure) -> TokenShelf.Item {
        // Once more if the user connected anew while the old tokens were being renewed.
        for _ in 0..<2 {
            let held = try read(server) { try store.tokens(user, server.id) }
            let tokens = held.flatMap { UpstreamTokens($0) }
            let place = server.transport.httpEndpoint?.origin.description ?? ""
            switch Connection(tokens, for: place).step(at: now().wall, isTurnedAway: isReplacement) {
            case .show(let token, let end): return TokenShelf.Item(value: token, expiresAt: end)
            case .ask(let state):
                if state == .refused, tokens?.isRefused == false { await markRefused(server, user, "turned_away") }
                throw CredentialFailure(.user, "\(Self.why(state, server)) \(invitation(to: server, for: user))")
            case .refresh(let refreshToken):
                guard let held, let tokens else { continue }
                if let item = try await renew(tokens, held, refreshToken, client, user, server, isNeeded: isReplacement) { return item }
            }
        }
        throw CredentialFailure(.later, "Your account at “\(server.alias)” was connected anew a moment ago; try again.")
    }

    private static func why(_ state: Connection.State, _ server: ServerRecord) -> String {
        switch state {
        case .expired: "Your connection to “\(server.alias)” is over."
        case .refused: "“\(server.alias)” no longer takes your account's token."
        case .notConnected, .asked, .connected: "“\(server.alias)” works with an account of your own, and none is connected yet."
        }
    }

    /// - Parameter isNeeded: whether the access token there is is of no use, whatever its end.
    /// - Returns: nil if other tokens are there by now.
    private func renew(
        _ tokens: UpstreamTokens, _ held: Secret<[UInt8]>, _ refreshToken: Secret<String>, _ setting: UpstreamCredential.Client, _ user: UserID,
        _ server: ServerRecord, isNeeded: Bool
    ) async throws(CredentialFailure) -> TokenShelf.Item? {
        let answer: TokenEndpoint.Answer
        do throws(IssuerFailure) {
            guard let endpoint = Endpoint(tokens.tokenEndpoint) else { throw IssuerFailure(.grantOver, "The token endpoint is no URL.") }
            var fields = [
                (name: "grant_type", value: "refresh_token"), (name: "refresh_token", value: refreshToken.revealed),
                (name: "resource", value: tokens.resource),
            ]
            if !tokens.scope.isEmpty { fields.append((name: "scope", value: tokens.scope)) }
            let (asking, authentication) = try client(tokens, setting, server).tokenEndpoint(fetcher, proof)
            answer = try await asking.ask(fields, at: endpoint, authentication, scope: tokens.scope) { [now] in now().wall }
        } catch {
            tell(server, error.sentence)
            if error.isTerminal {
                await markRefused(server, user, error.code ?? "refused")
                throw CredentialFailure(.user, "\(Self.why(.expired, server)) \(invitation(to: server, for: user))")
            }
            // It is early: what there is does for a while yet.
            if !isNeeded, let end = tokens.expiresAt, now().wall < end { return TokenShelf.Item(value: tokens.accessToken, expiresAt: end) }
            throw CredentialFailure(error, of: server)
        }
        let renewed = tokens.renewed(with: answer.tokens, isTimed: answer.isTimed)
        guard try read(server, { try store.replaceTokens(held, renewed.bytes, user, server.id) }) else { return nil }
        // The vault is what counts; this is for whoever looks at the list.
        try? await store.note(user, server.id, renewed.expiresAt, nil)
        return TokenShelf.Item(value: renewed.accessToken, expiresAt: renewed.expiresAt)
    }

    /// The client that tokens were given to.
    private func client(_ tokens: UpstreamTokens, _ setting: UpstreamCredential.Client, _ server: ServerRecord) throws(IssuerFailure) -> GatewayClient
    {
        func client(_ secret: Secret<String>?) -> GatewayClient {
            GatewayClient(
                issuer: tokens.issuer, id: tokens.clientID, secret: secret, authentication: tokens.authentication,
                redirectURI: ClientRegistrar.redirectURI(at: origin()))
        }
        if tokens.authentication == .none || tokens.authentication == .privateKeyJWT { return client(nil) }
        if setting.clientID == tokens.clientID, let secret = try? secret(of: server) { return client(secret) }
        if let held = registrar.held(server), held.id == tokens.clientID, held.issuer == tokens.issuer { return held }
        throw IssuerFailure(.grantOver, "The gateway is no longer the client that the tokens were given to.")
    }

    func markRefused(_ server: ServerRecord, _ user: UserID, _ why: String) async {
        do {
            guard let held = try store.tokens(user, server.id), let tokens = UpstreamTokens(held),
                try store.replaceTokens(held, tokens.refused.bytes, user, server.id)
            else { return }
            try await store.note(user, server.id, nil, why)
        } catch {
            tell(server, "the vault: \(error)")
        }
    }

    // MARK: Connecting and disconnecting

    /// Keeps what an authorization server gave for a user, and the record of it; from now on the user is connected.
    func connect(_ tokens: UpstreamTokens, _ user: User, _ server: ServerRecord, audit: AuditRecord) async throws {
        let record = ConnectionRecord(
            user: user.id, server: server.id, issuer: tokens.issuer, scope: tokens.scope, connectedAt: now().wall, expiresAt: tokens.expiresAt)
        try await store.connect(record, tokens.bytes, audit)
        satisfied(key(server, user.id))
        shelf.forget(key(server, user.id))
    }

    /// Ends a user's connection: the tokens are gone for good, and given back where the authorization server takes them
    /// (RFC 7009). That it does not, or not within five seconds, the operator is told; the connection has ended all the same.
    ///
    /// - Throws: `Refusal.notFound` if there is none.
    package func disconnect(_ user: UserID, from server: ServerRecord, audit: AuditRecord) async throws {
        // What does not open cannot be given back, and keeps nobody connected.
        let tokens = (try? store.tokens(user, server.id)).flatMap { $0 }.flatMap { UpstreamTokens($0) }
        try await store.disconnect(user, server.id, audit)
        shelf.forget(key(server, user))
        if let tokens { await giveBack(tokens, server) }
    }

    private func giveBack(_ tokens: UpstreamTokens, _ server: ServerRecord) async {
        guard let place = tokens.revocationEndpoint, case .perUser(let setting) = server.credential else { return }
        do throws(IssuerFailure) {
            guard let endpoint = Endpoint(place) else { throw IssuerFailure(.configuration, "The revocation endpoint is no URL.") }
            let (asking, authentication) = try client(tokens, setting, server).tokenEndpoint(fetcher, proof)
            // With a refresh token goes what was given for it (RFC 7009, section 2.1).
            if let refreshToken = tokens.refreshToken {
                try await asking.revoke(refreshToken, hint: "refresh_token", at: endpoint, authentication)
            } else {
                try await asking.revoke(tokens.accessToken, hint: "access_token", at: endpoint, authentication)
            }
        } catch {
            tell(
                server,
                "the tokens of a user who disconnected were not revoked, and are good at the authorization server until they expire: \(error.sentence)"
            )
        }
    }

    /// How a user stands with a server that wants an account of theirs.
    package func connection(of user: UserID, to server: ServerRecord, _ records: [ConnectionRecord]) throws -> (Connection.State, ConnectionRecord?) {
        let record = records.first { $0.server == server.id }
        guard case .perUser = server.credential else { return (record == nil ? .notConnected : .connected, record) }
        let tokens = try store.tokens(user, server.id).flatMap { UpstreamTokens($0) }
        return (Connection(tokens, for: server.transport.httpEndpoint?.origin.description ?? "").state(at: now().wall), record)
    }

    package func connections(of user: UserID) async throws -> [ConnectionRecord] { try await store.connections(user) }

    /// Where a user connects.
    package func link(to server: ServerRecord, for user: UserID) -> String { "\(Self.link(to: server, at: origin()))?for=\(tag(of: user))" }
}
