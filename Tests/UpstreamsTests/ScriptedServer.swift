import MCP
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import Testing

/// An HTTP server on loopback whose every answer is a closure's, byte for byte. It keeps what it was asked.
final class ScriptedServer: Sendable {
    typealias Script = @Sendable (Request, Reply) async throws -> Void

    struct Request: Sendable {
        /// Which connection it came over, counted from 1.
        let connection: Int
        let method: HTTPMethod
        let path: String
        let headers: HTTPHeaders
        let body: [UInt8]

        var json: JSON? { try? JSON(parsing: body) }
        /// The JSON-RPC method; nothing for an answer.
        var rpc: String { json?["method"]?.string ?? "" }
        var id: JSONText { json?["id"]?.text ?? .null }
        var arguments: JSON? { json?["params"]?["arguments"] }
        var asksForStream: Bool { method == .GET && !headers.contains(name: "Last-Event-ID") }
    }

    let port: Int
    private let tls: NIOSSLContext?
    private let script: Script
    private let kept = Mutex<[Request]>([])
    private let opened = Mutex(0)
    private let arrivals: AsyncStream<Request>
    private let arrive: AsyncStream<Request>.Continuation
    private let accepting: AsyncStream<Never>
    private let stopAccepting: AsyncStream<Never>.Continuation

    private init(port: Int, tls: NIOSSLContext?, script: @escaping Script) {
        self.port = port
        self.tls = tls
        self.script = script
        (arrivals, arrive) = AsyncStream.makeStream()
        (accepting, stopAccepting) = AsyncStream.makeStream()
    }

    var url: String { "http://127.0.0.1:\(port)/mcp" }
    var requests: [Request] { kept.withLock { $0 } }
    var connections: Int { opened.withLock { $0 } }
    /// The JSON-RPC methods in the order in which they came.
    /// Whoever asks for the stream beside those of requests is left out.
    var asked: [String] { requests.filter { !$0.asksForStream }.map(\.rpc) }
    /// What was the last event that whoever went on with a stream had seen.
    var resumptions: [[String]] { requests.filter { $0.method == .GET && !$0.asksForStream }.map { $0.headers["Last-Event-ID"] } }
    func requests(_ rpc: String) -> [Request] { requests.filter { $0.rpc == rpc } }

    /// The next request of that method to arrive; nil when the test's time is up. One reader at a time.
    func arrival(of rpc: String) async -> Request? {
        for await request in arrivals where request.rpc == rpc { return request }
        return nil
    }

