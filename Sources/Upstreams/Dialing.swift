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
    private let tls: NIOSSLContext

    private static let connectTimeout = TimeAmount.seconds(3)
    private static let mostAddresses = 3

    /// - Parameter trust: whose certificates are believed.
    init(group: any EventLoopGroup, egress: EgressPolicy, names: NameLookup = .operators, trust: NIOSSLTrustRoots = .default) throws {
        self.group = group
        self.egress = egress
        self.names = names
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = trust
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        tls = try NIOSSLContext(configuration: configuration)
    }

    /// Every address the endpoint's name has, all of them allowed.
    func addresses(of endpoint: Endpoint) async throws(UpstreamFailure) -> [SocketAddress] {
        let found = try await names.addresses(of: endpoint)
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
        let addresses = try await addresses(of: endpoint)
        let bootstrap = ClientBootstrap(group: group)
            .connectTimeout(Self.connectTimeout)
            .channelOption(ChannelOptions.socketOption(.tcp_nodelay), value: 1)
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
}
