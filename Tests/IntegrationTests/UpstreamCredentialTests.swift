import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Synchronization
import Testing

@testable import mreg

/// What servers are shown, over the assembled program.
struct UpstreamCredentialTests {
    /// What a client sends along and no server may ever see.
    static let canaries: [(String, String)] = [
        ("Cookie", "session=canary-cookie"), ("X-Forwarded-Authorization", "Bearer canary-forwarded"), ("X-API-Key", "canary-key"),
        ("Proxy-Authorization", "Basic canary-proxy"), ("X-Forwarded-Access-Token", "canary-access"), ("X-Canary", "canary-header"),
        ("User-Agent", "canary-agent"), ("Referer", "http://localhost/canary-referer"),
    ]

    /// A server with an authorization server beside it, which gives tokens to the gateway's own account.
    static func ownAccount(_ tokens: Mutexed<Int>, isLegacy: Bool = false) -> FakeUpstream.Script {
        let server = FakeServer(isLegacy: isLegacy) { $0.bearer == "own-\(tokens.value)" ? "the gateway" : nil }
        return { request, upstream in
            switch request.path {
            case "/.well-known/oauth-authorization-server":
                return .json([
                    "issuer": .string(upstream.origin), "token_endpoint": .string(upstream.origin + "/token"),
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                ])
            case "/token":
                let form = request.form
                guard form["grant_type"] == "client_credentials", form["client_id"] == "gateway", form["client_secret"] == "s3cret&=%",
                    form["resource"] == upstream.endpoint, form["scope"] == "read"
                else { return .json(["error": "invalid_client"], status: .unauthorized) }
                let number = tokens.change { $0 += 1 }
                return .json(["access_token": .string("own-\(number)"), "token_type": "Bearer", "expires_in": 3600])
            case "/mcp": return server.answer(request)
            default: return .nothing
            }
        }
    }

    static func credential(_ mode: String, at upstream: FakeUpstream) -> JSONText {
        switch mode {
        case "static": ["mode": "static", "header": "X-Team-Key", "secret": "team secret 1"]
        case "client_credentials":
            [
                "mode": "client_credentials", "issuer": .string(upstream.origin), "client_id": "gateway", "secret": "s3cret&=%", "scope": "read",
            ]
        default: ["mode": .string(mode)]
        }
    }

    @Test(arguments: ["none", "static", "client_credentials"], [true, false])
    func `nothing of what a caller shows the gateway reaches a server, in any mode`(mode: String, isLegacy: Bool) async throws {
        let tokens = Mutexed(0)
        let own = Self.ownAccount(tokens, isLegacy: isLegacy)
        let open = FakeServer(isLegacy: isLegacy) { request in
            mode == "none" || request.headers["x-team-key"] == ["team secret 1"] ? "the team" : nil
        }
        let script: FakeUpstream.Script = { request, upstream in mode == "client_credentials" ? own(request, upstream) : open.answer(request) }
        try await FakeUpstream.running(script) { upstream in
            try await RunningGateway.with { gateway in
                let made = try await gateway.register("up", upstream.endpoint, credential: Self.credential(mode, at: upstream))
                #expect(made.status == 201, "\(made.text)")
                #expect(made.json?["credential"]?["mode"]?.string == mode)
                let inbound = try await gateway.token()
                let answer = try await gateway.callBare("up__whoami", token: inbound, headers: Self.canaries)
                #expect(answer.said == (mode == "client_credentials" ? "you are the gateway" : "you are the team"), "\(answer.text)")
                let modern = try await gateway.modern("tools/call", [("name", "up__whoami")], name: "up__whoami", token: inbound)
                #expect(modern.said != nil, "\(modern.text)")

                #expect(!upstream.requests.isEmpty)
                #expect(!upstream.has(inbound))
                #expect(!upstream.has("canary"))
                // Nor do parts of it.
                for part in inbound.split(separator: ".") { #expect(!upstream.has(String(part))) }
            }
        }
    }

    @Test func `a secret is sealed on disk, told to nobody, and gone with its server`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let canary = "canary-\(RequestID.random())"
        let server = FakeServer { $0.bearer == canary ? "the team" : nil }
        try await FakeUpstream.running({ request, _ in server.answer(request) }) { upstream in
            try await RunningGateway.with(folder: folder) { gateway in
                let admin = try await gateway.token("admin", .admin)
                let made = try await gateway.register("up", upstream.endpoint, credential: ["mode": "static", "secret": .string("Bearer \(canary)")])
                let id = try #require(made.json?["id"]?.integer)
                #expect(try await gateway.callBare("up__whoami", token: try await gateway.token()).said == "you are the team")
                for path in ["/api/v1/servers", "/api/v1/servers/\(id)", "/api/v1/admin/audit"] {
                    let answer = try await gateway.api(.GET, path, token: admin)
                    #expect(answer.status == 200 && !answer.text.contains(canary))
                }
                #expect(!made.text.contains(canary))
                let list = try await gateway.control("GET", "/servers")
                #expect(list.map { !$0.text.description.contains(canary) } == true)
                #expect(try Self.files(of: folder, holding: canary) == [])

                // Whoever moves the server does not take the secret along.
                let moved = try await gateway.api(.PATCH, "/api/v1/servers/\(id)", ["endpoint": "http://127.0.0.1:1/mcp"], token: admin)
                #expect(moved.status == 422 && moved.text.contains("again"))
                let given = try await gateway.api(
                    .PATCH, "/api/v1/servers/\(id)", ["credential": ["mode": "static", "secret": "Bearer wrong"]], token: admin)
                #expect(given.status == 200)
                // Not yet listed anew, and every call says whose turn it is.
                let refused = try await gateway.callBare("up__whoami", token: try await gateway.token())
                #expect(refused.json?["error"] != nil || refused.isToolError)
                #expect(try await gateway.api(.DELETE, "/api/v1/servers/\(id)", token: admin).status == 204)
            }
        }
    }

