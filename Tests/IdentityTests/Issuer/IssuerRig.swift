import Crypto
import Foundation
import Gateway
import Identity
import OAuth
import Synchronization

/// An issuer made of literals: what it publishes and answers can be changed at any time, every request to it is written
/// down, and time passes only when it is told to. It signs with real keys.
struct IssuerRig: Sendable {
    struct State: Sendable {
        var now = Moment(wall: .now, boot: BootInstant(nanoseconds: 1_000_000_000_000))
        /// By URL; what is not here cannot be reached.
        var answers: [String: Result<FetchedAnswer, FetchFailure>] = [:]
        var gates: [String: @Sendable () async -> Void] = [:]
        var requests: [FetchRequest] = []
        var reports: [IssuerFailure] = []
    }

    final class World: Sendable {
        let state = Mutex(State())
    }

    static let issuer = "https://issuer.example"
    static let client = "gateway-client"
    static let secret = "s3cr~t/+=value"
    static let redirect = "https://gateway.example/oauth/callback"
    static let nonce = "n-0123456789abcdef"
    static let tenant = "7c9f1f6a-2f4b-4b1e-9a55-0d2c3f4a5b6c"
    static let user = "11111111-2222-3333-4444-555555555555"

    let settings: IssuerSettings
    let issuer: Issuer
    let world = World()

    init(_ settings: IssuerSettings) {
        self.settings = settings
        let world = world
        let fetcher = Fetcher { (request) async throws(FetchFailure) -> FetchedAnswer in
            let url = request.endpoint.description
            let gate = world.state.withLock { state in
                state.requests.append(request)
                return state.gates[url]
            }
            await gate?()
            return try world.state.withLock { $0.answers[url] ?? .failure(.unreachable("there is nothing")) }.get()
        }
        issuer = Issuer(
            settings, fetcher: fetcher, now: { world.state.withLock { $0.now } },
            report: { failure in world.state.withLock { $0.reports.append(failure) } })
    }

    /// An OpenID Connect issuer with an RSA key and a P-256 key, at https://issuer.example.
    static func oidc(
        secret: String? = Self.secret, metadata: [String: String?] = [:], change: (inout IssuerSettings) -> Void = { _ in }
    ) throws -> IssuerRig {
        var settings = try IssuerSettings(
            .oidc(issuer: issuer), clientID: client, clientSecret: secret.map { Secret($0) }, redirectURI: redirect)
        change(&settings)
        let rig = IssuerRig(settings)
        rig.publish(metadata: Self.metadata(metadata))
        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk(), JWKText.p256()))
        return rig
    }

    /// Entra ID.
    static func entra(
        tenant: String = Self.tenant, allowed: Set<String> = [], secret: String? = Self.secret,
        authority: String = "https://login.microsoftonline.com",
        graph: String? = nil, metadata: [String: String?] = [:], change: (inout IssuerSettings) -> Void = { _ in }
    ) throws -> IssuerRig {
        var settings = try IssuerSettings(
            .entra(.init(authority: authority, tenant: tenant, allowedTenants: allowed, graph: graph)), clientID: client,
            clientSecret: secret.map { Secret($0) }, redirectURI: redirect)
        change(&settings)
        let rig = IssuerRig(settings)
        let base = "\(authority)/\(tenant)"
        rig.publish(
            metadata: object(
                [
                    "issuer": "\"\(authority)/\(tenant == "organizations" || tenant == "common" ? "{tenantid}" : tenant)/v2.0\"",
                    "authorization_endpoint": "\"\(base)/oauth2/v2.0/authorize\"", "token_endpoint": "\"\(base)/oauth2/v2.0/token\"",
                    "jwks_uri": "\"\(base)/discovery/v2.0/keys\"", "userinfo_endpoint": #""https://graph.microsoft.com/oidc/userinfo""#,
                    "token_endpoint_auth_methods_supported": #"["client_secret_post","private_key_jwt","client_secret_basic"]"#,
                ], metadata), at: "\(base)/v2.0/.well-known/openid-configuration")
        rig.publish(keys: JWKText.set(IssuerTestKeys.rsa.jwk()), at: "\(base)/discovery/v2.0/keys")
        return rig
    }

    // MARK: What it publishes

    static func metadata(_ changes: [String: String?] = [:]) -> String {
        object(
            [
                "issuer": "\"\(issuer)\"", "authorization_endpoint": "\"\(issuer)/authorize\"", "token_endpoint": "\"\(issuer)/token\"",
                "jwks_uri": "\"\(issuer)/keys\"", "code_challenge_methods_supported": #"["S256"]"#,
                // As a real one does: none of our business.
                "id_token_signing_alg_values_supported": #"["none","HS256","RS256"]"#,
            ], changes)
    }

    static func object(_ members: [String: String], _ changes: [String: String?] = [:]) -> String {
        let all = members.mapValues { Optional($0) }.merging(changes) { $1 }
        return "{\(all.compactMap { name, value in value.map { "\"\(name)\":\($0)" } }.sorted().joined(separator: ","))}"
    }

    func publish(metadata: String, at url: String = "\(Self.issuer)/.well-known/openid-configuration", cacheControl: String? = nil) {
        answer(url, 200, metadata, cacheControl.map { [("cache-control", $0)] } ?? [])
    }

    func publish(keys: String, at url: String = "\(Self.issuer)/keys", cacheControl: String? = nil) {
        answer(url, 200, keys, cacheControl.map { [("cache-control", $0)] } ?? [])
    }

    func answer(_ url: String, _ status: Int, _ body: String, _ headers: [(String, String)] = []) {
        let answer = FetchedAnswer(status: status, headers: headers.map { (name: $0.0, value: $0.1) }, body: Array(body.utf8))
        world.state.withLock { $0.answers[url] = .success(answer) }
    }

    func fail(_ url: String, _ failure: FetchFailure) { world.state.withLock { $0.answers[url] = .failure(failure) } }

    /// What the token endpoint answers to whatever it is asked next.
    func grant(idToken: String? = nil, refreshToken: String? = "refresh-1", _ changes: [String: String?] = [:], at url: String? = nil) {
        answer(
            url ?? tokenURL, 200,
            Self.object(
                ["access_token": #""access-1""#, "token_type": #""Bearer""#, "expires_in": "3600"],
                ["id_token": idToken.map { "\"\($0)\"" }, "refresh_token": refreshToken.map { "\"\($0)\"" }].merging(changes) { $1 }))
    }

    var tokenURL: String {
        switch settings.kind {
        case .oidc: "\(Self.issuer)/token"
        case .entra(let entra):
            switch entra.tenant {
            case .one(let id): "\(entra.authority)/\(id)/oauth2/v2.0/token"
            case .organizations: "\(entra.authority)/organizations/oauth2/v2.0/token"
            case .common: "\(entra.authority)/common/oauth2/v2.0/token"
            }
        }
    }

    // MARK: What happens

    func pass(_ duration: Duration) {
        world.state.withLock { state in
            state.now = Moment(wall: state.now.wall.advanced(by: duration), boot: state.now.boot.advanced(by: duration))
        }
    }

    /// Requests to this URL wait for the gate before they are answered.
    func gate(_ url: String, _ gate: (@Sendable () async -> Void)?) { world.state.withLock { $0.gates[url] = gate } }

    var requests: [FetchRequest] { world.state.withLock { $0.requests } }
    var reports: [IssuerFailure] { world.state.withLock { $0.reports } }
    func count(_ path: String) -> Int { requests.count { $0.endpoint.path == path } }

    /// The fields of the last form that was posted.
    var form: [String: String] {
        guard let body = requests.last(where: { $0.method == .post })?.body else { return [:] }
        let pairs = String(decoding: body, as: UTF8.self).split(separator: "&").map { $0.split(separator: "=", omittingEmptySubsequences: false) }
        return Dictionary(pairs.map { (String($0[0]), String($0[1]).removingPercentEncoding ?? "") }) { _, _ in "twice" }
    }

    func redeem(nonce: String = Self.nonce) async throws(IssuerFailure) -> (ExternalIdentity, IssuerTokens) {
        try await issuer.redeem(code: Secret("the-code"), verifier: Secret("the-verifier"), redirectURI: Self.redirect, nonce: nonce)
    }

    /// Redeems a code for this ID token.
    func signIn(_ idToken: String) async throws(IssuerFailure) -> ExternalIdentity {
        grant(idToken: idToken)
        return try await redeem().0
    }
}

