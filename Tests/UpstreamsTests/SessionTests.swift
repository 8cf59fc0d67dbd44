import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import Upstreams

/// A server with sessions that it forgets when told to.
private final class Sessions: Sendable {
    let alive = Shared<[String]>([])
    private let count = Shared(0)

    func forgetAll() { alive.change { $0 = [] } }

    var script: ScriptedServer.Script {
        { request, reply in
            switch request.rpc {
            case "server/discover": try await reply.error(-32600, "Bad Request: Missing session ID", id: "server-error")
            case "initialize":
                let number = self.count.change { count in
                    count += 1
                    return count
                }
                self.alive.change { $0.append("s\(number)") }
                try await reply.result(ScriptedServer.handshake(), headers: ["Mcp-Session-Id: s\(number)"])
            default:
                guard let session = request.headers.first(name: "Mcp-Session-Id"), self.alive.current.contains(session) else {
                    return try await reply.error(-32001, "Session not found", status: "404 Not Found", id: "server-error")
                }
                if request.method == .DELETE { return try await reply.ok("") }
                if request.rpc.hasPrefix("notifications/") { return try await reply.accept() }
                if request.rpc == "tools/list" { return try await reply.result(["tools": [["name": "echo"]]]) }
                try await reply.result(["content": [], "structuredContent": ["session": .string(session)]])
            }
        }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct SessionTests {
    @Test func `a call to a server that forgot the session is made again in a new one`() async throws {
        let sessions = Sessions()
        try await ScriptedServer.running(sessions.script) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            sessions.forgetAll()
            #expect(try await upstream.ask()["structuredContent"]?["session"]?.string == "s2")
            #expect(server.asked.suffix(4) == ["tools/call", "initialize", "notifications/initialized", "tools/call"])
            #expect(server.requests("initialize").allSatisfy { $0.headers["Mcp-Session-Id"].isEmpty })
        }
    }

    @Test func `a list asked of a server that forgot the session is asked again`() async throws {
        let sessions = Sessions()
        try await ScriptedServer.running(sessions.script) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.list(.tools)
            sessions.forgetAll()
            #expect(try await upstream.list(.tools).count == 1)
            #expect(server.requests("server/discover").count == 1)
        }
    }

    @Test func `ten calls that lose one session share the next`() async throws {
        let sessions = Sessions()
        try await ScriptedServer.running(sessions.script) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            sessions.forgetAll()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<10 {
                    group.addTask {
                        let answer = try await upstream.ask()
                        #expect(answer["structuredContent"]?["session"]?.string == "s2")
                    }
                }
                try await group.waitForAll()
            }
            #expect(server.requests("initialize").count == 2)
        }
    }

    @Test func `a server that forgets every session is asked twice and no more`() async throws {
        try await ScriptedServer.running(
            ScriptedServer.legacy(session: "s") { _, reply in try await reply.send("404 Not Found", "") }
        ) { server in
            let failure = await failure { try await Upstream(server).ask() }
            #expect(failure == .rejected(status: 404, error: nil))
            #expect(server.requests("tools/call").count == 2)
        }
    }

    @Test func `404 without a session is a failure and nothing is repeated`() async throws {
        try await ScriptedServer.running(ScriptedServer.legacy { _, reply in try await reply.send("404 Not Found", "") }) { server in
            #expect(await failure { try await Upstream(server).ask() } == .rejected(status: 404, error: nil))
            #expect(server.requests("tools/call").count == 1)
        }
    }

    @Test func `each user has a session of their own`() async throws {
        try await ScriptedServer.running(Sessions().script) { server in
            let upstream = try Upstream(server)
            for user in [1, 2, 1, 2] as [Int64] {
                #expect(try await upstream.ask(as: user)["structuredContent"]?["session"]?.string == "s\(user)")
            }
        }
    }

    @Test func `closing says goodbye to every session, and there is no other after it`() async throws {
        try await ScriptedServer.running(Sessions().script) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask(as: 1)
            _ = try await upstream.ask(as: 2)
            await upstream.close()
            let goodbyes = server.requests.filter { $0.method == .DELETE }
            #expect(Set(goodbyes.flatMap { $0.headers["Mcp-Session-Id"] }) == ["s1", "s2"])
            #expect(goodbyes.allSatisfy { $0.body.isEmpty && $0.path == "/mcp" })
            let asked = server.asked.count
            #expect(await failure { try await upstream.ask(as: 1) }?.mayHaveActed == false)
            #expect(server.asked.count == asked)
        }
    }

    @Test(arguments: ["405 Method Not Allowed", "404 Not Found", "hangup"])
    func `a server that will not hear goodbye does not hold the closing up`(_ status: String) async throws {
        let legacy = ScriptedServer.legacy(session: "s", ScriptedServer.echo)
        try await ScriptedServer.running { request, reply in
            guard request.method == .DELETE else { return try await legacy(request, reply) }
            if status == "hangup" { throw ScriptedServer.Hangup() }
            try await reply.send(status, "")
        } _: { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            await upstream.close()
            #expect(server.requests.count { $0.method == .DELETE } == 1)
        }
    }

    @Test func `a conversation in use is not closed as idle`() async throws {
        try await ScriptedServer.running(Sessions().script) { server in
            let upstream = try Upstream(server)
            _ = try await upstream.ask()
            await upstream.closeIdle()
            #expect(try await upstream.ask()["structuredContent"]?["session"]?.string == "s1")
        }
    }
}
