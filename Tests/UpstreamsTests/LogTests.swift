import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

@Suite(.timeLimit(.minutes(1)))
struct LogTests {
    private static func log(_ level: String) -> JSONText {
        Message.notification(method: "notifications/message", params: ["level": .string(level), "data": .string(level)])
    }

    /// A server with a handshake that logs at every level, and knows how to be told which.
    private static func logging(offers: Bool = true) -> ScriptedServer.Script {
        { request, reply in
            switch request.rpc {
            case "server/discover": try await reply.send("404 Not Found", "")
            case "initialize":
                let capabilities: JSONText = ["tools": [:], "logging": offers ? [:] : nil]
                try await reply.result(["protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": ["name": "l", "version": "1"]])
            case "notifications/initialized": try await reply.accept()
            case "logging/setLevel": try await reply.error(-32603, "Not today", status: "200 OK")
            default: try await chatter(request, reply)
            }
        }
    }

    private static let chatter: ScriptedServer.Script = { request, reply in
        try await reply.startEvents()
        for level in LogLevel.allCases.map(\.rawValue) + ["loud", ""] { try await reply.event(log(level)) }
        try await reply.event(Message.notification(method: "notifications/message"))
        try await reply.event(Message.notification(method: "notifications/message", params: ["level": 7]))
        try await reply.event(result: ["content": []])
        try await reply.end()
    }

    private func heard(_ upstream: Upstream, from level: LogLevel?) async throws -> [String?] {
        let call = try await upstream.start { $0.logLevel = level }
        var heard: [String?] = []
        while let event = try await call.next() {
            if case .log(let params) = event { heard.append(params["level"]?.string) }
        }
        return heard
    }

    @Test(arguments: [true, false])
    func `a caller hears what is as grave as they wanted, or graver`(_ isModern: Bool) async throws {
        try await ScriptedServer.running(isModern ? ScriptedServer.modern(Self.chatter) : Self.logging()) { server in
            let upstream = try Upstream(server)
            #expect(try await heard(upstream, from: nil) == [])
            #expect(try await heard(upstream, from: .error) == ["error", "critical", "alert", "emergency"])
            #expect(try await heard(upstream, from: .debug) == LogLevel.allCases.map(\.rawValue))
        }
    }

    @Test func `a server with a handshake is told the most verbose level that anybody wants, when that grows`() async throws {
        try await ScriptedServer.running(Self.logging()) { server in
            let upstream = try Upstream(server)
            for level in [nil, .warning, .error, .warning, .debug, .info] as [LogLevel?] { _ = try await heard(upstream, from: level) }
            #expect(server.requests("logging/setLevel").map { $0.json?["params"]?["level"]?.string } == ["warning", "debug"])
        }
    }

    @Test func `a server that offers no log is not told how to`() async throws {
        try await ScriptedServer.running(Self.logging(offers: false)) { server in
            _ = try await heard(try Upstream(server), from: .debug)
            #expect(!server.asked.contains("logging/setLevel"))
        }
    }

    @Test func `a stateless server is told with the request`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            _ = try await heard(try Upstream(server), from: .notice)
            let meta = server.requests("tools/call").first?.json?["params"]?["_meta"]
            #expect(meta?["io.modelcontextprotocol/logLevel"]?.string == "notice")
        }
    }

    @Test func `progress that does not grow is not told`() async throws {
        let script = ScriptedServer.modern { request, reply in
            try await reply.startEvents()
            for value in ["1", "1", "0.5", "2", "-3", "2.0", "2.5", "\"9\"", "null"] {
                let params = #"{"progressToken":\#(request.id),"progress":\#(value)}"#
                try await reply.chunk(Array("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":\(params)}\n\n".utf8))
            }
            try await reply.event(result: ["content": []])
            try await reply.end()
        }
        try await ScriptedServer.running(script) { server in
            let call = try await Upstream(server).start(token: "mine")
            var values: [Double?] = []
            while let event = try await call.next() {
                if case .progress(let params) = event { values.append(params["progress"]?.double) }
            }
            #expect(values == [1, 2, 2.5])
        }
    }

    @Test func `headers of a request travel with it over HTTP`() async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            _ = try await Upstream(server).start { $0.headers = [("Mcp-Param-Region", "eu"), ("traceparent", "00-1-2-01")] }.answer()
            let request = try #require(server.requests("tools/call").first)
            #expect(request.headers["Mcp-Param-Region"] == ["eu"])
            #expect(request.headers["traceparent"] == ["00-1-2-01"])
            #expect(server.requests("server/discover").allSatisfy { $0.headers["Mcp-Param-Region"].isEmpty })
        }
    }
}