/// Writes ID tokens, right or wrong: each member is given as JSON, nil leaves it out.
enum IDTokenText {
    typealias Signer = @Sendable (Data) async throws -> Data

    static let rsa: Signer = { try await IssuerTestKeys.rsa.sign($0) }
    static let p256: Signer = { try IssuerTestKeys.p256.signature(for: $0).rawRepresentation }

    static let header = ["alg": #""RS256""#, "typ": #""JWT""#, "kid": #""key-1""#]
    static let claims = [
        "iss": "\"\(IssuerRig.issuer)\"", "sub": #""ada""#, "aud": "\"\(IssuerRig.client)\"", "iat": "1800000000", "exp": "1800003600",
        "nonce": "\"\(IssuerRig.nonce)\"", "name": #""Ada Lovelace""#, "email": #""ada@example.test""#,
    ]
    static let entraClaims = [
        "iss": "\"https://login.microsoftonline.com/\(IssuerRig.tenant)/v2.0\"", "ver": #""2.0""#, "tid": "\"\(IssuerRig.tenant)\"",
        "oid": "\"\(IssuerRig.user)\"", "sub": #""pairwise""#, "aud": "\"\(IssuerRig.client)\"", "iat": "1800000000", "nbf": "1800000000",
        "exp": "1800003600", "nonce": "\"\(IssuerRig.nonce)\"", "name": #""Ada Lovelace""#, "preferred_username": #""ada@contoso.test""#,
    ]

    static func oidc(
        header headerChanges: [String: String?] = [:], claims changes: [String: String?] = [:], sign: Signer = rsa
    ) async throws -> String {
        try await signed(IssuerRig.object(header, headerChanges), IssuerRig.object(claims, changes), sign)
    }

    static func entra(
        header headerChanges: [String: String?] = [:], claims changes: [String: String?] = [:], sign: Signer = rsa
    ) async throws -> String {
        try await signed(IssuerRig.object(header, headerChanges), IssuerRig.object(entraClaims, changes), sign)
    }

    static func signed(_ header: String, _ claims: String, _ sign: Signer = rsa) async throws -> String {
        let text = Gatehouse.base64URL(Data(header.utf8)) + "." + Gatehouse.base64URL(Data(claims.utf8))
        return text + "." + Gatehouse.base64URL(try await sign(Data(text.utf8)))
    }
}
