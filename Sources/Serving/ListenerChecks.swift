import Gateway
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1

/// What is checked of every request before any of it is looked into: that its `Host` is ours and its `Origin`, if
/// it has one, is allowed (DNS rebinding, S-2). Browsers from allowed origins get their CORS headers here; public documents
/// are for pages of any origin.
struct ListenerChecks: RouterMiddleware {
    typealias Context = GatewayContext

    let origin: @Sendable () -> Origin
    /// Origins besides our own whose pages may call.
    let allowedOrigins: [String]

    private static let allowedHeaders =
        "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, Last-Event-ID, traceparent, tracestate"
    /// Asked by load balancers under any name; they say nothing that a page could not guess.
    private static let anyHost: Set<String> = ["/health", "/health/live", "/health/ready"]

    func handle(_ request: Request, context: GatewayContext, next: (Request, GatewayContext) async throws -> Response) async throws -> Response {
        let own = origin()
        // The first `Host` has become the authority; a second one, or an absolute target, could mean another.
        guard request.headers[.host] == nil, request.head.path?.hasPrefix("/") ?? false else {
            return .problem(
                .badRequest, code: "ambiguous_host", "Name the host once, in the Host header, and only a path in the request line.",
                requestID: context.requestID)
        }
        let host = request.head.authority ?? ""
        guard Self.anyHost.contains(request.uri.path) || own.isNamed(byHost: host) else {
            return .problem(
                .misdirectedRequest, code: "wrong_host",
                "This gateway is \(own), not “\(host.cut(64))”; MREG_PUBLIC_URL says under which name it is reached.",
                requestID: context.requestID)
        }
        if PublicDocument.isAt(request.uri.path), request.method == .get || request.method == .options {
            let response = request.method == .options ? PublicDocument.preflight() : try await next(request, context)
            return decorate(PublicDocument.open(response))
        }
        guard let page = request.headers[.origin] else { return decorate(try await next(request, context)) }
        guard own.spellings.contains(page) || allowedOrigins.contains(page) else {
            return .problem(
                .forbidden, code: "origin_not_allowed", "Pages of “\(page.cut(128))” may not call this gateway; MREG_ALLOWED_ORIGINS lists who may.",
                requestID: context.requestID)
        }
        var response: Response
        if request.method == .options {
            response = Response(status: .noContent)
            response.headers[.accessControlAllowMethods] = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
            response.headers[.accessControlAllowHeaders] = Self.allowedHeaders
            response.headers[.accessControlMaxAge] = "600"
        } else {
            response = try await next(request, context)
        }
        response.headers[.accessControlAllowOrigin] = page
        response.headers[.accessControlExposeHeaders] =
            "WWW-Authenticate, Mcp-Session-Id, Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id"
        response.headers[.vary] = "Origin"
        return decorate(response)
    }

    private func decorate(_ response: Response) -> Response {
        var response = response
        response.headers[.xContentTypeOptions] = "nosniff"
        if response.headers[.cacheControl] == nil { response.headers[.cacheControl] = "no-store" }
        return response
    }
}

/// Turns what nobody caught into an answer that gives nothing away, and unknown paths into a problem of our own form.
struct LastResort: RouterMiddleware {
    typealias Context = GatewayContext

    let logger: Logger
    /// Paces callers without a valid token who ask for what there is not.
    var pace: @Sendable (Request, GatewayContext) async throws -> Void = { _, _ in }

    func handle(_ request: Request, context: GatewayContext, next: (Request, GatewayContext) async throws -> Response) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPError {
            do { try await pace(request, context) } catch let refusal as Refusal {
                context.conduct.blame = .address
                return .problem(refusal, requestID: context.requestID)
            }
            let sentence =
                switch error.status {
                case .notFound: "There is nothing at \(request.uri.path.cut(128))."
                case .contentTooLarge: "The body is larger than \(BodyLimit.bytes >> 20) MiB."
                default: error.body ?? error.status.reasonPhrase
                }
            return .problem(error.status, code: error.status.problemCode, sentence, requestID: context.requestID)
        } catch let error as HTTPParserError {
            // Hummingbird answers these with 400 and closes.
            throw error
        } catch let error as CancellationError {
            throw error
        } catch {
            logger.error("a request failed", metadata: ["request.id": "\(context.requestID)", "error": "\(error)"])
            return .problem(
                .internalServerError, code: "internal", "Something broke here; the log knows it under this request_id.", requestID: context.requestID)
        }
    }
}

/// How large a body may be.
enum BodyLimit {
    static let bytes = 4 << 20
}

extension HTTPResponse.Status {
    fileprivate var problemCode: String {
        switch self {
        case .notFound: "not_found"
        case .contentTooLarge: "too_large"
        case .methodNotAllowed: "method_not_allowed"
        default: "http_\(code)"
        }
    }
}

extension Request {
    /// The whole body.
    ///
    /// - Throws: `HTTPError` 413 beyond the limit.
    func wholeBody() async throws -> [UInt8] {
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > BodyLimit.bytes { throw HTTPError(.contentTooLarge) }
        var request = self
        do {
            let buffer = try await request.collectBody(upTo: BodyLimit.bytes)
            return Array(buffer.readableBytesView)
        } catch is NIOTooManyBytesError {
            throw HTTPError(.contentTooLarge)
        }
    }
}