    @Test func `a server's 401 is told once, and a better credential makes it good at once`() async throws {
        let server = FakeServer { $0.bearer == "right" ? "the team" : nil }
        let isOpen = Mutexed(true)
        try await FakeUpstream.running({ request, _ in isOpen.value ? server.answer(request) : .init(status: .unauthorized) }) { upstream in
            try await RunningGateway.with { gateway in
                let made = try await gateway.register("up", upstream.endpoint, credential: ["mode": "static", "secret": "Bearer right"])
                let id = try #require(made.json?["id"]?.integer)
                let user = try await gateway.token()
                #expect(try await gateway.callBare("up__whoami", token: user).said == "you are the team")
                isOpen.change { $0 = false }
                let refused = try await gateway.callBare("up__whoami", token: user)
                #expect(refused.isToolError && refused.said?.contains("owner has to give a new one") == true, "\(refused.text)")
                let asked = upstream.requests.count
                #expect(try await gateway.callBare("up__whoami", token: user).isToolError)
                #expect(upstream.requests.count == asked)
                isOpen.change { $0 = true }
                _ = try await gateway.api(
                    .PATCH, "/api/v1/servers/\(id)", ["credential": ["mode": "static", "secret": "Bearer right"]],
                    token: try await gateway.token("admin", .admin))
                #expect(try await gateway.callBare("up__whoami", token: user).said == "you are the team")
            }
        }
    }

    @Test func `a token of the gateway's own account is asked for once, and once more when the server turns it away`() async throws {
        let tokens = Mutexed(0)
        try await FakeUpstream.running(Self.ownAccount(tokens)) { upstream in
            try await RunningGateway.with { gateway in
                let made = try await gateway.register("up", upstream.endpoint, credential: Self.credential("client_credentials", at: upstream))
                #expect(made.status == 201, "\(made.text)")
                let user = try await gateway.token()
                try await withThrowingTaskGroup(of: String?.self) { group in
                    for _ in 0..<20 { group.addTask { try await gateway.callBare("up__whoami", token: user).said } }
                    for try await said in group { #expect(said == "you are the gateway") }
                }
                #expect(upstream.requests(to: "/token").count == 1)
                // The authorization server forgets it.
                tokens.change { $0 += 1 }
                #expect(try await gateway.callBare("up__whoami", token: user).said == "you are the gateway")
                #expect(upstream.requests(to: "/token").count == 2)
                #expect(upstream.requests(to: "/token").allSatisfy { $0.headers.first(name: "authorization") == nil })
            }
        }
    }

    @Test(arguments: [
        (#"{"mode":"static"}"#, "secret"), (#"{"mode":"static","secret":"a\nb"}"#, "secret"),
        (#"{"mode":"static","secret":"x","header":"Host"}"#, "header"),
        (#"{"mode":"static","secret":"x","header":"Mcp-Session-Id"}"#, "header"), (#"{"mode":"static","secret":"x","header":"a b"}"#, "header"),
        (#"{"mode":"sesame"}"#, "mode"), (#"{"mode":"none","secret":"x"}"#, "secret"),
        (#"{"mode":"client_credentials","client_id":"a","secret":"b"}"#, "issuer"),
        (#"{"mode":"client_credentials","issuer":"http://as.example","client_id":"a","secret":"b"}"#, "issuer"),
        (#"{"mode":"client_credentials","issuer":"javascript:alert(1)","client_id":"a","secret":"b"}"#, "issuer"),
        (#"{"mode":"per_user","client_id":"a"}"#, "issuer"), (#"{"mode":"per_user","secret":"a"}"#, "client_id"),
        (#"{"mode":"on_behalf_of"}"#, "scope"),
        (#"{"mode":"static","secret":7}"#, "credential"), (#"[]"#, "credential"),
    ])
    func `a credential that cannot work is refused with the member that is wrong`(credential: String, named: String) async throws {
        try await RunningGateway.with { gateway in
            let body = #"{"alias":"up","endpoint":"http://127.0.0.1:9/mcp","credential":\#(credential)}"#
            let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer \(try await gateway.token("admin", .admin))")]
            let answer = try await gateway.send(.POST, "/api/v1/servers", headers: headers, body: Array(body.utf8))
            #expect(answer.status == 422)
            #expect(answer.json?["detail"]?.string?.contains("\"\(named)\"") == true, "\(answer.text)")
        }
    }

    @Test func `only an administrator has a server act on behalf of users at the issuer`() async throws {
        try await RunningGateway.with { gateway in
            let credential: JSONText = ["mode": "on_behalf_of", "scope": "api://x/.default"]
            let byOwner = try await gateway.register("up", "http://127.0.0.1:9/mcp", credential: credential, as: .serverOwner)
            #expect(byOwner.status == 403)
            let byAdmin = try await gateway.register("up", "http://127.0.0.1:9/mcp", credential: credential)
            #expect(byAdmin.status == 201)
        }
    }

    static func files(of folder: String, holding text: String) throws -> [String] {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: folder)
        return paths.filter { path in
            guard let data = FileManager.default.contents(atPath: "\(folder)/\(path)") else { return false }
            return [UInt8](data).firstRange(of: Array(text.utf8)) != nil
        }
    }
}

/// A value that several tasks change.
final class Mutexed<Value: Sendable>: Sendable {
    private let held: Mutex<Value>
    init(_ value: Value) { held = Mutex(value) }
    var value: Value { held.withLock { $0 } }
    @discardableResult func change(_ change: (inout Value) -> Void) -> Value {
        held.withLock {
            change(&$0)
            return $0
        }
    }
}
