import Gateway
import MCP
import NIOCore
import NIOHTTP1
import NIOTLS
import Pacing

/// The client side of one HTTP/1.1 connection: writes a request, reads its answer into an `Exchange`, then waits for
/// the next. Of a stream whose caller is slow no more is read until they took what there is (F-35). Lives on the connection's event loop.
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
        var hearing = Hearing()
    }

    /// What becomes of the parts of an answer, told on the connection's loop in the order in which they came.
    struct Hearing: Sendable {
        /// Of an answer with a status of success.
        var head: @Sendable (HTTPHeaders) -> Void = { _ in }
        /// Whether somebody waited for it. Nil gives it to the exchange.
        var message: (@Sendable (Message) -> Bool)?
        /// Of what comes and nobody waits for, on a stream that goes on for long; nil where the answer as a whole is bounded.
        var bound: Chatter.Bound?
        /// An event with a name of its own; true if it was understood and is no message.
        var named: @Sendable (EventStreamParser.Event) -> Bool = { _ in false }
        /// Something came after the answer.
        var stray: @Sendable () -> Void = {}
        /// Where in the stream it is, and how long the server wants to be left alone after it ends.
        var mark: @Sendable (_ lastID: String?, _ retry: Duration?) -> Void = { _, _ in }
        /// The stream ended or broke off before the answer; true if the exchange goes on over another.
        var isResumed: @Sendable () -> Bool = { false }
        /// Whether what the exchange asks for was sent before, so that nothing that happens here means that it was not.
        var isContinuation = false
    }

    private enum Body {
        case none
        /// One JSON document, or an error's text, up to a bound.
        case document([UInt8], limit: Int)
        case events(EventStreamParser)
    }

    static let largestMessage = 16 << 20
    private static let largestErrorBody = 64 << 10
    /// What all events of one answer may take: who talks without end is not listened to for the whole time of a call.
    static let longestStream = 64 << 20
    /// Shorter than the keep-alive of common servers (uvicorn closes after 5 s), so that we seldom write into a close.
    private static let keptIdle = TimeAmount.seconds(4)

    /// How long a stream may stay open after its answer.
    private static let linger = TimeAmount.seconds(1)
    /// What drips for longer than this comes at `leastPace` bytes a second, or is given up: it holds a place for next to nothing.
    static let patienceWithDrips = TimeAmount.seconds(30)
    static let leastPace = 1024
    /// The same of a large answer for whose room another waits.
    static let leastPaceInDemand = 64 << 10

    /// For the TLS handshake, before which nothing of a request has left.
    static let patienceWithHandshakes = TimeAmount.seconds(5)

    private var isEstablished: Bool
    private var handshakeTimer: Scheduled<Void>?
    private let onIdle: @Sendable () -> Void
    private let onClosed: @Sendable () -> Void
    private var exchange: Exchange?
    private var request: Request?
    private var head: HTTPResponseHead?
    private var body = Body.none
    private var streamed = 0
    private var idleTimer: Scheduled<Void>?
    /// A document, or an event, of which some has come.
    private var drip: (since: NIODeadline, bytes: Int)?
    private var dripTimer: Scheduled<Void>?
    /// Why nothing is read at the moment: the caller is slow, many large answers come at once, or what comes is nobody's.
    private var isHeldBack = false
    private var isWaitingForRoom = false
    private var pause: Scheduled<Void>?
    private var chatter: Chatter?
    private var isReading = true
    private let origin: Origin
    private let intake: Intake
    private var room: Int?

    init(
        to origin: Origin, isSecure: Bool, intake: Intake, onIdle: @escaping @Sendable () -> Void, onClosed: @escaping @Sendable () -> Void
    ) {
        self.origin = origin
        self.intake = intake
        isEstablished = !isSecure
        self.onIdle = onIdle
        self.onClosed = onClosed
    }

    /// Starts an exchange; false if the connection closed meanwhile and nothing was sent.
    func begin(_ exchange: Exchange, _ request: Request, on channel: any Channel) -> Bool {
        idleTimer?.cancel()
        idleTimer = nil
        guard channel.isActive, self.exchange == nil else { return false }
        // Time ran out, or the caller went away, while it was being dialled: nothing is sent any more.
        guard !exchange.isOver else {
            rest(channel)
            return true
        }
        self.exchange = exchange
        self.request = request
        head = nil
        body = .none
        streamed = 0
        chatter = request.hearing.bound.map { Chatter($0, at: channel.eventLoop.now.instant) }
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
        if isSuccess { request?.hearing.head(head.headers) }
        if isSuccess && type.hasPrefix("text/event-stream") {
            body = .events(EventStreamParser(maximumEvent: Self.largestMessage))
        } else {
            let limit = isSuccess ? Self.largestMessage : Self.largestErrorBody
            var bytes: [UInt8] = []
            if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }) { bytes.reserveCapacity(min(max(0, length), limit)) }
            body = .document(bytes, limit: limit)
        }
    }

    private func read(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
        switch body {
        case .none: break
        case .document(var bytes, let limit):
            body = .none
            bytes.append(contentsOf: buffer.readableBytesView)
            if bytes.count > limit {
                give(up: .garbled("its answer is larger than \(limit >> 10) KiB"), context)
            } else {
                let size = bytes.count
                body = .document(bytes, limit: limit)
                if !isWaitingForRoom { count(buffer.readableBytes, context) }
                makeRoom(for: size, context)
            }
        case .events(var parser):
            body = .none
            streamed += buffer.readableBytes
            if streamed > Self.longestStream, chatter == nil {
                return give(up: .garbled("its event stream is longer than \(Self.longestStream >> 20) MiB"), context)
            }
            let before = parser.pending
            do throws(EventStreamParser.Oversized) {
                let events = try parser.events(buffer.readableBytesView)
                request?.hearing.mark(parser.lastID, parser.retry)
                let unheard = events.filter { !read($0, context) }.map(\.data.count)
                if !events.isEmpty || parser.pending == 0 { stopCounting() }
                if parser.pending > 0 && !isHeldBack && !isWaitingForRoom { count(buffer.readableBytes, context) }
                let size = parser.pending
                body = .events(parser)
                makeRoom(for: size, context)
                closeSoonIfAnswered(context)
                holdBack(context)
                // Comments are nobody's either.
                slowDown(events.isEmpty ? [before + buffer.readableBytes - size] : unheard, context)
            } catch {
                give(up: .garbled("one of its events is larger than \(Self.largestMessage >> 10) KiB"), context)
            }
        }
    }

    /// - Returns: whether somebody waited for it.
    private func read(_ event: EventStreamParser.Event, _ context: ChannelHandlerContext) -> Bool {
        // Whoever answers twice is not to be listened to.
        guard let exchange, !exchange.isOver else {
            request?.hearing.stray()
            context.close(promise: nil)
            return false
        }
        if event.name != nil, request?.hearing.named(event) ?? false { return false }
        return deliver(event.data)
    }

    /// A stream that stays open after its answer holds a connection for nothing.
    private func closeSoonIfAnswered(_ context: ChannelHandlerContext) {
        guard exchange?.isOver ?? false, idleTimer == nil else { return }
        stopCounting()
        let channel = context.channel
        idleTimer = context.eventLoop.scheduleTask(in: Self.linger) { channel.close(promise: nil) }
    }

    @discardableResult
    private func deliver(_ text: [UInt8]) -> Bool {
        do throws(ProtocolError) {
            let message = try Message(parsing: text, limits: JSON.Limits(depth: 64, nodes: 2_000_000))
            if let hear = request?.hearing.message { return hear(message) }
            exchange?.receive(message)
        } catch {
            exchange?.fail(.garbled("it sent something that is not MCP: \(error.message)"))
        }
        return true
    }

    private func give(up failure: UpstreamFailure, _ context: ChannelHandlerContext) {
        exchange?.fail(failure)
        context.close(promise: nil)
    }

    // MARK: Slow callers, many large answers, and servers that talk of their own accord

    private func slowDown(_ unheard: [Int], _ context: ChannelHandlerContext) {
        for bytes in unheard where bytes > 0 && chatter != nil {
            switch chatter?.heard(bytes, at: context.eventLoop.now.instant) {
            case .readOn, nil: break
            case .enough: return give(up: .garbled("it talks without end, and nobody asked it to"), context)
            case .pause(let wait):
                pause?.cancel()
                let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
                pause = context.eventLoop.scheduleTask(in: TimeAmount(wait)) {
                    let (handler, context) = bound.value
                    handler.pause = nil
                    handler.goOn(context)
                }
                stopReading(context)
            }
        }
    }

    private func holdBack(_ context: ChannelHandlerContext) {
        guard let exchange else { return }
        if isHeldBack {
            if exchange.isOver { readOn(context) }
            return
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        isHeldBack = exchange.isCrowded {
            bound.eventLoop.execute {
                let (handler, context) = bound.value
                handler.readOn(context)
            }
        }
        if isHeldBack { stopReading(context) }
    }

    private func readOn(_ context: ChannelHandlerContext) {
        guard isHeldBack else { return }
        isHeldBack = false
        goOn(context)
    }

    /// For what is being received, while it is large.
    private func makeRoom(for size: Int, _ context: ChannelHandlerContext) {
        guard size > Intake.freeBytes else {
            giveRoomBack()
            return goOn(context)
        }
        guard room == nil else { return }
        let declared = head?.headers.first(name: "content-length").flatMap { Int($0) } ?? Self.largestMessage
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (ticket, isAdmitted) = intake.claim(max(size, min(declared, Self.largestMessage)), of: origin) {
            bound.eventLoop.execute {
                let (handler, context) = bound.value
                guard handler.isWaitingForRoom else { return }
                handler.isWaitingForRoom = false
                handler.goOn(context)
            }
        }
        room = ticket
        isWaitingForRoom = !isAdmitted
        if isWaitingForRoom { stopReading(context) }
    }

    private func giveRoomBack() {
        guard let room else { return }
        (self.room, isWaitingForRoom) = (nil, false)
        intake.end(room)
    }

    private func endPause() {
        pause?.cancel()
        pause = nil
    }

    private func stopReading(_ context: ChannelHandlerContext) {
        // It is not the server's pace that counts now.
        stopCounting()
        read(false, context)
    }

    private func goOn(_ context: ChannelHandlerContext) {
        guard !isReading, !isHeldBack, !isWaitingForRoom, pause == nil else { return }
        let isPartial =
            switch body {
            case .events(let parser): parser.pending > 0
            case .document: true
            case .none: false
            }
        if isPartial {
            count(0, context)
            watch(until: context.eventLoop.now + Self.patienceWithDrips, context)
        }
        read(true, context)
    }

    private func read(_ isOn: Bool, _ context: ChannelHandlerContext) {
        isReading = isOn
        // A channel that is gone takes no options, and needs none.
        try? context.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }

    // MARK: Drips

    private func count(_ bytes: Int, _ context: ChannelHandlerContext) {
        if drip == nil { drip = (context.eventLoop.now, 0) }
        drip?.bytes += bytes
    }

    private func stopCounting() {
        drip = nil
        dripTimer?.cancel()
        dripTimer = nil
    }

    /// What came all at once needs no timer.
    func channelReadComplete(context: ChannelHandlerContext) {
        if let drip, dripTimer == nil { watch(until: drip.since + Self.patienceWithDrips, context) }
        context.fireChannelReadComplete()
    }

    private func watch(until deadline: NIODeadline, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        dripTimer = context.eventLoop.scheduleTask(deadline: deadline) {
            let (handler, context) = bound.value
            handler.checkPace(context)
        }
    }

    private func checkPace(_ context: ChannelHandlerContext) {
        dripTimer = nil
        guard let drip, exchange != nil else { return }
        let elapsed = context.eventLoop.now - drip.since
        let isInDemand = room.map { intake.isWaitedFor($0) } ?? false
        let least = isInDemand ? Self.leastPaceInDemand : Self.leastPace
        guard Int64(drip.bytes) * 1_000_000_000 >= Int64(least) * elapsed.nanoseconds else {
            let reason = isInDemand ? ", and others waited for its room" : ""
            return give(up: .lost("its answer came slower than \(least >> 10) KiB a second\(reason)"), context)
        }
        watch(until: context.eventLoop.now + .seconds(5), context)
    }

    private func finish(_ context: ChannelHandlerContext) {
        (isHeldBack, isWaitingForRoom) = (false, false)
        endPause()
        goOn(context)
        stopCounting()
        defer { giveRoomBack() }
        guard let head, let exchange else { return }
        switch body {
        case .none: break
        case .events: loseStream(.lost("its event stream ended without an answer"))
        case .document(let bytes, _) where (200..<300).contains(head.status.code):
            // 202 and 204 acknowledge a notification: there is nothing to deliver.
            if bytes.isEmpty { exchange.fail(.rejected(status: Int(head.status.code), error: nil)) } else { deliver(bytes) }
            if !exchange.isOver { exchange.fail(.garbled("what it answered is no answer")) }
        case .document(let bytes, _):
            var error: ProtocolError?
            if let message = try? Message(parsing: bytes), case .response(_, .failure(let answered)) = message { error = answered }
            let refused = request?.refusal?(head.status.code, head.headers["www-authenticate"])
            exchange.fail(refused ?? .rejected(status: Int(head.status.code), error: error))
        }
        (self.exchange, request, body) = (nil, nil, .none)
        var mayRest = head.isKeepAlive && context.channel.isActive
        // What came was not what was asked for; what comes next might not be either.
        if case .garbled = exchange.failure { mayRest = false }
        guard mayRest else {
            context.close(promise: nil)
            return
        }
        rest(context.channel)
    }

    private func loseStream(_ failure: UpstreamFailure) {
        guard let exchange, !exchange.isOver, request?.hearing.isResumed() != true else { return }
        exchange.fail(failure)
    }

    /// The connection is gone: what it carried may have been sent, unless TLS was not even there.
    private func lose(_ how: String, handshake: String) {
        giveRoomBack()
        stopCounting()
        endPause()
        handshakeTimer?.cancel()
        idleTimer?.cancel()
        if case .events = body {
            loseStream(.lost(how))
        } else {
            exchange?.fail(isEstablished || request?.hearing.isContinuation == true ? .lost(how) : .unreachable(handshake))
        }
        (exchange, request, body) = (nil, nil, .none)
    }

    func channelActive(context: ChannelHandlerContext) {
        if !isEstablished {
            let channel = context.channel
            handshakeTimer = context.eventLoop.scheduleTask(in: Self.patienceWithHandshakes) { channel.close(promise: nil) }
        }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted = event {
            isEstablished = true
            handshakeTimer?.cancel()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        lose("the connection closed before its answer", handshake: "the TLS handshake failed, or took too long")
        onClosed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let why = error is HTTPParserError ? "its answer is not HTTP" : "the connection failed (\(error.brief))"
        lose(why, handshake: "the TLS handshake failed (\(type(of: error)))")
        context.close(promise: nil)
    }
}

extension NIODeadline {
    /// On the clock of the loops, which is good for measuring how long something took.
    var instant: BootInstant { BootInstant(nanoseconds: Int64(uptimeNanoseconds)) }
}
