import Gateway
import Testing

@testable import OAuth

struct ClientIDTests {
    static let golden =
        "mreg-"
        + "c1.eyJhdCI6MTc4NTAwMDAwMCwibiI6IkFkYeKAmXMgXCJlZGl0b3JcIiBcXCDDqSIsInIiOlsiaHR0cDovLzEyNy4wLjAuMTozMzQxOC8iLCJodHRwczovL3ZzY29kZS5"
        + "kZXYvcmVkaXJlY3QiXSwidCI6Im5hdGl2ZSIsImciOlsiYXV0aG9yaXphdGlvbl9jb2RlIiwicmVmcmVzaF90b2tlbiJdLCJzIjpbIm1jcDp0b29scyIsIm9mZmxpbmVfY"
        + "WNjZXNzIl0sInUiOiJodHRwczovL2FwcC5leGFtcGxlIiwiaSI6ImVkaXRvciIsInYiOiIxLjIuMyJ9.LhO400dCxLy1JcvQEFU8vA"

    static func metadata() throws -> ClientMetadata {
        try ClientMetadata(
            name: "Ada’s \"editor\" \\ é", redirectURIs: [RedirectURI("http://127.0.0.1:33418/"), RedirectURI("https://vscode.dev/redirect")],
            applicationType: .native, scopes: ["mcp:tools", "offline_access"], clientURI: "https://app.example", softwareID: "editor",
            softwareVersion: "1.2.3")
    }

    @Test func `an id carries what was registered and when, to the second`() throws {
        let id = try ClientID.issue(Self.metadata(), at: Timestamp.start.advanced(by: .milliseconds(1)), key: .test)
        let read = try ClientID.read(id.text, key: .test)
        #expect(read.metadata == (try Self.metadata()))
        #expect(read.issuedAt == .start)
        #expect(ClientID.isMeant(by: id.text))
    }

    @Test func `the same client gets the same id, today and in every version to come`() throws {
        #expect(try ClientID.issue(Self.metadata(), at: .start, key: .test).text == Self.golden)
        #expect(try ClientID.read(Self.golden, key: .test).metadata == Self.metadata())
    }

    @Test func `a changed byte anywhere makes it nobody's`() throws {
        let text = try ClientID.issue(Self.metadata(), at: .start, key: .test).text
        for index in 0..<text.utf8.count {
            for bit in 0..<8 {
                var bytes = Array(text.utf8)
                bytes[index] ^= 1 << bit
                let error = #expect(throws: OAuthError.self) { try ClientID.read(String(decoding: bytes, as: UTF8.self), key: .test) }
                #expect(error?.code == .invalidClient)
            }
        }
        for length in 0..<text.utf8.count {
            #expect(throws: OAuthError.self) { try ClientID.read(String(text.prefix(length)), key: .test) }
        }
        for more in ["=", ".", "A", " ", "\n", "\0", "AAAA"] {
            #expect(throws: OAuthError.self) { try ClientID.read(text + more, key: .test) }
            #expect(throws: OAuthError.self) { try ClientID.read(more + text, key: .test) }
        }
    }

    @Test func `another key does not know it; a former key is still good`() throws {
        let text = try ClientID.issue(Self.metadata(), at: .start, key: .test).text
        let newer = Secret([UInt8](repeating: 8, count: 32))
        #expect(throws: OAuthError.self) { try ClientID.read(text, key: ClientIDKey(newer)) }
        let both = ClientIDKey(newer, older: [Secret([UInt8](repeating: 7, count: 32))])
        #expect(try ClientID.read(text, key: both).metadata == Self.metadata())
        #expect(try ClientID.issue(Self.metadata(), at: .start, key: both).text != text)
    }

    @Test func `what does not fit 2048 bytes is refused with a sentence`() throws {
        let uris = try (1...5).map { try RedirectURI("https://app.example/\($0)/" + String(repeating: "a", count: 480)) }
        let metadata = try ClientMetadata(name: "App", redirectURIs: uris, applicationType: .web)
        let error = #expect(throws: OAuthError.self) { try ClientID.issue(metadata, at: .start, key: .test) }
        #expect(error?.code == .invalidClientMetadata)
        let fewer = try ClientMetadata(name: "App", redirectURIs: Array(uris.prefix(2)), applicationType: .web)
        #expect(try ClientID.issue(fewer, at: .start, key: .test).text.utf8.count <= ClientID.longest)
    }

    @Test(arguments: [
        "", ".", "mreg-c1.", "mreg-c1..", "mreg-c1.e30.", "mreg-c1.e30.AAAAAAAAAAAAAAAAAAAAAA", "mreg-c2.e30.AA", "https://app.example/c",
    ])
    func `what is no id of ours is an unknown client`(_ text: String) {
        #expect(throws: OAuthError.self) { try ClientID.read(text, key: .test) }
    }

    @Test func `a long text is not even looked at`() {
        #expect(throws: OAuthError.self) { try ClientID.read("mreg-c1." + String(repeating: "A", count: 1 << 20), key: .test) }
    }
}
