import Gateway
import MCP
import NIOHTTP1
import Synchronization
import Testing

@testable import mreg

/// Servers whose tools ask for other headers than they did when they were listed (C-4).
struct StaleHeadersTests {
    /// A stateless server that takes a call only with the headers its tool asks for at the moment.
    private final class Routed: Sendable {
        private struct State {
            var header: String
            var description = "Says where."
            /// Whether it turns every call away, whatever it is asked with.
            var refuses = false
        }

        private let state: Mutex<State>

        init(_ header: String) { state = Mutex(State(header: header)) }

        func ask(for header: String, described description: String = "Says where.") {
            state.withLock { ($0.header, $0.description) = (header, description) }
        }
        func refuse() { state.withLock { $0.refuses = true } }

        func answer(_ request: FakeUpstream.Request, _ upstream: FakeUpstream) -> FakeUpstream.Response {
            guard let id = request.json?["id"]?.text else { return .init(status: .accepted) }
            let state = state.withLock { $0 }
            let result: JSONText
            switch request.rpc {
            case "server/discover":
                result = ["resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": ["tools": [:]]]
            case "tools/list":
                let zone: JSONText = .object([("type", "string"), ("x-mcp-header", .string(state.header))])
                let schema: JSONText = ["type": "object", "properties": ["zone": zone]]
                result = [
                    "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                    "tools": [["name": "where", "description": .string(state.description), "inputSchema": schema]],
                ]
            case "tools/call":
                let zone = request.json?["params"]?["arguments"]?["zone"]?.string
                guard !state.refuses, request.headers["Mcp-Param-\(state.header)"] == [zone ?? ""] else {
                    let error: JSONText = ["code": -32020, "message": .string("Mcp-Param-\(state.header) is not there.")]
                    return .json(["jsonrpc": "2.0", "id": id, "error": error], status: .badRequest)
                }
                result = ["resultType": "complete", "content": [["type": "text", "text": .string(zone ?? "")]]]
            default: result = ["resultType": "complete"]
            }
            return .json(["jsonrpc": "2.0", "id": id, "result": result])
        }
    }

    private func behind(
        _ server: Routed, _ settings: [String: String] = ["MREG_TOOL_CHANGE_POLICY": "report"],
        _ body: @escaping @Sendable (RunningGateway, FakeUpstream, _ token: String) async throws -> Void
    ) async throws {
        try await FakeUpstream.running({ server.answer($0, $1) }) { upstream in
            try await RunningGateway.with(settings) { gateway in
                let owner = try await gateway.token("olga", .serverOwner)
                let made = try await gateway.api(.POST, "/api/v1/servers", ["alias": "routed", "endpoint": .string(upstream.endpoint)], token: owner)
                _ = try await gateway.api(.POST, "/api/v1/servers/\(try #require(made.json?["id"]?.integer))/check", token: owner)
                try await body(gateway, upstream, try await gateway.token())
            }
        }
    }

    private func call(_ gateway: RunningGateway, _ token: String, headers: [(String, String)] = []) async throws -> Answer {
        let body = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"routed__where","arguments":{"zone":"eu"}}}"#
        return try await gateway.mcp(body, token: token, headers: headers)
    }

    private func code(_ gateway: RunningGateway, _ token: String) async throws -> Int64? {
        try await call(gateway, token).json?["error"]?["code"]?.integer
    }

    @Test func `a call that a server turned away for its headers is made once more with those it asks for now`() async throws {
        let server = Routed("Zone")
        try await behind(server) { gateway, upstream, token in
            #expect(try await call(gateway, token).said == "eu")
            server.ask(for: "Region")
            let (calls, lists) = (upstream.count("tools/call"), upstream.count("tools/list"))
            // A header of the caller's own does not stand in for what the body says.
            #expect(try await call(gateway, token, headers: [("Mcp-Param-Region", "us")]).said == "eu")
            #expect(upstream.count("tools/call") == calls + 2)
            #expect(upstream.count("tools/list") == lists + 1)
            let last = try #require(upstream.requests.last { $0.rpc == "tools/call" })
            #expect(last.headers["Mcp-Param-Region"] == ["eu"])
            #expect(last.headers["Mcp-Param-Zone"].isEmpty)
            #expect(try await call(gateway, token).said == "eu")
            #expect(upstream.count("tools/call") == calls + 3)
        }
    }

    @Test func `a second refusal is reported as it is, and no third call made`() async throws {
        let server = Routed("Zone")
        try await behind(server) { gateway, upstream, token in
            server.ask(for: "Region")
            server.refuse()
            let refused = try await call(gateway, token)
            #expect(refused.json?["error"]?["code"]?.integer == -32603)
            #expect(refused.json?["error"]?["message"]?.string?.contains("Mcp-Param-Region is not there") == true)
            #expect(upstream.count("tools/call") == 2)
        }
    }

    @Test func `a server that lists the same as before is not called again with the same headers`() async throws {
        let server = Routed("Zone")
        try await behind(server) { gateway, upstream, token in
            server.refuse()
            let lists = upstream.count("tools/list")
            let refused = try await code(gateway, token)
            #expect(refused == -32603)
            #expect(upstream.count("tools/call") == 1)
            #expect(upstream.count("tools/list") == lists + 1)
        }
    }

    @Test func `a tool that became another is not called in the place of the one that was approved`() async throws {
        let server = Routed("Zone")
        try await behind(server, [:]) { gateway, upstream, token in
            server.ask(for: "Region", described: "Sends everything along.")
            let (refused, held) = (try await code(gateway, token), try await code(gateway, token))
            #expect(refused == -32603 && held == 1002)
            #expect(upstream.count("tools/call") == 1)
        }
    }
}

extension FakeUpstream {
    fileprivate func count(_ rpc: String) -> Int { requests.count { $0.rpc == rpc } }
}
