import Forwarding
import NIOCore
import NIOHTTPTypes
import Synchronization

/// Notices that a client has gone while its request is being answered: an answer that nobody reads is written to no end, and
/// in the newer era the request is taken back with that (S-23).
///
/// A client that closes its half of the connection counts as gone: no HTTP client does that and still wants the answer.
final class Departure: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    private var isGone = false
    private var actions: [UInt64: @Sendable () -> Void] = [:]
    private static let count = Atomic<UInt64>(0)

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { leave() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    private func leave() {
        isGone = true
        let actions = actions
        self.actions = [:]
        for action in actions.values { action() }
    }

    private func add(_ number: UInt64, _ action: @escaping @Sendable () -> Void) {
        if isGone { action() } else { actions[number] = action }
    }

    /// Who is at the other end of the channel. Nothing waits for its event loop.
    static func caller(at channel: any Channel) -> Caller {
        Caller { action in
            let number = count.add(1, ordering: .relaxed).newValue
            channel.eventLoop.execute {
                // Without a pipeline there is nobody any more.
                if let departure = departure(of: channel) { departure.add(number, action) } else { action() }
            }
            return { channel.eventLoop.execute { departure(of: channel)?.actions[number] = nil } }
        }
    }

    private static func departure(of channel: any Channel) -> Departure? { try? channel.pipeline.syncOperations.handler(type: Departure.self) }
}
