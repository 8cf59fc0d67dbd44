import Audit
import Gateway
import HTTPTypes
import Hummingbird
import Identity
import MCP
import OAuth

/// The authorization server's doors: what clients read and ask, and what their users see in between.
struct OAuthAPI: Sendable {
    let server: AuthorizationServer
    let registrations: RegistrationAllowance
    let pages: Pages
    let signedIn: SignedIn
    let connect: ConnectPages

    func addRoutes(to router: Router<GatewayContext>) {
        for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
            router.get(RouterPath(path)) { _, _ in metadata }
        }
        router.get("/authorize") { request, context in
            try await authorize(context) {
                try OAuth.Parameters(encoded: Array((request.uri.query ?? "").utf8))
            } cookies: {
                request.cookie($0)
            }
        }
        router.post("/authorize") { request, context in
            try await authorize(context) {
                try OAuth.Parameters(encoded: try await form(request))
            } cookies: {
                request.cookie($0)
            }
        }
        router.post("/consent") { request, context in try await decide(request, context) }
        router.get("/consent") { _, context in
            pages.refused("Start from the application that you want to use.", code: "invalid_request", requestID: context.requestID)
        }
        router.get("/oauth/callback") { request, context in
            if let answer = try await connect.signIn(request, context) { return answer }
            return try await finish(request, context)
        }
        router.post("/token") { request, context in try await token(request, context) }
        router.post("/revoke") { request, context in try await revoke(request, context) }
        router.post("/register") { request, context in try await register(request, context) }
        router.get("/oauth/userinfo") { request, context in try await userInfo(request, context) }
    }

    // MARK: What clients read

    /// RFC 8414; the same under OpenID Connect's name, for clients that look there.
    private var metadata: Response {
        let origin = signedIn.origin().description
        let methods: JSONText = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
        let offered = JSONText.object([
            ("issuer", .string(origin)), ("authorization_endpoint", .string(origin + "/authorize")), ("token_endpoint", .string(origin + "/token")),
            // A client that finds no such place looks for another way by itself.
            ("registration_endpoint", server.clients.acceptsRegistrations ? .string(origin + "/register") : nil),
            ("revocation_endpoint", .string(origin + "/revoke")), ("userinfo_endpoint", .string(origin + "/oauth/userinfo")),
            ("jwks_uri", .string(origin + "/oauth/jwks.json")),
            ("scopes_supported", .array((Scopes.all.names + [ScopeList.offlineAccess]).map { .string($0) })),
            ("response_types_supported", ["code"]), ("response_modes_supported", ["query"]),
            ("grant_types_supported", .array(GrantType.allCases.map { .string($0.rawValue) })), ("code_challenge_methods_supported", ["S256"]),
            ("token_endpoint_auth_methods_supported", methods),
            ("token_endpoint_auth_signing_alg_values_supported", ["ES256", "ES384", "RS256", "PS256", "EdDSA"]),
            ("revocation_endpoint_auth_methods_supported", methods), ("authorization_response_iss_parameter_supported", true),
            ("client_id_metadata_document_supported", true), ("subject_types_supported", ["public"]),
            ("id_token_signing_alg_values_supported", ["ES256"]),
        ])
        return .json(offered, headers: [.cacheControl: "public, max-age=300", .accessControlAllowOrigin: "*"])
    }

    // MARK: What users see

    private func authorize(
        _ context: GatewayContext, _ parameters: () async throws -> OAuth.Parameters, cookies: (String) -> String?
    ) async throws -> Response {
        do {
            try signedIn.payAsStranger(context)
            return try await show(
                try await server.authorize(try await parameters(), browser: cookies(AuthorizationServer.browserCookie), from: context.client),
                context, "oauth.authorize")
        } catch let error as OAuthError {
            return try await show(.refuse(error), context, "oauth.authorize")
        } catch let refusal as Refusal {
            return pages.refused(refusal, requestID: context.requestID)
        }
    }

    private func decide(_ request: Request, _ context: GatewayContext) async throws -> Response {
        do {
            try signedIn.requireOwnForm(request)
            let parameters = try OAuth.Parameters(encoded: try await form(request))
            guard let id = try parameters.one("transaction", longest: 64), let token = try parameters.one("token", longest: 64),
                let decision = try parameters.one("decision", longest: 16), ["approve", "deny"].contains(decision)
            else { throw OAuthError(.invalidRequest, "The form is not complete.") }
            let step = try await server.decide(
                id, token: token, isApproved: decision == "approve", browser: request.cookie(AuthorizationServer.browserCookie))
            return try await show(step, context, "oauth.consent")
        } catch let error as OAuthError {
            return try await show(.refuse(error), context, "oauth.consent")
        } catch let refusal as Refusal {
            return pages.refused(refusal, requestID: context.requestID)
        }
    }

    private func finish(_ request: Request, _ context: GatewayContext) async throws -> Response {
        do {
            let parameters = try OAuth.Parameters(encoded: Array((request.uri.query ?? "").utf8))
            let step = try await server.finish(parameters, cookies: { request.cookie($0) }, audit: record(context, "user.sign_in"))
            return try await show(step, context, "oauth.callback")
        } catch let error as OAuthError {
            return try await show(.refuse(error), context, "oauth.callback")
        } catch let refusal as Refusal {
            return pages.refused(refusal, requestID: context.requestID)
        }
    }

    /// Puts on record what is not recorded yet, and shows it.
    private func show(_ step: AuthorizationServer.Step, _ context: GatewayContext, _ action: String) async throws -> Response {
        var record = record(context, action)
        switch step {
        case .ask(let question, let cookie):
            var response = pages.consent(Pages.Consent(question))
            if let cookie { response.headers.append(HTTPField(name: .setCookie, value: cookie.header)) }
            return response
        case .redirect(let url, let cookies, let event):
            switch event {
            case .approved(let client): (record.target, record.reason) = (client, "approved")
            case .denied(let client): (record.target, record.outcome, record.reason) = (client, .refused, "denied")
            case .failed(let client, let code): (record.target, record.outcome, record.reason) = (client, .refused, code.rawValue)
            case nil: break
            }
            if event != nil { try await signedIn.audit.recordDurably(record) }
            var response = Response(
                status: .seeOther,
                headers: [.location: url.revealed, .cacheControl: "no-store", .referrerPolicy: "no-referrer"])
            for cookie in cookies { response.headers.append(HTTPField(name: .setCookie, value: cookie.header)) }
            return response
        case .refuse(let error):
            // Who brings what is good pays nothing, as with a good token.
            if action != "oauth.authorize" {
                do throws(Refusal) { try signedIn.payAsStranger(context) } catch { return pages.refused(error, requestID: context.requestID) }
            }
            (record.outcome, record.reason, record.status) = (.refused, error.code.rawValue, 400)
            try await signedIn.audit.record(record)
            context.conduct.blame = .nobody
            return pages.refused(error.sentence, code: error.code.rawValue, requestID: context.requestID)
        }
    }

    // MARK: What clients ask

    private func token(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await asClient(context, "oauth.token") {
            let parameters = try OAuth.Parameters(encoded: try await form(request))
            let tokens = try await server.tokens(
                parameters, authorization: request.headers[values: .authorization], audit: record(context, "token.issue"))
            return .json(
                .object([
                    ("access_token", .string(tokens.accessToken.revealed)), ("token_type", "Bearer"),
                    ("expires_in", .number(tokens.lifetime.components.seconds)),
                    ("refresh_token", tokens.refreshToken.map { .string($0.revealed) }), ("scope", .string(tokens.scope)),
                ]), headers: Self.private)
        }
    }

    private func revoke(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await asClient(context, "oauth.revoke") {
            let parameters = try OAuth.Parameters(encoded: try await form(request))
            try await server.revoke(parameters, authorization: request.headers[values: .authorization], audit: record(context, "token.revoke"))
            return Response(status: .ok, headers: Self.private)
        }
    }

    private func register(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await asClient(context, "client.register") {
            try signedIn.payAsStranger(context)
            try registrations.take(for: context.client, at: signedIn.now().boot)
            guard request.isJSON else { throw OAuthError(.invalidClientMetadata, "Send the metadata as application/json.") }
            let (id, metadata, issuedAt) = try server.clients.register(try await request.wholeBody())
            var record = record(context, "client.register")
            (record.target, record.status) = (metadata.name, 201)
            try await signedIn.audit.recordDurably(record)
            let members = metadata.registrationAnswer(id: id, at: issuedAt).map { ($0.name, JSONText($0.value)) }
            return .json(.object(members), status: .created, headers: Self.private)
        }
    }

    /// Runs the body for a client, and turns what it throws into the error of RFC 6749, section 5.2, on record.
    private func asClient(_ context: GatewayContext, _ action: String, _ body: () async throws -> Response) async throws -> Response {
        do {
            return try await body()
        } catch let error as OAuthError {
            do throws(Refusal) { try signedIn.payAsStranger(context) } catch { return .problem(error, requestID: context.requestID) }
            var record = record(context, action)
            let status: HTTPResponse.Status =
                switch error.code {
                case .invalidClient: .unauthorized
                case .accessDenied: .forbidden
                case .temporarilyUnavailable, .serverError: .serviceUnavailable
                default: .badRequest
                }
            (record.outcome, record.reason, record.status) = (.refused, error.code.rawValue, status.code)
            try await signedIn.audit.record(record)
            context.conduct.blame = error.code == .invalidGrant || error.code == .invalidClient ? .address : .nobody
            var headers = Self.private
            if status == .unauthorized { headers[.wwwAuthenticate] = "Basic realm=\"\(signedIn.origin())\"" }
            return .json(
                ["error": .string(error.code.rawValue), "error_description": .string(error.errorDescription)], status: status, headers: headers)
        } catch let refusal as Refusal {
            return .problem(refusal, requestID: context.requestID)
        }
    }

    /// Who the holder of a token is, by what it is good for: any of the gateway's resources.
    private func userInfo(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let authorization = request.headers[values: .authorization]
        guard let principal = await signedIn.authenticator.holder(authorization, at: signedIn.now().wall) else {
            try? signedIn.payAsStranger(context)
            let refusal = Refusal.unauthenticated(authorization.isEmpty ? .missing : .unknown)
            return .problem(
                refusal, requestID: context.requestID,
                headers: [.wwwAuthenticate: Challenge(refusal, for: .mcp, at: signedIn.origin()).description])
        }
        return .json(
            [
                "sub": .string("\(principal.user.rawValue)"), "preferred_username": .string(principal.name),
                "role": .string(principal.role.rawValue), "tenant": .number(principal.tenant.rawValue),
                "scope": .string(principal.scopes.names.joined(separator: " ")),
            ], headers: Self.private)
    }

    private static let `private`: HTTPFields = [.cacheControl: "no-store", .pragma: "no-cache"]

    private func record(_ context: GatewayContext, _ action: String) -> AuditRecord {
        AuditRecord(requestID: context.requestID, at: signedIn.now().wall, action: action, address: context.address)
    }

    private func form(_ request: Request) async throws -> [UInt8] { try await request.oauthForm() }
}

