import Gateway
package import Hummingbird
import NIOCore

/// What one request carries along besides itself: a name for it, and who is at the other end of the wire.
package struct GatewayContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    let requestID = Gateway.RequestID.random()
    let peer: SocketAddress?

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        peer = source.channel.remoteAddress
    }

    /// The peer's address as the record keeps it.
    var address: String { peer?.ipAddress ?? "" }

    /// Whether the request comes from this machine, directly.
    func isLocal(_ request: Request) -> Bool {
        guard let ip = peer?.ipAddress.flatMap({ IPAddress($0) }), ip.isLoopback else { return false }
        return request.headers[.forwarded] == nil && request.headers[.xForwardedFor] == nil
    }
}
