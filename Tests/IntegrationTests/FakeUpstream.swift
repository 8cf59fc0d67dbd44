import Foundation
import Gateway
import MCP
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// An HTTP server on loopback that keeps every byte it receives and answers with what a closure says.
final class FakeUpstream: Sendable {
    struct Request: Sendable {
        let method: HTTPMethod
        let path: String
        let query: [String: String]
        let headers: HTTPHeaders
        let body: [UInt8]

        var json: JSON? { try? JSON(parsing: body) }
        /// The JSON-RPC method; nothing for an answer.
        var rpc: String { json?["method"]?.string ?? "" }
        var bearer: String? {
            headers.first(name: "authorization").flatMap { $0.hasPrefix("Bearer ") ? String($0.dropFirst("Bearer ".count)) : nil }
        }
        /// The body as a form.
        var form: [String: String] { Self.pairs(String(decoding: body, as: UTF8.self)) }

        static func pairs(_ text: String) -> [String: String] {
            var found: [String: String] = [:]
            for pair in text.split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { unescaped(String($0)) }
                found[parts[0]] = parts.count > 1 ? parts[1] : ""
            }
            return found
        }

        private static func unescaped(_ text: String) -> String {
            text.split(separator: "+", omittingEmptySubsequences: false).joined(separator: " ").removingPercentEncoding ?? text
        }
    }

    struct Response: Sendable {
        var status = HTTPResponseStatus.ok
        var headers: [(String, String)] = []
        var body = ""

        static func json(_ text: JSONText, status: HTTPResponseStatus = .ok, headers: [(String, String)] = []) -> Self {
            Response(status: status, headers: [("content-type", "application/json")] + headers, body: text.description)
        }

        static let nothing = Response(status: .notFound)
    }

    typealias Script = @Sendable (Request, FakeUpstream) -> Response

    private let script: Script
    private let kept = Mutex<(bytes: [UInt8], requests: [Request])>(([], []))
    private let bound = Mutex(0)

    private init(_ script: @escaping Script) { self.script = script }

    var port: Int { bound.withLock { $0 } }
    var origin: String { "http://127.0.0.1:\(port)" }
    var endpoint: String { origin + "/mcp" }
    /// Everything that was ever sent here.
    var bytes: [UInt8] { kept.withLock { $0.bytes } }
    var requests: [Request] { kept.withLock { $0.requests } }
    func requests(to path: String) -> [Request] { requests.filter { $0.path == path } }

    func has(_ text: String) -> Bool { bytes.firstRange(of: Array(text.utf8)) != nil }

    static func running<Value: Sendable>(_ script: @escaping Script, _ body: @Sendable (FakeUpstream) async throws -> Value) async throws -> Value {
        let upstream = FakeUpstream(script)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(Recorder(upstream))
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(Answerer(upstream))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        upstream.bound.withLock { $0 = channel.localAddress?.port ?? 0 }
        do {
            let value = try await body(upstream)
            try? await channel.close()
            return value
        } catch {
            try? await channel.close()
            throw error
        }
    }

    private final class Recorder: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = ByteBuffer
        private let upstream: FakeUpstream
        init(_ upstream: FakeUpstream) { self.upstream = upstream }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let read = Array(unwrapInboundIn(data).readableBytesView)
            upstream.kept.withLock { $0.bytes += read }
            context.fireChannelRead(data)
        }
    }

    private final class Answerer: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let upstream: FakeUpstream
        private var head: HTTPRequestHead?
        private var body: [UInt8] = []
        init(_ upstream: FakeUpstream) { self.upstream = upstream }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let its): (head, body) = (its, [])
            case .body(let buffer): body += buffer.readableBytesView
            case .end:
                guard let head else { return }
                let parts = head.uri.split(separator: "?", maxSplits: 1).map(String.init)
                let request = Request(
                    method: head.method, path: parts[0], query: parts.count > 1 ? Request.pairs(parts[1]) : [:], headers: head.headers, body: body)
                upstream.kept.withLock { $0.requests.append(request) }
                let response = upstream.script(request, upstream)
                var headers = HTTPHeaders(response.headers)
                headers.add(name: "content-length", value: String(response.body.utf8.count))
                context.write(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: response.status, headers: headers))), promise: nil)
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: response.body)))), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }
}

/// An MCP server of either era that lets in whoever shows what it wants, and says what it was shown.
struct FakeServer: Sendable {
    var isLegacy = false
    /// The name of the user behind a request's credential; nil for nobody it knows.
    var recognize: @Sendable (FakeUpstream.Request) -> String?

    func answer(_ request: FakeUpstream.Request, challenge: String = "Bearer") -> FakeUpstream.Response {
        guard let who = recognize(request) else { return .init(status: .unauthorized, headers: [("www-authenticate", challenge)]) }
        guard request.method == .POST, let id = request.json?["id"]?.text else { return .init(status: .accepted) }
        func result(_ result: JSONText, _ headers: [(String, String)] = []) -> FakeUpstream.Response {
            .json(["jsonrpc": "2.0", "id": id, "result": result], headers: headers)
        }
        switch request.rpc {
        case "server/discover" where !isLegacy:
            return result(["resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": ["tools": [:]]])
        case "initialize" where isLegacy:
            let answer: JSONText = [
                "protocolVersion": "2025-11-25", "capabilities": ["tools": [:]], "serverInfo": ["name": "fake", "version": "1"],
            ]
            return result(answer, [("mcp-session-id", "session-of-\(who)")])
        case "tools/list":
            return result([
                "resultType": "complete", "tools": [["name": "whoami", "inputSchema": ["type": "object"]]], "ttlMs": 0, "cacheScope": "private",
            ])
        case "tools/call":
            let session = request.headers.first(name: "mcp-session-id")
            // A session that is not this user's would be somebody else's conversation.
            guard session == nil || session == "session-of-\(who)" else { return .init(status: .forbidden) }
            return result(["resultType": "complete", "content": [["type": "text", "text": .string("you are \(who)")]]])
        default:
            return .json(
                ["jsonrpc": "2.0", "id": id, "error": ["code": -32601, "message": "unknown"]], status: isLegacy ? .badRequest : .notFound)
        }
    }
}

extension RunningGateway {
    /// Registers a server as an administrator does.
    func register(_ alias: String, _ endpoint: String, credential: JSONText, as role: Role = .admin) async throws -> Answer {
        try await api(
            .POST, "/api/v1/servers", ["alias": .string(alias), "endpoint": .string(endpoint), "credential": credential],
            token: try await token("registrar-\(role.rawValue)", role))
    }

    /// Calls a tool of the handshake era's clients, with a client's own headers.
    func callBare(_ tool: String, token: String, headers: [(String, String)] = []) async throws -> Answer {
        try await mcp(
            #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\#(tool)","arguments":{}}}"#, token: token, headers: headers)
    }
}

extension Answer {
    /// What a tool said.
    var said: String? { json?["result"]?["content"]?.elements.first?["text"]?.string }
    var isToolError: Bool { json?["result"]?["isError"]?.bool == true }
}
