import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

/// What an owner lets a server ask users for, over the assembled program.
struct QuestionPolicyTests {
    private static let roots: JSONText = ["method": "roots/list", "params": [:]]
    private static let url: JSONText = [
        "mode": "url", "message": "Sign in", "url": "https://login.example/", "elicitationId": "e-1",
    ]

    /// A server whose one tool does what its argument says, whatever its caller declared: asks for roots, has a task that does, or
    /// refuses until somebody has been to a URL.
    private let asking: FakeUpstream.Script = { request, _ in
        guard let id = request.json?["id"]?.text else { return .init(status: .accepted) }
        let params = request.json?["params"]
        let result: JSONText
        switch (request.rpc, params?["arguments"]?["how"]?.string) {
        case ("server/discover", _):
            let capabilities: JSONText = ["tools": [:], "extensions": ["io.modelcontextprotocol/tasks": [:]]]
            result = ["resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities]
        case ("tools/list", _):
            let tools: JSONText = [["name": "ask", "inputSchema": ["type": "object"]]]
            result = ["resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private"]
        case ("tools/call", "roots"):
            if params?["inputResponses"] != nil { return said("asked", id) }
            result = ["resultType": "input_required", "inputRequests": ["r": roots], "requestState": "s"]
        case ("tools/call", "task"): result = ["resultType": "task", "taskId": "t-1", "status": "working"]
        case ("tools/call", "url"):
            let error: JSONText = ["code": -32042, "message": "Sign in first.", "data": ["elicitations": [url]]]
            return .json(["jsonrpc": "2.0", "id": id, "error": error])
        case ("tools/call", _):
            return said(params?["_meta"]?["io.modelcontextprotocol/clientCapabilities"]?.text.description ?? "", id)
        case ("tasks/get", _):
            result = ["resultType": "complete", "taskId": "t-1", "status": "input_required", "inputRequests": ["r": roots]]
        default: result = ["resultType": "complete"]
        }
        return .json(["jsonrpc": "2.0", "id": id, "result": result])
    }

    private static func said(_ text: String, _ id: JSONText) -> FakeUpstream.Response {
        .json(["jsonrpc": "2.0", "id": id, "result": ["resultType": "complete", "content": [["type": "text", "text": .string(text)]]]])
    }

    private func ask(_ gateway: RunningGateway, _ token: String, _ how: String) async throws -> Answer {
        try await ask(gateway, token, "tools/call", [("name", "asking__ask"), ("arguments", ["how": .string(how)])], name: "asking__ask")
    }

    /// As a stateless client that can be asked anything.
    private func ask(
        _ gateway: RunningGateway, _ token: String, _ method: String, _ params: [(String, JSONText?)], name: String
    ) async throws -> Answer {
        let able: JSONText = [
            "roots": [:], "sampling": [:], "elicitation": ["form": [:], "url": [:]], "extensions": ["io.modelcontextprotocol/tasks": [:]],
        ]
        let meta: JSONText = ["io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": able]
        let body: JSONText = ["jsonrpc": "2.0", "id": 7, "method": .string(method), "params": .object(params + [("_meta", meta)])]
        return try await gateway.mcp(
            body.description, token: token, headers: [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method), ("Mcp-Name", name)])
    }

    @Test func `an owner says what a server may ask, which the server hears, and who is asked nevertheless is not`() async throws {
        try await FakeUpstream.running(asking) { upstream in
            try await RunningGateway.with { gateway in
                let (owner, user) = (try await gateway.token("olga", .serverOwner), try await gateway.token())
                let made = try await gateway.api(.POST, "/api/v1/servers", ["alias": "asking", "endpoint": .string(upstream.endpoint)], token: owner)
                #expect(made.json?["questions"]?.elements.map(\.string) == ["elicitation", "sampling", "roots"])
                let path = "/api/v1/servers/\(try #require(made.json?["id"]?.integer))"
                _ = try await gateway.api(.POST, path + "/check", token: owner)
                #expect(try await ask(gateway, user, "roots").json?["result"]?["inputRequests"]?["r"] != nil)
                #expect(try await ask(gateway, user, "say").said?.contains("roots") == true)
                let task = try #require(try await ask(gateway, user, "task").json?["result"]?["taskId"]?.string)
                let before = try await ask(gateway, user, "tasks/get", [("taskId", .string(task))], name: task)
                #expect(before.json?["result"]?["inputRequests"]?["r"] != nil)
                #expect(try await ask(gateway, user, "url").json?["result"]?["inputRequests"]?["url1"] != nil)

                let changed = try await gateway.api(.PATCH, path, ["questions": ["sampling"]], token: owner)
                #expect(changed.status == 200)
                #expect(try await gateway.api(.GET, path, token: owner).json?["questions"]?.elements.map(\.string) == ["sampling"])
                _ = try await gateway.api(.POST, path + "/check", token: owner)
                let told = try #require(try await ask(gateway, user, "say").said)
                #expect(told.contains("sampling") && !told.contains("roots") && !told.contains("elicitation"))
                let refused = [
                    try await ask(gateway, user, "roots"),
                    try await ask(gateway, user, "tasks/get", [("taskId", .string(task))], name: task),
                ]
                for answer in refused {
                    #expect(answer.status == 400)
                    #expect(answer.json?["error"]?["code"]?.integer == -32021)
                    #expect(answer.json?["error"]?["data"]?["requiredCapabilities"]?.text.description == #"{"roots":{}}"#)
                }
                let unopened = try await ask(gateway, user, "url")
                #expect(unopened.json?["error"]?["code"]?.integer == -32021)
                let old = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"asking__ask","arguments":{"how":"url"}}}"#
                let legacy = try await gateway.mcp(old, token: user)
                #expect(legacy.json?["error"]?["code"]?.integer == -32603)
                for answer in [unopened, legacy] { #expect(!answer.text.contains("login.example")) }

                for wrong: JSONText in [["elicitations"], "roots", [1], ["none"], ["roots", ""]] {
                    #expect(try await gateway.api(.PATCH, path, ["questions": wrong], token: owner).status == 422)
                }
                #expect(try await gateway.api(.PATCH, path, ["questions": []], token: owner).json?["questions"]?.elements.isEmpty == true)
            }
        }
    }
}
