import Access
import Gateway
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing

@testable import Upstreams

/// Whom a fetch may reach: request forgery in all its spellings, and TLS.
@Suite(.timeLimit(.minutes(1)))
struct FetchTargetTests {
    private static let answer: ScriptedServer.Script = { _, reply in try await reply.ok("{}") }

    static let hosts = [
        "localhost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0x7F.0x0.0x0.0x1", "017700000001",
        "0177.0.0.1", "0177.0.0.01", "2130706433", "0000000127.0.0.1", "127.0.0.1.", "0", "0.0.0.0", "0.0.0.1", "00000", "0x0",
        "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001::1]", "[100::1]",
        // Metadata services of clouds.
        "169.254.169.254", "169.254.170.2", "[::ffff:a9fe:a9fe]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[fe80::a9fe:a9fe]", "2852039166",
        "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "100.100.100.200", "192.0.0.192", "[fd20:ce::254]",
        // Inside.
        "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1.254", "100.64.0.1", "100.127.255.254", "198.18.0.1",
        "[fc00::1]", "[fd12:3456:789a::1]", "[fe80::1]", "[febf::1]", "[fec0::1]",
        // To nobody, or to everybody.
        "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "[ff02::1]", "[2001:db8::1]",
        // Who is the host?
        "public.example@127.0.0.1", "public.example:80@127.0.0.1", "127.0.0.1:80@127.0.0.1", "@127.0.0.1", "public.example%40127.0.0.1",
        #"public.example\@127.0.0.1"#, "public.example#@127.0.0.1", "127.0.0.1%00.public.example", "127.0.0.1%2epublic.example", "①②⑦.0.0.1",
        "127。0。0。1",
        "[fe80::1%25eth0]", "[::1%lo]", "[127.0.0.1]", "[::1", "::1", "127.0.0.1 public.example", "127.0.0.1\tx",
    ]

    @Test(arguments: hosts)
    func `no spelling of an address inside gets a connection out of the strict policy`(host: String) async throws {
        try await ScriptedServer.running(Self.answer) { canary in
            let fetcher = try Fetcher.live(egress: EgressPolicy(), names: .strangers)
            for scheme in ["http", "https"] {
                for port in [":\(canary.port)", ""] {
                    // What no URL can be made of cannot even be asked for.
                    guard let endpoint = Endpoint("\(scheme)://\(host)\(port)/") else { continue }
                    let failure = await fetchFailure { try await fetcher.send(FetchRequest(.get, endpoint)) }
                    #expect(failure?.kind == "unreachable")
                    #expect(failure?.reason.contains("not reachable from here") == true || failure?.reason.contains("could not be resolved") == true)
                }
            }
            #expect(canary.connections == 0)
        }
    }

    static let names = [
        ("localhost.", ["127.0.0.1"]), ("localhost.localdomain", ["127.0.0.1", "::1"]), ("ip6-localhost", ["::1"]),
        ("127.0.0.1.nip.io", ["127.0.0.1"]),
        ("169-254-169-254.sslip.io", ["169.254.169.254"]), ("7f000001.nip.io", ["127.0.0.1"]), ("metadata.google.internal", ["169.254.169.254"]),
        ("metadata", ["169.254.169.254"]), ("instance-data.ec2.internal", ["169.254.169.254"]), ("rebind.example", ["::ffff:127.0.0.1"]),
        ("inside.example", ["10.1.2.3"]), ("inside6.example", ["fd00::1"]), ("mapped.example", ["64:ff9b::a9fe:a9fe"]),
        // One address inside is enough, wherever it stands.
        ("both.example", ["93.184.216.34", "127.0.0.1"]), ("both6.example", ["2606:2800:220:1:248:1893:25c8:1946", "::1"]),
        ("last.example", ["93.184.216.34", "93.184.216.35", "93.184.216.36", "93.184.216.37", "10.0.0.1"]),
    ]

    @Test(arguments: names)
    func `a name is judged by every address it has`(name: String, addresses: [String]) async throws {
        try await ScriptedServer.running(Self.answer) { canary in
            let fetcher = try Fetcher.live(egress: EgressPolicy(), names: .scripted { $0 == name ? addresses : [] })
            for scheme in ["http", "https"] {
                let failure = await fetchFailure { try await fetcher.get("\(scheme)://\(name):\(canary.port)/") }
                #expect(failure?.kind == "unreachable")
                #expect(scheme == "http" || failure?.reason.contains("not reachable from here") == true)
            }
            #expect(canary.connections == 0)
        }
    }

    @Test func `strangers' plain http is refused even to a public address`() async throws {
        let fetcher = try Fetcher.live(egress: EgressPolicy(), names: .scripted { _ in ["93.184.216.34"] })
        let failure = await fetchFailure { try await fetcher.get("http://public.example/") }
        #expect(failure?.kind == "unreachable")
        #expect(failure?.reason.contains("https") == true)
    }

    @Test func `a name without an address is unreachable`() async throws {
        let fetcher = try Fetcher.live(names: .scripted { _ in [] })
        #expect(await fetchFailure { try await fetcher.get("http://nobody.example/") } == .unreachable("it has no address"))
    }

