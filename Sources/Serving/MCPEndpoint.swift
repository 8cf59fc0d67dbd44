package import Forwarding
import Gateway
import HTTPTypes
import Hummingbird
import Identity
import MCP
import NIOCore

/// The MCP endpoints: `/mcp` for all servers, `/servers/{alias}/mcp` for each. They hand requests to the corridor, and its
/// replies to the wire.
struct MCPEndpoint: Sendable {
    let forwarder: Forwarder
    let unread: Unread
    let origin: @Sendable () -> Origin

    /// A stream that says nothing for this long says so, or something between here and the client closes it.
    private static let keepAliveInterval = Duration.seconds(15)

    func addRoutes(to router: Router<GatewayContext>) {
        for path in [RouterPath("/mcp"), "/servers/:alias/mcp"] {
            router.post(path) { request, context in try await at(context) { try await post(request, context, to: $0) } }
            router.get(path) { request, context in try await at(context) { await stream(request, context, of: $0) } }
            router.delete(path) { request, context in try await at(context) { await end(request, context, of: $0) } }
            for method in [HTTPRequest.Method.put, .patch, .head] {
                router.on(path, method: method) { _, context in
                    Response.problem(
                        .methodNotAllowed, code: "method_not_allowed",
                        "POST a message; GET reads, and DELETE ends, the session that Mcp-Session-Id names.", requestID: context.requestID,
                        headers: [.allow: "POST, GET, DELETE"])
                }
            }
        }
    }

    /// Which endpoint it came to. An alias that no server can have is nowhere; one that none has is found out after the token.
    private func at(_ context: GatewayContext, _ body: (Resource) async throws -> Response) async throws -> Response {
        guard let alias = context.parameters.get("alias") else { return try await body(.mcp) }
        guard let alias = ServerAlias(alias) else {
            return .problem(.notFound, code: "not_found", "That is no server's alias.", requestID: context.requestID)
        }
        return try await body(.server(alias))
    }

    private func post(_ request: Request, _ context: GatewayContext, to resource: Resource) async throws -> Response {
        let accept = Accept(request.headers[values: .accept])
        guard accept.takesJSON || accept.takesEvents else {
            return .problem(
                .notAcceptable, code: "not_acceptable", "Accept application/json and text/event-stream.", requestID: context.requestID)
        }
        guard request.isJSON else {
            return .problem(
                .unsupportedMediaType, code: "not_json", "Send the message as application/json.", requestID: context.requestID)
        }
        let inbound = inbound(request, context, to: resource, body: try await request.wholeBody())
        return await respond(await forwarder.reply(to: inbound), accept, resource, context)
    }

    /// A session's stream. Who names no session is told what this endpoint takes: clients of either era ask, and take that for a no.
    private func stream(_ request: Request, _ context: GatewayContext, of resource: Resource) async -> Response {
        let accept = Accept(request.headers[values: .accept])
        guard !request.headers[values: .sessionID].isEmpty else { return Self.onlyWithSession(context) }
        guard accept.takesEvents else {
            return .problem(.notAcceptable, code: "not_acceptable", "Accept text/event-stream.", requestID: context.requestID)
        }
        let lastEvent = request.headers[values: .lastEventID].first.flatMap { $0.isEmpty ? nil : $0 }
        return await respond(await forwarder.stream(to: inbound(request, context, to: resource), after: lastEvent), accept, resource, context)
    }

    private func end(_ request: Request, _ context: GatewayContext, of resource: Resource) async -> Response {
        guard !request.headers[values: .sessionID].isEmpty else { return Self.onlyWithSession(context) }
        return await respond(await forwarder.endSession(inbound(request, context, to: resource)), Accept([]), resource, context)
    }

    private static func onlyWithSession(_ context: GatewayContext) -> Response {
        .problem(
            .methodNotAllowed, code: "method_not_allowed", "Without a session there is only POST; name one in Mcp-Session-Id.",
            requestID: context.requestID, headers: [.allow: "POST"])
    }

    private func inbound(_ request: Request, _ context: GatewayContext, to resource: Resource, body: [UInt8] = []) -> Inbound {
        Inbound(
            requestID: context.requestID, resource: resource, authorization: request.headers[values: .authorization],
            routing: RoutingHeaders(
                protocolVersion: request.headers[values: .protocolVersion], method: request.headers[values: .mcpMethod],
                name: request.headers[values: .mcpName], sessionID: request.headers[values: .sessionID],
                travelling: request.headers.filter { Self.travels($0.name) }.map { ($0.name.rawName, $0.value) }),
            address: context.client, body: body, takesEvents: Accept(request.headers[values: .accept]).takesEvents,
            caller: Departure.caller(at: context.channel))
    }

    /// What of a request's headers is for the server: what repeats its arguments (S-7), and the trace.
    private static func travels(_ name: HTTPField.Name) -> Bool {
        name == .traceparent || name == .tracestate || name.canonicalName.hasPrefix("mcp-param-")
    }

    private func respond(_ reply: Reply, _ accept: Accept, _ resource: Resource, _ context: GatewayContext) async -> Response {
        var headers: HTTPFields = [.requestID: context.requestID.description]
        context.conduct.blame = reply.blame
        headers.tell(reply.budgets)
        if let session = reply.session { headers[.sessionID] = session }
        switch reply.status {
        case .throttled(let throttle): headers.tell(throttle)
        case .blocked(let wait), .unavailable(let wait?): headers[.retryAfter] = String(wait.roundedUpSeconds)
        default: break
        }
        let delivery = Delivery(unread: unread, user: reply.user, channel: context.channel)
        switch reply.body {
        case .none: return Response(status: reply.status.http, headers: headers)
        case .message(let message): return delivery.response(message, status: reply.status.http, headers: headers)
        case .unauthenticated(let refusal):
            headers[.wwwAuthenticate] = Challenge(refusal, for: resource, at: origin()).description
            return .problem(refusal, requestID: context.requestID, headers: headers)
        case .stream(let stream):
            let caller = Departure.caller(at: context.channel)
            guard accept.takesEvents else {
                let stopWatching = caller.whenGone { stream.abandon() }
                defer { stopWatching() }
                var last: JSONText?
                while let part = await stream.next() {
                    if case .message(let message, _) = part { last = message }
                }
                return delivery.response(last ?? .null, status: .ok, headers: headers)
            }
            headers[.contentType] = "text/event-stream"
            headers[.cacheControl] = "no-cache, no-transform"
            headers[.accelBuffering] = "no"
            return Response(status: .ok, headers: headers, body: ResponseBody { try await Self.write(stream, by: delivery, for: caller, to: &$0) })
        }
    }

    /// Writes messages as fast as the client reads them, and a comment when there is nothing to say for a while. A client
    /// that went away ends what has no other reader.
    private static func write(
        _ stream: ReplyStream, by delivery: Delivery, for caller: Caller, to writer: inout any ResponseBodyWriter
    ) async throws {
        let stopWatching = caller.whenGone { stream.abandon() }
        defer { stopWatching() }
        do {
            while let part = await stream.next(orSilenceAfter: keepAliveInterval) {
                switch part {
                case .message(let message, let id):
                    try await delivery.write(message, id: id, to: &writer)
                    // As long as there is more to say and somebody to take it nothing above waits, and others would.
                    await Task.yield()
                case .priming(let id): try await writer.write(ByteBuffer(bytes: EventStream.priming(id: id)))
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
        case .ended: .noContent
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
