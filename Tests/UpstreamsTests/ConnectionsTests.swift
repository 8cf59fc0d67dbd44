import Access
import Gateway
import Glibc
import Logging
import MCP
import NIOCore
import NIOPosix
import Testing

@testable import Upstreams

@Suite(.timeLimit(.minutes(1)))
struct ConnectionsTests {
    /// One event loop for the client, so that a turn of it shows that everything before has happened.
    private func withLoop(_ script: @escaping ScriptedServer.Script, _ body: (ScriptedServer, Upstream, () async throws -> Void) async throws -> Void)
        async throws
    {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let surroundings = UpstreamSurroundings(
            client: Implementation(name: "gateway", title: "Gateway", version: "1"),
            connections: try HTTPConnections(group: group, egress: .loopback),
            keeper: ProcessKeeper(), environment: [:], now: UpstreamSurroundings.clock, logger: .quiet)
        try await ScriptedServer.running(script) { server in
            try await body(server, try Upstream(server, surroundings: surroundings)) { try await group.next().submit {}.get() }
        }
        try await group.shutdownGracefully()
    }

    @Test func `calls one after another share a connection, whoever makes them`() async throws {
        try await withLoop(ScriptedServer.modern(ScriptedServer.echo)) { server, upstream, turn in
            for user in 1...5 {
                _ = try await upstream.ask(as: Int64(user))
                try await turn()
            }
            #expect(server.connections <= 2)
        }
    }

    @Test func `a call after the server closed the idle connection goes over a new one`() async throws {
        let closed = Signal()
        let script = ScriptedServer.modern { request, reply in
            try await ScriptedServer.echo(request, reply)
            guard request.arguments?["last"] != nil else { return }
            try await reply.channel.close()
            closed.fire()
        }
        try await withLoop(script) { server, upstream, turn in
            _ = try await upstream.ask("echo", ["last": true])
            await closed.wait()
            try await turn()
            _ = try await upstream.ask()
            #expect(server.requests("tools/call").map(\.connection).count == 2)
            #expect(Set(server.requests("tools/call").map(\.connection)).count == 2)
        }
    }

    @Test func `a name that nobody answers for is waited for no longer than the patience, and what waits behind it is not begun`() async throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let (silence, lookUps) = (ends[0], Shared(0))
        let threads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        let names = NameLookup(threads: threads) { _, port in
            lookUps.change { $0 += 1 }
            // Returns when the other end is closed.
            var byte: UInt8 = 0
            read(silence, &byte, 1)
            return [try SocketAddress(ipAddress: "127.0.0.1", port: port)]
        }
        let connections = HTTPConnections(
            dialing: try Dialing(
                group: .singletonMultiThreadedEventLoopGroup, egress: .loopback, names: names, patience: .milliseconds(50),
                trust: TestCertificate.trust))
        let endpoint = try #require(Endpoint("http://nobody.example/mcp"))
        for _ in 1...2 {
            await #expect(throws: UpstreamFailure.unreachable("its name was not resolved in time")) { try await connections.check(endpoint) }
        }
        close(ends[1])
        try await threads.shutdownGracefully()
        close(ends[0])
        #expect(lookUps.current == 1)
    }

    @Test func `a connection the server says it closes is not used again`() async throws {
        let script: ScriptedServer.Script = { request, reply in
            let result = request.rpc == "server/discover" ? ScriptedServer.discovery : ["content": []]
            try await reply.result(result, headers: ["connection: close"])
        }
        try await withLoop(script) { server, upstream, turn in
            for _ in 0..<3 {
                _ = try await upstream.ask()
                try await turn()
            }
            #expect(server.connections == 4)
        }
    }

    @Test func `a call lost on a kept connection is not made again`() async throws {
        let script = ScriptedServer.modern { request, reply in
            if request.arguments?["lose"] != nil { throw ScriptedServer.Hangup() }
            try await ScriptedServer.echo(request, reply)
        }
        try await withLoop(script) { server, upstream, turn in
            _ = try await upstream.ask()
            try await turn()
            #expect(await failure { try await upstream.ask("echo", ["lose": true]) }?.kind == "lost")
            #expect(server.requests("tools/call").count == 2)
            _ = try await upstream.ask()
        }
    }

    // MARK: Where to

    @Test(arguments: [
        "localhost", "127.0.0.1", "127.8.9.10", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0x7f.1", "017700000001", "2130706433", "0",
        "0.0.0.0",
        "[::]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "224.0.0.1", "255.255.255.255",
    ])
    func `an address that is not for servers is refused before any connection`(_ host: String) async throws {
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            for scheme in ["http", "https"] {
                let surroundings = try UpstreamSurroundings.testing(egress: EgressPolicy())
                let upstream = Upstream(.http(endpoint: "\(scheme)://\(host):\(server.port)/mcp"), surroundings: surroundings)
                #expect(await failure { try await upstream.ask() }?.kind == "unreachable")
            }
            #expect(server.connections == 0)
        }
    }

    @Test(arguments: ["93.184.216.34", "[2606:2800:220:1:248:1893:25c8:1946]"])
    func `plain http is refused even to a public address, before any connection`(_ host: String) async throws {
        let upstream = Upstream(.http(endpoint: "http://\(host)/mcp"), surroundings: try .testing())
        let failure = await failure { try await upstream.ask() }
        #expect(failure?.kind == "unreachable")
        #expect(failure?.reason.contains("https") == true)
    }

    @Test func `https to a public address is allowed`() async throws {
        let connections = try HTTPConnections(group: .singletonMultiThreadedEventLoopGroup, egress: EgressPolicy())
        try await connections.check(#require(Endpoint("https://93.184.216.34/mcp")))
    }

    @Test func `a range opens itself and nothing beside it`() async throws {
        let one = EgressPolicy(allowed: [AddressRange("127.0.0.1/32")!])
        try await ScriptedServer.running(ScriptedServer.modern(ScriptedServer.echo)) { server in
            _ = try await Upstream(server, surroundings: .testing(egress: one)).ask()
            let beside = Upstream(.http(endpoint: "http://127.0.0.2:\(server.port)/mcp"), surroundings: try .testing(egress: one))
            #expect(await failure { try await beside.ask() }?.kind == "unreachable")
        }
    }

    @Test(arguments: ["", "localhost", "ftp://127.0.0.1/", "http://ada:secret@127.0.0.1/", "http://127.0.0.1:99999/"])
    func `what is no URL is unreachable`(_ text: String) async throws {
        let upstream = Upstream(.http(endpoint: text), surroundings: try .testing())
        #expect(await failure { try await upstream.ask() } == .unreachable("its URL is not usable"))
    }

    @Test func `a port where nobody listens is unreachable, and says why`() async throws {
        let port = try await ScriptedServer.running(ScriptedServer.echo) { $0.port }
        let upstream = Upstream(.http(endpoint: "http://127.0.0.1:\(port)/mcp"), surroundings: try .testing())
        #expect(await failure { try await upstream.ask() } == .unreachable("connecting failed (Connection refused)"))
    }

    /// Nothing of a call leaves before the handshake of TLS is done.
    @Test(arguments: [EraChoice.auto, .modern, .legacy])
    func `a server that does not speak TLS was sent nothing`(_ era: EraChoice) async throws {
        try await ScriptedServer.running(ScriptedServer.echo) { server in
            let upstream = Upstream(.http(endpoint: "https://127.0.0.1:\(server.port)/mcp"), era: era, surroundings: try .testing())
            let failure = try #require(await failure { try await upstream.ask() })
            #expect(!failure.mayHaveActed, "\(failure)")
            #expect(server.requests.isEmpty)
        }
    }
}
