import MCP
import NIOCore
import NIOHTTP1
import NIOTLS

/// The client side of one HTTP/1.1 connection: writes a request, reads its answer into an `Exchange`, then waits for
/// the next. Lives on the connection's event loop.
final class HTTPConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    struct Request: Sendable {
        let method: HTTPMethod
        let path: String
        let headers: HTTPHeaders
        let body: [UInt8]
        /// What a status and the values of `WWW-Authenticate` say of what was shown; nil if nothing.
        var refusal: (@Sendable (_ status: UInt, _ challenges: [String]) -> UpstreamFailure?)?
    }

    private enum Body {
        case none
        /// One JSON document, or an error's text, up to a bound.
        case document([UInt8], limit: Int)
        case events(EventStreamParser)
    }

    static let largestMessage = 16 << 20
    private static let largestErrorBody = 64 << 10
    /// Shorter than the keep-alive of common servers (uvicorn closes after 5 s), so that we seldom write into a close.
    private static let keptIdle = TimeAmount.seconds(4)

    private static let linger = TimeAmount.seconds(1)

    /// Before the TLS handshake is done, nothing of a request has left.
    private var isEstablished: Bool
    private let onIdle: @Sendable () -> Void
    private let onClosed: @Sendable () -> Void
    private var exchange: Exchange?
    private var onSession: (@Sendable (String?) -> Void)?
    private var refusal: (@Sendable (_ status: UInt, _ challenges: [String]) -> UpstreamFailure?)?
    private var head: HTTPResponseHead?
    private var body = Body.none
    private var idleTimer: Scheduled<Void>?

    init(isSecure: Bool, onIdle: @escaping @Sendable () -> Void, onClosed: @escaping @Sendable () -> Void) {
        isEstablished = !isSecure
        self.onIdle = onIdle
        self.onClosed = onClosed
    }

    /// Starts an exchange; false if the connection closed meanwhile and nothing was sent.
    ///
    /// - Parameter onSession: told the `Mcp-Session-Id` of a successful answer before the answer is delivered.
    func begin(_ exchange: Exchange, _ request: Request, on channel: any Channel, onSession: (@Sendable (String?) -> Void)?) -> Bool {
        idleTimer?.cancel()
        idleTimer = nil
        guard channel.isActive, self.exchange == nil else { return false }
        // Time ran out, or the caller went away, while it was being dialled: nothing is sent any more.
        guard !exchange.isOver else {
            rest(channel)
            return true
        }
        self.exchange = exchange
        self.onSession = onSession
        refusal = request.refusal
        head = nil
        body = .none
        let head = HTTPRequestHead(version: .http1_1, method: request.method, uri: request.path, headers: request.headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if !request.body.isEmpty {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: request.body))), promise: nil)
        }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        // The exchange lets go of this when it ends, which it always does.
        exchange.onAbandon {
            channel.eventLoop.execute {
                // By now the connection may carry somebody else's exchange.
                if bound.value.exchange === exchange { channel.close(promise: nil) }
            }
        }
        return true
    }

    /// Waits for the next request, but not for ever.
    private func rest(_ channel: any Channel) {
        idleTimer?.cancel()
        idleTimer = channel.eventLoop.scheduleTask(in: Self.keptIdle) { channel.close(promise: nil) }
        onIdle()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): read(head)
        case .body(let buffer): read(buffer, context)
        case .end: finish(context)
        }
    }

    private func read(_ head: HTTPResponseHead) {
        if head.status.code < 200 { return }
        self.head = head
        let type = head.headers.first(name: "content-type")?.lowercased() ?? ""
        let isSuccess = (200..<300).contains(head.status.code)
        if isSuccess { onSession?(head.headers.first(name: "mcp-session-id")) }
        if isSuccess && type.hasPrefix("text/event-stream") {
            body = .events(EventStreamParser(maximumEvent: Self.largestMessage))
        } else {
            body = .document([], limit: isSuccess ? Self.largestMessage : Self.largestErrorBody)
        }
    }

    private func read(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
        switch body {
        case .none: break
        case .document(var bytes, let limit):
            body = .none
            bytes.append(contentsOf: buffer.readableBytesView)
            if bytes.count > limit {
                exchange?.fail(.garbled("its answer is larger than \(limit >> 10) KiB"))
                context.close(promise: nil)
            } else {
                body = .document(bytes, limit: limit)
            }
        case .events(var parser):
            body = .none
            do throws(EventStreamParser.Oversized) {
                for event in try parser.feed(buffer.readableBytesView) { deliver(event) }
                body = .events(parser)
                closeSoonIfAnswered(context)
            } catch {
                exchange?.fail(.garbled("one of its events is larger than \(Self.largestMessage >> 10) KiB"))
                context.close(promise: nil)
            }
        }
    }

    /// A stream that stays open after its answer holds a connection for nothing.
    private func closeSoonIfAnswered(_ context: ChannelHandlerContext) {
        guard exchange?.isOver ?? false, idleTimer == nil else { return }
        let channel = context.channel
        idleTimer = context.eventLoop.scheduleTask(in: Self.linger) { channel.close(promise: nil) }
    }

    private func deliver(_ text: [UInt8]) {
        do throws(ProtocolError) {
            exchange?.receive(try Message(parsing: text, limits: JSON.Limits(depth: 64, nodes: 2_000_000)))
        } catch {
            exchange?.fail(.garbled("it sent something that is not MCP: \(error.message)"))
        }
    }

    private func finish(_ context: ChannelHandlerContext) {
        guard let head, let exchange else { return }
        switch body {
        case .none: break
        case .events: exchange.fail(.lost("its event stream ended without an answer"))
        case .document(let bytes, _) where (200..<300).contains(head.status.code):
            // 202 and 204 acknowledge a notification: there is nothing to deliver.
            if bytes.isEmpty { exchange.fail(.rejected(status: Int(head.status.code), error: nil)) } else { deliver(bytes) }
            if !exchange.isOver { exchange.fail(.garbled("what it answered is no answer")) }
        case .document(let bytes, _):
            var error: ProtocolError?
            if let message = try? Message(parsing: bytes), case .response(_, .failure(let answered)) = message { error = answered }
            let refused = refusal?(head.status.code, head.headers["www-authenticate"])
            exchange.fail(refused ?? .rejected(status: Int(head.status.code), error: error))
        }
        self.exchange = nil
        (onSession, refusal) = (nil, nil)
        guard head.isKeepAlive, context.channel.isActive else {
            context.close(promise: nil)
            return
        }
        rest(context.channel)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted = event { isEstablished = true }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        idleTimer?.cancel()
        exchange?.fail(isEstablished ? .lost("the connection closed before its answer") : .unreachable("the TLS handshake failed"))
        exchange = nil
        onClosed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        exchange?.fail(
            isEstablished ? .lost("the connection failed (\(type(of: error)))") : .unreachable("the TLS handshake failed (\(type(of: error)))"))
        exchange = nil
        context.close(promise: nil)
    }
}
