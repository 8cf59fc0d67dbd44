import Gateway
import MCP
import NIOHTTP1
import Synchronization

/// Streamable HTTP, seen from the client: each message is a POST of its own.
final class StreamableHTTP: MessageTransport {
    private let endpoint: Endpoint
    private let connections: HTTPConnections
    private let lastID = Atomic<Int64>(0)

    init(endpoint: Endpoint, connections: HTTPConnections) {
        self.endpoint = endpoint
        self.connections = connections
    }

    func exchange(patience: Exchange.Patience) -> Exchange {
        Exchange(id: lastID.add(1, ordering: .relaxed).newValue, loop: connections.loop, patience: patience)
    }

    func send(_ request: Outbound, on exchange: Exchange, onSession: (@Sendable (String?) -> Void)?) async throws(UpstreamFailure) {
        do throws(UpstreamFailure) {
            try await connections.send(exchange, post(request), to: endpoint, onSession: onSession)
        } catch {
            exchange.fail(error)
            throw error
        }
    }

    func notify(_ message: Outbound) async throws(UpstreamFailure) {
        let exchange = exchange(patience: .probe)
        try await send(message, on: exchange, onSession: nil)
        // Whatever the status, the message was delivered; only losing it matters.
        do { _ = try await exchange.response() } catch let failure as UpstreamFailure where failure.mayHaveActed { throw failure } catch {}
    }

    func endSession(_ session: String) async {
        let exchange = exchange(patience: .probe)
        let headers = HTTPHeaders([("Host", endpoint.authority), ("User-Agent", userAgent), ("Mcp-Session-Id", session)])
        let request = HTTPConnection.Request(method: .DELETE, path: endpoint.path, headers: headers, body: [])
        do {
            try await connections.send(exchange, request, to: endpoint)
            _ = try await exchange.response()
        } catch {
            // The server forgets the session by itself in time.
        }
    }

    var isClosed: Bool { false }
    func close() {}

    private func post(_ message: Outbound) -> HTTPConnection.Request {
        var headers = HTTPHeaders([
            ("Host", endpoint.authority), ("User-Agent", userAgent), ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"), ("Content-Length", String(message.body.bytes.count)),
        ])
        headers.add(contentsOf: message.headers)
        return HTTPConnection.Request(method: .POST, path: endpoint.path, headers: headers, body: message.body.bytes)
    }
}

private let userAgent = "mcp-registry-gateway"
