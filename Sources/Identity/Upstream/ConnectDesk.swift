import Crypto
package import Gateway
package import OAuth

/// Where users connect their accounts at servers (Z-44).
///
/// Whoever follows a link signs in here first, so that what they allow is theirs and nobody else's (K-13): a link made for
/// another user ends there. Then a page says which server it is, who is asked, and for what; only with the answer to it does
/// the browser go to the authorization server, bound by a cookie, a state, PKCE, and the issuer it was sent to.
package struct ConnectDesk: Sendable {
    private let credentials: UpstreamCredentials
    private let issuer: SignInIssuer
    private let doors: Doors
    private let formKey: SymmetricKey
    private let isExemptFromPKCE: @Sendable (_ issuer: String) -> Bool
    private let errands = ConnectErrands()

    /// What the desk needs of the rest of the house.
    package struct Doors: Sendable {
        /// Who somebody is here, with the record of the sign-in.
        package var signIn: @Sendable (SignedInPerson, AuditRecord) async throws -> User
        package var user: @Sendable (UserID) async throws -> User?
        /// The tenant's server of that alias.
        package var server: @Sendable (ServerAlias, TenantID) async throws -> ServerRecord?
        /// A user is somebody else to a server from now on.
        package var changed: @Sendable (UserID, ServerRecord) async -> Void
        package var record: @Sendable (AuditRecord) async throws -> Void

        package init(
            signIn: @escaping @Sendable (SignedInPerson, AuditRecord) async throws -> User, user: @escaping @Sendable (UserID) async throws -> User?,
            server: @escaping @Sendable (ServerAlias, TenantID) async throws -> ServerRecord?,
            changed: @escaping @Sendable (UserID, ServerRecord) async -> Void, record: @escaping @Sendable (AuditRecord) async throws -> Void
        ) {
            self.signIn = signIn
            self.user = user
            self.server = server
            self.changed = changed
            self.record = record
        }
    }

    /// - Parameter isExemptFromPKCE: whether an administrator knows that an issuer which keeps silent about PKCE does it.
    package init(
        credentials: UpstreamCredentials, issuer: SignInIssuer, doors: Doors, instance: InstanceKey,
        isExemptFromPKCE: @escaping @Sendable (_ issuer: String) -> Bool
    ) {
        self.credentials = credentials
        self.issuer = issuer
        self.doors = doors
        self.isExemptFromPKCE = isExemptFromPKCE
        formKey = instance.derived(for: "connect form")
    }

    package typealias Cookie = AuthorizationServer.Cookie

    /// What a browser is to see next.
    package enum Step: Sendable {
        /// Holds a state: it belongs into no log.
        case redirect(Secret<String>, setting: Cookie)
        case ask(Question)
        /// It is done, one way or the other.
        case told(title: String, sentence: String, clearing: Cookie)
        case refuse(OAuthError)
    }

    /// What the user is asked before the authorization server is.
    package struct Question: Sendable {
        package let transaction: String
        /// Comes back with the form.
        package let token: String
        package let alias: String
        package let title: String
        /// Where what is allowed is used: the server's host.
        package let serverHost: String
        /// Who is asked; for an exchange at the issuer people sign in at, that one.
        package let issuerHost: String
        /// Where the browser goes, if that is another host.
        package let browserHost: String?
        package let scopes: [String]
        /// Whom the account is connected to.
        package let user: String
    }

    // MARK: Signing in

    /// Whether an answer of the issuer that people sign in at belongs to somebody who connects an account.
    package static func isOwn(state: String) -> Bool { state.hasPrefix(statePrefix) }
    private static let statePrefix = "connect."

    /// Begins: whoever it is signs in.
    ///
    /// - Parameter tag: for whom the link was made, if it says.
    package func begin(_ alias: ServerAlias, for tag: String?) async -> Step {
        let (id, cookie) = (RandomToken.make(), RandomToken.make())
        let (state, nonce, verifier) = (Self.statePrefix + RandomToken.make(), RandomToken.make(), CodeVerifier.random())
        let url: String
        do { url = try await issuer.begin(state, nonce, verifier.challenge) } catch { return .refuse(Self.failed(error)) }
        let moment = credentials.now().wall
        let errand = ConnectErrand(
            alias: alias, tag: tag, createdAt: moment, stage: .signingIn(state: state, nonce: nonce, verifier), browser: RandomToken.digest(cookie))
        errands.put(errand, as: id, at: moment)
        return .redirect(Secret(url), setting: Self.cookie(id, cookie))
    }

    /// Takes what the issuer sent the browser back with; who it is decides whether they go on.
    package func signedIn(_ parameters: Parameters, cookies: (String) -> String?, audit: AuditRecord) async throws -> Step {
        let moment = credentials.now().wall
        guard let state = try? parameters.one("state", longest: 256), let (id, taken) = errands.take(state: state, cookies: cookies, at: moment),
            case .signingIn(_, let nonce, let verifier) = taken.stage
        else { return .refuse(Self.lost) }
        do {
            try await issuer.checkSender(try parameters.one("iss", longest: 512))
            if let error = try SignInIssuer.complaint(in: parameters) { throw error }
            guard let code = try parameters.one("code", longest: 8192) else { throw OAuthError(.accessDenied, "The issuer did not sign you in.") }
            let person = try await issuer.finish(Secret(code), verifier, nonce)
            var record = audit
            (record.action, record.target) = ("user.sign_in", "connect \(taken.alias)")
            let user = try await doors.signIn(person, record)
            guard taken.tag.map({ RandomToken.isSame(Array($0.utf8), Array(credentials.tag(of: user.id).utf8)) }) ?? true else {
                throw OAuthError(
                    .accessDenied, "This link was made for another user. Nothing was connected; never finish what somebody else began.")
            }
            guard let server = try await doors.server(taken.alias, user.tenant), server.status == .active, server.credential.isPersonal else {
                throw OAuthError(.invalidRequest, "There is no server “\(taken.alias)” that wants an account of yours.")
            }
            var errand = taken
            let cookie = RandomToken.make()
            (errand.stage, errand.browser) = (.asking(user, server, nil), RandomToken.digest(cookie))
            errands.put(errand, as: id, at: moment)
            return .redirect(Secret("\(credentials.origin())/connect/\(taken.alias)?step=\(id)"), setting: Self.cookie(id, cookie))
        } catch {
            return .refuse(Self.failed(error))
        }
    }

    // MARK: Asking

    /// The question for a user who has signed in, with who is asked found out.
    package func question(_ id: String, cookies: (String) -> String?) async -> Step {
        let moment = credentials.now().wall
        guard let cookie = cookies(ConnectErrands.cookieName(id)), var errand = errands.find(id, cookies: cookies, at: moment),
            case .asking(let user, let server, let known) = errand.stage
        else { return .refuse(Self.lost) }
        do {
            guard case .perUser(let setting) = server.credential else {
                return .ask(question(id, cookie, user, server, issuer: issuer.name, browserHost: nil, scopes: server.credential.scopes))
            }
            let offer: ConnectErrand.Offer
            if let known { offer = known } else { offer = try await credentials.offer(setting, user, server, isExemptFromPKCE) }
            errand.stage = .asking(user, server, offer)
            // The page is decided upon as it is shown now; if it was meanwhile, nothing is brought back.
            guard errands.take(id, cookies: cookies, at: moment) != nil else { return .refuse(Self.lost) }
            errands.put(errand, as: id, at: moment)
            let host = Endpoint(offer.authority.issuer)?.authority ?? offer.authority.issuer
            let browserHost = offer.authorizationEndpoint.authority
            return .ask(
                question(
                    id, cookie, user, server, issuer: host, browserHost: browserHost == host ? nil : browserHost,
                    scopes: (offer.scope ?? "").split(separator: " ").map(String.init)))
        } catch {
            return .refuse(Self.failed(error))
        }
    }

    private func question(
        _ id: String, _ cookie: String, _ user: User, _ server: ServerRecord, issuer: String, browserHost: String?, scopes: [String]
    ) -> Question {
        Question(
            transaction: id, token: formToken(id, cookie), alias: server.alias.description, title: server.title,
            serverHost: server.transport.httpEndpoint?.authority ?? "", issuerHost: issuer, browserHost: browserHost, scopes: scopes, user: user.name)
    }

    private func formToken(_ id: String, _ cookie: String) -> String {
        Base64URL.encode(HMAC<SHA256>.authenticationCode(for: Array("\(id)\n\(cookie)".utf8), using: formKey))
    }

    /// Takes the user's answer. Only with it does a cookie say that this browser is on its way.
    ///
    /// - Parameter audit: the record of the request, to be completed.
    package func decide(
        _ id: String, token: String, isApproved: Bool, cookies: (String) -> String?, audit: AuditRecord
    ) async throws -> Step {
        let moment = credentials.now().wall
        guard let cookie = cookies(ConnectErrands.cookieName(id)), RandomToken.isSame(Array(token.utf8), Array(formToken(id, cookie).utf8)),
            let taken = errands.take(id, cookies: cookies, at: moment), case .asking(let user, let server, let offer) = taken.stage
        else { return .refuse(Self.lost) }
        var record = audit
        record.note("connection.approve", user, server)
        guard isApproved else {
            (record.outcome, record.reason) = (.refused, "denied")
            try await doors.record(record)
            return .told(title: "Nothing was connected", sentence: "You can close this page.", clearing: Self.cookie(id, nil))
        }
        if case .onBehalfOf(let scope) = server.credential { return try await exchange(id, scope, user, server, audit) }
        guard let offer else { return .refuse(Self.lost) }
        try await doors.record(record)
        var errand = taken
        let (next, state, verifier) = (RandomToken.make(), RandomToken.make(), CodeVerifier.random())
        (errand.stage, errand.browser) = (.away(user, server, offer, state: state, verifier), RandomToken.digest(next))
        errands.put(errand, as: id, at: moment)
        var fields = [
            (name: "response_type", value: "code"), (name: "client_id", value: offer.client.id),
            (name: "redirect_uri", value: offer.client.redirectURI),
            (name: "state", value: state), (name: "code_challenge", value: verifier.challenge.text), (name: "code_challenge_method", value: "S256"),
            (name: "resource", value: offer.resource),
        ]
        if let scope = offer.scope { fields.append((name: "scope", value: scope)) }
        let base = offer.authorizationEndpoint.description
        let url = base + (base.contains("?") ? "&" : "?") + FormURLEncoded.encode(fields)
        return .redirect(Secret(url), setting: Self.cookie(id, next))
    }

    // MARK: The authorization server's answer

    package func finish(_ parameters: Parameters, cookies: (String) -> String?, audit: AuditRecord) async throws -> Step {
        let moment = credentials.now().wall
        guard let state = try? parameters.one("state", longest: 256), let (id, taken) = errands.take(state: state, cookies: cookies, at: moment),
            case .away(let user, let server, let offer, _, let verifier) = taken.stage
        else { return .refuse(Self.lost) }
        do {
            guard
                AnswerSender.isRight(
                    try parameters.one("iss", longest: 2048), issuer: offer.authority.issuer, isAnnounced: offer.authority.announcesIssuerInResponses)
            else {
                credentials.tell(server, "an authorization response does not come from the issuer that was asked")
                throw OAuthError(.accessDenied, "The answer does not come from the authorization server you were sent to. Nothing was connected.")
            }
            if let error = try parameters.one("error", longest: 256) {
                throw OAuthError(
                    .accessDenied, "The authorization server did not allow it (\(error.cut(64).withoutControls)). Nothing was connected.")
            }
            guard let code = try parameters.one("code", longest: 8192) else {
                throw OAuthError(.serverError, "The authorization server answered without a code.")
            }
            try await check(user, server)
            let tokens = try await credentials.redeem(Secret(code), verifier, offer, server)
            var record = audit
            record.note("connection.create", user, server)
            try await credentials.connect(tokens, user, server, audit: record)
            await doors.changed(user.id, server)
            return done(id, server)
        } catch {
            return .refuse(Self.failed(error))
        }
    }

    /// An exchange at the issuer that people sign in at needs no page of anybody else's: the user has just signed in there.
    private func exchange(_ id: String, _ scope: String, _ user: User, _ server: ServerRecord, _ audit: AuditRecord) async throws -> Step {
        do {
            try await check(user, server)
            var record = audit
            record.note("connection.create", user, server)
            try await credentials.connectByExchange(scope, issuer: issuer.name, user, server, audit: record)
            await doors.changed(user.id, server)
            return done(id, server)
        } catch {
            return .refuse(Self.failed(error))
        }
    }

    /// Whether user and server are still as they were when the page was shown.
    private func check(_ user: User, _ server: ServerRecord) async throws {
        guard let now = try await doors.user(user.id), now.disabledAt == nil, now.tenant == user.tenant else {
            throw OAuthError(.accessDenied, "Your account was disabled meanwhile.")
        }
        guard let current = try await doors.server(server.alias, user.tenant), current.id == server.id, current.status == .active,
            current.isReached(like: server)
        else { throw OAuthError(.invalidRequest, "The server was changed meanwhile. Start again.") }
    }

    private func done(_ id: String, _ server: ServerRecord) -> Step {
        .told(
            title: "“\(server.title)” is connected", sentence: "You can close this page and call the tool again.", clearing: Self.cookie(id, nil))
    }

    /// Whether a user is on the way to a server's authorization server.
    package func isUnderWay(_ user: UserID, to server: ServerID) -> Bool { errands.isAway(user, to: server, at: credentials.now().wall) }

    // MARK: What browsers keep, and what they are told

    /// - Parameter value: nil to take it away.
    private static func cookie(_ id: String, _ value: String?) -> Cookie {
        Cookie(name: ConnectErrands.cookieName(id), value: value ?? "", lifetime: value == nil ? .zero : ConnectErrands.lifetime)
    }

    private static let lost = OAuthError(
        .invalidRequest, "This is not known here: it took too long, was finished already, or began in another browser. Open the link again.")

    private static func failed(_ error: any Error) -> OAuthError {
        switch error {
        case let error as OAuthError: error
        case let refusal as Refusal: OAuthError(.accessDenied, refusal.sentence)
        case let failure as CredentialFailure: OAuthError(.temporarilyUnavailable, failure.sentence)
        case let failure as IssuerFailure where failure.isWorthRepeating:
            OAuthError(.temporarilyUnavailable, "The authorization server cannot be reached at the moment; try again in a while.")
        case is IssuerFailure:
            OAuthError(
                .serverError, "This server's authorization server cannot be used as it is. An administrator finds the reason in the gateway's log.")
        default: OAuthError(.serverError, "Something went wrong here; the gateway's log says what.")
        }
    }
}

extension AuditRecord {
    fileprivate mutating func note(_ action: String, _ user: User, _ server: ServerRecord) {
        self.action = action
        target = server.alias.description
        (self.user, tenant, self.server) = (user.id, user.tenant, server.id)
    }
}

extension UpstreamCredential {
    fileprivate var scopes: [String] {
        if case .onBehalfOf(let scope) = self { scope.split(separator: " ").map(String.init) } else { [] }
    }
}
