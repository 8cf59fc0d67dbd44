import Gateway
import MCP
import NIOHTTP1
import Pacing
import Synchronization

/// The transport of revision 2024-11-05, seen from the client: one event stream (GET) on which everything comes, and an endpoint
/// named on it to which everything is posted. When the stream ends, the conversation has.
final class HTTPWithSSE: MessageTransport {
    private struct State {
        var stream: Exchange?
        var target: Endpoint?
        var isClosed = false
    }

    private static let mostPending = 256

    private let berth: Berth
    private let connections: HTTPConnections
    private let credential: OwnCredential?
    private let board: Switchboard
    private let bound: Chatter.Bound
    private let errands: Errands
    private let state = Mutex(State())
    private let over = Question()

    /// - Parameter bound: of what it says and nobody waits for.
    init(
        _ berth: Berth, connections: HTTPConnections, credential: OwnCredential? = nil, board: Switchboard, bound: Chatter.Bound, errands: Errands
    ) {
        self.berth = berth
        self.connections = connections
        self.credential = credential
        self.board = board
        self.bound = bound
        self.errands = errands
    }

    private var endpoint: Endpoint { berth.bound.endpoint }

    /// Opens the stream and waits to be told where to post.
    ///
    /// - Throws: `rejected` or `garbled` if the server does not speak this transport.
    func connect() async throws {
        let stream = exchange(patience: .conversation)
        let told = Question()
        var get = HTTPConnection.Request.bare(.GET, endpoint, [("Accept", "text/event-stream")], try await credential?.show())
        get.hearing.message = { [board] message in board.receive(message, .only) }
        get.hearing.bound = bound
        get.hearing.named = { [weak self] event in self?.read(event, told) ?? false }
        state.withLock { $0.stream = stream }
        stream.onEnd { [weak self] _ in self?.ended(told) }
        do throws(UpstreamFailure) {
            try await connections.send(stream, get, at: berth.bound, of: credential?.user)
        } catch {
            stream.fail(error)
            throw error
        }
        await told.wait(atMost: Exchange.Patience.probe.total)
        if let failure = stream.failure { throw failure }
        guard state.withLock({ $0.target }) != nil else {
            let failure = UpstreamFailure.garbled("it did not say on its event stream where to post")
            stream.abandon(failure)
            throw failure
        }
    }

    /// Only the first counts, and only at the origin that was asked: credentials go there.
    private func read(_ event: EventStreamParser.Event, _ told: Question) -> Bool {
        guard event.name == "endpoint" else { return false }
        let target = Self.resolve(String(decoding: event.data, as: UTF8.self), against: endpoint)
        let isFirst = state.withLock { state in
            guard state.target == nil else { return false }
            state.target = target
            return true
        }
        if target == nil && isFirst {
            state.withLock { $0.stream }?.abandon(.garbled("it wants messages posted to another origin, or to no URL at all"))
        }
        told.answered()
        return true
    }

    /// A reference against the URL it was read from (RFC 3986, section 5, less dot segments); nil unless it stays at the same origin.
    static func resolve(_ reference: String, against base: Endpoint) -> Endpoint? {
        let text: String
        if reference.hasPrefix("//") {
            text = (base.isSecure ? "https:" : "http:") + reference
        } else if reference.hasPrefix("/") {
            text = "\(base.origin)\(reference)"
        } else if reference.prefix(while: { $0 != "/" && $0 != "?" }).contains(":") {
            text = reference
        } else {
            let path = base.path.prefix { $0 != "?" }
            let folder = reference.hasPrefix("?") ? path : path[...(path.lastIndex(of: "/") ?? path.startIndex)]
            text = "\(base.origin)\(folder)\(reference)"
        }
        guard !reference.isEmpty, let found = Endpoint(text), found.origin == base.origin else { return nil }
        return found
    }

    private func ended(_ told: Question) {
        state.withLock { $0.isClosed = true }
        board.failAll(.lost("its event stream ended"))
        told.answered()
        over.answered()
    }

    // MARK: MessageTransport

    func exchange(patience: Exchange.Patience, for purpose: Exchange.Purpose) -> Exchange {
        Exchange(id: connections.nextID(), loop: connections.loop, patience: patience, purpose: purpose)
    }

    func send(_ request: Outbound, on exchange: Exchange, onSession: (@Sendable (String?) -> Void)?) async throws(UpstreamFailure) {
        do throws(UpstreamFailure) {
            guard board.add(exchange, most: Self.mostPending) else { throw .unreachable("\(Self.mostPending) calls to it are under way already") }
            let delivery = self.exchange(patience: .call)
            // What the POST brings about comes on the stream, perhaps before the POST is answered.
            delivery.onEnd { _ in if let failure = Self.refusal(delivery) { exchange.fail(failure) } }
            exchange.onAbandon { delivery.abandon(.abandoned) }
            try await post(request, delivery)
        } catch {
            exchange.fail(error)
            throw error
        }
    }

    func notify(_ message: Outbound) async throws(UpstreamFailure) {
        let delivery = exchange(patience: .probe)
        try await post(message, delivery)
        // Why it failed is asked below.
        _ = try? await delivery.response()
        if let failure = Self.refusal(delivery) { throw failure }
    }

    private func post(_ message: Outbound, _ delivery: Exchange) async throws(UpstreamFailure) {
        do throws(UpstreamFailure) {
            let (target, isClosed) = state.withLock { ($0.target, $0.isClosed) }
            guard let target, !isClosed else { throw .unreachable("its event stream has ended") }
            let shown = try await credential?.show()
            try await connections.send(delivery, .post(message, to: target, shown), at: berth.bound, target: target, of: credential?.user)
        } catch {
            delivery.fail(error)
            throw error
        }
    }

    /// Why a message was not taken. Many servers say something of their own with a status of success: "Accepted".
    private static func refusal(_ delivery: Exchange) -> UpstreamFailure? {
        switch delivery.failure {
        case .rejected(200..<300, _), .garbled, .abandoned, nil: nil
        case let failure: failure
        }
    }

    func tellCancelled(_ exchange: Exchange, headers: [(String, String)]) {
        errands.run {
            try? await self.notify(Outbound(body: LegacyRequest.cancelled(MessageID(exchange.id), reason: "the caller went away"), headers: headers))
        }
    }

    /// The conversation's own stream carries it all.
    func hear(headers: [(String, String)], onOpen: @escaping @Sendable () -> Void) async throws(UpstreamFailure) {
        onOpen()
        await over.wait()
        throw .lost("its event stream ended")
    }

    func endSession(headers: [(String, String)]) async {}

    var isClosed: Bool { state.withLock { $0.isClosed } }
    var replica: Int? { berth.bound.number }

    func close() {
        let stream = state.withLock { state in
            state.isClosed = true
            return state.stream
        }
        stream?.abandon(.abandoned)
    }
}
