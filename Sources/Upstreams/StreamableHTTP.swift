import Gateway
import MCP
import NIOHTTP1
import Pacing
import Synchronization

/// Streamable HTTP, seen from the client: each message is a POST of its own.
final class StreamableHTTP: MessageTransport {
    let berth: Berth
    private let connections: HTTPConnections
    private let credential: OwnCredential?
    private let board: Switchboard
    private let bound: Chatter.Bound
    private let errands: Errands

    /// - Parameters:
    ///   - credential: nil for a server that is shown none.
    ///   - bound: of what it says and nobody waits for, on a stream that is only listened to.
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

    func exchange(patience: Exchange.Patience, for purpose: Exchange.Purpose) -> Exchange {
        Exchange(id: connections.nextID(), loop: connections.loop, patience: patience, purpose: purpose)
    }

    func send(_ request: Outbound, on exchange: Exchange, onSession: (@Sendable (String?) -> Void)?) async throws(UpstreamFailure) {
        _ = board.add(exchange)
        let trail = Trail()
        var hearing = HTTPConnection.Hearing()
        hearing.head = { headers in onSession?(headers.first(name: "mcp-session-id")) }
        hearing.message = { [board] message in board.receive(message, .own(exchange)) }
        hearing.stray = { [board] in board.stray() }
        hearing.mark = { id, retry in trail.mark(id, retry) }
        if exchange.isListening { hearing.bound = bound }
        if request.isResumable { hearing.isResumed = { [weak self] in self?.resume(exchange, request, trail) ?? false } }
        do throws(UpstreamFailure) {
            let shown = try await credential?.show()
            let replica = try berth.place(isStateless: board.isStateless, avoiding: request.avoiding, preferring: request.preferred)
            var post = HTTPConnection.Request.post(request, to: replica.endpoint, shown)
            post.hearing = hearing
            try await connections.send(exchange, post, at: replica, of: credential?.user)
        } catch {
            exchange.fail(error)
            throw error
        }
    }

    func notify(_ message: Outbound) async throws(UpstreamFailure) {
        let exchange = exchange(patience: .probe)
        do throws(UpstreamFailure) {
            let shown = try await credential?.show()
            let replica = try berth.place(isStateless: board.isStateless, avoiding: [], preferring: nil)
            try await connections.send(exchange, .post(message, to: replica.endpoint, shown), at: replica, of: credential?.user)
        } catch {
            exchange.fail(error)
            throw error
        }
        // Whatever it was answered, it was delivered; only losing it matters.
        do {
            _ = try await exchange.response()
        } catch let failure as UpstreamFailure {
            switch failure {
            case .lost, .timedOut, .abandoned, .signedOut: throw failure
            case .rejected, .garbled, .unreachable, .resting, .turnedAway, .credential: break
            }
        } catch {
            // An exchange fails with nothing else.
        }
    }

    func tellCancelled(_ exchange: Exchange, headers: [(String, String)]) {
        errands.run {
            try? await self.notify(Outbound(body: LegacyRequest.cancelled(MessageID(exchange.id), reason: "the caller went away"), headers: headers))
        }
    }

    func endSession(headers: [(String, String)]) async {
        let exchange = exchange(patience: .farewell)
        do {
            let request = HTTPConnection.Request.bare(.DELETE, berth.bound.endpoint, headers, try await credential?.show())
            try await connections.send(exchange, request, at: berth.bound, of: credential?.user)
            _ = try await exchange.response()
        } catch {
            // The server forgets the session by itself in time.
        }
    }

    /// The stateless go elsewhere by themselves.
    var isClosed: Bool { !board.isStateless && berth.isDown }
    var replica: Int? { board.isStateless ? nil : berth.bound.number }
    func close() {}

    // MARK: Going on where a stream broke off

    /// Where in the answer to one request it is.
    private final class Trail: Sendable {
        private struct State {
            var lastID: String?
            var pause = Duration.seconds(1)
            var resumptions = 0
        }

        private static let most = 5
        private static let longestPause = Duration.seconds(30)
        private let state = Mutex(State())

