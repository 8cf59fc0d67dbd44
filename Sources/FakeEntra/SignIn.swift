import Gateway

/// An authorization request that was found good, on its way through the pages.
struct SignIn: Sendable {
    enum ResponseMode: String, Sendable {
        case query, fragment
    }

    let tenant: Realm.TenantChoice
    let clientID: String
    let redirectURI: String
    let responseMode: ResponseMode
    let state: String?
    let nonce: String?
    let scopes: Scopes
    /// The S256 challenge (RFC 7636, 4.2), or the verifier itself where the client asked for `plain`.
    let challenge: Challenge?
    let asksConsent: Bool
    /// Who was chosen, while the page asks for consent.
    var user: String?
    let expiresAt: Timestamp

    enum Challenge: Sendable {
        case s256(String)
        case plain(String)
    }

    /// The answer to the client, in the URL it is sent to (RFC 6749, 4.1.2).
    func location(_ parameters: [(name: String, value: String)]) -> String {
        Self.location(redirectURI, responseMode, parameters + (state.map { [("state", $0)] } ?? []))
    }

    static func location(_ redirectURI: String, _ mode: ResponseMode, _ parameters: [(name: String, value: String)]) -> String {
        let text = parameters.map { "\($0.name)=\(Parameters.encode($0.value))" }.joined(separator: "&")
        switch mode {
        case .query: return redirectURI + (redirectURI.contains("?") ? "&" : "?") + text
        case .fragment: return redirectURI + "#" + text
        }
    }
}

/// A code (RFC 6749, 4.1.2). It is remembered after it was redeemed, to say so to whoever comes with it again.
struct IssuedCode: Sendable {
    let clientID: String
    let redirectURI: String
    let scopes: Scopes
    let nonce: String?
    let challenge: SignIn.Challenge?
    let user: String
    let issuedAt: Timestamp
    var isRedeemed = false
}

extension Realm {
    mutating func authorize(_ incoming: FakeEntra.Incoming, at tenantName: String, _ trace: Failure.Trace, trouble: Failure?) -> Answer {
        guard incoming.method == "GET" || incoming.method == "POST" else { return Answer(.text("This endpoint takes GET and POST.", status: 405)) }
        let parameters = Parameters(incoming.method == "GET" ? incoming.query : String(decoding: incoming.body, as: UTF8.self))
        let tenant: TenantChoice
        let client: FakeEntra.Directory.AppRegistration
        let redirectURI: String
        // Until the redirect URI is known to be the client's, an error stays here (RFC 6749, 4.1.2.1).
        do throws(Failure) {
            if let name = parameters.duplicate { throw Failure(.parameterRepeated, "The parameter '\(name.cut(64))' stands there more than once.") }
            tenant = try self.tenant(tenantName)
            client = try application(try parameters.required("client_id"), at: tenant)
            redirectURI = try parameters.required("redirect_uri")
            guard client.redirectURIs.contains(redirectURI) else {
                throw Failure(
                    .redirectUnknown, "The redirect URI '\(redirectURI.cut(256))' is not registered for the application '\(client.clientID)'.")
            }
        } catch {
            return page(for: error, trace)
        }

        var mode = SignIn.ResponseMode.query
        do throws(Failure) {
            if let text = parameters["response_mode"] {
                guard let known = SignIn.ResponseMode(rawValue: text) else {
                    throw Failure(.parameterInvalid, "The response mode '\(text.cut(64))' is not supported here.")
                }
                mode = known
            }
            if let trouble { throw trouble }
            let signIn = try signIn(parameters, tenant, client, redirectURI, mode, at: trace.at)
            return try begin(signIn, client, parameters, trace)
        } catch {
            // Seen: Entra keeps this one to itself too.
            if error.code == .resourceMismatch { return page(for: error, trace) }
            return refusal(error, redirectURI, mode, state: parameters["state"], trace)
        }
    }

