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
    private let names: NameLookup
    private let patience: TimeAmount?
    private let tls: NIOSSLContext

    private static let connectTimeout = TimeAmount.seconds(3)
    private static let mostAddresses = 3
    /// Bytes that are read of one connection before others have their turn: what is read is understood at once, on a loop that many share.
    private static let mostAtOnce = 16 << 10

    /// - Parameters:
    ///   - patience: until the name has been looked up and a connection is there; nil for whoever has a deadline of their own.
    ///   - trust: whose certificates are believed.
    init(
        group: any EventLoopGroup, egress: EgressPolicy, names: NameLookup = .operators, patience: TimeAmount? = nil,
        trust: NIOSSLTrustRoots = .default
    ) throws {
        self.group = group
        self.egress = egress
        self.names = names
        self.patience = patience
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = trust
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        tls = try NIOSSLContext(configuration: configuration)
    }

    /// Every address the endpoint's name has, all of them allowed.
    func addresses(of endpoint: Endpoint) async throws(UpstreamFailure) -> [SocketAddress] {
        let found: [SocketAddress]
        if let patience {
            found = try await names.addresses(of: endpoint, within: patience, on: group.any())
        } else {
            found = try await names.addresses(of: endpoint)
        }
        for address in found { try Self.judge(address, for: endpoint, egress) }
        return found
    }

    private static func judge(_ address: SocketAddress, for endpoint: Endpoint, _ egress: EgressPolicy) throws(UpstreamFailure) {
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

    func connect(to endpoint: Endpoint, _ setUp: @escaping @Sendable (any Channel) throws -> Void) async throws(UpstreamFailure) -> any Channel {
        let end = patience.map { NIODeadline.now() + $0 }
        let addresses = try await addresses(of: endpoint).prefix(Self.mostAddresses)
        let bootstrap = ClientBootstrap(group: group)
            .channelOption(ChannelOptions.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: Self.mostAtOnce))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let peer = PeerCheck { address in (try? Self.judge(address, for: endpoint, egress)) != nil }
                    try channel.pipeline.syncOperations.addHandler(peer)
                    if endpoint.isSecure {
                        // An address is no server name for SNI; its certificate is checked against the address.
                        let name = IPAddress(endpoint.host) == nil ? endpoint.host : nil
                        try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name))
                    }
                    try setUp(channel)
                }
            }
        var last = "it has no address"
        for (tried, address) in addresses.enumerated() {
            // What is left is shared by the addresses that are.
            let left = end.map { TimeAmount.nanoseconds(($0 - .now()).nanoseconds / Int64(addresses.count - tried)) }
            let timeout = left.map { max($0, .milliseconds(1)) } ?? Self.connectTimeout
            do { return try await bootstrap.connectTimeout(timeout).connect(to: address).get() } catch {
                last = "connecting failed (\(error.brief))"
            }
        }
        throw .unreachable(last)
    }
}

extension Error {
    /// What went wrong with a connection, for people to read.
    var brief: String {
        switch self as any Error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout: "timed out"
        default: "\(type(of: self))"
        }
    }
}
