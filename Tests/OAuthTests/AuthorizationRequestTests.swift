import Gateway
import Testing

@testable import OAuth

struct AuthorizationRequestTests {
    static let resource = "https://gateway.example/mcp"
    static let good: [(name: String, value: String)] = [
        ("client_id", "mreg-c1.x.y"), ("redirect_uri", "http://127.0.0.1:5000/cb"), ("response_type", "code"), ("state", "s+%&é"),
        ("code_challenge", PKCETests.challenge), ("code_challenge_method", "S256"), ("resource", resource), ("scope", "mcp:tools foreign"),
    ]

    static func changed(_ name: String, _ value: String?) -> [(name: String, value: String)] {
        good.filter { $0.name != name } + (value.map { [(name, $0)] } ?? [])
    }

    static func read(
        _ pairs: [(name: String, value: String)], from client: ClientMetadata? = nil, defaultResources: [String] = [resource]
    ) throws -> AuthorizationRequest.Reading {
        AuthorizationRequest.read(
            Parameters(pairs), from: try client ?? registered("http://127.0.0.1/cb", "https://app.example/cb?a=b"), issuer: "https://gateway.example",
            defaultScopes: ["mcp:tools"], isOurs: { $0.lowercased() == resource ? resource : nil }, defaultResources: defaultResources)
    }

    static func accepted(_ pairs: [(name: String, value: String)]) throws -> AuthorizationRequest? {
        guard case .accepted(let request) = try read(pairs) else { return nil }
        return request
    }

    @Test func `a good request is accepted as it is`() throws {
        let request = try #require(try Self.accepted(Self.good))
        #expect(request.clientID == "mreg-c1.x.y")
        #expect(request.redirectURI.text == "http://127.0.0.1:5000/cb")
        #expect(request.isRedirectURINamed)
        #expect(request.state == "s+%&é")
        #expect(request.challenge.text == PKCETests.challenge)
        #expect(request.scopes == ["mcp:tools"])
        #expect(request.resources == [Self.resource])
        #expect(request.nonce == nil && request.prompts.isEmpty)
    }

    @Test func `what may be left out has its default`() throws {
        #expect(try Self.accepted(Self.changed("scope", nil))?.scopes == ["mcp:tools"])
        #expect(try Self.accepted(Self.changed("resource", nil))?.resources == [Self.resource])
        #expect(try Self.accepted(Self.changed("state", nil)) != nil)
        #expect(try Self.accepted(Self.changed("state", nil))?.state == nil)
        let pairs = Self.good + [("nonce", "n"), ("prompt", "login consent create"), ("response_mode", "query"), ("unknown", "1"), ("unknown", "2")]
        let request = try #require(try Self.accepted(pairs))
        #expect(request.nonce == "n")
        #expect(request.prompts == [.login, .consent])
    }

    @Test func `the only redirect URI need not be named`() throws {
        let reading = try Self.read(Self.changed("redirect_uri", nil), from: registered("cursor://x/cb"))
        guard case .accepted(let request) = reading else { throw OAuthError(.serverError, "\(reading)") }
        #expect(request.redirectURI.text == "cursor://x/cb")
        #expect(!request.isRedirectURINamed)
    }

    @Test func `a resource is taken in its canonical form, each once`() throws {
        #expect(try Self.accepted(Self.good + [("resource", "HTTPS://Gateway.example/mcp")])?.resources == [Self.resource])
    }

    @Test(arguments: [
        changed("client_id", nil), good + [("client_id", "mreg-c1.x.y")], good + [("client_id", "other")], changed("redirect_uri", nil),
        changed("redirect_uri", "https://evil.example/cb"), changed("redirect_uri", "http://127.0.0.1:5000/cb/"),
        changed("redirect_uri", "javascript:alert(1)"),
        good + [("redirect_uri", "https://app.example/cb?a=b")], good + [("redirect_uri", "http://127.0.0.1:5000/cb")],
        changed("client_id", String(repeating: "c", count: 2049)), changed("redirect_uri", "http://127.0.0.1:5000/cb\r\nx: y"), [],
        // Whatever else is wrong: nobody is redirected who is not known.
        [("redirect_uri", "https://evil.example/cb"), ("client_id", "x"), ("response_type", "token")],
    ])
    func `an unknown place is not redirected to`(_ pairs: [(name: String, value: String)]) throws {
        guard case .refusedHere(let error) = try Self.read(pairs) else {
            Issue.record("redirected")
            return
        }
        #expect(error.code == .invalidRequest)
    }