    /// The resolver says something else each time it is asked, with no time to live.
    @Test func `the address that was judged is the one that is connected to, and each fetch judges anew`() async throws {
        try await ScriptedServer.running(Self.answer) { server in
            let asked = Shared(0)
            let names = NameLookup.scripted { _ in
                let turn = asked.change { asked in
                    asked += 1
                    return asked
                }
                return turn % 2 == 1 ? ["127.0.0.1"] : ["127.0.0.2"]
            }
            let fetcher = try Fetcher.live(egress: EgressPolicy(allowed: [try #require(AddressRange("127.0.0.1/32"))]), names: names)
            for turn in 1...6 {
                let failure = await fetchFailure { try await fetcher.get("http://rebind.example:\(server.port)/") }
                #expect(asked.current == turn)
                #expect((failure == nil) == (turn % 2 == 1))
            }
            #expect(server.requests.count == 3)
            #expect(server.requests.allSatisfy { $0.headers["host"] == ["rebind.example:\(server.port)"] })
        }
    }

    @Test(arguments: ["http://127.0.0.1:1/", "https://127.0.0.1:1/"])
    func `a port where nobody listens is unreachable`(url: String) async throws {
        #expect(await fetchFailure { try await Fetcher.live().get(url) } == .unreachable("connecting failed (Connection refused)"))
    }

    // MARK: The other end

    @Test(arguments: [("127.0.0.1", true), ("10.0.0.1", false)])
    func `a connection that went elsewhere carries nothing`(address: String, isAllowed: Bool) throws {
        let channel = EmbeddedChannel()
        let expected = try SocketAddress(ipAddress: "127.0.0.1", port: 80)
        try channel.pipeline.syncOperations.addHandler(PeerCheck { $0 == expected })
        try channel.connect(to: SocketAddress(ipAddress: address, port: 80)).wait()
        channel.embeddedEventLoop.run()
        #expect(channel.isActive == isAllowed)
    }

    // MARK: TLS

    private func overTLS(_ name: String, trust: NIOSSLTrustRoots, newest: TLSVersion? = nil) async throws -> (FetchFailure?, requests: Int) {
        try await ScriptedServer.running(tls: TestCertificate.server(newest: newest), Self.answer) { server in
            let fetcher = try Fetcher.live(names: .scripted { _ in ["127.0.0.1"] }, trust: trust)
            let failure = await fetchFailure { try await fetcher.get("https://\(name):\(server.port)/") }
            return (failure, server.requests.count)
        }
    }

    @Test(arguments: [TLSVersion.tlsv12, .tlsv13])
    func `a server whose certificate is for the name is asked, wherever the name leads`(version: TLSVersion) async throws {
        let (failure, requests) = try await overTLS("issuer.test", trust: TestCertificate.trust, newest: version)
        #expect(failure == nil)
        #expect(requests == 1)
    }

    @Test(arguments: ["other.test", "issuer.test.evil.example", "xissuer.test", "127.0.0.1"])
    func `a server whose certificate is for another name is sent nothing`(name: String) async throws {
        let (failure, requests) = try await overTLS(name, trust: TestCertificate.trust)
        #expect(failure?.kind == "unreachable")
        #expect(requests == 0)
    }

    /// The fetcher as the program makes it.
    @Test(arguments: [HTTPFetcher.Author.operators, .strangers])
    func `a server whose certificate nobody vouches for is sent nothing`(author: HTTPFetcher.Author) async throws {
        try await ScriptedServer.running(tls: TestCertificate.server(), Self.answer) { server in
            let fetcher = try HTTPFetcher(group: .singletonMultiThreadedEventLoopGroup, egress: .loopback, urlsOf: author).fetcher
            #expect(await fetchFailure { try await fetcher.get("https://localhost:\(server.port)/") }?.kind == "unreachable")
            #expect(server.requests.isEmpty)
        }
    }

    @Test func `TLS before 1.2 is not spoken`() async throws {
        let (failure, requests) = try await overTLS("issuer.test", trust: TestCertificate.trust, newest: .tlsv11)
        #expect(failure?.kind == "unreachable")
        #expect(requests == 0)
    }

    @Test func `an answer over TLS that ends only with the connection is lost if the connection was cut`() async throws {
        let script: ScriptedServer.Script = { _, reply in
            let channel = reply.channel
            try await channel.writeAndFlush(ByteBuffer(string: "HTTP/1.1 200 OK\r\n\r\n{\"half\":")).get()
            // Closes the socket beneath TLS, as whoever cuts the line does.
            try await channel.eventLoop.submit {
                try channel.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self).close(promise: nil)
            }.get()
        }
        try await ScriptedServer.running(tls: TestCertificate.server(), script) { server in
            let fetcher = try Fetcher.live(names: .scripted { _ in ["127.0.0.1"] }, trust: TestCertificate.trust)
            #expect(await fetchFailure { try await fetcher.get("https://issuer.test:\(server.port)/") }?.kind == "lost")
        }
    }

    @Test func `a server that does not speak TLS is sent nothing`() async throws {
        try await ScriptedServer.running(Self.answer) { server in
            let failure = await fetchFailure { try await Fetcher.live().get("https://127.0.0.1:\(server.port)/") }
            #expect(failure?.kind == "unreachable")
            #expect(server.requests.isEmpty)
        }
    }
}
