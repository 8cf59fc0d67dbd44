import Access
import Gateway
import NIOCore
import NIOPosix
import NIOSSL
import Testing

@testable import Upstreams

extension Fetcher {
    /// - Parameter trust: the system's certificates take long to read, so only who needs them does.
    static func live(egress: EgressPolicy = .loopback, names: NameLookup = .operators, trust: NIOSSLTrustRoots? = nil) throws -> Self {
        let trust = try trust ?? TestCertificate.trust
        return HTTPFetcher(dialing: try Dialing(group: .singletonMultiThreadedEventLoopGroup, egress: egress, names: names, trust: trust)).fetcher
    }

    func get(
        _ url: String, headers: [(name: String, value: String)] = [], largest: Int = 4096, deadline: Duration = .seconds(30)
    ) async throws -> FetchedAnswer {
        try await send(FetchRequest(.get, #require(Endpoint(url)), headers: headers, largestAnswer: largest, deadline: deadline))
    }
}

extension NameLookup {
    /// Says what the closure says, on the threads of the live one.
    static func scripted(_ addresses: @escaping @Sendable (String) -> [String]) -> Self {
        Self(threads: NameLookup.operators.threads) { host, port in try addresses(host).map { try SocketAddress(ipAddress: $0, port: port) } }
    }
}

/// What an expression threw, if it was a failure of a fetch.
func fetchFailure(of body: () async throws -> some Any) async -> FetchFailure? {
    do {
        _ = try await body()
        return nil
    } catch { return error as? FetchFailure }
}

extension FetchFailure {
    /// The case without what it holds.
    var kind: String { String(describing: self).prefix { $0 != "(" }.description }

    var reason: String {
        switch self {
        case .unreachable(let why), .lost(let why): why
        case .tooLarge, .timedOut: ""
        }
    }
}

/// A certificate for `issuer.test`, signed by itself, until 2120; its key opens nothing.
enum TestCertificate {
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBaDCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtpc3N1ZXIu
        dGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIGA1UE
        AwwLaXNzdWVyLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATbxVrOSF+P
        v0CF7ZFEVfTy7rJLIAyqPbFfwmumnKZqNpdautR1Uz0FVm4kiTmpZQ6OOj9YUvNa
        ZSk8tnQYc5vRo0owSDAPBgNVHRMBAf8EBTADAQH/MBYGA1UdEQQPMA2CC2lzc3Vl
        ci50ZXN0MB0GA1UdDgQWBBSxBP4ge/roSHl66UZ5qG0wODv4pDAKBggqhkjOPQQD
        AgNJADBGAiEA4VtOuwFAfwGs8ZrJhcviU4R2WAYAR8bxLoeyvC6gcqsCIQCtcdNn
        denmKRCOgprzL214hzXm2xmsD0sOwxoUH/kIFQ==
        -----END CERTIFICATE-----
        """
    static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgs7wNH8vaowlYpI2R
        om9ek+2RoMY0rYaR5VLZnAjRfpChRANCAATbxVrOSF+Pv0CF7ZFEVfTy7rJLIAyq
        PbFfwmumnKZqNpdautR1Uz0FVm4kiTmpZQ6OOj9YUvNaZSk8tnQYc5vR
        -----END PRIVATE KEY-----
        """

    static var trust: NIOSSLTrustRoots {
        get throws { .certificates([try NIOSSLCertificate(bytes: Array(certificate.utf8), format: .pem)]) }
    }

    /// A server that shows it.
    static func server(newest: TLSVersion? = nil) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(try NIOSSLCertificate(bytes: Array(certificate.utf8), format: .pem))],
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)))
        configuration.minimumTLSVersion = .tlsv1
        configuration.maximumTLSVersion = newest
        return try NIOSSLContext(configuration: configuration)
    }
}
