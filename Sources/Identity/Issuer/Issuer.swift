package import Gateway
package import OAuth

/// The issuer people sign in with, as its client sees it: where to send a browser, and what to make of what comes back.
///
/// Nothing is fetched before it is needed, nothing is believed that the settings do not allow, and no call waits longer than
/// its requests' deadlines.
package final class Issuer: Sendable {
    package let settings: IssuerSettings

    private let fetcher: Fetcher
    private let now: @Sendable () -> Moment
    private let document: IssuerDocument<IssuerMetadata>
    private let verifier: IDTokenVerifier
    private let endpoint: TokenEndpoint

    /// - Parameter report: told when metadata or keys cannot be fetched anew and the old ones are used: once a minute at most.
    package init(
        _ settings: IssuerSettings, fetcher: Fetcher, now: @escaping @Sendable () -> Moment,
        report: @escaping @Sendable (IssuerFailure) -> Void
    ) {
        self.settings = settings
        self.fetcher = fetcher
        self.now = now
        let boot: @Sendable () -> BootInstant = { now().boot }
        let document = IssuerDocument("metadata", now: boot, report: report) {
            () async throws(IssuerFailure) -> IssuerDocument<IssuerMetadata>.Fetched in
            guard let endpoint = Endpoint(settings.discoveryURL) else { throw IssuerFailure(.configuration, "The issuer's address is too long.") }
            let answer = try await fetcher.document("metadata", at: endpoint, largest: IssuerMetadata.largest)
            return .init(value: try IssuerMetadata(reading: answer.body, for: settings), maxAge: answer.maxAge)
        }
        let keys = IssuerDocument("key set", now: boot, report: report) { () async throws(IssuerFailure) -> IssuerDocument<IssuerKeySet>.Fetched in
            let answer = try await fetcher.document("key set", at: try await document.value().keysEndpoint, largest: IssuerKeySet.largest)
            return .init(value: try await IssuerKeySet(reading: answer.body, allowing: settings.algorithms), maxAge: answer.maxAge)
        }
        self.document = document
        verifier = IDTokenVerifier(settings: settings, keys: keys)
        endpoint = TokenEndpoint(
            clientID: settings.clientID, clientSecret: settings.clientSecret, issuer: settings.issuer, fetcher: fetcher)
    }

    /// Fetches what is not held yet, for whoever asks whether sign-in could work.
    package func check() async throws(IssuerFailure) {
        _ = try await document.value()
        _ = try await verifier.keys.value()
    }

    package func metadata() async throws(IssuerFailure) -> IssuerMetadata { try await document.value() }

    // MARK: Sign-in

    /// Where the browser goes to sign in: with PKCE, always S256 (RFC 7636), and without `resource`, which Entra ID refuses.
    ///
    /// - Parameters:
    ///   - state, nonce: 256 random bits each, of this sign-in alone.
    ///   - codeChallenge: the SHA-256 of the verifier, in base64 for URLs.
    ///   - loginHint: whom to sign in, if it is known; without it Entra ID lets people choose.
    package func authorizationURL(state: String, nonce: String, codeChallenge: String, loginHint: String? = nil) async throws(IssuerFailure) -> String
    {
        let metadata = try await document.value()
        var fields = [
            ("response_type", "code"), ("client_id", settings.clientID), ("redirect_uri", settings.redirectURI), ("scope", scope(metadata)),
            ("state", state), ("nonce", nonce), ("code_challenge", codeChallenge), ("code_challenge_method", "S256"),
        ]
        if let loginHint, (1...256).contains(loginHint.utf8.count), !loginHint.hasControls {
            fields.append(("login_hint", loginHint))
        } else if settings.entra != nil {
            fields.append(("prompt", "select_account"))
        }
        let base = metadata.authorizationEndpoint.description
        return base + (base.contains("?") ? "&" : "?") + FormText.encode(fields.map { (name: $0.0, value: $0.1) })
    }

    /// Checks the `iss` of an authorization response, also of one that brings an error, before anything else in it is used
    /// (RFC 9207): an issuer that announces it must have written it, and whoever wrote one must be this issuer.
    package func checkResponse(iss: String?) async throws(IssuerFailure) {
        let metadata = try await document.value()
        guard let iss else {
            guard !metadata.announcesIssuerInResponses else {
                throw IssuerFailure(.mixUp, "The authorization response does not say which issuer it is from, though this issuer always does.")
            }
            return
        }
        guard isOwn(iss) else {
            throw IssuerFailure(.mixUp, "The authorization response is from “\(iss.cut(200).withoutControls)”, not from the issuer that was asked.")
        }
    }

    private func isOwn(_ iss: String) -> Bool {
        guard let entra = settings.entra, !entra.hasOneTenant else { return iss.isExactly(settings.issuer) }
        return entra.allowedTenants.contains { tenant in
            GUID(tenant).flatMap { entra.issuer(of: $0, version: "2.0") }.map(iss.isExactly) == true
        }
    }

    /// Redeems a code for tokens and for who signed in.
    ///
    /// - Parameters:
    ///   - verifier: the PKCE verifier whose challenge went out with the browser.
    ///   - redirectURI: the one that went out with the browser.
    ///   - nonce: likewise; the ID token must have it.
    package func redeem(
        code: Secret<String>, verifier: Secret<String>, redirectURI: String, nonce: String
    ) async throws(IssuerFailure) -> (ExternalIdentity, IssuerTokens) {
        let metadata = try await document.value()
        let scope = scope(metadata)
        var fields: [(name: String, value: String)] = [
            ("grant_type", "authorization_code"), ("code", code.revealed), ("redirect_uri", redirectURI), ("code_verifier", verifier.revealed),
        ]
        // Entra ID wants to hear here, too, which API the token is for (AADSTS28003).
        if settings.entra != nil { fields.append(("scope", scope)) }
        let answer = try await ask(fields, metadata, scope: scope)
        guard let idToken = answer.idToken else { throw IssuerFailure(.missing) }
        let identity = try await self.verifier.verify(idToken, at: .signIn(nonce: nonce), now: now().wall)
        return (identity, answer.tokens)
    }

    /// What is asked for: an issuer that lists its scopes without `offline_access` is not asked for that.
    private func scope(_ metadata: IssuerMetadata) -> String {
        var scopes = settings.scopes
        if settings.entra == nil, let known = metadata.scopes, !known.contains("offline_access") { scopes.removeAll { $0 == "offline_access" } }
        if let api = settings.apiScope { scopes.append(api) }
        return scopes.joined(separator: " ")
    }

    // MARK: Afterwards

    /// New tokens for an old refresh token. If there is no refresh token among them, the old one stays good.
    ///
    /// - Parameter scope: as it was granted; Entra ID must hear it again.
    package func refresh(_ refreshToken: Secret<String>, scope: String) async throws(IssuerFailure) -> IssuerTokens {
        try await refreshed(refreshToken, scope: scope).tokens
    }

    /// The same, and who the user is by now: roles and groups as they are today, nil if the issuer does not say.
    ///
    /// The tokens come back also if the ID token among them cannot be checked at the moment, for they may be the only good
    /// ones. If it is not believed (`.token`), the user has to sign in again.
    ///
    /// - Parameter subjectKey: of the user whose tokens these are. An ID token that is anybody else's is not believed.
    package func refresh(
        _ refreshToken: Secret<String>, scope: String, of subjectKey: String
    ) async throws(IssuerFailure) -> (IssuerTokens, Result<ExternalIdentity?, IssuerFailure>) {
        let answer = try await refreshed(refreshToken, scope: scope)
        guard let idToken = answer.idToken else { return (answer.tokens, .success(nil)) }
        do throws(IssuerFailure) {
            return (answer.tokens, .success(try await verifier.verify(idToken, at: .refresh(subjectKey: subjectKey), now: now().wall)))
        } catch {
            return (answer.tokens, .failure(error))
        }
    }

    private func refreshed(_ refreshToken: Secret<String>, scope: String) async throws(IssuerFailure) -> TokenEndpoint.Answer {
        var fields: [(name: String, value: String)] = [("grant_type", "refresh_token"), ("refresh_token", refreshToken.revealed)]
        if !scope.isEmpty { fields.append(("scope", scope)) }
        return try await ask(fields, try await document.value(), scope: scope)
    }

    /// A token for the gateway itself (RFC 6749, section 4.4).
    package func clientCredentials(scope: String) async throws(IssuerFailure) -> IssuerTokens {
        try await clientCredentials(scope: scope, at: try await document.value().tokenEndpoint)
    }

    private func clientCredentials(scope: String, at endpoint: Endpoint) async throws(IssuerFailure) -> IssuerTokens {
        try needSecret(for: "a token of its own")
        let fields = [(name: "grant_type", value: "client_credentials"), (name: "scope", value: scope)]
        return try await ask(fields, try await document.value(), at: endpoint, scope: scope).tokens
    }

    /// A token for another API in a user's name: Entra ID's on-behalf-of flow.
    ///
    /// - Parameter assertion: the user's access token for the gateway's own API (`IssuerSettings.apiScope`).
    package func onBehalfOf(assertion: Secret<String>, scope: String) async throws(IssuerFailure) -> IssuerTokens {
        guard settings.entra != nil else {
            throw IssuerFailure(.configuration, "Only Entra ID exchanges a user's token on behalf of the user.")
        }
        try needSecret(for: "a token on behalf of a user")
        let fields: [(name: String, value: String)] = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.revealed), ("scope", scope),
            ("requested_token_use", "on_behalf_of"),
        ]
        return try await ask(fields, try await document.value(), scope: scope).tokens
    }

    /// All groups of somebody who has just signed in, looked up if the token could not hold them. None for an issuer that
    /// says nothing of groups: Entra ID is silent where there are none.
    ///
    /// - Throws: if they cannot be looked up. Then nobody knows them, and nothing that depends on them is granted.
    package func groups(of identity: ExternalIdentity) async throws(IssuerFailure) -> [String] {
        switch identity.groups {
        case .listed(let groups): return groups
        case .absent: return []
        case .overage: break
        }
        guard let entra = settings.entra, let graph = entra.graph, let tenant = identity.tenantKey.flatMap({ GUID($0) }),
            let user = GUID(identity.subject), entra.allowedTenants.contains(tenant.description), let endpoint = entra.tokenEndpoint(of: tenant)
        else {
            throw IssuerFailure(
                .configuration,
                "The user is in more groups than fit into a token, and the gateway knows nowhere to look them up: have the issuer list only the "
                    + "groups that matter here."
            )
        }
        let lookup = GraphGroups(origin: graph, fetcher: fetcher) { [now] in now().boot }
        let tokens = try await clientCredentials(scope: lookup.scope, at: endpoint)
        return try await lookup.groups(of: user, token: tokens.accessToken)
    }

    private func needSecret(for what: String) throws(IssuerFailure) {
        guard settings.clientSecret != nil else {
            throw IssuerFailure(.configuration, "The issuer gives \(what) to a client with a secret only: set one.")
        }
    }

    private func ask(
        _ fields: [(name: String, value: String)], _ metadata: IssuerMetadata, at endpoint: Endpoint? = nil, scope: String
    ) async throws(IssuerFailure) -> TokenEndpoint.Answer {
        try await self.endpoint.ask(
            fields, at: endpoint ?? metadata.tokenEndpoint, metadata.clientAuthentication, scope: scope, now: { [now] in now().wall })
    }
}
