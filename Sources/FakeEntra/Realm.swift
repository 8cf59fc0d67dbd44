import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Everything the issuer knows, as a value: it answers one request after the other, and what happens depends on nothing
/// else but the time it is told. (Codes and ids are random.)
struct Realm: Sendable {
    var directory: FakeEntra.Directory
    let lifetimes: FakeEntra.Lifetimes
    var authority: String
    let v1Issuer: String?
    var keys: KeyRing

    /// Sign-in pages that were shown and not answered.
    var pages = Ledger<SignIn>(capacity: 1000)
    var codes = Ledger<IssuedCode>(capacity: 1000)
    var refreshTokens = Ledger<RefreshGrant>(capacity: 10_000)
    var consents: Set<Consent> = []
    var troubles: [FakeEntra.Trouble] = []
    var log = RequestLog()

    init(directory: FakeEntra.Directory, lifetimes: FakeEntra.Lifetimes, authority: String, v1Issuer: String?, keys: KeyRing) {
        self.directory = directory
        self.lifetimes = lifetimes
        self.authority = authority
        self.v1Issuer = v1Issuer
        self.keys = keys
    }

    /// What a user agreed to; no more of them than users, applications and scopes in the directory.
    struct Consent: Hashable, Sendable {
        let user: String
        let client: String
        let scope: String
    }

    var graph: String { "\(authority)/v1.0" }

    mutating func change(_ name: String, _ change: (inout FakeEntra.Directory.User) -> Void) -> Bool {
        guard let index = directory.users.firstIndex(where: { $0.name == name }) else { return false }
        change(&directory.users[index])
        return true
    }

    mutating func cause(_ trouble: FakeEntra.Trouble) {
        guard troubles.count < FakeEntra.Trouble.mostTroubles else { return }
        troubles.append(trouble)
    }

    // MARK: - Requests

    mutating func answer(_ incoming: FakeEntra.Incoming, at now: Timestamp) -> FakeEntra.Outcome {
        let segments = incoming.segments
        if segments.first == "__fake" { return .reply(control(incoming, Array(segments.dropFirst()), at: now), after: .zero) }

        let door = Door(segments)
        let effect = door.endpoint.flatMap { takeTrouble(at: $0) }
        let trace = Failure.Trace(
            id: Self.guid(), correlation: incoming["client-request-id"].flatMap { UUID(uuidString: $0) }?.uuidString.lowercased() ?? Self.guid(),
            at: now)
        var answer: Answer
        var delay = Duration.zero
        var isLost = false
        switch effect {
        case .loseRequest:
            log.add(incoming, status: nil, error: nil, at: now)
            return .hangUp
        case .status(let status, let retryAfter):
            answer = Answer(.text("", status: status))
            if let retryAfter { answer.reply.headers.append(("retry-after", String((retryAfter.microseconds + 999_999) / 1_000_000))) }
        case .error(let code):
            answer = serve(incoming, at: door, trace, trouble: Failure(code), idToken: [:])
        case .idToken(let claims):
            answer = serve(incoming, at: door, trace, trouble: nil, idToken: claims)
        case .delay(let duration):
            delay = min(duration, FakeEntra.Trouble.longestDelay)
            answer = serve(incoming, at: door, trace, trouble: nil, idToken: [:])
        case .loseReply, nil:
            isLost = effect != nil
            answer = serve(incoming, at: door, trace, trouble: nil, idToken: [:])
        }
        log.add(incoming, status: isLost ? nil : answer.reply.status, error: answer.error, at: now)
        if isLost { return .hangUp }
        answer.reply.headers.append(("x-ms-request-id", trace.id))
        return .reply(answer.reply, after: delay)
    }

    /// A reply, and the error it tells of.
    struct Answer {
        var reply: FakeEntra.Reply
        var error: FakeEntra.ErrorCode?

        init(_ reply: FakeEntra.Reply, error: FakeEntra.ErrorCode? = nil) {
            self.reply = reply
            self.error = error
        }
    }

    /// Which endpoint a path leads to.
    private enum Door {
        case metadata(String), metadataV1(String), keys(String), authorize(String), login(String), token(String), logout(String)
        case graph([String])
        case userInfo
        case nowhere

        init(_ segments: [String]) {
            let rest = Array(segments.dropFirst())
            switch (segments.first, rest) {
            case ("v1.0", _): self = .graph(segments)
            case ("graph", _): self = rest == ["oidc", "userinfo"] ? .userInfo : .graph(rest)
            case (let tenant?, ["v2.0", ".well-known", "openid-configuration"]): self = .metadata(tenant)
            case (let tenant?, [".well-known", "openid-configuration"]): self = .metadataV1(tenant)
            case (let tenant?, ["discovery", "v2.0", "keys"]), (let tenant?, ["discovery", "keys"]): self = .keys(tenant)
            case (let tenant?, ["oauth2", "v2.0", "authorize"]): self = .authorize(tenant)
            case (let tenant?, ["login"]): self = .login(tenant)
            case (let tenant?, ["oauth2", "v2.0", "token"]): self = .token(tenant)
            case (let tenant?, ["oauth2", "v2.0", "logout"]): self = .logout(tenant)
            case (.some, _) where rest.first == "graph": self = Self(rest)
            default: self = .nowhere
            }
        }