extension SignedIn {
    /// A form of ours comes from a page of ours (CSRF); browsers that say where it comes from are believed.
    func requireOwnForm(_ request: Request) throws(OAuthError) {
        let isForeign = request.headers[.secFetchSite].map { $0 != "same-origin" && $0 != "none" } ?? false
        let origins = request.headers[values: .origin]
        guard !isForeign, origins.allSatisfy({ origin().spellings.contains($0) }) else {
            throw OAuthError(.invalidRequest, "This answer came from another site's page, so it does not count.")
        }
    }
}

extension AuthorizationServer.Cookie {
    var header: String {
        "\(name)=\(value); Path=/; Max-Age=\(lifetime.components.seconds); Secure; HttpOnly; SameSite=Lax"
    }
}

extension Request {
    private static let largestForm = 32 << 10

    /// The body as form-encoded parameters.
    func oauthForm() async throws -> [UInt8] {
        let type = headers[.contentType]?.split(separator: ";").first?.lowercased() ?? ""
        guard type == "application/x-www-form-urlencoded" else {
            throw OAuthError(.invalidRequest, "Send the parameters as application/x-www-form-urlencoded.")
        }
        let body = try await wholeBody()
        guard body.count <= Self.largestForm else { throw OAuthError(.invalidRequest, "The parameters have at most \(Self.largestForm) bytes.") }
        return body
    }

