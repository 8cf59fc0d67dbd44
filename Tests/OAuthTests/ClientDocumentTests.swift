import Testing

@testable import OAuth

struct ClientDocumentTests {
    static let address = "https://app.example/client.json"
    static let key =
        #"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#

    static func read(_ members: String, at address: String = address) throws -> ClientMetadata {
        try ClientMetadata(document: Array("{\(members)}".utf8), at: ClientDocumentURL(address, allowsLoopback: true))
    }

    static let least = #""client_id":"https://app.example/client.json","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]"#

    @Test func `a document with id, name and redirect URI is a client`() throws {
        let metadata = try Self.read(Self.least)
        #expect(metadata.name == "App")
        #expect(metadata.authentication == .none)
        #expect(metadata.applicationType == .native)
        #expect(metadata.keys == nil)
        #expect(metadata.isLoopbackOnly)
    }

    @Test func `a document may bring a key, or say where it is`() throws {
        let inline = try Self.read(Self.least + #","token_endpoint_auth_method":"private_key_jwt","jwks": {"keys": [\#(Self.key)] } "#)
        #expect(inline.keys == .inline(#"{"keys": [\#(Self.key)] } "#))
        let published = try Self.read(
            Self.least + #","token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://app.example/jwks","jwks":null"#)
        #expect(published.keys == .published(at: "https://app.example/jwks"))
    }

    @Test func `a public client's keys are not kept`() throws {
        #expect(try Self.read(Self.least + #","jwks":{"keys":[]}"#).keys == nil)
    }

    @Test(arguments: [
        #""client_name":"App","redirect_uris":["http://127.0.0.1/cb"]"#,
        #""client_id":"https://app.example/client.jso","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]"#,
        #""client_id":"https://app.example/client.json/","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]"#,
        #""client_id":"https://APP.example/client.json","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]"#,
        #""client_id":null,"client_name":"App","redirect_uris":["http://127.0.0.1/cb"]"#,
        #""client_id":"https://app.example/client.json","redirect_uris":["http://127.0.0.1/cb"]"#,
        #""client_id":"https://app.example/client.json","client_name":"App""#,
        #""client_id":"https://app.example/client.json","client_name":"App","redirect_uris":[]"#,
        least + #","client_secret":"x""#, least + #","client_secret":null"#, least + #","client_secret_expires_at":0"#,
        least + #","token_endpoint_auth_method":"client_secret_post""#, least + #","token_endpoint_auth_method":"client_secret_basic""#,
        least + #","token_endpoint_auth_method":"client_secret_jwt""#, least + #","token_endpoint_auth_method":"""#,
        least + #","token_endpoint_auth_method":"private_key_jwt""#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks":{}"#, least + #","token_endpoint_auth_method":"private_key_jwt","jwks":[]"#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[]}"#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks":"x""#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"oct","k":"AA"}]}"#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"EC","d":"AA"}]}"#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"EC"}]},"jwks_uri":"https://app.example/jwks""#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"EC","kty":"RSA"}]}"#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks_uri":"http://app.example/jwks""#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks_uri":"file:///jwks""#,
        least + #","token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://127.1/jwks""#, least + #","client_name":"Other""#,
    ])
    func `a document that does not keep the rules is refused`(_ members: String) {
        #expect(throws: OAuthError.self) { try Self.read(members) }
    }

    @Test func `a document of more than 5 KiB is refused`() throws {
        let padding = ClientMetadata.longestDocument - Self.least.utf8.count - 2
        _ = try Self.read(Self.least + String(repeating: " ", count: padding))
        #expect(throws: OAuthError.self) { try Self.read(Self.least + String(repeating: " ", count: padding + 1)) }
    }

    @Test(arguments: [
        "https://app.example/client.json", "https://app.example:8443/oauth/client", "https://claude.ai/oauth/claude-code-client-metadata",
        "https://app.example/a?b=c", "https://10.0.0.7/c", "https://[2001:db8::1]/c", "https://app.example/%7Eada/c", "https://app.example/a/",
    ])
    func `an https URL with a path is a client id`(_ text: String) throws {
        #expect(try ClientDocumentURL(text).text == text)
        #expect(ClientDocumentURL.isMeant(by: text))
    }

    @Test(arguments: [
        "", "https://", "https://app.example", "https://app.example/", "https://app.example/?x", "https://app.example?x", "http://app.example/c",
        "http://localhost/c", "ftp://app.example/c", "https://app.example/c#", "https://app.example/c#x", "https://ada@app.example/c",
        "https://ada:pw@app.example/c", "https://app.example/../c", "https://app.example/./c", "https://app.example/a/..",
        "https://app.example/%2e%2e/c",
        "https://app.example/.%2E/c", "https://app.example/..;/c", "HTTPS://app.example/c", "https://App.example/c", "https://app.example:443/c",
        "https://app.example:08443/c", "https://app.example./c", "https://127.1/c", "https://0x7f.0.0.1/c", "https://app.example/c d",
        "https://app.example/c\n", "https://app.example\\c", "https://app.example/%", "https://app.example/%00", "https://app.example/a%2fc",
        "https://\u{e4}pp.example/c", "https://app.example/\u{e4}", "https://app.example/c\u{301}", "mreg-c1.x.y", "//app.example/c",
        "https:/app.example/c",
    ])
    func `everything else is not`(_ text: String) {
        #expect(throws: OAuthError.self) { try ClientDocumentURL(text) }
    }

    @Test func `on this machine http is good enough for evaluation`() throws {
        #expect(try ClientDocumentURL("http://localhost:9000/c", allowsLoopback: true).host == "localhost")
        #expect(try ClientDocumentURL("http://127.0.0.1:9000/c", allowsLoopback: true).host == "127.0.0.1")
        #expect(throws: OAuthError.self) { try ClientDocumentURL("http://10.0.0.7/c", allowsLoopback: true) }
    }

    @Test func `a client id that is a URL has at most 512 bytes`() throws {
        let text = "https://app.example/" + String(repeating: "c", count: 492)
        _ = try ClientDocumentURL(text)
        #expect(throws: OAuthError.self) { try ClientDocumentURL(text + "c") }
    }
}