    private func signIn(
        _ parameters: Parameters, _ tenant: TenantChoice, _ client: FakeEntra.Directory.AppRegistration, _ redirectURI: String,
        _ mode: SignIn.ResponseMode, at now: Timestamp
    ) throws(Failure) -> SignIn {
        let responseType = try parameters.required("response_type")
        guard responseType == "code" else {
            throw Failure(.responseTypeUnsupported, "The response type '\(responseType.cut(64))' is not supported here.")
        }
        let scopes = try Scopes(try parameters.required("scope"), in: directory)
        guard !scopes.isEmpty else { throw Failure(.scopeInvalid) }
        // Since March 2026 `resource` (RFC 8707) is no longer refused altogether, but has to be the very App ID URI.
        if let resource = parameters["resource"], resource != scopes.resource.appIDURI { throw Failure(.resourceMismatch) }
        if scopes.isDefault && scopes.resource.clientID == client.clientID && !scopes.isByGUID { throw Failure(.tokenForItself) }

        let challenge: SignIn.Challenge?
        switch (parameters["code_challenge"], parameters["code_challenge_method"]) {
        case (nil, nil): challenge = nil
        case (nil, .some): throw Failure(.parameterMissing, "A challenge's method came without the challenge.")
        case (let text?, let method):
            guard (43...128).contains(text.utf8.count), text.utf8.allSatisfy(Self.isUnreserved) else {
                throw Failure(.parameterInvalid, "The code challenge has 43 to 128 unreserved characters.")
            }
            switch method {
            case "S256": challenge = .s256(text)
            case "plain", nil: challenge = .plain(text)
            default: throw Failure(.parameterInvalid, "The method of a code challenge is S256 or plain.")
            }
        }
        return SignIn(
            tenant: tenant, clientID: client.clientID, redirectURI: redirectURI, responseMode: mode, state: parameters["state"],
            nonce: parameters["nonce"], scopes: scopes, challenge: challenge, asksConsent: parameters["prompt"] == "consent", user: nil,
            expiresAt: now.advanced(by: lifetimes.page))
    }

    /// Shows the page, or signs in without it where that was asked for and somebody is named.
    private mutating func begin(
        _ signIn: SignIn, _ client: FakeEntra.Directory.AppRegistration, _ parameters: Parameters, _ trace: Failure.Trace
    ) throws(Failure) -> Answer {
        let users = directory.users.filter { user in
            switch signIn.tenant {
            case .one(let tenant): user.tenant == tenant.id
            case .any: client.isMultiTenant || user.tenant == client.tenant
            }
        }
        let hint = parameters["login_hint"]?.lowercased()
        let hinted = directory.users.first { $0.principalName.lowercased() == hint || $0.name == hint || $0.id == hint }
        switch parameters["prompt"] {
        case nil, "login", "select_account", "consent": return show(signIn, client, users, hinted, trace)
        case "none":
            guard let hinted else { throw Failure(.nobodySignedIn) }
            guard hasConsent(client, hinted, signIn.scopes) else { throw Failure(.consentMissing) }
            return try finish(signIn, client, hinted, trace)
        default: throw Failure(.parameterInvalid, "'prompt' is login, select_account, consent or none.")
        }
    }

    private mutating func show(
        _ signIn: SignIn, _ client: FakeEntra.Directory.AppRegistration, _ users: [FakeEntra.Directory.User], _ hinted: FakeEntra.Directory.User?,
        _ trace: Failure.Trace
    ) -> Answer {
        let id = pages.add(signIn)
        // The one that was hinted at comes first.
        let sorted = users.filter { $0.id == hinted?.id } + users.filter { $0.id != hinted?.id }
        return Answer(Pages.accounts(sorted, of: client, request: id, action: "/\(signIn.tenant.segment)/login"))
    }

    // MARK: - The page's answer

