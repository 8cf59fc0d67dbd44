import Gateway
import JWTKit
import Synchronization
import Testing

@testable import FakeEntra

/// Making one takes a while, and no test is about which it is.
private let key: FakeEntra.SigningKey = {
    do { return try .generate() } catch { fatalError("no key: \(error)") }
}()

struct Failed: Error {
    let what: String
    init(_ what: String) { self.what = what }
}

/// What `#require` does, where one stands inside the other.
func found<Value>(_ value: Value?, sourceLocation: SourceLocation = #_sourceLocation) throws -> Value {
    guard let value else {
        Issue.record("There is nothing here.", sourceLocation: sourceLocation)
        throw Failed("nothing was found")
    }
    return value
}

/// The issuer of evaluation mode with a clock that stands still, and a relying party registered with it.
final class Rig: Sendable {
    static let redirectURI = "http://localhost:8001/oauth/callback"
    static let start = Timestamp(microseconds: 1_800_000_000_500_000)
    static let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    /// Of RFC 7636, appendix B.
    static let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

    let fake: FakeEntra
    let registration: FakeEntra.Registration
    let clock: Clock

    final class Clock: Sendable {
        private let time = Mutex(Rig.start)
        var now: Timestamp { time.withLock { $0 } }
        func advance(_ duration: Duration) { time.withLock { $0 = $0.advanced(by: duration) } }
    }

    init(directory: FakeEntra.Directory = .evaluation(), v1Issuer: String? = nil) throws {
        let clock = Clock()
        self.clock = clock
        fake = try FakeEntra(directory: directory, v1Issuer: v1Issuer, signingKey: key) { clock.now }
        registration = fake.registration(redirectURIs: [Self.redirectURI])
    }

    var tenant: String { registration.tenantID }
    var client: String { registration.clientID }
    var scope: String { registration.scopes[0] }

    // MARK: - Requests

    func send(
        _ method: String, _ path: String, query: [String: String] = [:], headers: [(name: String, value: String)] = [], body: [UInt8] = []
    ) throws -> FakeEntra.Reply {
        let incoming = FakeEntra.Incoming(method, path, query: Self.encoded(query), headers: headers, body: body)
        guard case .reply(let reply, _) = fake.answer(incoming) else { throw Failed("the connection ended") }
        return reply
    }

    func post(_ path: String, _ form: [String: String], headers: [(name: String, value: String)] = []) throws -> FakeEntra.Reply {
        try send(
            "POST", path, headers: [("content-type", "application/x-www-form-urlencoded")] + headers, body: Array(Self.encoded(form).utf8))
    }

    static func encoded(_ parameters: [String: String]) -> String {
        parameters.map { "\(Parameters.encode($0.key))=\(Parameters.encode($0.value))" }.sorted().joined(separator: "&")
    }

    /// An authorization request as the gateway makes it; nil takes a parameter away.
    func authorize(_ changes: [String: String?] = [:], at tenant: String? = nil) throws -> FakeEntra.Reply {
        var query: [String: String] = [
            "client_id": client, "redirect_uri": Self.redirectURI, "response_type": "code",
            "scope": "openid profile email offline_access \(scope)", "state": "s t&te", "nonce": "n-0S6", "code_challenge": Self.challenge,
            "code_challenge_method": "S256",
        ]
        for (name, value) in changes { query[name] = value }
        return try send("GET", "/\(tenant ?? self.tenant)/oauth2/v2.0/authorize", query: query)
    }

    func token(_ form: [String: String?], at tenant: String? = nil, headers: [(name: String, value: String)] = []) throws -> FakeEntra.Reply {
        let credentials = headers.isEmpty ? ["client_id": client, "client_secret": registration.clientSecret.revealed] : [:]
        var whole = credentials
        for (name, value) in form { whole[name] = value }
        return try post("/\(tenant ?? self.tenant)/oauth2/v2.0/token", whole, headers: headers)
    }

    // MARK: - Flows

    /// A code for a user, without the page.
    func code(for user: String, _ changes: [String: String?] = [:], at tenant: String? = nil) throws -> String {
        let reply = try authorize(["prompt": "none", "login_hint": user].merging(changes) { $1 }, at: tenant)
        return try found(reply.redirect["code"])
    }

    func redeem(_ code: String, _ changes: [String: String?] = [:]) throws -> FakeEntra.Reply {
        let form: [String: String?] = [
            "grant_type": "authorization_code", "code": code, "redirect_uri": Self.redirectURI, "code_verifier": Self.verifier, "scope": scope,
        ]
        return try token(form.merging(changes) { $1 })
    }

    /// What the token endpoint answers after a user signed in.
    func signIn(_ user: String) throws -> FakeEntra.Value { try found(try redeem(code(for: user)).json) }

    func refresh(_ token: String, _ changes: [String: String?] = [:]) throws -> FakeEntra.Reply {
        try self.token(["grant_type": "refresh_token", "refresh_token": token, "scope": "offline_access openid \(scope)"].merging(changes) { $1 })
    }

    /// A token for Graph, for a user.
    func graphToken(_ user: String) throws -> String {
        let scope = "https://graph.microsoft.com/User.Read"
        let reply = try redeem(code(for: user, ["scope": "openid \(scope)"]), ["scope": scope])
        return try found(reply.json?["access_token"]?.string)
    }

    /// The key set as a relying party would read it.
    func keySet() async throws -> JWTKeyCollection {
        let text = String(decoding: try send("GET", "/\(tenant)/discovery/v2.0/keys").body, as: UTF8.self)
        return try await JWTKeyCollection().add(jwksJSON: text)
    }
}

extension FakeEntra.Reply {
    var json: FakeEntra.Value? { FakeEntra.Value(parsing: body) }
    var text: String { String(decoding: body, as: UTF8.self) }

    /// The parameters of the URL it redirects to.
    var redirect: Parameters {
        Parameters(self["location"].flatMap { $0.split(separator: "?", maxSplits: 1).dropFirst().first.map(String.init) } ?? "")
    }

    /// The number behind `AADSTS`, wherever the reply has it.
    var failure: Int? {
        let texts = [json?["error_description"]?.string, redirect["error_description"], text]
        return texts.compactMap { $0 }.compactMap { text in
            text.firstRange(of: "AADSTS").flatMap { Int(text[$0.upperBound...].prefix { $0.isNumber }) }
        }.first
    }

    /// The value of the hidden field of a page.
    var request: String? {
        text.firstRange(of: #"name="request" value=""#).map { String(text[$0.upperBound...].prefix { $0 != "\"" }) }
    }
}

/// A token's claims, read without a look at the signature.
func claims(_ token: String?) throws -> FakeEntra.Value {
    let parts = try found(token).split(separator: ".")
    return try found(Base64URL.decode(try found(parts.dropFirst().first)).flatMap { FakeEntra.Value(parsing: $0) })
}

func header(_ token: String?) throws -> FakeEntra.Value {
    let parts = try found(token).split(separator: ".")
    return try found(Base64URL.decode(try found(parts.first)).flatMap { FakeEntra.Value(parsing: $0) })
}

/// Any claims, for a library that is not ours to check a signature.
struct AnyClaims: JWTPayload {
    let iss: String
    let aud: String
    func verify(using algorithm: some JWTAlgorithm) throws {}
}
