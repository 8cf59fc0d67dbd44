import Gateway
import HTTPTypes
import Hummingbird
import Logging
import MCP
import NIOCore
import ServiceLifecycle
import Serving
import Synchronization

extension DemoServer {
    static let path = "/mcp"

    /// The server on loopback, as a service to run.
    ///
    /// - Parameters:
    ///   - port: 0 takes any free one.
    ///   - onListening: called once with the port, when connections are accepted.
    static func application(
        port: Int, logger: Logger, onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    ) -> some ApplicationProtocol {
        let server = Mutex(DemoServer())
        let responder = CallbackResponder<BasicRequestContext> { request, _ in
            try await respond(to: request) { body, headers in server.withLock { $0.answer(body, headers: headers) } }
        }
        return Application(
            responder: responder,
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { channel in await onListening(channel.localAddress?.port ?? port) },
            logger: logger
        )
    }

    private static func respond(to request: Request, answer: ([UInt8], RoutingHeaders) -> DemoAnswer) async throws -> Response {
        // A web page elsewhere whose name was made to point here still says its own name (DNS rebinding).
        guard Origin("http://" + (request.head.authority ?? ""))?.isLoopback ?? false else { return Response(status: .misdirectedRequest) }
        guard request.headers[values: .origin].allSatisfy({ Origin($0)?.isLoopback ?? false }) else { return Response(status: .forbidden) }
        guard request.uri.path == path else { return Response(status: .notFound) }
        // No session and no stream of our own: there is nothing to GET or DELETE.
        guard request.method == .post else { return Response(status: .methodNotAllowed, headers: [.allow: "POST"]) }
        guard request.headers[.contentType]?.lowercased().hasPrefix("application/json") ?? false else {
            return Response(status: .unsupportedMediaType)
        }
        // Collected into the request: `consumeWithCancellationOnInboundClose` traps on a body that was read past it.
        var request = request
        let body: ByteBuffer
        do { body = try await request.collectBody(upTo: longestMessage) } catch is NIOTooManyBytesError {
            return Response(status: .contentTooLarge)
        }
        let headers = RoutingHeaders(
            protocolVersion: request.headers[values: .protocolVersion], method: request.headers[values: .mcpMethod],
            name: request.headers[values: .mcpName])
        switch answer(Array(body.readableBytesView), headers) {
        case .nothing: return Response(status: .accepted)
        case .response(let message, let status):
            return Response(
                status: .init(code: status), headers: [.contentType: "application/json"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: message.bytes)))
        case .paced(let parts): return paced(parts, to: request)
        }
    }

    /// Streams what there is to tell on the way; a lone answer stays JSON. The client's going away cancels it.
    private static func paced(_ parts: [DemoAnswer.Part], to request: Request) -> Response {
        let isStream = parts.count > 1 && request.headers[values: .accept].contains { $0.contains("text/event-stream") }
        let parts = isStream ? parts : parts.withoutProgress
        // To notice that the client went away, the connection has to be read to its end.
        var headers: HTTPFields = [.contentType: isStream ? "text/event-stream" : "application/json", .connection: "close"]
        if isStream {
            headers[.cacheControl] = "no-cache, no-transform"
            headers[.accelBuffering] = "no"
        }
        let body = ResponseBody { writer in
            try await request.body.consumeWithCancellationOnInboundClose { _ in
                try await parts.play(
                    sleep: { pause in try await cancelWhenGracefulShutdown { try await Task.sleep(for: pause) } },
                    send: { try await writer.write(ByteBuffer(bytes: isStream ? EventStream.event($0) : $0.bytes)) })
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }
}
