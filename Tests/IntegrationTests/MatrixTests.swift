import Access
import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Serving
import Synchronization
import Testing

@testable import mreg

/// Every operation of the HTTP surface for every role, beside a table written by hand: `Golden/matrix.txt`.
struct MatrixTests {
    static let roles = ["anonymous", "user", "server_owner", "admin", "auditor"]

    @Test func `what each role gets from each operation is what the table says, and no operation is missing from it`() async throws {
        let rows = try Self.rows()
        let settings = Dictionary(
            uniqueKeysWithValues: ["ANONYMOUS", "USER", "SERVER_OWNER", "ADMIN", "GLOBAL"].map { ("MREG_FASTMCP_RATE_LIMIT_\($0)_RPM", "0") }
        ).merging(["MREG_BLOCK_ALLOWLIST": "127.0.0.1"]) { $1 }
        try await RunningGateway.with(settings) { gateway in
            let known = Set(gateway.running.routes())
            let listed = Set(rows.map(\.operation))
            #expect(known.subtracting(listed).sorted() == [], "operations that are not in matrix.txt")
            #expect(listed.subtracting(known).sorted() == [], "operations of matrix.txt that the router does not have")

            let stage = try await Stage(gateway)
            var differences: [String] = []
            for row in rows {
                for (role, expected) in zip(Self.roles, row.cells) {
                    let found = try await stage.ask(row, as: role)
                    if found != expected {
                        differences.append("\(row.operation) \(row.situation) for \(role): \(found), and the table says \(expected)")
                    }
                }
            }
            #expect(differences.isEmpty, "\(Comment(rawValue: differences.joined(separator: "\n")))")
        }
    }

    struct Row: Sendable {
        /// As the router writes it: a method and a path.
        let operation: String
        /// Whose the thing is that is asked for, or what is asked; empty where there is only one way.
        let situation: String
        let cells: [String]
        var method: String { String(operation.prefix { $0 != " " }) }
        var path: String { String(operation.drop { $0 != " " }.dropFirst()) }
    }

    /// A line is a method, a path, words for the situation, and a cell for each role; `#` begins a remark.
    private static func rows() throws -> [Row] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/matrix.txt")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }
        let words = lines.map { $0.split(separator: " ").map(String.init) }.filter { !$0.isEmpty }
        #expect(words.first == roles)
        return words.dropFirst().map { words in
            Row(
                operation: words[0] + " " + words[1], situation: words.dropFirst(2).dropLast(roles.count).joined(separator: " "),
                cells: Array(words.suffix(roles.count)))
        }
    }
}

/// Somebody of each role, another tenant, and things to act on, made anew for each question.
private final class Stage: Sendable {
    private let gateway: RunningGateway
    private let tokens: [String: String]
    private let endpoint: String
    private let theirs: ServerRecord
    private let themToken: String
    private let counter = Atomic<Int>(0)

