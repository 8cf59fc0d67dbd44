import Gateway
import Testing

@testable import OAuth

struct ClientRegistrationTests {
    static func read(_ json: String, isEvaluation: Bool = false) throws -> ClientMetadata {
        try ClientMetadata(registration: Array(json.utf8), isEvaluation: isEvaluation)
    }

    @Test func `what an editor sends is registered as a public native client`() throws {
        let metadata = try Self.read(
            #"""
            {"client_name": "Visual Studio Code", "client_uri": "https://code.visualstudio.com",
             "redirect_uris": ["https://insiders.vscode.dev/redirect", "https://vscode.dev/redirect", "http://127.0.0.1/", "http://127.0.0.1:33418/"],
             "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
             "response_types": ["code"], "token_endpoint_auth_method": "none", "logo_uri": "https://x/y.png", "contacts": null}
            """#)
        #expect(metadata.name == "Visual Studio Code")
        #expect(metadata.redirectURIs.count == 4)
        #expect(metadata.applicationType == .native)
        #expect(metadata.grantTypes == [.authorizationCode, .refreshToken])
        #expect(metadata.clientURI == "https://code.visualstudio.com")
        #expect(metadata.redirectURI(for: "http://127.0.0.1:59656/")?.text == "http://127.0.0.1:59656/")
        #expect(metadata.redirectURI(for: nil) == nil)
        #expect(!metadata.isLoopbackOnly)
    }

    @Test func `the least that is a registration is one redirect URI`() throws {
        let metadata = try Self.read(#"{"redirect_uris":["http://localhost:3000/cb"]}"#)
        #expect(metadata.name == "Client at localhost")
        #expect(metadata.applicationType == .native)
        #expect(metadata.isLoopbackOnly)
        #expect(metadata.grantTypes == [.authorizationCode, .refreshToken])
        #expect(metadata.redirectURI(for: nil)?.text == "http://localhost:3000/cb")
        #expect(try Self.read(#"{"redirect_uris":["https://app.example/cb"]}"#).applicationType == .web)
    }

    @Test(arguments: ["none", "client_secret_basic", "client_secret_post"])
    func `who asks for a secret is answered that there is none`(_ method: String) throws {
        let metadata = try Self.read(#"{"redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"\#(method)"}"#)
        #expect(metadata.authentication == .none)
        let answer = metadata.registrationAnswer(id: try ClientID.issue(metadata, at: .start, key: .test), at: .start)
        #expect(answer.contains { $0 == ("token_endpoint_auth_method", .text("none")) })
        #expect(!answer.contains { $0.name.hasPrefix("client_secret") })
    }

    @Test func `the answer says everything that is registered, in one order`() throws {
        let metadata = try Self.read(
            #"{"redirect_uris":["cursor://x/cb","cursor://x/cb"],"client_name":"Cursor","application_type":"native","scope":"mcp:tools foreign offline_access","software_id":"c","software_version":"1.2","client_uri":"javascript:x","grant_types":["implicit","authorization_code"]}"#
        )
        let id = try ClientID.issue(metadata, at: .start, key: .test)
        let answer = metadata.registrationAnswer(id: id, at: .start)
        #expect(
            answer.map(\.name) == [
                "client_id", "client_id_issued_at", "client_name", "redirect_uris", "application_type", "token_endpoint_auth_method", "grant_types",
                "response_types", "scope", "software_id", "software_version",
            ])
        #expect(
            answer.map(\.value) == [
                .text(id.text), .number(1_785_000_000), .text("Cursor"), .texts(["cursor://x/cb"]), .text("native"), .text("none"),
                .texts(["authorization_code"]), .texts(["code"]), .text("mcp:tools offline_access"), .text("c"), .text("1.2"),
            ])
    }

    @Test(arguments: [
        "", "null", "[]", "1", "\"x\"", "{", "{}", "{}{}", "{\"redirect_uris\":[]}", "{\"redirect_uris\":null}",
        "{\"redirect_uris\":\"https://app.example/cb\"}",
        "{\"redirect_uris\":[1]}", "{\"redirect_uris\":[null]}", "{\"redirect_uris\":{\"a\":\"b\"}}", "{'redirect_uris':['https://app.example/cb']}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],}", "{\"redirect_uris\":[\"https://app.example/cb\",]}", "\u{FEFF}{}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"redirect_uris\":[\"https://evil.example/cb\"]}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"redirect\\u005furis\":[\"https://evil.example/cb\"]}",
        "{\"redirect_uris\":[\"https://app.example/cb\"]}\0", "{\"redirect_uris\":[\"https://app.example/cb\"]} x",
        "{\"redirect_uris\":[\"https://app.example/cb\",\"javascript:alert(1)\"]}", "{\"redirect_uris\":[\"http://app.example/cb\"]}",
        "{\"redirect_uris\":[\"https://app.example/1\",\"https://app.example/2\",\"https://app.example/3\",\"https://app.example/4\",\"https://app.example/5\",\"https://app.example/6\"]}",
        "{\"redirect_uris\":[\"http://localhost/cb\"],\"application_type\":\"web\"}",
        "{\"redirect_uris\":[\"cursor://x/cb\"],\"application_type\":\"web\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"application_type\":\"desktop\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"client_name\":\"\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"client_name\":\" \"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"client_name\":\"a\\u0000b\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"client_name\":\"a\\u202eb\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"client_name\":7}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"client_name\":\"\\ud800\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"token_endpoint_auth_method\":\"private_key_jwt\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"token_endpoint_auth_method\":\"tls_client_auth\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"grant_types\":[\"client_credentials\"]}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"grant_types\":[]}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"response_types\":[\"token\"]}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"scope\":\"a  b\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"scope\":\"a\\\"b\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"software_id\":\"\"}",
        "{\"redirect_uris\":[\"https://app.example/cb\"],\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}",
    ])
    func `a registration that cannot be kept is refused with a sentence`(_ json: String) {
        let error = #expect(throws: OAuthError.self) { try Self.read(json) }
        #expect(error.map { [.invalidClientMetadata, .invalidRedirectURI].contains($0.code) && !$0.sentence.isEmpty } == true)
    }

    @Test func `a name has 80 characters, a body 16 KiB, neither more`() throws {
        let name = String(repeating: "n", count: 80)
        #expect(try Self.read(#"{"redirect_uris":["https://app.example/cb"],"client_name":"\#(name)"}"#).name == name)
        #expect(throws: OAuthError.self) { try Self.read(#"{"redirect_uris":["https://app.example/cb"],"client_name":"\#(name)n"}"#) }
        let json = #"{"redirect_uris":["https://app.example/cb"]}"#
        _ = try Self.read(json + String(repeating: " ", count: ClientMetadata.longestRegistration - json.utf8.count))
        #expect(throws: OAuthError.self) {
            try Self.read(json + String(repeating: " ", count: ClientMetadata.longestRegistration - json.utf8.count + 1))
        }
    }

    @Test(
        arguments: [
            [0xFF, 0xFE, 0x7B, 0x00, 0x7D, 0x00], [0x7B, 0x00, 0x7D, 0x00], [0x00, 0x7B, 0x00, 0x7D],
            [0x7B, 0x22, 0xC0, 0x80, 0x22, 0x3A, 0x31, 0x7D],
            [0x7B, 0x22, 0xED, 0xA0, 0x80, 0x22, 0x3A, 0x31, 0x7D], Array(repeating: 0x5B, count: 10_000), Array(repeating: 0x7B, count: 10_000),
            Array(repeating: 0x22, count: 10_000), Array(repeating: 0x5C, count: 10_000), Array(repeating: 0x7D, count: 100),
        ] as [[UInt8]])
    func `other encodings and towers of brackets are refused`(_ bytes: [UInt8]) {
        #expect(throws: OAuthError.self) { try ClientMetadata(registration: bytes) }
    }

    @Test func `whatever bytes come, nothing traps`() throws {
        var random = SplitMix(seed: 11)
        let sound = Array(#"{"redirect_uris":["https://app.example/cb"],"client_name":"é\n","jwks":{"keys":[]},"scope":"mcp:tools"}"#.utf8)
        let url = try ClientDocumentURL("https://app.example/client.json")
        for _ in 0..<5_000 {
            var bytes = Bool.random(using: &random) ? sound : random.bytes(upTo: 60)
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                bytes[Int.random(in: bytes.indices, using: &random)] = Array("{}[]\",:\\u0\0".utf8).randomElement(using: &random) ?? 0
            }
            _ = try? ClientMetadata(registration: bytes)
            _ = try? ClientMetadata(document: bytes, at: url)
        }
    }

    @Test func `evaluation lets a web application run on this machine`() throws {
        let json = #"{"redirect_uris":["http://localhost:3000/cb"],"application_type":"web","client_uri":"http://localhost:3000"}"#
        #expect(throws: OAuthError.self) { try Self.read(json) }
        #expect(try Self.read(json, isEvaluation: true).clientURI == "http://localhost:3000")
    }

    @Test func `a client that acts for itself needs a way to prove who it is`() throws {
        #expect(throws: OAuthError.self) {
            try ClientMetadata(name: "Job", redirectURIs: [], applicationType: .web, grantTypes: [.clientCredentials])
        }
        let metadata = try ClientMetadata(
            name: "Job", redirectURIs: [], applicationType: .web, authentication: .clientSecretBasic, grantTypes: [.clientCredentials])
        #expect(metadata.redirectURI(for: nil) == nil)
        #expect(throws: OAuthError.self) { try ClientID.issue(metadata, at: .start, key: .test) }
    }
}
