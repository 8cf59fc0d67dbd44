import Access
import Dispatch
import Gateway
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import Upstreams

@Suite(.timeLimit(.minutes(1)))
struct FetcherTests {
    // MARK: What is sent

    @Test func `a request arrives as its parts, and as nothing else`() async throws {
        try await ScriptedServer.running({ _, reply in try await reply.ok("{}") }) { server in
            _ = try await Fetcher.live().get("http://127.0.0.1:\(server.port)/a/b?c=d", headers: [("accept", "application/json"), ("x-tab", "a\tb")])
            let request = try #require(server.requests.first)
            #expect(request.method == .GET)
            #expect(request.path == "/a/b?c=d")
            #expect(request.body.isEmpty)
            #expect(
                request.headers.map { "\($0.name): \($0.value)" } == [
                    "host: 127.0.0.1:\(server.port)", "user-agent: mcp-registry-gateway", "accept-encoding: identity", "connection: close",
                    "accept: application/json", "x-tab: a\tb",
                ])
        }
    }

    @Test(arguments: [0, 1, 100_000])
    func `a body is sent with its length`(length: Int) async throws {
        let body = [UInt8](repeating: UInt8(ascii: "a"), count: length)
        try await ScriptedServer.running({ _, reply in try await reply.ok("{}") }) { server in
            let endpoint = try #require(Endpoint("http://127.0.0.1:\(server.port)/token"))
            _ = try await Fetcher.live().send(FetchRequest(.post, endpoint, body: body))
            let request = try #require(server.requests.first)
            #expect(request.method == .POST)
            #expect(request.body == body)
            #expect(request.headers["content-length"] == ["\(length)"])
            #expect(request.headers["transfer-encoding"].isEmpty)
        }
    }

    @Test(arguments: [
        ("x", "a\r\nhost: evil.example"), ("x", "a\nb"), ("x", "a\rb"), ("x", "a\0"), ("x", "\u{7F}"), ("x", "\u{1B}[2J"), ("x", "é"),
        ("x\r\ny", "a"),
        ("x y", "a"), ("x:", "a"), ("", "a"), ("x\0", "a"), ("é", "a"), (":authority", "a"), ("x\n", "a"), ("host", "evil.example"),
        ("Host", "evil.example"),
        ("content-length", "0"), ("Content-Length", "7"), ("transfer-encoding", "chunked"), ("connection", "keep-alive"), ("upgrade", "h2c"),
        ("accept-encoding", "gzip"), ("te", "trailers"), ("expect", "100-continue"), ("user-agent", "curl"),
    ])
    func `a header that would not stay one header is not sent`(name: String, value: String) async throws {
        try await ScriptedServer.running({ _, reply in try await reply.ok("{}") }) { server in
            let failure = await fetchFailure { try await Fetcher.live().get("http://127.0.0.1:\(server.port)/", headers: [(name, value)]) }
            #expect(failure?.kind == "unreachable")
            #expect(failure?.reason.contains("evil") == false)
            #expect(server.connections == 0)
        }
    }

    // MARK: Answers

    static let good: [(answer: String, body: String)] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "{}"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 500 No\r\n\r\n", "{}"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;ext=1\r\n}\r\n0\r\nx-sum: 1\r\n\r\n", "{}"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}"),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\n\r\n{}", "{}"),
        ("HTTP/1.0 200 OK\r\n\r\n{}", "{}"),
        ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", ""),
        ("HTTP/1.1 103 Early\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "{}"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n" + String(repeating: "a", count: 4096), String(repeating: "a", count: 4096)),
        ("HTTP/1.1 200 OK\r\nx: " + String(repeating: "a", count: 15 << 10) + "\r\ncontent-length: 0\r\n\r\n", ""),
    ]

    @Test(arguments: good)
    func `an answer is read however it is framed`(answer: String, body: String) async throws {
        let script: ScriptedServer.Script = { _, reply in
            try await reply.write(answer)
            throw ScriptedServer.Hangup()
        }
        try await ScriptedServer.running(script) { server in
            let fetched = try await Fetcher.live().get("http://127.0.0.1:\(server.port)/")
            #expect(fetched.status == 200)
            #expect(String(decoding: fetched.body, as: UTF8.self) == body)
        }
    }

    @Test func `an answer's headers come in order, with names in lower case`() async throws {
        let answer = "HTTP/1.1 404 Gone\r\nX-B: 1\r\nSet-Cookie: a\r\nx-a:  2 \r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n"
        try await ScriptedServer.running({ _, reply in try await reply.write(answer) }) { server in
            let fetched = try await Fetcher.live().get("http://127.0.0.1:\(server.port)/")
            #expect(fetched.status == 404)
            #expect(fetched.headers.map { "\($0.name)=\($0.value)" } == ["x-b=1", "set-cookie=a", "x-a=2", "set-cookie=b", "content-length=0"])
        }
    }

    @Test(
        arguments: [300, 301, 302, 303, 304, 307, 308],
        ["http://127.0.0.1:CANARY/", "http://169.254.169.254/latest/meta-data/", "/elsewhere", "//localhost"])
    func `a redirect is an answer, and nobody follows it`(status: Int, location: String) async throws {
        try await ScriptedServer.running({ _, reply in try await reply.ok("{}") }) { canary in
            let location = location.replacing("CANARY", with: "\(canary.port)")
            let script: ScriptedServer.Script = { _, reply in try await reply.send("\(status) Moved", "", headers: ["location: \(location)"]) }
            try await ScriptedServer.running(script) { server in
                let fetched = try await Fetcher.live().get("http://127.0.0.1:\(server.port)/")
                #expect(fetched.status == status)
                #expect(fetched["location"] == location)
                #expect(server.requests.count == 1)
                #expect(canary.connections == 0)
            }
        }
    }

    // MARK: Hostile answers

    /// What is written first, and then for ever.
    static let endless: [(start: String, over: String)] = [
        ("HTTP/1.1 200 OK\r\n", "x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        ("HTTP/1.1 200 OK\r\n", "a:\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("HTTP/1.1 200 OK\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("HTTP/1.1 200 ", "OK OK OK OK OK OK OK OK OK OK OK OK OK OK OK OK OK "),
        ("\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\n\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "20\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\na\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 4097\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\n", ""),
    ]

    @Test(arguments: endless)
    func `an answer without an end is cut off`(start: String, over: String) async throws {
        let script: ScriptedServer.Script = { _, reply in
            try await reply.write(start)
            let more = String(repeating: over, count: 1000)
            // Ends when the other side hangs up.
            while !over.isEmpty { try await reply.write(more) }
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            #expect(await fetchFailure { try await Fetcher.live().get("http://127.0.0.1:\(server.port)/") } == .tooLarge)
        }
    }

    @Test(arguments: ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", "HTTP/1.1 199 Soon\r\n\r\n"])
    func `announcing an answer for ever is no answer`(interim: String) async throws {
        let script: ScriptedServer.Script = { _, reply in
            // Many at a time: the kernel takes megabytes before it makes a writer wait.
            let many = String(repeating: interim, count: 1000)
            while true { try await reply.write(many) }
        }
        try await ScriptedServer.running(script) { server in
            let failure = await fetchFailure { try await Fetcher.live().get("http://127.0.0.1:\(server.port)/") }
            #expect(failure == .lost("it announces an answer and does not give one"))
        }
    }

    /// What is written before the connection closes.
    static let broken = [
        "", "H", "HTTP/1.1", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ", "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n{}", "HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Encoding: identity, br\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-encoding: deflate\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n{}",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n{}", "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", "HTTP/0.9 200 OK\r\n\r\n{}", "{}", "<html>", "SSH-2.0-OpenSSH_9.2\r\n",
        "220 mail.example ESMTP\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 -200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nx y: a\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 2\r\n\r\n{}", "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    ]

    @Test(arguments: broken)
    func `what is no whole answer is lost`(answer: String) async throws {
        let script: ScriptedServer.Script = { _, reply in
            try await reply.write(answer)
            throw ScriptedServer.Hangup()
        }
        try await ScriptedServer.running(script) { server in
            let failure = await fetchFailure { try await Fetcher.live().get("http://127.0.0.1:\(server.port)/") }
            #expect(failure?.kind == "lost", "\(String(describing: failure))")
        }
    }

    // MARK: Time

    static let slow: [(start: String, drip: String)] = [
        ("", ""), ("HTTP/1.1 200 OK\r\n", "x: y\r\n"), ("HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n", "a"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\na\r\n"), ("HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n", ""),
    ]

    @Test(arguments: slow)
    func `an answer that comes drop by drop is not waited for`(start: String, drip: String) async throws {
        let script: ScriptedServer.Script = { _, reply in
            try await reply.write(start)
            try await reply.write(drip)
            await reply.closedByPeer()
        }
        try await ScriptedServer.running(script) { server in
            let failure = await fetchFailure { try await Fetcher.live().get("http://127.0.0.1:\(server.port)/", deadline: .milliseconds(100)) }
            #expect(failure == .timedOut(.milliseconds(100)))
        }
    }

    @Test func `a server that never shakes hands over TLS is not waited for`() async throws {
        // Accepted by the kernel, and served by nobody.
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.autoRead, value: false).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        let failure = await fetchFailure { try await Fetcher.live().get("https://127.0.0.1:\(port)/", deadline: .milliseconds(100)) }
        #expect(failure == .timedOut(.milliseconds(100)))
        try await listener.close()
    }

    @Test func `a name that nobody answers for is not waited for`() async throws {
        let answered = DispatchSemaphore(value: 0)
        let names = NameLookup.scripted { _ in
            answered.wait()
            return ["127.0.0.1"]
        }
        let fetcher = try Fetcher.live(names: names)
        let failure = await fetchFailure { try await fetcher.get("http://issuer.test/", deadline: .milliseconds(100)) }
        #expect(failure == .timedOut(.milliseconds(100)))
        answered.signal()
    }

    @Test func `whoever goes away takes the connection along`() async throws {
        let (asked, left) = (Signal(), Signal())
        let script: ScriptedServer.Script = { _, reply in
            asked.fire()
            await reply.closedByPeer()
            left.fire()
        }
        try await ScriptedServer.running(script) { server in
            let fetcher = try Fetcher.live()
            let task = Task { await fetchFailure { try await fetcher.get("http://127.0.0.1:\(server.port)/") } }
            await asked.wait()
            task.cancel()
            #expect(await task.value == .lost("whoever asked went away"))
            await left.wait()
        }
    }

    @Test func `a fetch by a task that is cancelled already sends nothing`() async throws {
        try await ScriptedServer.running({ _, reply in try await reply.ok("{}") }) { server in
            let (fetcher, go) = (try Fetcher.live(), Signal())
            let task = Task {
                await go.wait()
                return await fetchFailure { try await fetcher.get("http://127.0.0.1:\(server.port)/") }
            }
            task.cancel()
            go.fire()
            #expect(await task.value == .unreachable("whoever asked went away"))
            #expect(server.requests.isEmpty)
        }
    }

    @Test func `beyond 64 at a time a fetch is refused, until one is over`() async throws {
        let go = Signal()
        let script: ScriptedServer.Script = { _, reply in
            await go.wait()
            try await reply.ok("{}")
        }
        try await ScriptedServer.running(script) { server in
            let fetcher = try Fetcher.live()
            let url = "http://127.0.0.1:\(server.port)/"
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<HTTPFetcher.mostAtOnce { group.addTask { try await fetcher.get(url).status } }
                for _ in 0..<HTTPFetcher.mostAtOnce { _ = await server.arrival(of: "") }
                #expect(await fetchFailure { try await fetcher.get(url) } == .unreachable("64 fetches are under way already"))
                go.fire()
                for try await status in group { #expect(status == 200) }
            }
            // The last connection may still be closing.
            while await fetchFailure(of: { try await fetcher.get(url) }) != nil { await Task.yield() }
            #expect(server.requests.count == HTTPFetcher.mostAtOnce + 1)
        }
    }
}