    /// Serves while the body runs.
    static func running<Value: Sendable>(
        tls: NIOSSLContext? = nil, _ script: @escaping Script, _ body: (ScriptedServer) async throws -> Value
    ) async throws -> Value {
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.backlog, value: 1024)
            // An asynchronous channel that nobody serves ends the process, and one that is accepted while the listener closes is
            // served by nobody: a connection becomes one when it is served, and is not read before.
            .childChannelOption(.autoRead, value: false)
            .bind(host: "127.0.0.1", port: 0) { channel in channel.eventLoop.makeSucceededFuture(channel) }
        let server = ScriptedServer(port: try #require(listener.channel.localAddress?.port), tls: tls, script: script)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await server.serve(listener) }
            let outcome: Result<Value, any Error>
            do { outcome = .success(try await body(server)) } catch { outcome = .failure(error) }
            // First nothing more is accepted, then whoever is being served is let go.
            try? await listener.channel.close()
            for await _ in server.accepting {}
            group.cancelAll()
            return try outcome.get()
        }
    }

    private func serve(_ listener: NIOAsyncChannel<any Channel, Never>) async throws {
        try await listener.executeThenClose { connections in
            try await withThrowingDiscardingTaskGroup { group in
                defer { self.stopAccepting.finish() }
                for try await connection in connections {
                    let number = self.opened.withLock { opened in
                        opened += 1
                        return opened
                    }
                    group.addTask { try? await self.converse(connection, number) }
                }
            }
        }
    }

    private func converse(_ channel: any Channel, _ number: Int) async throws {
        let connection = try await channel.eventLoop.submit { [tls] in
            if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
            try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
            return try NIOAsyncChannel<HTTPServerRequestPart, ByteBuffer>(wrappingChannelSynchronously: channel)
        }.get()
        try await channel.setOption(.autoRead, value: true).get()
        try await connection.executeThenClose { inbound, outbound in
            var head: HTTPRequestHead?
            var body: [UInt8] = []
            for try await part in inbound {
                switch part {
                case .head(let its): (head, body) = (its, [])
                case .body(let buffer): body += Array(buffer.readableBytesView)
                case .end:
                    guard let head else { continue }
                    let request = Request(connection: number, method: head.method, path: head.uri, headers: head.headers, body: body)
                    kept.withLock { $0.append(request) }
                    arrive.yield(request)
                    do { try await script(request, Reply(channel: connection.channel, outbound: outbound, request: request)) } catch is Hangup {
                        return
                    }
                }
            }
        }
    }

    /// Thrown by a script to close the connection.
    struct Hangup: Error {}

    /// The way back for one request.
    struct Reply: Sendable {
        let channel: any Channel
        let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
        let request: Request

        func write(_ text: String) async throws { try await outbound.write(ByteBuffer(string: text)) }
        func write(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

        func ok(_ body: String, type: String = "application/json", headers: [String] = []) async throws {
            try await send("200 OK", body, type: type, headers: headers)
        }

        func send(_ status: String, _ body: String, type: String = "application/json", headers: [String] = []) async throws {
            let lines = ["HTTP/1.1 \(status)", "content-type: \(type)", "content-length: \(body.utf8.count)"] + headers
            try await write(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
        }

        func result(_ result: JSONText, headers: [String] = []) async throws {
            try await ok(Self.answer(result, to: request.id).description, headers: headers)
        }

        func error(_ code: Int, _ message: String, status: String = "400 Bad Request", id: JSONText? = nil, data: JSONText? = nil) async throws {
            let error: JSONText = ["code": .number(code), "message": .string(message), "data": data]
            let answer: JSONText = ["jsonrpc": "2.0", "id": id ?? request.id, "error": error]
            try await send(status, answer.description)
        }

        /// 202, as notifications and answers get.
        func accept() async throws { try await write("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n") }

        func startEvents(headers: [String] = []) async throws {
            let lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked"] + headers
            try await write(lines.joined(separator: "\r\n") + "\r\n\r\n")
        }

        func event(_ message: JSONText) async throws { try await chunk(EventStream.event(message)) }

        func chunk(_ bytes: [UInt8]) async throws {
            try await write(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + Array("\r\n".utf8))
        }

        func end() async throws { try await write("0\r\n\r\n") }

        func event(result: JSONText) async throws { try await event(Self.answer(result, to: request.id)) }

        /// Waits until the other side has closed the connection.
        func closedByPeer() async {
            await withTaskCancellationHandler {
                try? await channel.closeFuture.get()
            } onCancel: {
                channel.close(promise: nil)
            }
        }

        static func answer(_ result: JSONText, to id: JSONText) -> JSONText { ["jsonrpc": "2.0", "id": id, "result": result] }
    }
}

extension ScriptedServer {
    static let discovery: JSONText = ["resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": ["tools": [:]]]

    /// A server of the stateless era; the closure answers what is not discovery.
    static func modern(_ script: @escaping Script) -> Script {
        { request, reply in
            if request.rpc == "server/discover" { return try await reply.result(discovery) }
            try await script(request, reply)
        }
    }

    static func handshake(_ revision: String = "2025-11-25") -> JSONText {
        ["protocolVersion": .string(revision), "capabilities": ["tools": [:]], "serverInfo": ["name": "old", "version": "1"]]
    }

    /// A server with a handshake, turning the probe away as the Python SDK 1.30 does (ERA-6); the closure answers the rest.
    ///
    /// - Parameter hasStream: whether the closure also answers who asks for the stream beside those of requests.
    static func legacy(session: String? = nil, revision: String = "2025-11-25", hasStream: Bool = false, _ script: @escaping Script) -> Script {
        { request, reply in
            switch request.rpc {
            case "" where request.asksForStream && !hasStream: try await reply.send("405 Method Not Allowed", "")
            case "server/discover": try await reply.error(-32600, "Bad Request: Missing session ID", id: "server-error")
            case "initialize": try await reply.result(handshake(revision), headers: session.map { ["Mcp-Session-Id: \($0)"] } ?? [])
            case "notifications/initialized": try await reply.accept()
            default: try await script(request, reply)
            }
        }
    }

    /// Says the tool's own words back.
    static let echo: Script = { request, reply in
        try await reply.result(["content": [], "structuredContent": request.arguments?.text])
    }
}
