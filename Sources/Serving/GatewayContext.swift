import Gateway
package import Hummingbird
import NIOCore
import Synchronization

/// What one request carries along besides itself: a name for it, and who is at the other end of the wire.
package struct GatewayContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    let requestID = Gateway.RequestID.random()
    let peer: SocketAddress?
    let channel: any Channel
    /// Whose request it is; the peer's address unless a trusted proxy says otherwise.
    var client: IPAddress?
    let conduct = Conduct()

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
        peer = channel.remoteAddress
        client = peer?.ipAddress.flatMap { IPAddress($0) }
    }

    var peerAddress: IPAddress? { peer?.ipAddress.flatMap { IPAddress($0) } }

    /// The client's address as the record keeps it.
    var address: String { client?.description ?? "" }

    /// Whether the request comes from this machine, directly.
    func isLocal(_ request: Request) -> Bool {
        guard let ip = peerAddress, ip.isLoopback else { return false }
        return request.headers[.forwarded] == nil && request.headers[.xForwardedFor] == nil
    }
}

/// What whoever answered a request found out about who is to blame for it; nil as long as nobody did.
final class Conduct: Sendable {
    private let found = Mutex<Blame?>(nil)

    var blame: Blame? {
        get { found.withLock { $0 } }
        set { found.withLock { $0 = newValue } }
    }
}
