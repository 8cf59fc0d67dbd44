import MCP
import NIOCore
import NIOHTTP1
import NIOPosix

/// An answer as it came over the wire.
struct Answer: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSON? { try? JSON(parsing: body) }

    /// The messages of an event stream.
    var events: [JSON] {
        var parser = EventStreamParser(maximumEvent: 1 << 20)
        return ((try? parser.feed(body)) ?? []).compactMap { try? JSON(parsing: $0) }
    }
}

extension RunningGateway {
    /// Sends one request on a connection of its own, with exactly these headers besides `Content-Length`.
    ///
    /// - Parameter onBody: called when the first of the answer's body arrives.
    func send(
        _ method: HTTPMethod, _ path: String, headers: [(String, String)] = [], body: [UInt8] = [], onBody: () async -> Void = {}
    ) async throws -> Answer {
        try await Self.send(method, path, headers: headers, body: body, to: port, onBody: onBody)
    }

    /// The same to another port of this machine.
    static func send(
        _ method: HTTPMethod, _ path: String, headers: [(String, String)] = [], body: [UInt8] = [], to port: Int, onBody: () async -> Void = {}
    ) async throws -> Answer {
        var all = HTTPHeaders(headers)
        if !all.contains(name: "host") { all.add(name: "Host", value: "localhost:\(port)") }
        if !body.isEmpty && !all.contains(name: "content-length") { all.add(name: "Content-Length", value: String(body.count)) }
        all.add(name: "Connection", value: "close")
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: all)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(5))
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            // The gateway may answer and close before it has read a body it does not want.
            try? await outbound.write(.head(head))
            if !body.isEmpty { try? await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
            try? await outbound.write(.end(nil))
            var received: HTTPResponseHead?
            var bytes: [UInt8] = []
            for try await part in inbound {
                switch part {
                case .head(let head): received = head
                case .body(let buffer):
                    if bytes.isEmpty { await onBody() }
                    bytes += buffer.readableBytesView
                case .end:
                    guard let received else { break }
                    return Answer(status: Int(received.status.code), headers: received.headers, body: bytes)
                }
            }
            throw Failed("the connection closed without an answer")
        }
    }

    /// POSTs a body to `/mcp` as the clients of the handshake era do.
    func mcp(
        _ body: String, to path: String = "/mcp", token: String?, headers: [(String, String)] = [], onBody: () async -> Void = {}
    ) async throws -> Answer {
        var all = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
        if let token { all.append(("Authorization", "Bearer \(token)")) }
        return try await send(.POST, path, headers: all + headers, body: Array(body.utf8), onBody: onBody)
    }

    /// POSTs a request with the envelope and headers of 2026-07-28.
    func modern(_ method: String, _ params: [(String, JSONText?)] = [], to path: String = "/mcp", name: String? = nil, token: String) async throws
        -> Answer
    {
        let meta: JSONText = [
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": [:],
        ]
        let body: JSONText = ["jsonrpc": "2.0", "id": 7, "method": .string(method), "params": .object(params + [("_meta", meta)])]
        let headers = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)] + (name.map { [("Mcp-Name", $0)] } ?? [])
        return try await mcp(body.description, to: path, token: token, headers: headers)
    }

    func api(_ method: HTTPMethod, _ path: String, _ body: JSONText? = nil, token: String?) async throws -> Answer {
        var headers = [("Content-Type", "application/json")]
        if let token { headers.append(("Authorization", "Bearer \(token)")) }
        return try await send(method, path, headers: headers, body: body?.bytes ?? [])
    }
}
