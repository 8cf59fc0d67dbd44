import Gateway
import MCP
import NIOHTTP1

/// Streamable HTTP, seen from the client: each message is a POST of its own.
final class StreamableHTTP: MessageTransport {
    private let endpoint: Endpoint
    private let connections: HTTPConnections
    private let credential: OwnCredential?

    /// - Parameter credential: nil for a server that is shown none.
    init(endpoint: Endpoint, connections: HTTPConnections, credential: OwnCredential? = nil) {
        self.endpoint = endpoint
        self.connections = connections
        self.credential = credential
    }

    func exchange(patience: Exchange.Patience) -> Exchange {
        Exchange(id: connections.nextID(), loop: connections.loop, patience: patience)
    }

    func send(_ request: Outbound, on exchange: Exchange, onSession: (@Sendable (String?) -> Void)?) async throws(UpstreamFailure) {
        do throws(UpstreamFailure) {
            let shown = try await credential?.show()
            try await connections.send(exchange, post(request, shown), to: endpoint, of: credential?.user, onSession: onSession)
        } catch {
            exchange.fail(error)
            throw error
        }
    }

    func notify(_ message: Outbound) async throws(UpstreamFailure) {
        let exchange = exchange(patience: .probe)
        try await send(message, on: exchange, onSession: nil)
        // Whatever it was answered, it was delivered; only losing it matters.
        do {
            _ = try await exchange.response()
        } catch let failure as UpstreamFailure {
            switch failure {
            case .lost, .timedOut, .abandoned, .signedOut: throw failure
            case .rejected, .garbled, .unreachable, .turnedAway, .credential: break
            }
        } catch {
            // An exchange fails with nothing else.
        }
    }

    func tellCancelled(_ exchange: Exchange, headers: [(String, String)]) {
        // Unstructured on purpose: whoever asked has gone, and this must be said after them. It ends within the probe's
        // patience.
        Task { try? await notify(Outbound(body: LegacyRequest.cancelled(MessageID(exchange.id), reason: "the caller went away"), headers: headers)) }
    }

    func endSession(_ session: String) async {
        let exchange = exchange(patience: .farewell)
        var headers = HTTPHeaders([("Host", endpoint.authority), ("User-Agent", userAgent), ("Mcp-Session-Id", session)])
        do {
            if let shown = try await credential?.show() { headers.add(shown) }
            let request = HTTPConnection.Request(method: .DELETE, path: endpoint.path, headers: headers, body: [])
            try await connections.send(exchange, request, to: endpoint, of: credential?.user)
            _ = try await exchange.response()
        } catch {
            // The server forgets the session by itself in time.
        }
    }

    var isClosed: Bool { false }
    func close() {}

    private func post(_ message: Outbound, _ shown: ShownCredential?) -> HTTPConnection.Request {
        var headers = HTTPHeaders([
            ("Host", endpoint.authority), ("User-Agent", userAgent), ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"), ("Content-Length", String(message.body.bytes.count)),
        ])
        headers.add(contentsOf: message.headers)
        if let shown { headers.add(shown) }
        return HTTPConnection.Request(
            method: .POST, path: endpoint.path, headers: headers, body: message.body.bytes, refusal: shown.map { shown in shown.failure })
    }
}

extension HTTPHeaders {
    fileprivate mutating func add(_ shown: ShownCredential) {
        for header in shown.headers { add(name: header.name, value: header.value.revealed) }
    }
}

private let userAgent = "mcp-registry-gateway"
