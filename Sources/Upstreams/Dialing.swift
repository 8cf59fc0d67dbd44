import Access
import Gateway
import NIOCore
import NIOPosix
import NIOSSL

#if canImport(Glibc)
    import Glibc
#endif

/// Opens connections to servers, to addresses that were checked and to no others.
///
/// The name is resolved here, every address it has is judged, and the connection goes to a judged address: between
/// check and use nothing asks the resolver again.
struct Dialing: Sendable {
    let group: any EventLoopGroup
    let egress: EgressPolicy
    private let tls: NIOSSLContext

    private static let connectTimeout = TimeAmount.seconds(3)
    private static let mostAddresses = 3
    /// Threads of their own: a name that nobody answers for holds up nothing but other names.
    private static let resolvers: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 4)
        pool.start()
        return pool
    }()

    init(group: any EventLoopGroup, egress: EgressPolicy) throws {
        self.group = group
        self.egress = egress
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        tls = try NIOSSLContext(configuration: configuration)
    }

    /// Every address the endpoint's name has, all of them allowed.
    func addresses(of endpoint: Endpoint) async throws(UpstreamFailure) -> [SocketAddress] {
        let found: [SocketAddress]
        do {
            found = try await Self.resolvers.runIfActive { try Self.resolve(endpoint.host, endpoint.port) }
        } catch let failure as UpstreamFailure {
            throw failure
        } catch {
            throw .unreachable("its name could not be resolved")
        }
        for address in found {
            guard let ip = address.ipAddress.flatMap({ IPAddress($0) }) else { throw .unreachable("its address is of an unknown kind") }
            do throws(Refusal) {
                try egress.check(ip)
                if !endpoint.isSecure && !egress.allowsPlainText(to: ip) {
                    throw Refusal.invalid("Plain http is only for addresses that MREG_ALLOWED_PRIVATE_UPSTREAMS names; use https.")
                }
            } catch {
                throw .unreachable(error.sentence)
            }
        }
        return found
    }

    func connect(to endpoint: Endpoint, _ setUp: @escaping @Sendable (any Channel) throws -> Void) async throws(UpstreamFailure) -> any Channel {
        let addresses = try await addresses(of: endpoint)
        let bootstrap = ClientBootstrap(group: group)
            .connectTimeout(Self.connectTimeout)
            .channelOption(ChannelOptions.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if endpoint.isSecure {
                        // An address is no server name for SNI; its certificate is checked against the address.
                        let name = IPAddress(endpoint.host) == nil ? endpoint.host : nil
                        try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name))
                    }
                    try setUp(channel)
                }
            }
        var last = "it has no address"
        for address in addresses.prefix(Self.mostAddresses) {
            do { return try await bootstrap.connect(to: address).get() } catch { last = "connecting failed (\(Self.brief(error)))" }
        }
        throw .unreachable(last)
    }

    private static func brief(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout: "timed out"
        default: "\(type(of: error))"
        }
    }

    private static func resolve(_ host: String, _ port: Int) throws -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0 else { throw UpstreamFailure.unreachable("its name could not be resolved (\(String(cString: gai_strerror(code))))") }
        var found: [SocketAddress] = []
        var next = list
        while let entry = next {
            switch entry.pointee.ai_family {
            case AF_INET: entry.pointee.ai_addr.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { found.append(SocketAddress($0.pointee)) }
            case AF_INET6: entry.pointee.ai_addr.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { found.append(SocketAddress($0.pointee)) }
            default: break
            }
            next = entry.pointee.ai_next
        }
        return found
    }
}