        var endpoint: FakeEntra.Trouble.Endpoint? {
            switch self {
            case .metadata, .metadataV1: .metadata
            case .keys: .keys
            case .authorize: .authorize
            case .token: .token
            case .graph, .userInfo: .graph
            case .logout: .logout
            // The page has no name for troubles: what goes wrong with it does so before it is shown.
            case .login, .nowhere: nil
            }
        }
    }

    private mutating func serve(
        _ incoming: FakeEntra.Incoming, at door: Door, _ trace: Failure.Trace, trouble: Failure?, idToken: [String: FakeEntra.Value]
    ) -> Answer {
        do throws(Failure) {
            switch door {
            case .metadata(let tenant): return try document(trouble) { realm throws(Failure) in realm.metadata(try realm.tenant(tenant)) }
            case .metadataV1(let tenant): return try document(trouble) { realm throws(Failure) in realm.metadataV1(try realm.tenant(tenant)) }
            case .keys(let tenant): return try document(trouble) { realm throws(Failure) in realm.keySet(try realm.tenant(tenant)) }
            case .authorize(let name): return authorize(incoming, at: name, trace, trouble: trouble)
            case .login(let name): return login(incoming, at: name, trace)
            case .token(let name):
                if let trouble { throw trouble }
                guard incoming.method == "POST" else { throw Failure(.methodNotPOST) }
                return Answer(.json(try token(incoming, at: try tenant(name), trace, idToken: idToken)))
            case .logout: return logout(incoming)
            case .graph(let rest): return Answer(graph(incoming, rest, trace, trouble: trouble))
            case .userInfo: return Answer(userInfo(incoming, trace))
            case .nowhere: return Answer(.text("Nothing is served here.", status: 404))
            }
        } catch {
            return Answer(.json(error.json(trace, authority: authority), status: error.code.status), error: error.code)
        }
    }

    private func document(_ trouble: Failure?, _ make: (Self) throws(Failure) -> FakeEntra.Value) throws(Failure) -> Answer {
        if let trouble { throw trouble }
        return Answer(
            .json(try make(self), headers: [("cache-control", "max-age=86400, private"), ("access-control-allow-origin", "*")]))
    }

    private mutating func takeTrouble(at endpoint: FakeEntra.Trouble.Endpoint) -> FakeEntra.Trouble.Effect? {
        guard let index = troubles.firstIndex(where: { $0.endpoint == endpoint || $0.endpoint == .any }) else { return nil }
        let effect = troubles[index].effect
        troubles[index].times -= 1
        if troubles[index].times <= 0 { troubles.remove(at: index) }
        return effect
    }

    // MARK: - Tenants

    /// Whose endpoint was asked.
    enum TenantChoice: Sendable {
        case one(FakeEntra.Directory.Tenant)
        /// `common` or `organizations`: whichever tenant the user belongs to.
        case any(String)

        var segment: String {
            switch self {
            case .one(let tenant): tenant.id
            case .any(let name): name
            }
        }

        /// What stands for the tenant in an issuer.
        var inIssuer: String {
            switch self {
            case .one(let tenant): tenant.id
            case .any: "{tenantid}"
            }
        }
    }

    func tenant(_ name: String) throws(Failure) -> TenantChoice {
        if name == "common" || name == "organizations" { return .any(name) }
        guard let tenant = directory.tenants.first(where: { $0.id == name.lowercased() }) else {
            throw Failure(.tenantUnknown, "There is no tenant '\(name.cut(64))'.")
        }
        return .one(tenant)
    }

    /// An application that may be used at a tenant's endpoint.
    func application(_ clientID: String, at tenant: TenantChoice) throws(Failure) -> FakeEntra.Directory.AppRegistration {
        guard let application = directory.application(clientID.lowercased()) else {
            throw Failure(.applicationUnknown, "There is no application '\(clientID.cut(64))'.")
        }
        if application.isMultiTenant { return application }
        switch tenant {
        case .one(let tenant): guard tenant.id == application.tenant else { throw Failure(.applicationUnknown) }
        case .any: throw Failure(.applicationOfOneTenant)
        }
        return application
    }

    func issuer(_ tenant: String) -> String { "\(authority)/\(tenant)/v2.0" }
    func issuerV1(_ tenant: String) -> String { "\(v1Issuer ?? authority)/\(tenant)/" }

    /// Whether everything asked for was agreed to, by the user or by an administrator.
    func hasConsent(_ client: FakeEntra.Directory.AppRegistration, _ user: FakeEntra.Directory.User, _ scopes: Scopes) -> Bool {
        guard let byAdministrator = client.consented else { return true }
        return scopes.fullNames.allSatisfy {
            byAdministrator.contains($0) || consents.contains(Consent(user: user.id, client: client.clientID, scope: $0))
        }
    }

    static func guid() -> String { UUID().uuidString.lowercased() }
}
