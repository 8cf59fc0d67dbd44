import NIOCore
import NIOHTTPTypes
import Pacing

/// Closes the connection of a client that does not take what it asked for: what waits for it takes memory, and perhaps somebody's
/// place at a server (F-35).
final class SlowReader: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    /// Who takes less than `leastPace` bytes a second, this often looked at and for this many looks, is let go: after half a minute.
    private static let interval = TimeAmount.seconds(10)
    private static let mostLooks = 3
    private static let leastPace = 1024

    private let unread: Unread
    private var timer: Scheduled<Void>?
    private var ticket: UnreadAnswers.Ticket?

    init(_ unread: Unread) { self.unread = unread }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stop()
        if !context.channel.isWritable {
            let channel = context.channel
            ticket = unread.begin(Self.waiting(channel), of: nil) { channel.close(promise: nil) }
            watch(channel)
        }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        stop()
        context.fireChannelInactive()
    }

    private func stop() {
        timer?.cancel()
        timer = nil
        if let ticket { unread.end(ticket) }
        ticket = nil
    }

    private func watch(_ channel: any Channel, afterSlow slow: Int = 0) {
        let before = Self.waiting(channel)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        timer = channel.eventLoop.scheduleTask(in: Self.interval) {
            let taken = before - Self.waiting(channel)
            if taken > 0, let ticket = bound.value.ticket { bound.value.unread.took(taken, of: ticket) }
            let isSlow = Int64(taken) * 1_000_000_000 < Int64(Self.leastPace) * Self.interval.nanoseconds
            bound.value.look(channel, isSlow ? slow + 1 : 0)
        }
    }

    private func look(_ channel: any Channel, _ slow: Int) {
        timer = nil
        if slow < Self.mostLooks { watch(channel, afterSlow: slow) } else { channel.close(promise: nil) }
    }

    /// Bytes that the client has not taken.
    private static func waiting(_ channel: any Channel) -> Int {
        (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }
}
