import Crypto
package import Gateway
package import OAuth

/// The gateway as an authorization server in front of the issuer that people sign in at (OAuth 2.1; MCP authorization).
///
/// A client asks, its user approves it here, then signs in at the issuer, and the client gets a code and then tokens of
/// the gateway's own. The issuer never hears of the client, the client never sees a token of the issuer's.
package struct AuthorizationServer: Sendable {
    package let clients: Clients
    let grants: GrantStore
    private let issuer: SignInIssuer
    let authenticator: Authenticator
    let refreshKey: RefreshTokenKey
    private let formKey: SymmetricKey
    let origin: @Sendable () -> Origin
    let now: @Sendable () -> Timestamp
    private let pending = PendingSignIns()
    let assertions: ClientAssertions

    package init(
        clients: Clients, grants: GrantStore, issuer: SignInIssuer, authenticator: Authenticator, instance: InstanceKey,
        assertions: ClientAssertions, origin: @escaping @Sendable () -> Origin, now: @escaping @Sendable () -> Timestamp
    ) {
        self.clients = clients
        self.grants = grants
        self.issuer = issuer
        self.authenticator = authenticator
        self.assertions = assertions
        refreshKey = RefreshTokenKey(instance.secret(for: "refresh token"))
        formKey = instance.derived(for: "form")
        self.origin = origin
        self.now = now
    }

    /// What a browser is to see next.
    package enum Step: Sendable {
        case ask(ConsentQuestion, setting: Cookie?)
        /// Holds a code or a state: it belongs into no log.
        case redirect(Secret<String>, setting: [Cookie], event: Event? = nil)
        /// Shown to the user, for nobody else is known to be good.
        case refuse(OAuthError)
    }

    package enum Event: Hashable, Sendable {
        case approved(client: String)
        case denied(client: String)
        case failed(client: String, OAuthError.Code)
    }

    /// A cookie of the browser's for this host alone: `__Host-`, Secure, HttpOnly, SameSite=Lax.
    package struct Cookie: Hashable, Sendable {
        package let name: String
        /// Empty to take it away.
        package let value: String
        package let lifetime: Duration
    }

    /// What the user is asked before the issuer is.
    package struct ConsentQuestion: Sendable {
        package let transaction: String
        /// Comes back with the form.
        package let token: String
        package let client: KnownClient
        package let redirectURI: RedirectURI
        package let scopes: Scopes
        package let wantsRefresh: Bool
        package let resources: [String]
        package let issuer: String
    }

    package static let browserCookie = "__Host-mreg-browser"

    // MARK: Asking

    /// Reads a request for authorization; a good one leads to the question whether the user approves of the client.
    ///
    /// - Parameter browser: the browser's cookie, if it has one.
    package func authorize(_ parameters: Parameters, browser: String?, from address: IPAddress?) async throws -> Step {
        let client: KnownClient
        do { client = try await clients.find(try AuthorizationRequest.clientID(in: parameters), for: address) } catch let error as OAuthError {
            return .refuse(error)
        }
        let origin = origin()
        let reading = AuthorizationRequest.read(
            parameters, from: client.metadata, issuer: origin.description, scopes: Self.offered(to: client),
            defaultScopes: ScopeList(Resource.mcp.scopes.names),
            isOurs: { Resource.canonical($0, at: origin) }, defaultResources: [Resource.mcp.uri(at: origin)])
        switch reading {
        case .refusedHere(let error): return .refuse(error)
        case .refusedThere(let error, let answer): return Self.send(error, to: answer, client)
        case .accepted(let request):
            if request.prompts.contains(.none) {
                return Self.send(
                    OAuthError(.interactionRequired, "The user has to be asked."),
                    to: AuthorizationResponse(to: request.redirectURI, state: request.state, issuer: origin.description), client)
            }
            let moment = now()
            let known = browser.flatMap { Self.isToken($0) ? $0 : nil }
            let cookie = known ?? RandomToken.make()
            let id = pending.add(
                PendingSignIn(
                    request: request, client: client, createdAt: moment, browser: RandomToken.digest(cookie),
                    issuer: origin.description), at: moment)
            return .ask(
                question(id, request, client, cookie),
                setting: Cookie(name: Self.browserCookie, value: cookie, lifetime: PendingSignIns.lifetime * 6))
        }
    }

    /// The question again, for who comes back to it.
    package func question(_ id: String, browser: String?) -> ConsentQuestion? {
        guard let browser, let found = pending.find(id, at: now()), found.errand == nil,
            RandomToken.isSame(RandomToken.digest(browser), found.browser)
        else { return nil }
        return question(id, found.request, found.client, browser)
    }

    private func question(_ id: String, _ request: AuthorizationRequest, _ client: KnownClient, _ browser: String) -> ConsentQuestion {
        ConsentQuestion(
            transaction: id, token: formToken(id, browser), client: client, redirectURI: request.redirectURI,
            scopes: Scopes(names: request.scopes.names), wantsRefresh: client.metadata.grantTypes.contains(.refreshToken),
            resources: request.resources, issuer: issuer.name)
    }

    private func formToken(_ id: String, _ browser: String) -> String {
        Base64URL.encode(HMAC<SHA256>.authenticationCode(for: Array("\(id)\n\(browser)".utf8), using: formKey))
    }

    private static func isToken(_ text: String) -> Bool { text.utf8.count == 43 && Base64URL.decode(text[...])?.count == 32 }

    /// What a client may ask for: everything, or what it said it would.
    private static func offered(to client: KnownClient) -> ScopeList {
        client.metadata.scopes.isEmpty ? .known : client.metadata.scopes.narrowed(to: .known).union(ScopeList([ScopeList.offlineAccess]))
    }

    /// Takes the user's answer. Only with it does a cookie say that this browser is on its way to the issuer.
    ///
    /// - Parameters:
    ///   - token: from the form.
    ///   - browser: the browser's cookie.
    package func decide(_ id: String, token: String, isApproved: Bool, browser: String?) async throws -> Step {
        let moment = now()
        guard let browser, RandomToken.isSame(Array(token.utf8), Array(formToken(id, browser).utf8)),
            let taken = pending.take(id, at: moment, where: { RandomToken.isSame(RandomToken.digest(browser), $0.browser) })
        else {
            return .refuse(
                OAuthError(.invalidRequest, "This page was open for too long, or in another browser; go back to the application and start again."))
        }
        guard isApproved else {
            return Self.send(
                OAuthError(.accessDenied, "The user did not approve."), to: taken.answer, taken.client,
                event: .denied(client: taken.client.metadata.name))
        }
        let cookie = RandomToken.make()
        let errand = PendingSignIn.Errand(
            state: RandomToken.make(), nonce: RandomToken.make(), verifier: .random(), cookie: RandomToken.digest(cookie))
        let url: String
        do { url = try await issuer.begin(errand.state, errand.nonce, errand.verifier.challenge) } catch {
            return Self.send(Self.issuerFailed(error), to: taken.answer, taken.client)
        }
        pending.approve(id, taken, errand)
        return .redirect(
            Secret(url), setting: [Cookie(name: PendingSignIns.cookieName(id), value: cookie, lifetime: PendingSignIns.lifetime)],
            event: .approved(client: taken.client.metadata.name))
    }

    // MARK: The issuer's answer

    /// Takes what the issuer sent the browser back with, and sends it on to the client.
    ///
    /// - Parameters:
    ///   - cookies: the browser's, by name.
    ///   - audit: the record of the request, to be completed.
    package func finish(_ parameters: Parameters, cookies: (String) -> String?, audit: AuditRecord) async throws -> Step {
        let moment = now()
        let lost = OAuthError(
            .invalidRequest, "This sign-in is not known here: it took too long, was finished already, or began in another browser. Start again.")
        guard let state = try? parameters.one("state", longest: 256), let taken = pending.take(state: state, cookies: cookies, at: moment),
            let errand = taken.errand
        else { return .refuse(lost) }
        do {
            let iss = try parameters.one("iss", longest: 512)
            try await issuer.checkSender(iss)
            if let error = try SignInIssuer.complaint(in: parameters) { throw error }
            guard let code = try parameters.one("code", longest: 8192) else { throw OAuthError(.serverError, "The issuer answered without a code.") }
            let person = try await issuer.finish(Secret(code), errand.verifier, errand.nonce)
            let answer = try await admit(person, taken, audit)
            try? await clients.note(taken.client)
            return .redirect(answer, setting: [])
        } catch {
            return Self.send(Self.issuerFailed(error), to: taken.answer, taken.client)
        }
    }

    /// Stores who signed in and what they allowed; the code is all that leaves.
    private func admit(_ person: SignedInPerson, _ taken: PendingSignIn, _ audit: AuditRecord) async throws -> Secret<String> {
        let moment = now()
        let code = AuthorizationCode.random()
        let id = GrantID.random()
        var record = audit
        record.action = "user.sign_in"
        record.target = taken.client.metadata.name
        _ = try await grants.signIn(
            person,
            { user in
                AuthorizationGrant(
                    code: CodeGrant(code, for: taken.request, at: moment), family: .begin(id, at: moment), user: user.id, tenant: user.tenant,
                    session: .random(), scope: taken.request.scopes.description, createdAt: moment)
            }, record)
        return taken.answer.url(code: code.text)
    }

    private static func issuerFailed(_ error: any Error) -> OAuthError {
        switch error {
        case let error as OAuthError: error
        case let refusal as Refusal: OAuthError(.accessDenied, refusal.sentence)
        default: OAuthError(.temporarilyUnavailable, "The issuer could not be asked, or its answer is not good; the gateway's log says why.")
        }
    }

    private static func send(_ error: OAuthError, to answer: AuthorizationResponse, _ client: KnownClient, event: Event? = nil) -> Step {
        .redirect(
            Secret(answer.url(error: error)), setting: [], event: event ?? .failed(client: client.metadata.name, error.code))
    }
}

extension Resource {
    /// The canonical URI of one of ours, however its host is spelled on this machine; with a slash behind it or without
    /// (RFC 8707, section 2).
    static func canonical(_ text: String, at origin: Origin) -> String? {
        guard let endpoint = Endpoint(text), origin.spellings.contains(endpoint.origin.description) else { return nil }
        let path = endpoint.path.hasSuffix("/") ? String(endpoint.path.dropLast()) : endpoint.path
        return Resource(path: path)?.uri(at: origin)
    }
}
