import Gateway
import OAuth

/// What connecting an account takes of the authorization server.
extension UpstreamCredentials {
    /// Finds out whom to ask, as which client, and for what.
    ///
    /// - Throws: `IssuerFailure`, after it was told to the operator; `CredentialFailure`.
    func offer(
        _ setting: UpstreamCredential.Client, _ user: User, _ server: ServerRecord, _ isExemptFromPKCE: (_ issuer: String) -> Bool
    ) async throws -> ConnectErrand.Offer {
        guard let endpoint = server.transport.httpEndpoint else { throw CredentialFailure(.owner, "“\(server.alias)” is not reached over HTTP.") }
        let secret = try givenSecret(setting, server)
        do throws(IssuerFailure) {
            let found = try await discovery.find(endpoint, expecting: setting.issuer)
            let browserEndpoint = try found.authority.browserEndpoint(allowingSilence: isExemptFromPKCE(found.authority.issuer))
            let client = try await registrar.client(of: server, at: found.authority, named: setting.clientID, secret: secret)
            return ConnectErrand.Offer(
                client: client, authority: found.authority, authorizationEndpoint: browserEndpoint, resource: found.resource,
                scope: scope(setting, found, key(server, user.id), earlier: grantedScope(user.id, server)))
        } catch {
            tell(server, error.sentence)
            throw error
        }
    }

    /// Only a client that an administrator registered may have a secret they gave.
    ///
    /// - Throws: `CredentialFailure`. Untyped, for the release's compiler (6.3.1) crashes over a function that meets two types of error.
    private func givenSecret(_ setting: UpstreamCredential.Client, _ server: ServerRecord) throws -> Secret<String>? {
        setting.clientID != nil && hasSecret(server) ? try secret(of: server) : nil
    }

    private func hasSecret(_ server: ServerRecord) -> Bool { ((try? store.secret(server.id)) ?? nil) != nil }

    private func grantedScope(_ user: UserID, _ server: ServerRecord) -> String? {
        (try? store.tokens(user, server.id)).flatMap { $0 }.flatMap { UpstreamTokens($0)?.scope }
    }

    /// What an administrator says, else what the server's challenge or its metadata says (Z-43); with what it turned the user
    /// away for, and what they allowed before that.
    private func scope(_ setting: UpstreamCredential.Client, _ found: UpstreamDiscovery.Found, _ key: TokenShelf.Key, earlier: String?) -> String? {
        var scopes = (setting.scope ?? found.scope).flatMap { try? ScopeList(parsing: $0) } ?? []
        if let wanted = wantedScope(key).flatMap({ try? ScopeList(parsing: $0) }) {
            scopes = scopes.union(wanted).union(earlier.flatMap { try? ScopeList(parsing: $0) } ?? [])
        }
        // Without it some give no refresh token.
        if !scopes.isEmpty, found.authority.scopes?.contains(ScopeList.offlineAccess) == true { scopes = scopes.union([ScopeList.offlineAccess]) }
        return scopes.isEmpty ? nil : scopes.description
    }

    /// Redeems a code where the offer says, and nowhere else.
    func redeem(
        _ code: Secret<String>, _ verifier: CodeVerifier, _ offer: ConnectErrand.Offer, _ server: ServerRecord
    ) async throws -> UpstreamTokens {
        let fields = [
            (name: "grant_type", value: "authorization_code"), (name: "code", value: code.revealed),
            (name: "redirect_uri", value: offer.client.redirectURI), (name: "code_verifier", value: verifier.text.revealed),
            (name: "resource", value: offer.resource),
        ]
        let (asking, authentication) = offer.client.tokenEndpoint(fetcher, proof)
        do throws(IssuerFailure) {
            let answer = try await asking.ask(fields, at: offer.authority.tokenEndpoint, authentication, scope: offer.scope ?? "") { [now] in
                now().wall
            }
            return UpstreamTokens(
                issuer: offer.authority.issuer, tokenEndpoint: offer.authority.tokenEndpoint.description,
                revocationEndpoint: offer.authority.revocationEndpoint?.description, clientID: offer.client.id,
                authentication: offer.client.authentication, server: server.transport.httpEndpoint?.origin.description ?? "",
                resource: offer.resource, scope: answer.tokens.scope, accessToken: answer.tokens.accessToken,
                refreshToken: answer.tokens.refreshToken,
                obtainedAt: answer.tokens.obtainedAt, expiresAt: answer.isTimed ? answer.tokens.expiresAt : nil)
        } catch {
            tell(server, error.sentence)
            // A registration that the authorization server forgot is made anew with the next try.
            if error.code == "invalid_client" { try? store.forgetRegistration(server.id) }
            throw error
        }
    }

    /// Has the issuer that the user signed in at exchange a token for the server, and takes note that it does.
    func connectByExchange(_ scope: String, issuer: String, _ user: User, _ server: ServerRecord, audit: AuditRecord) async throws {
        shelf.forget(key(server, user.id))
        _ = try await show(server, for: user.id)
        let record = ConnectionRecord(
            user: user.id, server: server.id, issuer: issuer, scope: scope, connectedAt: now().wall, expiresAt: nil)
        try await store.connect(record, nil, audit)
    }
}