        func mark(_ id: String?, _ retry: Duration?) {
            state.withLock { state in
                if let id { state.lastID = id }
                if let retry { state.pause = min(retry, Self.longestPause) }
            }
        }

        /// After which event to go on, and when; nil if the server numbers none, or it was tried often enough.
        func next() -> (id: String, pause: Duration)? {
            state.withLock { state in
                guard let id = state.lastID, state.resumptions < Self.most else { return nil }
                state.resumptions += 1
                return (id, state.pause)
            }
        }
    }

    /// Asks for the rest of a stream. The request itself is never sent again: it may have been carried out.
    private func resume(_ exchange: Exchange, _ request: Outbound, _ trail: Trail) -> Bool {
        guard let next = trail.next() else { return false }
        return errands.run { [weak self] in
            let failure = UpstreamFailure.lost("its event stream broke off and could not be gone on with")
            do {
                try await Task.sleep(for: next.pause)
                guard !exchange.isOver, let self else { return exchange.fail(failure) }
                // Where the rest of it is.
                let endpoint = self.berth.replicas.all[exchange.replica ?? self.berth.bound.number].endpoint
                let shown = try await self.credential?.show()
                var get = HTTPConnection.Request.bare(
                    .GET, endpoint, request.headers + [("Accept", "text/event-stream"), ("Last-Event-ID", next.id)], shown)
                get.refusal = { status, _ in .lost("its event stream broke off, and going on with it was answered with HTTP status \(status)") }
                get.hearing.isContinuation = true
                get.hearing.message = { [board = self.board] message in board.receive(message, .resumed(exchange)) }
                get.hearing.mark = { id, retry in trail.mark(id, retry) }
                get.hearing.isResumed = { [weak self] in self?.resume(exchange, request, trail) ?? false }
                try await self.connections.send(exchange, get, to: endpoint, of: self.credential?.user)
            } catch {
                exchange.fail(failure)
            }
        }
    }

    // MARK: What the server says outside of requests

    func hear(headers: [(String, String)], onOpen: @escaping @Sendable () -> Void) async throws(UpstreamFailure) {
        let exchange = exchange(patience: .listening, for: .listening)
        do {
            var get = HTTPConnection.Request.bare(
                .GET, berth.bound.endpoint, headers + [("Accept", "text/event-stream")], try await credential?.show())
            get.hearing.head = { _ in onOpen() }
            get.hearing.message = { [board] message in board.receive(message, .aside) }
            get.hearing.bound = bound
            try await connections.send(exchange, get, at: berth.bound, of: credential?.user)
            _ = try await exchange.response()
        } catch let failure as UpstreamFailure {
            exchange.abandon(failure)
            throw failure
        } catch {
            exchange.abandon(.abandoned)
            throw .abandoned
        }
    }
}

extension HTTPConnection.Request {
    static func post(_ message: Outbound, to endpoint: Endpoint, _ shown: ShownCredential?) -> Self {
        var headers = HTTPHeaders([
            ("Host", endpoint.authority), ("User-Agent", userAgent), ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"), ("Content-Length", String(message.body.bytes.count)),
        ])
        headers.add(contentsOf: message.headers)
        if let shown { headers.add(shown) }
        return Self(method: .POST, path: endpoint.path, headers: headers, body: message.body.bytes, refusal: shown.map { shown in shown.failure })
    }

    static func bare(_ method: HTTPMethod, _ endpoint: Endpoint, _ added: [(String, String)], _ shown: ShownCredential?) -> Self {
        var headers = HTTPHeaders([("Host", endpoint.authority), ("User-Agent", userAgent)])
        headers.add(contentsOf: added)
        if let shown { headers.add(shown) }
        return Self(method: method, path: endpoint.path, headers: headers, body: [], refusal: shown.map { shown in shown.failure })
    }
}

extension HTTPHeaders {
    fileprivate mutating func add(_ shown: ShownCredential) {
        for header in shown.headers { add(name: header.name, value: header.value.revealed) }
    }
}

private let userAgent = "mcp-registry-gateway"
