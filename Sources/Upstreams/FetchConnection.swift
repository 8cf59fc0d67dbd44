import Gateway
import NIOCore
import NIOHTTP1
import NIOTLS

/// The client side of a connection that carries one request and its answer. Lives on the connection's event loop.
final class FetchConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private static let mostInformational = 8

    private let request: FetchRequest
    private let requestHead: HTTPRequestHead
    private let fetch: Fetch
    /// Before the TLS handshake is done, nothing of the request is written.
    private var isEstablished: Bool
    private var isAskedFor = false
    private var isWritten = false
    private var informational = 0
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []

    init(_ request: FetchRequest, _ head: HTTPRequestHead, for fetch: Fetch) {
        self.request = request
        requestHead = head
        self.fetch = fetch
        isEstablished = !request.endpoint.isSecure
    }

    /// Sends the request as soon as it may be sent.
    func begin(on channel: any Channel) {
        isAskedFor = true
        writeIfReady(channel)
    }

    private func writeIfReady(_ channel: any Channel) {
        guard isAskedFor, isEstablished, !isWritten, !fetch.isOver else { return }
        isWritten = true
        fetch.sent()
        channel.write(HTTPClientRequestPart.head(requestHead), promise: nil)
        if !request.body.isEmpty { channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: request.body))), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What is still in the decoder when the fetch ends is nobody's.
        guard !fetch.isOver else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): read(head)
        case .body(let buffer): read(buffer)
        case .end: finish()
        }
    }

    private func read(_ head: HTTPResponseHead) {
        guard head.status.code != 101 else { return fetch.fail("it wants to speak another protocol") }
        guard head.status.code >= 200 else {
            informational += 1
            if informational > Self.mostInformational { fetch.fail("it announces an answer and does not give one") }
            return
        }
        // Neither was asked for; what a small answer unpacks to is bounded by nothing.
        guard head.headers[canonicalForm: "content-encoding"].allSatisfy({ $0.lowercased() == "identity" }) else {
            return fetch.fail("its answer is compressed")
        }
        guard head.headers[canonicalForm: "transfer-encoding"].allSatisfy({ $0.lowercased() == "chunked" }) else {
            return fetch.fail("its answer is in a transfer coding that nobody asked for")
        }
        if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > request.largestAnswer {
            return fetch.end(.failure(.tooLarge))
        }
        self.head = head
    }

    private func read(_ buffer: ByteBuffer) {
        guard body.count + buffer.readableBytes <= request.largestAnswer else { return fetch.end(.failure(.tooLarge)) }
        body.append(contentsOf: buffer.readableBytesView)
    }

    private func finish() {
        guard let head else { return }
        // Blanks at the end of a value are not part of it (RFC 9112, section 5.1), and the decoder leaves them.
        let headers = head.headers.map { (name: $0.name.lowercased(), value: String($0.value.trimmingBlanks)) }
        fetch.end(.success(FetchedAnswer(status: Int(head.status.code), headers: headers, body: body)))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted = event {
            isEstablished = true
            writeIfReady(context.channel)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fetch.fail(isEstablished ? "the connection closed before its answer was complete" : "the TLS handshake failed")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case HTTPParserError.headerOverflow: fetch.end(.failure(.tooLarge))
        case _ where !isEstablished: fetch.fail("the TLS handshake failed (\(type(of: error)))")
        case is HTTPParserError: fetch.fail("its answer is not HTTP")
        default: fetch.fail("the connection failed (\(error.brief))")
        }
        context.close(promise: nil)
    }
}

/// Counts what comes over the wire. What an answer may hold is bounded elsewhere; this is for what it may be wrapped in.
final class WireBound: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var room: Int
    private let fetch: Fetch

    init(most: Int, _ fetch: Fetch) {
        room = most
        self.fetch = fetch
    }

    /// Room for a head, for a body in chunks that are not absurdly small, and for a few interim answers.
    static func most(for request: FetchRequest) -> Int {
        2 * HTTPFetcher.largestHead + 2 * max(0, min(request.largestAnswer, .max / 4)) + (64 << 10)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        room -= unwrapInboundIn(data).readableBytes
        if room < 0 { fetch.end(.failure(.tooLarge)) } else { context.fireChannelRead(data) }
    }
}

extension String {
    fileprivate var trimmingBlanks: Substring {
        var rest = drop { $0 == " " || $0 == "\t" }
        while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
        return rest
    }
}