    /// The value of a cookie; nil also for one that is there twice, for then nobody knows which is ours.
    func cookie(_ name: String) -> String? {
        let values = headers[values: .cookie].flatMap { $0.split(separator: ";") }.compactMap { pair -> String? in
            let pair = pair.drop { $0 == " " }
            return pair.hasPrefix("\(name)=") ? String(pair.dropFirst(name.count + 1)) : nil
        }
        return values.count == 1 ? values[0] : nil
    }
}

extension JSONText {
    fileprivate init(_ value: ClientValue) {
        switch value {
        case .text(let text): self = .string(text)
        case .texts(let texts): self = .array(texts.map { .string($0) })
        case .number(let number): self = .number(number)
        }
    }
}

extension Pages.Consent {
    init(_ question: AuthorizationServer.ConsentQuestion) {
        let metadata = question.client.metadata
        self.init(
            client: metadata.name, voucher: question.client.voucher, isUnproved: question.client.voucher == nil || metadata.isLoopbackOnly,
            redirectHost: question.redirectURI.host, isLoopback: question.redirectURI.isLoopback, powers: Self.powers(question.scopes),
            wantsRefresh: question.wantsRefresh, transaction: question.transaction, token: question.token, issuer: question.issuer)
    }

    private static func powers(_ scopes: Scopes) -> [String] {
        let words: [(Scopes, String)] = [
            (.tools, "See and call the tools that you may use"), (.readRegistry, "See the registered servers"),
            (.writeRegistry, "Register and change servers, where you may"), (.administer, "Administer the gateway, where you may"),
            (.account, "Manage your API keys and connections"),
        ]
        let held = words.filter { scopes.contains($0.0) }.map(\.1)
        return held.isEmpty ? ["Learn who you are"] : held
    }
}