    /// What a page posts: the request it belongs to by a name that cannot be guessed and is good once, and a button.
    mutating func login(_ incoming: FakeEntra.Incoming, at tenantName: String, _ trace: Failure.Trace) -> Answer {
        guard incoming.method == "POST" else { return Answer(.text("This endpoint takes POST.", status: 405)) }
        // A page elsewhere may know a request it began itself; its form still says where it comes from.
        if let origin = incoming["origin"], Origin(origin).map({ $0.isLoopback && $0.port == Origin(authority)?.port }) != true {
            return Answer(.text("A sign-in is answered from its own page.", status: 403))
        }
        let parameters = Parameters(String(decoding: incoming.body, as: UTF8.self))
        guard var signIn = parameters["request"].flatMap({ pages.take($0) }), signIn.tenant.segment == tenantName, trace.at < signIn.expiresAt,
            let client = directory.application(signIn.clientID)
        else {
            return page(
                for: Failure(.requestMalformed, "This page was answered before, or has expired. Please begin anew at the application."), trace)
        }
        do throws(Failure) {
            if parameters["cancel"] != nil { throw Failure(.consentDeclined) }
            if let id = signIn.user, parameters["consent"] != nil {
                guard let user = directory.user(id) else { throw Failure(.userUnknown) }
                for scope in signIn.scopes.fullNames { consents.insert(Consent(user: id, client: client.clientID, scope: scope)) }
                return try finish(signIn, client, user, trace)
            }
            guard let id = parameters["user"], let user = directory.user(id) else { return page(for: Failure(.userUnknown), trace) }
            if signIn.asksConsent || !hasConsent(client, user, signIn.scopes) {
                signIn.user = id
                let request = pages.add(signIn)
                return Answer(
                    Pages.consent(
                        of: user, to: client, signIn.scopes, request: request, action: "/\(signIn.tenant.segment)/login"))
            }
            return try finish(signIn, client, user, trace)
        } catch {
            return refusal(error, signIn.redirectURI, signIn.responseMode, state: signIn.state, trace)
        }
    }

    /// The code, or why there is none. What is wrong with the user is told to the user.
    private mutating func finish(
        _ signIn: SignIn, _ client: FakeEntra.Directory.AppRegistration, _ user: FakeEntra.Directory.User, _ trace: Failure.Trace
    ) throws(Failure) -> Answer {
        if user.isDisabled { return page(for: Failure(.userDisabled), trace) }
        if case .one(let tenant) = signIn.tenant, tenant.id != user.tenant { throw Failure(.userOfAnotherTenant) }
        if !client.isMultiTenant && user.tenant != client.tenant { throw Failure(.userOfAnotherTenant) }
        if client.needsAssignment && Set(client.roles).isDisjoint(with: user.roles) { throw Failure(.userNotAssigned) }
        let code = codes.add(
            IssuedCode(
                clientID: client.clientID, redirectURI: signIn.redirectURI, scopes: signIn.scopes, nonce: signIn.nonce, challenge: signIn.challenge,
                user: user.id, issuedAt: trace.at))
        return Answer(.redirect(to: signIn.location([("code", code), ("session_state", Self.guid())])))
    }

    private func refusal(_ failure: Failure, _ redirectURI: String, _ mode: SignIn.ResponseMode, state: String?, _ trace: Failure.Trace) -> Answer {
        var parameters = [
            (name: "error", value: failure.code.oauthError), (name: "error_description", value: failure.description(trace)),
            (name: "error_uri", value: failure.uri(authority)),
        ]
        if failure.code == .consentDeclined { parameters.append(("error_subcode", "cancel")) }
        if let suberror = failure.code.suberror { parameters.append(("suberror", suberror)) }
        if let state { parameters.append(("state", state)) }
        return Answer(.redirect(to: SignIn.location(redirectURI, mode, parameters)), error: failure.code)
    }

    func page(for failure: Failure, _ trace: Failure.Trace) -> Answer {
        Answer(Pages.failure(failure, trace), error: failure.code)
    }

    mutating func logout(_ incoming: FakeEntra.Incoming) -> Answer {
        let parameters = Parameters(incoming.query)
        if let uri = parameters["post_logout_redirect_uri"], directory.applications.contains(where: { $0.redirectURIs.contains(uri) }) {
            let state = parameters["state"].map { [(name: "state", value: $0)] } ?? []
            return Answer(.redirect(to: state.isEmpty ? uri : SignIn.location(uri, .query, state)))
        }
        return Answer(Pages.signedOut)
    }

    static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
