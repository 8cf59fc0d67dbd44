import Gateway
import MCP
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOTLS
import Testing

@testable import Upstreams

/// The pace of an answer, with time that passes when it is told to.
struct DripTests {
    private let loop = EmbeddedEventLoop()
    private let intake = Intake()

    /// A connection on which a request was sent and the head of an answer came.
    private func connected(_ type: String) throws -> (EmbeddedChannel, Exchange) {
        let channel = EmbeddedChannel(loop: loop)
        let handler = HTTPConnection(to: try #require(Origin("http://127.0.0.1:1")), isSecure: false, intake: intake, onIdle: {}, onClosed: {})
        try channel.pipeline.syncOperations.addHandler(handler)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        let exchange = Exchange(id: 1, loop: loop, patience: .init(.seconds(600)))
        #expect(handler.begin(exchange, .init(method: .POST, path: "/", headers: [:], body: [1]), on: channel))
        try channel.writeInbound(
            HTTPClientResponsePart.head(HTTPResponseHead(version: .http1_1, status: .ok, headers: ["content-type": type])))
        return (channel, exchange)
    }

    private func drip(_ text: String, into channel: EmbeddedChannel) throws {
        try channel.writeInbound(HTTPClientResponsePart.body(ByteBuffer(string: text)))
    }

    @Test(arguments: [("application/json", "x"), ("text/event-stream", "x"), ("text/event-stream", "data: x\n")])
    func `an answer that drips is given up after half a minute`(_ type: String, _ drop: String) throws {
        let (channel, exchange) = try connected(type)
        for _ in 0..<29 {
            try drip(drop, into: channel)
            loop.advanceTime(by: .seconds(1))
        }
        #expect(exchange.failure == nil)
        try drip(drop, into: channel)
        loop.advanceTime(by: .seconds(2))
        #expect(exchange.failure == .lost("its answer came slower than 1 KiB a second"))
        #expect(!channel.isActive)
    }

    @Test(arguments: [false, true])
    func `a connection without TLS handshake is given up after five seconds, and nothing was sent`(_ isShaken: Bool) throws {
        let channel = EmbeddedChannel(loop: loop)
        let handler = HTTPConnection(
            to: try #require(Origin("https://127.0.0.1:1")), isSecure: true, intake: intake, onIdle: {}, onClosed: {})
        try channel.pipeline.syncOperations.addHandler(handler)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        let exchange = Exchange(id: 1, loop: loop, patience: .init(.seconds(600)))
        #expect(handler.begin(exchange, .init(method: .POST, path: "/", headers: [:], body: [1]), on: channel))
        loop.advanceTime(by: .seconds(4))
        if isShaken { channel.pipeline.fireUserInboundEventTriggered(TLSUserEvent.handshakeCompleted(negotiatedProtocol: nil)) }
        #expect(exchange.failure == nil)
        loop.advanceTime(by: .seconds(2))
        #expect(exchange.failure == (isShaken ? nil : .unreachable("the TLS handshake failed, or took too long")))
        #expect(channel.isActive == isShaken)
    }

    @Test func `an answer that begins fast and then drips is given up when its average falls`() throws {
        let (channel, exchange) = try connected("application/json")
        try drip(String(repeating: "x", count: 60 * 1024), into: channel)
        loop.advanceTime(by: .seconds(55))
        #expect(exchange.failure == nil)
        loop.advanceTime(by: .seconds(15))
        #expect(exchange.failure?.kind == "lost")
    }

    @Test func `a large answer that comes steadily may take its time`() throws {
        let (channel, exchange) = try connected("application/json")
        for _ in 0..<300 {
            try drip(String(repeating: " ", count: 2048), into: channel)
            loop.advanceTime(by: .seconds(1))
        }
        #expect(exchange.failure == nil)
        try drip(#"{"jsonrpc":"2.0","id":1,"result":{}}"#, into: channel)
        try channel.writeInbound(HTTPClientResponsePart.end(nil))
        #expect(exchange.isOver && exchange.failure == nil)
    }

    /// A tool at work says nothing for minutes, or keeps its stream open with comments.
    @Test func `a stream that is silent, or says a little and whole, is no drip`() throws {
        let (channel, exchange) = try connected("text/event-stream")
        for _ in 0..<20 {
            try drip(": keep-alive\n\n", into: channel)
            loop.advanceTime(by: .seconds(15))
        }
        #expect(exchange.failure == nil && channel.isActive)
    }

    @Test func `nothing at all is no drip`() throws {
        let (channel, exchange) = try connected("application/json")
        loop.advanceTime(by: .seconds(300))
        #expect(exchange.failure == nil && channel.isActive)
    }

    private func isReading(_ channel: EmbeddedChannel) -> Bool {
        channel.options.last { $0.option is ChannelOptions.Types.AutoReadOption }?.value as? Bool ?? true
    }

    /// Events that wait already, so that nothing is waited for.
    private func take(_ count: Int, from exchange: Exchange) {
        for _ in 0..<count {
            Task.immediate {
                let event = try? await exchange.next()
                #expect(event != nil)
            }
        }
    }

    private static let note = "data: {\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{}}\n\n"

    @Test func `of a stream whose caller is slow no more is read until they took half of it, and nothing is lost`() throws {
        let (channel, exchange) = try connected("text/event-stream")
        try drip(String(repeating: Self.note, count: Exchange.crowd), into: channel)
        #expect(isReading(channel))
        try drip(Self.note + "data: {", into: channel)
        #expect(!isReading(channel))
        // What is whose is not the server's fault, however long it takes.
        loop.advanceTime(by: .seconds(120))
        #expect(exchange.failure == nil && channel.isActive)
        take(Exchange.crowd / 2 + 1, from: exchange)
        loop.run()
        #expect(isReading(channel))
        // From here on it is the server's again.
        loop.advanceTime(by: .seconds(25))
        #expect(exchange.failure == nil)
        loop.advanceTime(by: .seconds(10))
        #expect(exchange.failure == .lost("its answer came slower than 1 KiB a second"))
    }

    @Test func `a connection that was held back is good for the next request`() throws {
        let (channel, exchange) = try connected("text/event-stream")
        try drip(String(repeating: Self.note, count: 200), into: channel)
        #expect(!isReading(channel))
        try drip("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n", into: channel)
        #expect(exchange.isOver && isReading(channel))
        try channel.writeInbound(HTTPClientResponsePart.end(nil))
        #expect(channel.isActive)
        take(201, from: exchange)
        loop.run()
        #expect(isReading(channel))
    }

    private static let large = String(repeating: " ", count: Intake.freeBytes + 1)

    @Test(arguments: ["application/json", "text/event-stream"])
    func `of many large answers at once of a server the later ones wait for their turn, whatever it takes`(_ type: String) throws {
        let connections = try (0..<3).map { _ in try connected(type) }
        for (channel, _) in connections { try drip((type == "application/json" ? "" : "data: ") + Self.large, into: channel) }
        // Without a length each may become as large as a message can be.
        #expect(connections.map { isReading($0.0) } == [true, true, false])
        let (waiting, exchange) = connections[2]
        for _ in 0..<29 {
            for (channel, _) in connections.prefix(2) { try drip(String(repeating: " ", count: 2048), into: channel) }
            loop.advanceTime(by: .seconds(1))
        }
        #expect(exchange.failure == nil)
        let answer = #"{"jsonrpc":"2.0","id":1,"result":{}}"#
        try drip(answer + (type == "application/json" ? "" : "\n\n"), into: connections[0].0)
        if type == "application/json" { try connections[0].0.writeInbound(HTTPClientResponsePart.end(nil)) }
        #expect(connections[0].1.isOver && connections[0].1.failure == nil)
        loop.run()
        #expect(isReading(waiting))
        // Now it is the server's pace that counts.
        loop.advanceTime(by: .seconds(40))
        #expect(exchange.failure?.kind == "lost")
    }

    @Test func `a large answer that comes slowly is given up when another waits for its room`() throws {
        let connections = try (0..<2).map { _ in try connected("application/json") }
        for (channel, _) in connections { try drip(Self.large, into: channel) }
        func pass(_ seconds: Int, kibibytes: Int) throws {
            for _ in 0..<seconds {
                if connections[0].0.isActive { try drip(String(repeating: " ", count: kibibytes << 10), into: connections[0].0) }
                try drip(String(repeating: " ", count: 80 << 10), into: connections[1].0)
                loop.advanceTime(by: .seconds(1))
            }
        }
        try pass(40, kibibytes: 20)
        #expect(connections[0].1.failure == nil)
        let (waiting, _) = try connected("application/json")
        try drip(Self.large, into: waiting)
        #expect(!isReading(waiting))
        try pass(6, kibibytes: 20)
        #expect(connections[0].1.failure == .lost("its answer came slower than 64 KiB a second, and others waited for its room"))
        #expect(connections[1].1.failure == nil)
        #expect(isReading(waiting))
    }

    @Test func `what is lost or given up gives its room back, and what is small needs none`() throws {
        let connections = try (0..<3).map { _ in try connected("application/json") }
        for (channel, _) in connections { try drip(Self.large, into: channel) }
        let (small, _) = try connected("application/json")
        try drip("{", into: small)
        #expect(isReading(small))
        connections[0].1.abandon(.abandoned)
        loop.run()
        #expect(!connections[0].0.isActive)
        #expect(isReading(connections[2].0))
    }

    @Test func `who gives up a call that was held back closes its connection`() throws {
        let (channel, exchange) = try connected("text/event-stream")
        try drip(String(repeating: Self.note, count: 200), into: channel)
        exchange.abandon(.abandoned)
        loop.run()
        #expect(!channel.isActive)
    }

    @Test func `the time since one event does not count against the next`() throws {
        let (channel, exchange) = try connected("text/event-stream")
        try drip("data: ", into: channel)
        for _ in 0..<5 {
            try drip("{\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n\ndata: ", into: channel)
            loop.advanceTime(by: .seconds(20))
        }
        #expect(exchange.failure == nil)
    }
}
