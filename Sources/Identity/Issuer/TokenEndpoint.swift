import Gateway
import MCP
import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Asks an issuer's token endpoint (RFC 6749, sections 2.3.1, 3.2 and 5) and reads what it answers.
struct TokenEndpoint: Sendable {
    let clientID: String
    /// Nil for a public client.
    let clientSecret: Secret<String>?
    let issuer: String
    let fetcher: Fetcher
    /// For a client that proves itself with a key, and has no secret.
    var proof: ClientProof?

    static let largest = 256 << 10
    private static let largestToken = 32 << 10
    /// For an issuer that does not say how long a token lives.
    private static let usualLife = Duration.seconds(300)
    private static let longestLife = Duration.seconds(30 * 86_400)

    struct Answer {
        let tokens: IssuerTokens
        let idToken: String?
        /// Whether the issuer says how long the access token lives; if not, its end is a guess.
        let isTimed: Bool
    }

    /// Form-encoded (RFC 6749, section 2.3.1) where that makes a difference: `%`, `+`, `&`, `=`, `:` and what is not visible ASCII.
    /// What else may be escaped is not, for some issuers take it as it stands.
    private static func basic(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            scalar.isASCII && (0x21...0x7E).contains(scalar.value) && !"%+&=:".unicodeScalars.contains(scalar)
                ? String(scalar) : FormText.escape(String(scalar))
        }.joined()
    }

    /// - Parameters:
    ///   - fields: of the grant; the client's own are added here.
    ///   - scope: what is asked for: stands for what was granted if the issuer does not say.
    func ask(
        _ fields: [(name: String, value: String)], at endpoint: Endpoint, _ authentication: IssuerMetadata.ClientAuthentication, scope: String,
        now: @Sendable () -> Timestamp
    ) async throws(IssuerFailure) -> Answer {
        let askedAt = now()
        let (answer, json) = try await post(fields, to: endpoint, authentication, deadline: .seconds(10))
        guard answer.status == 200, let json, json["error"] == nil else { throw IssuerFailure(tokenEndpoint: answer, json) }
        return try Self.read(json, scope: scope, askedAt: askedAt, issuer: issuer)
    }

    /// Gives a token back (RFC 7009, section 2.1). One that the issuer does not know any more counts as given back.
    func revoke(
        _ token: Secret<String>, hint: String, at endpoint: Endpoint, _ authentication: IssuerMetadata.ClientAuthentication
    ) async throws(IssuerFailure) {
        let fields = [(name: "token", value: token.revealed), (name: "token_type_hint", value: hint)]
        let (answer, json) = try await post(fields, to: endpoint, authentication, deadline: .seconds(5))
        guard answer.status == 200 || answer.status == 204 else { throw IssuerFailure(tokenEndpoint: answer, json) }
    }

    /// - Returns: what was answered, and the JSON object that it is, if it is one.
    private func post(
        _ fields: [(name: String, value: String)], to endpoint: Endpoint, _ authentication: IssuerMetadata.ClientAuthentication, deadline: Duration
    ) async throws(IssuerFailure) -> (FetchedAnswer, JSON?) {
        var headers = [("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")]
        var form = fields
        switch (clientSecret, authentication) {
        case (nil, _):
            form.append(("client_id", clientID))
            if let proof {
                form += [("client_assertion_type", ClientProof.type), ("client_assertion", try await proof.assertion(of: clientID, for: issuer))]
            }
        case (let secret?, .post): form += [("client_id", clientID), ("client_secret", secret.revealed)]
        case (let secret?, .basic):
            let pair = Self.basic(clientID) + ":" + Self.basic(secret.revealed)
            headers.append(("authorization", "Basic " + Data(pair.utf8).base64EncodedString()))
        }
        let request = FetchRequest(
            .post, endpoint, headers: headers.map { (name: $0.0, value: $0.1) }, body: Array(FormText.encode(form).utf8), largestAnswer: Self.largest,
            deadline: deadline)
        let answer: FetchedAnswer
        do throws(FetchFailure) { answer = try await fetcher.send(request) } catch {
            throw IssuerFailure(error, "The issuer's token endpoint at \(endpoint)")
        }
        guard answer.body.count <= Self.largest else { throw IssuerFailure(.tooLarge, "The issuer's token endpoint at \(endpoint)") }
        let json = (try? JSON(parsing: answer.body, limits: JSON.Limits(depth: 16, nodes: 10_000))).flatMap { $0.isObject ? $0 : nil }
        return (answer, json)
    }

    private static func read(_ json: JSON, scope: String, askedAt: Timestamp, issuer: String) throws(IssuerFailure) -> Answer {
        func malformed(_ what: String) -> IssuerFailure { IssuerFailure(.configuration, "The issuer's token endpoint answered with \(what).") }
        func token(_ name: String) throws(IssuerFailure) -> String? {
            guard let member = json[name], !member.isNull else { return nil }
            guard let text = member.string, text.isVisibleASCII(1...largestToken) else { throw malformed("a malformed \(name)") }
            return text
        }
        guard let accessToken = try token("access_token") else { throw malformed("no access token") }
        guard json["token_type"]?.string?.lowercased() == "bearer" else { throw malformed("a token that is no bearer token") }
        let seconds = json["expires_in"]?.integer ?? json["expires_in"]?.string.flatMap { Int64($0) }
        let life = seconds.map { min(max(.seconds(min($0, 1 << 32)), .seconds(1)), longestLife) } ?? usualLife
        var granted = scope
        if let member = json["scope"], !member.isNull {
            guard let text = member.string, text.utf8.count <= 16 << 10, !text.hasControls else { throw malformed("a malformed scope") }
            granted = text
        }
        // The life is counted from before the question: a slow answer makes it shorter, never longer.
        let tokens = IssuerTokens(
            accessToken: Secret(accessToken), refreshToken: try token("refresh_token").map { Secret($0) }, scope: granted,
            expiresAt: askedAt.advanced(by: life), obtainedAt: askedAt, issuer: issuer)
        // The ID token has bounds of its own, and its own reasons.
        guard let idToken = json["id_token"], !idToken.isNull else { return Answer(tokens: tokens, idToken: nil, isTimed: seconds != nil) }
        guard let text = idToken.string else { throw IssuerFailure(.malformed) }
        return Answer(tokens: tokens, idToken: text, isTimed: seconds != nil)
    }
}

