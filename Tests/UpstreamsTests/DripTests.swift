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

    /// A connection on which a request was sent and the head of an answer came.
    private func connected(_ type: String, _ gathering: Gathering = Gathering()) throws -> (EmbeddedChannel, Exchange) {
        let channel = EmbeddedChannel(loop: loop)
        let handler = HTTPConnection(isSecure: false, gathering: gathering, onIdle: {}, onClosed: {})
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

    @Test(arguments: ["application/json", "text/event-stream"])
    func `what all unfinished answers hold together is bounded, and given back however they end`(_ type: String) throws {
        let gathering = Gathering(most: 4096)
        let (first, kept) = try connected(type, gathering)
        let (second, lost) = try connected(type, gathering)
        try drip(String(repeating: "x", count: 3000), into: first)
        try drip(String(repeating: "x", count: 1000), into: second)
        #expect(lost.failure == nil)
        try drip(String(repeating: "x", count: 1000), into: second)
        #expect(lost.failure?.kind == "garbled")
        #expect(!second.isActive && first.isActive && kept.failure == nil)
        #expect((3000...3010).contains(gathering.bytes))
        try first.writeInbound(HTTPClientResponsePart.end(nil))
        #expect(gathering.bytes == 0)

        let (third, dropped) = try connected(type, gathering)
        try drip(String(repeating: "x", count: 2000), into: third)
        try third.close().wait()
        #expect(dropped.isOver && gathering.bytes == 0)
    }

    @Test(arguments: [false, true])
    func `a connection without TLS handshake is given up after five seconds, and nothing was sent`(_ isShaken: Bool) throws {
        let channel = EmbeddedChannel(loop: loop)
        let handler = HTTPConnection(isSecure: true, onIdle: {}, onClosed: {})
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
