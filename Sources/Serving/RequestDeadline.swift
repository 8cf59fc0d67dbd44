import NIOCore
import NIOHTTPTypes

/// Closes connections whose client takes too long to send a request, however steadily it drips (slowloris).
///
/// A line break between requests, which RFC 9112 (2.2) lets a client send, starts the clock only while nothing is being
/// answered. Two handlers of one mind: the outer sees bytes, so that it knows when a head begins; the inner sees heads and ends.
/// One timer per connection, looked at when it fires rather than moved with every request.
final class RequestDeadline: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// From the first byte of a head to its end.
    private static let head = TimeAmount.seconds(10)
    /// From the end of the head to the end of the body.
    private static let body = TimeAmount.seconds(30)

    /// When what is being received must be complete; nil between requests.
    private var due: NIODeadline?
    /// Requests read whose responses are not written: what arrives meanwhile is not what we wait for. Below nothing while a
    /// request is read that was answered already.
    private var outstanding = 0
    private var timer: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        // Removed with the pipeline; it only ever calls back into this handler.
        try? context.pipeline.syncOperations.addHandler(FirstByte(deadline: self), position: .first)
    }

    fileprivate func bytesArrived(_ context: ChannelHandlerContext) {
        if due == nil && outstanding <= 0 { expect(Self.head, context) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: expect(Self.body, context)
        case .body: break
        case .end:
            due = nil
            outstanding += 1
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { outstanding -= 1 }
        context.write(data, promise: promise)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        context.fireChannelInactive()
    }

    private func expect(_ time: TimeAmount, _ context: ChannelHandlerContext) {
        let deadline = NIODeadline.now() + time
        due = deadline
        if timer == nil { arm(deadline, context.channel) }
    }

    private func arm(_ deadline: NIODeadline, _ channel: any Channel) {
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        timer = channel.eventLoop.scheduleTask(deadline: deadline) { bound.value.timeIsUp(channel) }
    }

    private func timeIsUp(_ channel: any Channel) {
        timer = nil
        guard let due else { return }
        if NIODeadline.now() >= due { channel.close(promise: nil) } else { arm(due, channel) }
    }
}

private final class FirstByte: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let deadline: RequestDeadline

    init(deadline: RequestDeadline) { self.deadline = deadline }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        deadline.bytesArrived(context)
        context.fireChannelRead(data)
    }
}
