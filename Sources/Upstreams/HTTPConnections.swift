package import Access
package import Gateway
package import NIOCore
import NIOHTTP1
import Synchronization

/// Keep-alive connections to HTTP servers, by origin. Bounded: at most `mostPerOrigin` at a time to one origin; a
/// request beyond that is refused at once rather than queued where nobody sees it.
///
/// A connection that carried a user's own credential carries no other user's: some servers and proxies let a connection stand
/// for whoever spoke on it first.
package final class HTTPConnections: Sendable {
    private struct Connection: Sendable {
        let channel: any Channel
        let handler: NIOLoopBound<HTTPConnection>
        let user: UserID?
    }

    private struct Pool {
        var open = 0
        var idle: [Connection] = []
    }

    package static let mostPerOrigin = 768
    /// Streams that are only listened to leave room for calls.
    private static let mostWithListening = 256

    private let dialing: Dialing
    private let intake = Intake()
    private let pools = Mutex<[Origin: Pool]>([:])
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])
    private let lastID = Atomic<Int64>(0)

    /// A caller hears of a server that cannot be reached within that.
    private static let patience = TimeAmount.seconds(3)

    package convenience init(group: any EventLoopGroup, egress: EgressPolicy) throws {
        self.init(dialing: try Dialing(group: group, egress: egress, patience: Self.patience))
    }

    init(dialing: Dialing) { self.dialing = dialing }

    var loop: any EventLoop { dialing.group.any() }

    /// An id no other request of the gateway's had, on whichever connection it travels.
    func nextID() -> Int64 { lastID.add(1, ordering: .relaxed).newValue }

    /// Checks that an endpoint's name resolves, and only to addresses that are allowed.
    package func check(_ endpoint: Endpoint) async throws(UpstreamFailure) {
        _ = try await dialing.addresses(of: endpoint)
    }

    /// Whether an origin has as many connections as it may have.
    func isFull(_ endpoint: Endpoint) -> Bool { pools.withLock { ($0[endpoint.origin]?.open ?? 0) >= Self.mostPerOrigin } }

    /// Finds out whether an endpoint takes a connection, and sends nothing over it.
    func touch(_ endpoint: Endpoint) async throws(UpstreamFailure) {
        let channel = try await dialing.connect(to: endpoint) { _ in }
        channel.close(promise: nil)
    }

    /// Sends a request whose answer goes to the exchange.
    ///
    /// - Parameter user: whose own credential is in it, if it is somebody's.
    /// - Throws: `UpstreamFailure.unreachable`: nothing was sent.
    func send(
        _ exchange: Exchange, _ request: HTTPConnection.Request, to endpoint: Endpoint, of user: UserID? = nil
    ) async throws(UpstreamFailure) {
        while !exchange.isListening, let connection = takeIdle(endpoint, user) {
            if await begin(exchange, request, on: connection) { return }
        }
        let connection = try await connect(endpoint, user, isListening: exchange.isListening)
        guard await begin(exchange, request, on: connection) else { throw .unreachable("the connection closed at once") }
    }

    private func begin(_ exchange: Exchange, _ request: HTTPConnection.Request, on connection: Connection) async -> Bool {
        let begun = connection.channel.eventLoop.submit {
            connection.handler.value.begin(exchange, request, on: connection.channel)
        }
        return (try? await begun.get()) ?? false
    }

    private func takeIdle(_ endpoint: Endpoint, _ user: UserID?) -> Connection? {
        pools.withLock { pools in
            guard let index = pools[endpoint.origin]?.idle.lastIndex(where: { $0.user == user }) else { return nil }
            return pools[endpoint.origin]?.idle.remove(at: index)
        }
    }

    private func connect(_ endpoint: Endpoint, _ user: UserID?, isListening: Bool) async throws(UpstreamFailure) -> Connection {
        let origin = endpoint.origin
        let isAdmitted = pools.withLock { pools -> Bool in
            guard pools[origin, default: Pool()].open < (isListening ? Self.mostWithListening : Self.mostPerOrigin) else { return false }
            pools[origin, default: Pool()].open += 1
            return true
        }
        guard isAdmitted else { throw .unreachable("\(Self.mostPerOrigin) calls to it are under way already") }
        let channel: any Channel
        do throws(UpstreamFailure) {
            channel = try await dialing.connect(to: endpoint) { [intake] channel in
                let handler = HTTPConnection(
                    to: origin, isSecure: endpoint.isSecure, intake: intake,
                    onIdle: { [weak self] in self?.becameIdle(channel, origin, user) }, onClosed: { [weak self] in self?.closed(channel, origin) })
                try channel.pipeline.syncOperations.addHTTPClientHandlers(leftOverBytesStrategy: .dropBytes)
                try channel.pipeline.syncOperations.addHandler(handler)
            }
        } catch {
            pools.withLock { Self.release(&$0, origin) }
            throw error
        }
        channels.withLock { $0[ObjectIdentifier(channel)] = channel }
        // From here on the connection's own end releases its place.
        if !channel.isActive { channels.withLock { $0[ObjectIdentifier(channel)] = nil } }
        return try await handle(channel, user)
    }

    /// Closes all connections: what is still under way fails as lost.
    package func closeAll() {
        for channel in channels.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }

    private func handle(_ channel: any Channel, _ user: UserID?) async throws(UpstreamFailure) -> Connection {
        do {
            let handler = try await channel.eventLoop.submit {
                NIOLoopBound(try channel.pipeline.syncOperations.handler(type: HTTPConnection.self), eventLoop: channel.eventLoop)
            }.get()
            return Connection(channel: channel, handler: handler, user: user)
        } catch {
            throw .unreachable("the connection closed at once")
        }
    }

    private func becameIdle(_ channel: any Channel, _ origin: Origin, _ user: UserID?) {
        guard let handler = try? channel.pipeline.syncOperations.handler(type: HTTPConnection.self) else { return }
        let connection = Connection(channel: channel, handler: NIOLoopBound(handler, eventLoop: channel.eventLoop), user: user)
        pools.withLock { $0[origin, default: Pool()].idle.append(connection) }
    }

    private func closed(_ channel: any Channel, _ origin: Origin) {
        channels.withLock { $0[ObjectIdentifier(channel)] = nil }
        pools.withLock { pools in
            pools[origin]?.idle.removeAll { $0.channel === channel }
            Self.release(&pools, origin)
        }
    }

    private static func release(_ pools: inout [Origin: Pool], _ origin: Origin) {
        guard var pool = pools[origin] else { return }
        pool.open -= 1
        pools[origin] = pool.open > 0 ? pool : nil
    }
}
