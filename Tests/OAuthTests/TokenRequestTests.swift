import Gateway
import Testing

@testable import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

struct TokenRequestTests {
    static let resource = "https://gateway.example/mcp"
    static let code = "grant_type=authorization_code&code=mrc_x&redirect_uri=cursor%3A%2F%2Fx%2Fcb&client_id=c&code_verifier=\(PKCETests.verifier)"
    static let refresh = "grant_type=refresh_token&refresh_token=mrr_x&client_id=c"

    static func read(_ form: String, _ authorization: String...) throws -> TokenRequest {
        try TokenRequest(Parameters(encoded: form.utf8), authorization: authorization) { $0 == resource ? resource : nil }
    }

    static func basic(_ text: String) -> String { "Basic " + Data(text.utf8).base64EncodedString() }

    @Test func `a code is exchanged by a public client`() throws {
        let request = try Self.read(Self.code + "&resource=https%3A%2F%2Fgateway.example%2Fmcp")
        guard case .authorizationCode(let code, let uri, let verifier) = request.grant, case .none = request.client.proof else {
            Issue.record("another grant")
            return
        }
        #expect(code.revealed == "mrc_x")
        #expect(uri == "cursor://x/cb")
        #expect(verifier.text.revealed == PKCETests.verifier)
        #expect(request.client.clientID == "c")
        #expect(request.resources == [Self.resource])
    }

    @Test func `a refresh may ask for less`() throws {
        guard case .refresh(let token, let scopes) = try Self.read(Self.refresh + "&scope=mcp:tools").grant else {
            Issue.record("another grant")
            return
        }
        #expect(token.revealed == "mrr_x")
        #expect(scopes == ["mcp:tools"])
        guard case .refresh(_, nil) = try Self.read(Self.refresh).grant else {
            Issue.record("scopes that nobody asked for")
            return
        }
    }

    @Test func `a client proves who it is by header, form or assertion`() throws {
        let form = "grant_type=client_credentials"
        for (id, header) in [("job", "job:s%2Be+c"), ("https://app.example/c", "https%3A%2F%2Fapp.example%2Fc:s%2Be+c")] {
            let client = try Self.read(form, Self.basic(header)).client
            guard case .basic(let secret) = client.proof else {
                Issue.record("no secret")
                return
            }
            #expect(client.clientID == id)
            #expect(secret.revealed == "s+e c")
        }
        guard case .post(let secret) = try Self.read(form + "&client_id=job&client_secret=s%2Be+c").client.proof else {
            Issue.record("no secret")
            return
        }
        #expect(secret.revealed == "s+e c")
        let assertion = form + "&client_assertion=a.b-_.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        let client = try Self.read(assertion).client
        guard case .assertion(let jwt) = client.proof else {
            Issue.record("no assertion")
            return
        }
        #expect(client.clientID == nil)
        #expect(jwt.revealed == "a.b-_.c")
        #expect(try Self.read(assertion + "&client_id=job").client.clientID == "job")
        // A public client of a library that always sends the header.
        guard case .none = try Self.read(Self.refresh, Self.basic("c:")).client.proof else {
            Issue.record("an empty secret is none")
            return
        }
    }

    @Test(
        arguments: [
            ("", .invalidRequest), ("grant_type=", .invalidRequest), ("grant_type=password&client_id=c", .unsupportedGrantType),
            ("grant_type=implicit&client_id=c", .unsupportedGrantType), ("grant_type=Authorization_code&client_id=c", .unsupportedGrantType),
            ("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&client_id=c", .unsupportedGrantType),
            ("grant_type=refresh_token&grant_type=refresh_token&refresh_token=x&client_id=c", .invalidRequest),
            ("grant_type=refresh_token&client_id=c", .invalidRequest), ("grant_type=refresh_token&refresh_token=x", .invalidClient),
            ("grant_type=authorization_code&client_id=c&code_verifier=\(PKCETests.verifier)", .invalidRequest),
            ("grant_type=authorization_code&client_id=c&code=x", .invalidRequest),
            ("grant_type=authorization_code&client_id=c&code=x&code_verifier=short", .invalidRequest),
            (code + "&code=mrc_x", .invalidRequest), (code + "&client_id=c", .invalidRequest), (code + "&x=1&x=1", .invalidRequest),
            (code + "&redirect_uri=cursor%3A%2F%2Fx%2Fcb", .invalidRequest), (code + "&code_verifier=\(PKCETests.verifier)", .invalidRequest),
            (code + "&resource=https%3A%2F%2Fevil.example", .invalidTarget), (code + "&scope=a%22b", .invalidScope),
            (code + "&client_assertion=a.b.c", .invalidRequest), (code + "&client_assertion_type=x", .invalidRequest),
            (code + "&client_assertion=a.b.c&client_assertion_type=x", .invalidRequest),
            (code + "&client_assertion=a.b&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer", .invalidRequest),
            (
                code + "&client_assertion=a.b.%00&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
                .invalidRequest
            ),
            (
                code
                    + "&client_secret=x&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
                .invalidRequest
            ),
            ("grant_type=refresh_token&client_id=c&refresh_token=" + String(repeating: "x", count: 513), .invalidGrant),
            (code + "&%zz=1", .invalidRequest),
        ] as [(String, OAuthError.Code)])
    func `a form that does not keep the rules is refused with the code of the RFC`(_ form: String, _ code: OAuthError.Code) {
        let error = #expect(throws: OAuthError.self) { try Self.read(form) }
        #expect(error?.code == code)
    }

    @Test(arguments: [
        basic("other:x"), basic("c"), basic(":x"), basic("c%:x"), basic("c:%zz"), basic("c:%FF"), "Basic", "Basic ", "Basic !!!!", "Bearer abc", "",
        "Basic " + String(repeating: "A", count: 9000), "Basic YzpQ=", "Basic Yzp4 Yzp4",
    ])
    func `a header that names no client, or another one, is refused`(_ header: String) {
        let error = #expect(throws: OAuthError.self) { try Self.read(Self.refresh, header) }
        #expect(error?.code == .invalidRequest)
    }

    @Test func `two ways at once are refused`() {
        #expect(throws: OAuthError.self) { try Self.read(Self.refresh + "&client_secret=x", Self.basic("c:x")) }
        #expect(throws: OAuthError.self) { try Self.read(Self.refresh, Self.basic("c:x"), Self.basic("c:x")) }
        #expect(throws: OAuthError.self) {
            try Self.read(
                Self.refresh + "&client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
                Self.basic("c:x"))
        }
    }

    @Test func `whatever bytes come, nothing traps`() {
        var random = SplitMix(seed: 19)
        for _ in 0..<5_000 {
            var form = Array((Bool.random(using: &random) ? Self.code : Self.refresh).utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                form[Int.random(in: form.indices, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            }
            let header = "Basic " + Data(random.bytes(upTo: 12)).base64EncodedString()
            _ = try? TokenRequest(Parameters(encoded: form), authorization: Bool.random(using: &random) ? [header] : []) { $0 }
            _ = try? TokenRequest(
                Parameters(encoded: random.bytes(upTo: 40)), authorization: [String(decoding: random.bytes(upTo: 20), as: UTF8.self)]
            ) { $0 }
        }
    }
}
