import Gateway
import HTTPTypes
import Hummingbird
import Identity
import MCP
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Answers what comes from blocked addresses on the event loop, before anything is set up for the request.
///
/// A request with a token we know passes. So do, at a slow pace, tokens nobody has seen yet; and requests behind one that
/// is not answered yet, whose order this door must not disturb: for both the listener's own checks follow.
final class AddressDoor: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let guardian: AddressGuard
    private let isFamiliar: @Sendable ([String]) -> Bool
    private let isPlausible: @Sendable ([String]) -> Bool
    /// Whether what arrives belongs to a request that was refused.
    private var isSkipping = false
    /// Requests let through whose responses are not written.
    private var outstanding = 0
    private var isUnflushed = false
    private var ready: Answer?

    private struct Answer {
        let seconds: Int64
        let head: HTTPResponse
        let body: ByteBuffer
    }

    /// - Parameters:
    ///   - isFamiliar: whether an `Authorization` header holds a token that was found good before.
    ///   - isPlausible: whether it may hold one of ours.
    init(_ guardian: AddressGuard, isFamiliar: @escaping @Sendable ([String]) -> Bool, isPlausible: @escaping @Sendable ([String]) -> Bool) {
        self.guardian = guardian
        self.isFamiliar = isFamiliar
        self.isPlausible = isPlausible
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            if let wait = refusal(of: head, context) { return refuse(wait, hasBody: head.method != .head, context) }
            outstanding += 1
        case .body: if isSkipping { return }
        case .end:
            if isSkipping {
                isSkipping = false
                return
            }
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if isUnflushed { context.flush() }
        isUnflushed = false
        context.fireChannelReadComplete()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { outstanding = max(0, outstanding - 1) }
        context.write(data, promise: promise)
    }

    /// Bytes that are no request never become one, so they are counted here.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is HTTPParserError, let origin = guardian.origin(peer: context.peer, [:]) { guardian.note(.address, from: origin) }
        context.fireErrorCaught(error)
    }

    private func refusal(of head: HTTPRequest, _ context: ChannelHandlerContext) -> Duration? {
        guard outstanding == 0, guardian.hasBlocks, let origin = guardian.origin(peer: context.peer, head.headerFields),
            let wait = guardian.blocked(origin)
        else { return nil }
        let authorization = head.headerFields[values: .authorization]
        if !authorization.isEmpty {
            if isFamiliar(authorization) {
                guardian.notePassage(from: origin)
                return nil
            }
            if isPlausible(authorization), guardian.mayTryToken(origin) { return nil }
        }
        guardian.noteRefusal(of: origin)
        return wait
    }

    private func refuse(_ wait: Duration, hasBody: Bool, _ context: ChannelHandlerContext) {
        isSkipping = true
        // Whoever asks and does not read would have the answers pile up here.
        guard context.channel.isWritable else { return context.close(promise: nil) }
        let answer = answer(wait.roundedUpSeconds)
        context.write(wrapOutboundOut(.head(answer.head)), promise: nil)
        if hasBody { context.write(wrapOutboundOut(.body(answer.body)), promise: nil) }
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
        isUnflushed = true
    }

    /// The same for a second: a flood is answered from what lies ready.
    private func answer(_ seconds: Int64) -> Answer {
        if let ready, ready.seconds == seconds { return ready }
        let body = ByteBuffer(bytes: Response.problemText(.blocked(retryAfter: .seconds(seconds)), requestID: nil).bytes)
        let headers: HTTPFields = [
            .contentType: "application/problem+json", .contentLength: String(body.readableBytes), .retryAfter: String(seconds),
            .cacheControl: "no-store",
        ]
        let made = Answer(seconds: seconds, head: HTTPResponse(status: .forbidden, headerFields: headers), body: body)
        ready = made
        return made
    }
}

extension ChannelHandlerContext {
    fileprivate var peer: IPAddress? { channel.remoteAddress?.ipAddress.flatMap { IPAddress($0) } }
}

/// Finds out whose request it is, turns away what comes from blocked addresses, and holds bad requests against whoever
/// made them.
struct AddressCheck: RouterMiddleware {
    typealias Context = GatewayContext

    let guardian: AddressGuard
    let authenticator: Authenticator
    let now: @Sendable () -> Moment

    /// Answers that tell of a bad request, where nobody found out yet whose it was.
    private static let violations: Set<Int> = [400, 404, 405, 406, 411, 413, 414, 415, 421, 429, 431]

    func handle(_ request: Request, context: GatewayContext, next: (Request, GatewayContext) async throws -> Response) async throws -> Response {
        var context = context
        let origin = guardian.origin(peer: context.peerAddress, request.headers)
        context.client = origin?.address
        let response = try await answer(request, context, origin, next)
        let blame = if let found = context.conduct.blame { found } else { await blame(of: request, response) }
        if blame != .nobody { guardian.note(blame, from: origin) }
        return response
    }

    private func answer(
        _ request: Request, _ context: GatewayContext, _ origin: AddressGuard.Origin?, _ next: (Request, GatewayContext) async throws -> Response
    ) async throws -> Response {
        guard let origin, let wait = guardian.blocked(origin) else { return try await next(request, context) }
        let authorization = request.headers[values: .authorization]
        guard await isGood(authorization, origin) else {
            guardian.noteRefusal(of: origin)
            context.conduct.blame = .nobody
            return .problem(.blocked(retryAfter: wait), requestID: context.requestID)
        }
        guardian.notePassage(from: origin)
        return try await next(request, context)
    }

    private func isGood(_ authorization: [String], _ origin: AddressGuard.Origin) async -> Bool {
        if authenticator.familiar(authorization, at: now().wall) != nil { return true }
        guard authenticator.isPlausible(authorization), guardian.mayTryToken(origin) else { return false }
        return await authenticator.holder(authorization, at: now().wall) != nil
    }

    private func blame(of request: Request, _ response: Response) async -> Blame {
        guard Self.violations.contains(response.status.code) else { return .nobody }
        return await authenticator.knownHolder(request.headers[values: .authorization], at: now().wall).map { .account($0.user) } ?? .address
    }
}
