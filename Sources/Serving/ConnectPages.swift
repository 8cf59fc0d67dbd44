import Audit
import Gateway
import HTTPTypes
import Hummingbird
import Identity
import MCP
import OAuth

/// Where users connect accounts of theirs: `/connect/{alias}` and what follows it, and the document that says what the gateway
/// is to authorization servers.
struct ConnectPages: Sendable {
    let desk: ConnectDesk
    let pages: Pages
    let signedIn: SignedIn

    func addRoutes(to router: Router<GatewayContext>) {
        // A literal path goes before one with a parameter.
        router.get("/connect/callback") { request, context in
            try await showing(context, "connection.create") {
                try await desk.finish(try query(request), cookies: { request.cookie($0) }, audit: record(context, "connection.create"))
            }
        }
        router.get("/connect/:alias") { request, context in try await open(request, context) }
        router.post("/connect/:alias") { request, context in try await decide(request, context) }
        router.get("/oauth/client.json") { _, _ in document("client.json", hasKey: true) }
        router.get("/oauth/public-client.json") { _, _ in document("public-client.json", hasKey: false) }
    }

    /// The gateway as a client of others (draft-ietf-oauth-client-id-metadata-document).
    ///
    /// - Parameter hasKey: whether it proves itself with its key; it is another client where it does not.
    private func document(_ name: String, hasKey: Bool) -> Response {
        let origin = signedIn.origin()
        return .json(
            .object([
                ("client_id", .string("\(origin)/oauth/\(name)")), ("client_name", "MCP Registry Gateway"), ("client_uri", .string("\(origin)")),
                ("redirect_uris", [.string("\(origin)/connect/callback")]), ("grant_types", ["authorization_code", "refresh_token"]),
                ("response_types", ["code"]), ("token_endpoint_auth_method", hasKey ? "private_key_jwt" : "none"),
                ("token_endpoint_auth_signing_alg", hasKey ? "ES256" : nil),
                ("jwks_uri", hasKey ? .string("\(origin)/oauth/jwks.json") : nil), ("application_type", "web"),
            ]), headers: [.cacheControl: "public, max-age=300", .accessControlAllowOrigin: "*"])
    }

    private func open(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await showing(context, "connection.open") {
            let query = try query(request)
            guard let alias = ServerAlias(context.parameters.get("alias") ?? "") else {
                throw OAuthError(.invalidRequest, "This is no server's address. Open the link as it was given to you.")
            }
            if let id = try query.one("step", longest: 64) { return await desk.question(id, cookies: { request.cookie($0) }) }
            try signedIn.payAsStranger(context)
            return await desk.begin(alias, for: try query.one("for", longest: 64))
        }
    }

    private func decide(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await showing(context, "connection.approve") {
            try signedIn.requireOwnForm(request)
            let form = try OAuth.Parameters(encoded: try await request.oauthForm())
            guard let id = try form.one("transaction", longest: 64), let token = try form.one("token", longest: 64),
                let decision = try form.one("decision", longest: 16), ["approve", "deny"].contains(decision)
            else { throw OAuthError(.invalidRequest, "The form is not complete.") }
            return try await desk.decide(
                id, token: token, isApproved: decision == "approve", cookies: { request.cookie($0) }, audit: record(context, "connection.approve"))
        }
    }

    /// Takes what the issuer that people sign in at answers to somebody who connects an account; nil if it is for somebody else.
    func signIn(_ request: Request, _ context: GatewayContext) async throws -> Response? {
        guard let parameters = try? query(request), let state = try? parameters.one("state", longest: 256), ConnectDesk.isOwn(state: state) else {
            return nil
        }
        return try await showing(context, "connection.open") {
            try await desk.signedIn(parameters, cookies: { request.cookie($0) }, audit: record(context, "user.sign_in"))
        }
    }

    private func showing(_ context: GatewayContext, _ action: String, _ body: () async throws -> ConnectDesk.Step) async throws -> Response {
        do {
            switch try await body() {
            case .redirect(let url, let cookie):
                return Response(
                    status: .seeOther,
                    headers: [
                        .location: url.revealed, .cacheControl: "no-store", .referrerPolicy: "no-referrer", .setCookie: cookie.header,
                    ])
            case .ask(let question): return pages.connect(question)
            case .told(let title, let sentence, let cookie):
                var response = pages.told(title, sentence)
                response.headers.append(HTTPField(name: .setCookie, value: cookie.header))
                return response
            case .refuse(let error): return try await refuse(error, context, action)
            }
        } catch let error as OAuthError {
            return try await refuse(error, context, action)
        } catch let refusal as Refusal {
            return pages.refused(refusal, requestID: context.requestID)
        }
    }

    private func refuse(_ error: OAuthError, _ context: GatewayContext, _ action: String) async throws -> Response {
        // Whoever opens a link has paid already.
        if action != "connection.open" {
            do throws(Refusal) { try signedIn.payAsStranger(context) } catch { return pages.refused(error, requestID: context.requestID) }
        }
        var record = record(context, action)
        (record.outcome, record.reason, record.status) = (.refused, error.code.rawValue, 400)
        try await signedIn.audit.record(record)
        context.conduct.blame = .nobody
        return pages.refused(
            error.sentence, code: error.code.rawValue, requestID: context.requestID, title: "Nothing was connected")
    }

    private func query(_ request: Request) throws -> OAuth.Parameters { try OAuth.Parameters(encoded: Array((request.uri.query ?? "").utf8)) }

    private func record(_ context: GatewayContext, _ action: String) -> AuditRecord {
        AuditRecord(requestID: context.requestID, at: signedIn.now().wall, action: action, address: context.address)
    }
}
