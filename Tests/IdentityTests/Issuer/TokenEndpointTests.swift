import Gateway
import Identity
import OAuth
import Testing

/// What a token endpoint may answer instead of a token, and what the gateway makes of it.
struct Grievance: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let status: Int
    let body: String
    let headers: [String: String]
    let kind: IssuerFailure.Kind
    let azureCode: Int?

    init(_ status: Int, _ body: String, _ kind: IssuerFailure.Kind, azure: Int? = nil, headers: [String: String] = [:]) {
        testDescription = "\(status) \(body.prefix(60))"
        self.status = status
        self.body = body
        self.headers = headers
        self.kind = kind
        azureCode = azure
    }

    init(_ status: Int = 400, error: String, _ kind: IssuerFailure.Kind, aadsts: Int? = nil) {
        let description =
            aadsts.map { #","error_description":"AADSTS\#($0): Something about ada@contoso.test. Trace ID: 1","error_codes":[\#($0)]"# } ?? ""
        self.init(status, #"{"error":"\#(error)"\#(description)}"#, kind, azure: aadsts)
    }

    static let all: [Self] = [
        Self(error: "invalid_grant", .grantOver), Self(403, error: "invalid_grant", .grantOver), Self(401, error: "invalid_grant", .grantOver),
        Self(error: "invalid_grant", .grantOver, aadsts: 700_082), Self(error: "invalid_grant", .grantOver, aadsts: 70043),
        Self(error: "invalid_grant", .grantOver, aadsts: 50173), Self(error: "invalid_grant", .interactionRequired, aadsts: 65001),
        Self(error: "invalid_grant", .interactionRequired, aadsts: 50076), Self(error: "interaction_required", .interactionRequired, aadsts: 50079),
        Self(error: "interaction_required", .interactionRequired), Self(error: "login_required", .interactionRequired),
        Self(error: "consent_required", .interactionRequired), Self(error: "access_denied", .interactionRequired),
        Self(401, error: "invalid_client", .configuration), Self(401, error: "invalid_client", .configuration, aadsts: 7_000_215),
        Self(401, error: "invalid_client", .configuration, aadsts: 7_000_222), Self(error: "unauthorized_client", .configuration, aadsts: 700_016),
        Self(error: "invalid_scope", .configuration), Self(error: "invalid_request", .configuration, aadsts: 90002),
        Self(error: "invalid_target", .configuration), Self(error: "invalid_resource", .configuration, aadsts: 500_011),
        Self(error: "unsupported_grant_type", .configuration), Self(error: "an_error_of_its_own", .configuration),
        Self(error: "temporarily_unavailable", .later(after: nil)), Self(error: "server_error", .later(after: nil)),
        Self(400, #"{"error":"invalid_grant","error_description":"AADSTS700084: It was issued to a single page app."}"#, .grantOver, azure: 700_084),
        Self(400, #"{"error":"invalid_grant","error_codes":[-1]}"#, .grantOver),
        Self(400, #"{"error":"invalid_grant","error_codes":"x"}"#, .grantOver),
        Self(400, #"{"error":["invalid_grant"]}"#, .configuration), Self(400, #"{"error":"invalid_grant","error":"server_error"}"#, .configuration),
        Self(400, "", .configuration), Self(403, "<html>blocked by the proxy</html>", .configuration), Self(404, "{}", .configuration),
        Self(301, "", .configuration, headers: ["location": "https://evil.example/token"]), Self(307, "", .configuration),
        Self(429, "", .later(after: .seconds(17)), headers: ["retry-after": "17"]), Self(429, "", .later(after: nil)),
        Self(503, #"{"error":"invalid_grant"}"#, .later(after: .seconds(3600)), headers: ["retry-after": "999999"]),
        Self(500, "", .later(after: nil), headers: ["retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"]), Self(502, "<html>", .later(after: nil)),
        Self(408, "", .later(after: nil), headers: ["retry-after": "-1"]),
        Self(200, "", .configuration), Self(200, "[]", .configuration), Self(200, "{}", .configuration), Self(200, "<html>", .configuration),
        Self(200, #"{"error":"invalid_grant"}"#, .grantOver),
        Self(200, #"{"access_token":"a"}"#, .configuration), Self(200, #"{"access_token":"","token_type":"Bearer"}"#, .configuration),
        Self(200, #"{"access_token":"a b","token_type":"Bearer"}"#, .configuration),
        Self(200, #"{"access_token":"a\nb","token_type":"Bearer"}"#, .configuration),
        Self(200, #"{"access_token":1,"token_type":"Bearer"}"#, .configuration),
        Self(200, #"{"access_token":"a","token_type":"DPoP"}"#, .configuration),
        Self(200, #"{"access_token":"a","token_type":"Bearer","refresh_token":""}"#, .configuration),
        Self(200, #"{"access_token":"a","token_type":"Bearer","scope":["x"]}"#, .configuration),
        Self(200, #"{"access_token":"a","token_type":"Bearer","access_token":"b"}"#, .configuration),
        Self(200, #"{"access_token":"\#(String(repeating: "a", count: 32_769))","token_type":"Bearer"}"#, .configuration),
        Self(200, #"{"access_token":"a","token_type":"Bearer","x":"\#(String(repeating: "x", count: 262_144))"}"#, .configuration),
    ]
}

struct TokenEndpointTests {
    @Test(arguments: Grievance.all)
    func `an answer without a token says who can do something about it`(_ grievance: Grievance) async throws {
        let rig = try IssuerRig.entra()
        rig.answer(rig.tokenURL, grievance.status, grievance.body, grievance.headers.map { ($0.key, $0.value) })
        for attempt in [{ _ = try await rig.redeem() }, { _ = try await rig.issuer.refresh(Secret("refresh-1"), scope: "openid") }] {
            let failure = await #expect(throws: IssuerFailure.self) { try await attempt() }
            #expect(failure?.kind == grievance.kind)
            #expect(failure?.azureCode == grievance.azureCode)
            #expect(failure?.isTerminal == (grievance.kind == .grantOver || grievance.kind == .interactionRequired))
        }
        #expect(rig.requests.allSatisfy { $0.endpoint.origin.description == "https://login.microsoftonline.com" })
    }

    @Test(arguments: [FetchFailure.unreachable("refused"), .lost("reset"), .timedOut(.seconds(10))])
    func `an endpoint that is away is worth asking again`(_ reason: FetchFailure) async throws {
        let rig = try IssuerRig.oidc()
        rig.fail(rig.tokenURL, reason)
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.redeem() }
        #expect(failure?.kind == .later(after: nil))
        #expect(failure?.isTerminal == false)
    }

    /// An issuer may write into its error texts whatever the request held.
    @Test(arguments: [
        #"{"error":"invalid_client","error_description":"AADSTS7000215: s3cr~t/+=value the-code the-verifier refresh-1 Basic Z2F0ZXdheQ=="}"#,
        #"{"error":"s3cr~t/+=value"}"#, #"{"error":"the-code","error_codes":[7]}"#, "s3cr~t/+=value the-verifier refresh-1",
        #"{"access_token":"the-code"}"#,
    ])
    func `no failure repeats a secret`(_ body: String) async throws {
        let rig = try IssuerRig.oidc()
        for status in [200, 302, 400, 401, 500] {
            rig.answer(rig.tokenURL, status, body)
            for attempt in [{ _ = try await rig.redeem() }, { _ = try await rig.issuer.refresh(Secret("refresh-1"), scope: "openid") }] {
                let failure = await #expect(throws: IssuerFailure.self) { try await attempt() }
                let text = "\(failure.map { String(reflecting: $0) } ?? "") \(failure?.description ?? "") \(failure?.code ?? "")"
                for secret in [IssuerRig.secret, "s3cr", "the-code", "the-verifier", "refresh-1", "Basic"] {
                    #expect(!text.contains(secret), "\(text)")
                }
            }
        }
    }

    @Test(
        arguments: [
            ("3600", 3600), (#""3599""#, 3599), ("0", 1), ("-5", 1), ("null", 300), (#""soon""#, 300), ("1e9", 300),
            ("9223372036854775807", 30 * 86_400),
            ("864000", 864_000), (nil, 300),
        ] as [(String?, Int)])
    func `a token's life is believed within bounds`(_ written: String?, _ seconds: Int) async throws {
        let rig = try IssuerRig.oidc()
        rig.grant(["expires_in": written])
        #expect(try await rig.issuer.refresh(Secret("r"), scope: "openid").expiresAt == .now + .seconds(seconds))
    }

    @Test func `a code is sent once, whatever comes back`() async throws {
        let rig = try IssuerRig.oidc()
        rig.answer(rig.tokenURL, 503, "")
        await #expect(throws: IssuerFailure.self) { try await rig.redeem() }
        #expect(rig.count("/token") == 1)
    }
}
