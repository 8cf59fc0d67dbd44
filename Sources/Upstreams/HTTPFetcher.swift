package import Access
package import Gateway
package import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// The gateway's own requests, as a `Fetcher`: to issuers, for clients' metadata, to authorization servers of upstreams.
///
/// They are rare, and some go where a stranger says. So each has a connection of its own, to an address that was judged
/// for this very request; TLS is 1.2 or later with a certificate for the name in the URL; a redirect is an answer like
/// any other and is not followed; and size and time are bounded from the first look-up of the name to the last byte.
package final class HTTPFetcher: Sendable {
    /// Who writes the URLs. Strangers' names are looked up apart, so that they hold up nobody else's.
    package enum Author: Sendable {
        case operators
        case strangers
    }

    /// A fetch beyond so many at a time is refused rather than queued.
    package static let mostAtOnce = 64
    /// Of status line and header fields, trailers included.
    static let largestHead = 16 << 10
    private static let mostHeaderFields = 100

    private let dialing: Dialing
    private let underWay = Atomic(0)

    /// - Parameter egress: for strangers' URLs, `EgressPolicy()`: public addresses only, over TLS only. Private addresses, and
    ///   plain http, are for what the operator allowed by name.
    package convenience init(group: any EventLoopGroup, egress: EgressPolicy, urlsOf author: Author) throws {
        self.init(dialing: try Dialing(group: group, egress: egress, names: author == .operators ? .operators : .strangers))
    }

    init(dialing: Dialing) { self.dialing = dialing }

    package var fetcher: Fetcher {
        Fetcher { request throws(FetchFailure) in try await self.send(request) }
    }

    private func send(_ request: FetchRequest) async throws(FetchFailure) -> FetchedAnswer {
        let head = try request.head()
        guard underWay.add(1, ordering: .relaxed).newValue <= Self.mostAtOnce else {
            underWay.subtract(1, ordering: .relaxed)
            throw .unreachable("\(Self.mostAtOnce) fetches are under way already")
        }
        let fetch = Fetch()
        let deadline = request.deadline
        let timer = dialing.group.any().scheduleTask(in: TimeAmount(deadline)) { fetch.end(.failure(.timedOut(deadline))) }
        // Unstructured on purpose: looking up a name cannot be interrupted, and the caller waits no longer than the deadline. The
        // place is taken until the work is really over.
        let work = Task {
            await carryOut(request, head, for: fetch)
            underWay.subtract(1, ordering: .relaxed)
        }
        let outcome = await fetch.outcome()
        timer.cancel()
        work.cancel()
        return try outcome.get()
    }

    private func carryOut(_ request: FetchRequest, _ head: HTTPRequestHead, for fetch: Fetch) async {
        guard !fetch.isOver else { return }
        do throws(UpstreamFailure) {
            let channel = try await dialing.connect(to: request.endpoint) { channel in
                try fetch.opened(channel)
                try Self.setUp(channel, request, head, for: fetch)
            }
            channel.eventLoop.execute {
                // Gone if the connection closed at once, and the fetch with it.
                try? channel.pipeline.syncOperations.handler(type: FetchConnection.self).begin(on: channel)
            }
            try? await channel.closeFuture.get()
        } catch {
            fetch.end(.failure(.unreachable(error.reason)))
        }
    }

    private static func setUp(_ channel: any Channel, _ request: FetchRequest, _ head: HTTPRequestHead, for fetch: Fetch) throws {
        var framing = HTTPRequestEncoder.Configuration()
        framing.automaticallySetFramingHeaders = false
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = largestHead
        limits.maxHeaderListSize = largestHead
        limits.maxHeaderFieldCount = mostHeaderFields
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandlers(
            WireBound(most: WireBound.most(for: request), fetch),
            HTTPRequestEncoder(configuration: framing),
            ByteToMessageHandler(HTTPResponseDecoder(informationalResponseStrategy: .forward, limitConfiguration: limits)),
            NIOHTTPRequestHeadersValidator(),
            FetchConnection(request, head, for: fetch))
    }
}