extension IssuerFailure {
    /// What an answer of a token endpoint means that brought no token (RFC 6749, section 5.2; OpenID Connect Core, 3.1.2.6).
    init(tokenEndpoint answer: FetchedAnswer, _ json: JSON?) {
        let status = answer.status
        let code = json?["error"]?.string.flatMap { Self.meanings[$0] == nil ? nil : $0 }
        let azureCode = json.flatMap(Self.azureCode)
        if status == 429 || status == 408 || (500..<600).contains(status) {
            self.init(
                .later(after: answer.retryAfter), "The issuer's token endpoint was answered with status \(status).", code: code, azureCode: azureCode)
            return
        }
        guard let code, let meaning = Self.meanings[code] else {
            let sentence =
                switch status {
                case 300..<400: "The issuer's token endpoint was answered with a redirect (\(status)), which is not followed."
                case 200: "The issuer's token endpoint answered with something that is no token."
                default: "The issuer's token endpoint was answered with status \(status) and no error the gateway knows."
                }
            self.init(.configuration, sentence + (azureCode.map { " (AADSTS\($0))" } ?? ""), azureCode: azureCode)
            return
        }
        let known = azureCode.flatMap { Self.azureMeanings[$0] }
        var kind = known?.kind ?? meaning.kind
        if case .later = kind { kind = .later(after: answer.retryAfter) }
        let number = azureCode.map { ", AADSTS\($0)" } ?? ""
        self.init(kind, "\(known?.sentence ?? meaning.sentence) (\(code)\(number))", code: code, azureCode: azureCode)
    }

