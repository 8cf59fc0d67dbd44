import NIOCore

/// Looks once more at whom a connection reached, before anything is sent or read over it.
///
/// The kernel connects where it is told, so this never says no; if it does, what was judged is not what was reached.
final class PeerCheck: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let isAllowed: (SocketAddress) -> Bool

    init(isAllowed: @escaping (SocketAddress) -> Bool) { self.isAllowed = isAllowed }

    func channelActive(context: ChannelHandlerContext) {
        guard let peer = context.remoteAddress, isAllowed(peer) else {
            context.close(promise: nil)
            return
        }
        context.fireChannelActive()
    }
}
