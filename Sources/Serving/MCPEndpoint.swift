package import Forwarding
import Gateway
import HTTPTypes
import Hummingbird
import Identity
import MCP
import NIOCore

/// `/mcp`: hands requests to the corridor, and its replies to the wire.
struct MCPEndpoint: Sendable {
    let forwarder: Forwarder
    let origin: @Sendable () -> Origin

    /// A stream that says nothing for this long says so, or something between here and the client closes it.
    private static let keepAliveInterval = Duration.seconds(15)

    func addRoutes(to router: Router<GatewayContext>) {
        router.post("/mcp") { request, context in try await post(request, context) }
        // Neither era's GET and DELETE exist without sessions.
        for method in [HTTPRequest.Method.get, .delete, .put, .patch, .head] {
            router.on("/mcp", method: method) { _, context in
                Response.problem(
                    .methodNotAllowed, code: "method_not_allowed", "This endpoint has no sessions and no listening stream; POST a message.",
                    requestID: context.requestID, headers: [.allow: "POST"])
            }
        }
    }

    private func post(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let accept = Accept(request.headers[values: .accept])
        guard accept.takesJSON || accept.takesEvents else {
            return .problem(
                .notAcceptable, code: "not_acceptable", "Accept application/json and text/event-stream.", requestID: context.requestID)
        }
        guard request.isJSON else {
            return .problem(
                .unsupportedMediaType, code: "not_json", "Send the message as application/json.", requestID: context.requestID)
        }
        let inbound = Inbound(
            requestID: context.requestID, authorization: request.headers[values: .authorization],
            routing: RoutingHeaders(
                protocolVersion: request.headers[values: .protocolVersion], method: request.headers[values: .mcpMethod],
                name: request.headers[values: .mcpName], sessionID: request.headers[values: .sessionID]),
            address: context.client, body: try await request.wholeBody())
        return await respond(await forwarder.reply(to: inbound), accept, context)
    }

    private func respond(_ reply: Reply, _ accept: Accept, _ context: GatewayContext) async -> Response {
        var headers: HTTPFields = [.requestID: context.requestID.description]
        context.conduct.blame = reply.blame
        headers.tell(reply.budgets)
        switch reply.status {
        case .throttled(let throttle): headers.tell(throttle)
        case .blocked(let wait), .unavailable(let wait?): headers[.retryAfter] = String(wait.roundedUpSeconds)
        default: break
        }
        switch reply.body {
        case .none: return Response(status: reply.status.http, headers: headers)
        case .message(let message): return .json(message, status: reply.status.http, headers: headers)
        case .unauthenticated(let refusal):
            headers[.wwwAuthenticate] = Challenge(refusal, for: .mcp, at: origin()).description
            return .problem(refusal, requestID: context.requestID, headers: headers)
        case .stream(let stream):
            guard accept.takesEvents else {
                var last: JSONText?
                while let part = await stream.next() {
                    if case .message(let message) = part { last = message }
                }
                return .json(last ?? .null, status: .ok, headers: headers)
            }
            headers[.contentType] = "text/event-stream"
            headers[.cacheControl] = "no-cache, no-transform"
            headers[.accelBuffering] = "no"
            return Response(status: .ok, headers: headers, body: ResponseBody { try await Self.write(stream, to: &$0) })
        }
    }

    /// Writes messages as fast as the client reads them, and a comment when there is nothing to say for a while. A client
    /// that went away makes the write fail, which cancels the call.
    private static func write(_ stream: ReplyStream, to writer: inout any ResponseBodyWriter) async throws {
        do {
            while let part = await stream.next(orSilenceAfter: keepAliveInterval) {
                switch part {
                case .message(let message): try await writer.write(ByteBuffer(bytes: EventStream.event(message)))
                case .silence: try await writer.write(ByteBuffer(bytes: EventStream.keepAlive))
                }
            }
            try await writer.finish(nil)
        } catch {
            stream.abandon()
            throw error
        }
    }
}

extension ReplyStatus {
    package var code: Int { http.code }

    var http: HTTPResponse.Status {
        switch self {
        case .accepted: .accepted
        case .answered: .ok
        case .defectiveEnvelope: .badRequest
        case .unknownMethod, .unknownSession: .notFound
        case .unauthenticated: .unauthorized
        case .forbidden, .insufficientScope: .forbidden
        case .throttled: .tooManyRequests
        case .blocked: .forbidden
        case .unavailable: .serviceUnavailable
        }
    }
}

/// Which of the two answers to a POST a client takes. No header means both; so does `*/*`.
struct Accept {
    let takesJSON: Bool
    let takesEvents: Bool

    init(_ values: [String]) {
        let types = values.flatMap { $0.split(separator: ",") }.map { type in
            type.split(separator: ";").first.map { $0.trimmed.lowercased() } ?? ""
        }
        let takesAll = types.isEmpty || types.contains("*/*")
        takesJSON = takesAll || types.contains("application/json") || types.contains("application/*")
        takesEvents = takesAll || types.contains("text/event-stream") || types.contains("text/*")
    }
}

extension Request {
    var isJSON: Bool {
        let type = headers[.contentType]?.split(separator: ";").first.map { $0.trimmed.lowercased() }
        return type == "application/json"
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        guard let first = firstIndex(where: { $0 != " " }), let last = lastIndex(where: { $0 != " " }) else { return "" }
        return self[first...last]
    }
}