    private static let meanings: [String: (kind: Kind, sentence: String)] = [
        "invalid_grant": (.grantOver, "The issuer no longer honours this code or refresh token: sign in again."),
        "expired_token": (.grantOver, "The issuer no longer honours this code or refresh token: sign in again."),
        "interaction_required": (.interactionRequired, "The issuer wants to see the user: sign in again."),
        "login_required": (.interactionRequired, "The issuer wants the user to sign in again."),
        "consent_required": (.interactionRequired, "The issuer wants the user's consent: sign in again."),
        "account_selection_required": (.interactionRequired, "The issuer wants the user to choose an account: sign in again."),
        "access_denied": (.interactionRequired, "The user or the issuer refused."),
        "temporarily_unavailable": (.later(after: nil), "The issuer is not available for the moment."),
        "server_error": (.later(after: nil), "The issuer has a fault of its own."),
        "slow_down": (.later(after: nil), "The issuer is asked too often."),
        "invalid_client": (.configuration, "The issuer does not accept the gateway's client id and secret: check both."),
        "unauthorized_client": (.configuration, "The issuer does not allow this client that kind of grant: check the client's registration."),
        "invalid_scope": (.configuration, "The issuer does not grant the scopes asked for: check them."),
        "invalid_request": (.configuration, "The issuer did not understand the gateway's request: check redirect URI, tenant and scopes."),
        "invalid_resource": (.configuration, "The issuer does not know the API whose scopes are asked for: check them."),
        "invalid_target": (.configuration, "The issuer does not know the API whose scopes are asked for: check them."),
        "unsupported_grant_type": (.configuration, "The issuer does not know that kind of grant."),
    ]

    /// Numbers that say more than their `error` does.
    private static let azureMeanings: [Int: (kind: Kind, sentence: String)] = [
        50011: (.configuration, "The redirect URI is not registered with the application in Entra ID."),
        65001: (.interactionRequired, "Nobody has consented to what the application asks for: the user or an administrator has to."),
        50072: (.interactionRequired, "The user has to set up a second factor with Entra ID: sign in again."),
        50074: (.interactionRequired, "Entra ID wants a second factor: sign in again."),
        50076: (.interactionRequired, "Entra ID wants a second factor: sign in again."),
        50079: (.interactionRequired, "The user has to set up a second factor with Entra ID: sign in again."),
        50158: (.interactionRequired, "Entra ID's conditional access wants one more step: sign in again."),
        53000: (.interactionRequired, "Entra ID's conditional access does not accept the user's device."),
        53003: (.interactionRequired, "Entra ID's conditional access blocks this sign-in."),
        70043: (.grantOver, "The refresh token is older than Entra ID's sign-in frequency allows: sign in again."),
        90002: (.configuration, "Entra ID knows no such tenant: check the tenant id and the authority's cloud."),
        700016: (.configuration, "The tenant has no application of this client id: check both ids."),
        7_000_215: (.configuration, "The client secret is wrong: use the secret's value, not its id."),
        7_000_218: (.configuration, "Entra ID asks for a client secret, or the application must be registered as a public client."),
        7_000_222: (.configuration, "The client secret has expired: create a new one in Entra ID and give it to the gateway."),
    ]

    private static func azureCode(_ json: JSON) -> Int? {
        if let first = json["error_codes"]?.elements.first?.integer { return (1...999_999_999).contains(first) ? Int(first) : nil }
        guard let text = json["error_description"]?.string, let start = text.firstRange(of: "AADSTS") else { return nil }
        let digits = text[start.upperBound...].prefix(9).prefix { $0.isASCII && $0.isNumber }
        return Int(digits)
    }
}
