import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import OAuth
import Testing

@testable import mreg

/// Which clients may come at all, as the operator says.
struct ClientAdmissionTests {
    private static let metadata = "/.well-known/oauth-authorization-server"
    private static let registration: JSONText = ["client_name": "App", "redirect_uris": ["http://127.0.0.1/callback"]]

    private static func register(_ gateway: RunningGateway) async throws -> Answer {
        try await gateway.send(.POST, "/register", headers: [("Content-Type", "application/json")], body: registration.bytes)
    }

    private static func authorize(_ client: String, _ gateway: RunningGateway) async throws -> Answer {
        let query = FormURLEncoded.encode([
            (name: "client_id", value: client), (name: "redirect_uri", value: "http://127.0.0.1:7777/callback"),
            (name: "response_type", value: "code"),
            (name: "code_challenge", value: CodeVerifier.random().challenge.text), (name: "code_challenge_method", value: "S256"),
            (name: "state", value: "s"), (name: "resource", value: gateway.origin + "/mcp"),
        ])
        return try await gateway.send(.GET, "/authorize?" + query)
    }

    @Test func `where clients cannot register themselves, those that did stay, and the others are told what could be done`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let id = try await RunningGateway.with(folder: folder) { gateway in
            #expect(try await gateway.send(.GET, Self.metadata).json?["registration_endpoint"]?.string == gateway.origin + "/register")
            return try #require(try await Self.register(gateway).json?["client_id"]?.string)
        }
        try await RunningGateway.with(["MREG_ENABLE_DYNAMIC_REGISTRATION": "false"], folder: folder) { gateway in
            for path in [Self.metadata, "/.well-known/openid-configuration"] {
                let document = try #require(try await gateway.send(.GET, path).json)
                #expect(document["registration_endpoint"] == nil && document["token_endpoint"]?.string == gateway.origin + "/token")
            }
            let refused = try await Self.register(gateway)
            #expect(refused.status == 403 && refused.json?["error"]?.string == "access_denied")
            let sentence = try #require(refused.json?["error_description"]?.string)
            #expect(sentence.contains("mreg client add") && sentence.contains("MREG_ENABLE_DYNAMIC_REGISTRATION"))
            let known = try await Self.authorize(id, gateway)
            #expect((200..<400).contains(known.status), "\(known.text)")
        }
    }

    @Test(arguments: [
        ("https://app.agents.example/client.json", false), ("https://agents.example/client.json", true), ("https://evil.example/c", true),
    ])
    func `a client of a domain that is not admitted is refused before anything is fetched`(id: String, isRefused: Bool) async throws {
        try await RunningGateway.with(["MREG_CLIENT_DOCUMENT_DOMAINS": "*.agents.example, vendor.example"]) { gateway in
            let answer = try await Self.authorize(id, gateway)
            // One that is admitted is looked for, and not found.
            #expect(answer.status >= 400)
            #expect(answer.text.contains("MREG_CLIENT_DOCUMENT_DOMAINS") == isRefused, "\(answer.text)")
        }
    }
}