    @Test(
        arguments: [
            (changed("response_type", nil), .invalidRequest), (changed("response_type", "token"), .unsupportedResponseType),
            (changed("response_type", "code token"), .unsupportedResponseType), (changed("response_type", "none"), .unsupportedResponseType),
            (changed("code_challenge", nil), .invalidRequest), (changed("code_challenge", "short"), .invalidRequest),
            (changed("code_challenge_method", nil), .invalidRequest), (changed("code_challenge_method", "plain"), .invalidRequest),
            (changed("resource", "https://evil.example/mcp"), .invalidTarget), (good + [("resource", "https://evil.example/mcp")], .invalidTarget),
            (good + Array(repeating: ("resource", resource), count: 10), .invalidTarget),
            (changed("resource", String(repeating: "r", count: 5000)), .invalidTarget),
            (changed("scope", "a\"b"), .invalidScope), (changed("scope", "foreign"), .invalidScope), (changed("scope", "a  b"), .invalidScope),
            (good + [("request", "ey")], .requestNotSupported), (good + [("request_uri", "https://x")], .requestURINotSupported),
            (good + [("response_mode", "fragment")], .invalidRequest), (good + [("response_mode", "form_post")], .invalidRequest),
            (good + [("scope", "mcp:tools")], .invalidRequest), (good + [("response_type", "code")], .invalidRequest),
            (good + [("code_challenge", PKCETests.challenge)], .invalidRequest), (good + [("code_challenge_method", "S256")], .invalidRequest),
            (good + [("nonce", "a"), ("nonce", "b")], .invalidRequest), (good + [("nonce", String(repeating: "n", count: 513))], .invalidRequest),
            (good + [("prompt", "none login")], .invalidRequest), (good + [("prompt", "login"), ("prompt", "login")], .invalidRequest),
        ] as [([(name: String, value: String)], OAuthError.Code)])
    func `every other error is the client's, with its state and who says so`(_ pairs: [(name: String, value: String)], _ code: OAuthError.Code) throws
    {
        guard case .refusedThere(let error, let response) = try Self.read(pairs) else {
            Issue.record("not redirected")
            return
        }
        #expect(error.code == code)
        let url = response.url(error: error)
        #expect(url.hasPrefix("http://127.0.0.1:5000/cb?error=\(code.rawValue)&error_description="))
        #expect(url.hasSuffix("&state=s%2B%25%26%C3%A9&iss=https%3A%2F%2Fgateway.example"))
        #expect(url.utf8.allSatisfy { (0x21...0x7E).contains($0) })
    }

    @Test func `a state that is too long or there twice is not sent back`() throws {
        for pairs in [Self.good + [("state", "t")], Self.changed("state", String(repeating: "s", count: 1025))] {
            guard case .refusedThere(let error, let response) = try Self.read(pairs) else {
                Issue.record("not redirected")
                return
            }
            #expect(error.code == .invalidRequest)
            #expect(!response.url(error: error).contains("state="))
        }
        #expect(try Self.accepted(Self.changed("state", String(repeating: "s", count: 1024))) != nil)
    }

    @Test func `a client that may not ask for codes, or names no resource where it has to, is told so`() throws {
        let pairs = Self.changed("resource", nil)
        guard case .refusedThere(let error, _) = try Self.read(pairs, defaultResources: []) else {
            Issue.record("not redirected")
            return
        }
        #expect(error.code == .invalidTarget)
        let job = try ClientMetadata(
            name: "Job", redirectURIs: [RedirectURI("http://127.0.0.1/cb")], applicationType: .native, authentication: .clientSecretBasic,
            grantTypes: [.clientCredentials])
        guard case .refusedThere(let other, _) = try Self.read(Self.good, from: job) else {
            Issue.record("not redirected")
            return
        }
        #expect(other.code == .unauthorizedClient)
    }

    @Test(arguments: [
        ("https://app.example/cb", "https://app.example/cb?"), ("https://app.example/cb?", "https://app.example/cb?"),
        ("https://app.example/cb?a=b", "https://app.example/cb?a=b&"), ("https://app.example/cb?a=b&", "https://app.example/cb?a=b&"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000?"), ("cursor://x/cb", "cursor://x/cb?"), ("com.example:/", "com.example:/?"),
    ])
    func `the answer is added to what the URI has`(_ uri: String, _ beginning: String) throws {
        let response = AuthorizationResponse(to: try RedirectURI(uri), state: "a b", issuer: "https://gateway.example")
        let code = AuthorizationCode.random()
        #expect(
            response.url(code: code.text).revealed == "\(beginning)code=\(code.text.revealed)&state=a%20b&iss=https%3A%2F%2Fgateway.example")
        let silent = AuthorizationResponse(to: try RedirectURI(uri), state: nil, issuer: "https://gateway.example")
        #expect(silent.url(code: code.text).revealed == "\(beginning)code=\(code.text.revealed)&iss=https%3A%2F%2Fgateway.example")
    }

    @Test func `a description has the characters that the RFC allows`() {
        #expect(OAuthError(.invalidRequest, "“a” \"b\" \\ é ’\n").errorDescription == "'a' 'b' ? ? '?")
    }

    @Test func `whatever pairs come, nothing traps, and nobody unknown is redirected to`() throws {
        var random = SplitMix(seed: 17)
        let client = try registered("http://127.0.0.1/cb", "https://app.example/cb")
        let values = Self.good.map(\.value) + ["", "\0", "none", "https://evil.example/cb", "http://127.0.0.1:5000/cb#", "plain", "ü"]
        for _ in 0..<5_000 {
            var pairs = Self.good
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let name = Self.good.randomElement(using: &random)?.name ?? ""
                let value = values.randomElement(using: &random) ?? ""
                if Bool.random(using: &random) {
                    pairs.append((name, value))
                } else {
                    pairs = pairs.map { $0.name == name ? (name, value) : $0 }
                }
            }
            switch try Self.read(pairs, from: client) {
            case .accepted(let request):
                #expect(client.redirectURIs.contains { $0.isMatched(by: request.redirectURI.text) })
                #expect(request.resources == [Self.resource] && request.scopes.isSubset(of: .known))
            case .refusedHere: break
            case .refusedThere(_, let response): #expect(client.redirectURIs.contains { $0.isMatched(by: response.redirectURI.text) })
            }
        }
    }
}