    init(_ gateway: RunningGateway) async throws {
        self.gateway = gateway
        var tokens: [String: String] = [:]
        for role in MatrixTests.roles.dropFirst() { tokens[role] = try await gateway.token(role, try #require(Role(rawValue: role))) }
        self.tokens = tokens
        endpoint = try await gateway.demoEndpoint()
        _ = try await gateway.control("POST", "/tenants", ["name": "other"])
        let issued = try await gateway.control("POST", "/tokens", ["tenant": "other", "user": "them", "role": "server_owner"])
        themToken = try #require(issued?["access_token"]?.string)
        let created = try await gateway.api(.POST, "/api/v1/servers", ["alias": "theirs", "endpoint": .string(endpoint)], token: themToken)
        let id = try #require(created.json?["id"]?.integer)
        theirs = try #require(try await gateway.running.registry.get(ServerID(id)))
        _ = try await gateway.tools(try #require(tokens["admin"]))
    }

    private var number: Int { counter.add(1, ordering: .relaxed).newValue }

    /// What the answer comes to: `ok`, a status, or on `/mcp` the code of a JSON-RPC error.
    func ask(_ row: MatrixTests.Row, as role: String) async throws -> String {
        var path = row.path
        var query = ""
        var body: JSONText?
        switch (row.operation, row.situation) {
        case ("POST /mcp", let method): return try await message(method, role, to: "/mcp", tool: "demo-http__echo")
        case ("POST /servers/{alias}/mcp", let method): return try await message(method, role, to: "/servers/demo-http/mcp", tool: "echo")
        case ("POST /api/v1/servers", _): body = ["alias": .string("n\(number)"), "endpoint": .string(endpoint), "title": "New"]
        case (let operation, let whose) where operation.contains("/servers/{id}"):
            path = path.replacing("{id}", with: "\(try await server(whose, role).rawValue)")
            if row.method == "PATCH" { body = ["title": "New"] }
            // Nothing waits, and that is what was seen.
            if path.hasSuffix("/approve") { body = ["all": true, "as_of": .string("\(ToolPins().waitingMark)")] }
        case ("POST /api/v1/keys", _): body = ["name": "mine"]
        case (let operation, let whose) where operation.contains("/api/v1/keys/{id}"):
            path = path.replacing("{id}", with: try await key(of: whose == "own" ? role : "somebody"))
        case ("DELETE /api/v1/admin/keys/{id}", _): path = path.replacing("{id}", with: try await key(of: "somebody"))
        case ("DELETE /api/v1/admin/sessions/{id}", _): path = path.replacing("{id}", with: try await session())
        case ("POST /api/v1/admin/clients/revoke", _): body = ["client_id": "nobody"]
        case ("POST /api/v1/admin/tenants", _): body = ["name": .string("t\(number)")]
        case ("POST /api/v1/admin/blocked-addresses/{address}", _): body = ["seconds": 60]
        case ("POST /api/v1/admin/tenant-limits/{tenant}", _): body = ["weight": 1]
        case ("PUT /api/v1/admin/quotas/{tenant}", _): body = ["daily": .null]
        case ("POST /api/v1/admin/users/{user}/roles", _): body = ["role": "user"]
        case ("GET /api/v1/admin/explain", let whose):
            query = try await explanation(whose, role)
        case (let operation, let whose) where operation.contains("/tool-rules"):
            (path, body) = try await rule(row, whose, role)
        case ("POST /oauth/login", _): body = ["user_id": "somebody"]
        case (let operation, _) where operation.contains("/v0"): path = Self.registryPath(path)
        case ("GET /servers/{alias}/mcp/server-card", ""): path = path.replacing("{alias}", with: "demo-http")
        default: break
        }
        if row.situation == "another tenant" {
            path = path.replacing("{tenant}", with: "other").replacing("{user}", with: "them")
            if row.path.hasPrefix("/api/v1/admin/"), !row.path.contains("{tenant}"), query.isEmpty { query = "?tenant=other" }
        }
        if row.path.contains("{user}"), row.situation != "another tenant" {
            let name = "victim-\(number)"
            _ = try await gateway.running.user(name, .user)
            path = path.replacing("{user}", with: name)
        }
        path = path.replacing("{tenant}", with: "default").replacing("{address}", with: "203.0.113.9").replacing("{alias}", with: "nowhere")
        let answer = try await gateway.api(HTTPMethod(rawValue: row.method), path + query, body, token: tokens[role])
        return (200..<300).contains(answer.status) ? "ok" : "\(answer.status)"
    }

    /// With the name of a server that is public.
    private static func registryPath(_ path: String) -> String {
        let whole = path.replacing("{name}/{rest}", with: "local.localhost/demo-http").replacing("{name}", with: "local.localhost%2Fdemo-http")
        return whole.replacing("{version}", with: "latest").replacing("**", with: "servers")
    }

    private func message(_ method: String, _ role: String, to path: String, tool: String) async throws -> String {
        var params: JSONText = [:]
        if method == "tools/call" { params = ["name": .string(tool), "arguments": ["text": "x"]] }
        if method == "resources/read" { params = ["uri": "nowhere://x"] }
        if method == "prompts/get" { params = ["name": "nowhere__x"] }
        if method == "logging/setLevel" { params = ["level": "info"] }
        if method == "initialize" { params = ["protocolVersion": "2025-11-25", "capabilities": [:], "clientInfo": ["name": "t", "version": "1"]] }
        let body: JSONText = ["jsonrpc": "2.0", "id": 1, "method": .string(method), "params": params]
        let headers = [("Content-Type", "application/json")] + (tokens[role].map { [("Authorization", "Bearer \($0)")] } ?? [])
        let answer = try await gateway.send(.POST, path, headers: headers, body: Array(body.description.utf8))
        if let code = answer.json?["error"]?["code"]?.integer { return "\(code)" }
        return answer.status == 200 ? "ok" : "\(answer.status)"
    }

    private func server(_ whose: String, _ role: String) async throws -> ServerID {
        let alias = try #require(ServerAlias("s\(number)"))
        let draft = ServerDraft(alias: alias, title: "Made", transport: .http(endpoint: endpoint), status: .disabled)
        var (owner, tenant) = (theirs.owner, theirs.tenant)
        if whose != "another tenant" {
            let user = try await gateway.running.user(whose == "own" ? name(role) : "colleague", whose == "own" ? self.role(role) : .serverOwner)
            (owner, tenant) = (user.id, user.tenant)
        }
        let record = AuditRecord(requestID: .random(), at: Clocks.now().wall, user: owner, tenant: tenant, action: "server.create", target: "test")
        return try await gateway.running.registry.create(draft, owner, tenant, record).id
    }

    private func name(_ role: String) -> String { role == "anonymous" ? "nobody" : role }
    private func role(_ name: String) -> Role { name == "anonymous" ? .user : Role(rawValue: name) ?? .user }

    private func key(of role: String) async throws -> String {
        let token = try await gateway.token(name(role), self.role(role))
        let made = try await gateway.api(.POST, "/api/v1/keys", ["name": "made"], token: token)
        return "\(try #require(made.json?["id"]?.integer))"
    }

    private func session() async throws -> String {
        let name = "leaving-\(number)"
        let body = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
        _ = try await gateway.mcp(body, token: try await gateway.token(name))
        let sessions = try await gateway.api(.GET, "/api/v1/admin/sessions", token: tokens["admin"]).json?["sessions"]?.elements ?? []
        return try #require(sessions.first { $0["user_id"]?.string == name }?["id"]?.string)
    }

    /// The alias of a server that is whose the situation says; nil for every server.
    private func alias(_ whose: String, _ role: String) async throws -> ServerAlias? {
        if whose == "every server" { return nil }
        return try await gateway.running.registry.get(try await server(whose, role))?.alias
    }

    private func explanation(_ whose: String, _ role: String) async throws -> String {
        let alias = try await alias(whose, role)?.description ?? ""
        return whose == "another tenant" ? "?user=them&tool=\(alias)__x&tenant=other" : "?user=user&tool=\(alias)__x"
    }

    private func rule(_ row: MatrixTests.Row, _ whose: String, _ role: String) async throws -> (String, JSONText?) {
        let alias = try await alias(row.method == "GET" ? "every server" : whose, role)
        let tenant = whose == "another tenant" ? "other" : "default"
        let tool: JSONText? = alias == nil ? nil : .string("t\(number)")
        var members: [(String, JSONText?)] = [("effect", "allow"), ("server", alias.map { .string($0.description) }), ("tool", tool)]
        if alias == nil {
            // Each rule is another one, so that none says what was said already.
            let user = "ruled-\(number)"
            _ = try await gateway.running.user(user, .user)
            members += [("every_server", .bool(true)), ("user", .string(user))]
        } else {
            members.append(("everyone", .bool(true)))
        }
        var path = row.path.replacing("{tenant}", with: tenant)
        guard row.method == "DELETE" else { return (path, row.method == "POST" ? .object(members) : nil) }
        let made = try await gateway.control("POST", "/tool-rules", .object(members + [("tenant", .string(tenant))]))
        path = path.replacing("{id}", with: "\(try #require(made?["id"]?.integer))")
        return (path, nil)
    }
}
