import Gateway
import HTTPTypes
import Hummingbird
import MCP
import NIOCore
import NIOHTTPTypes
import Synchronization

/// The connections there are, up to a bound. When one more comes, those go that have asked nothing for longest; only where everybody is
/// being answered is the newcomer turned away. So nobody is kept out by connections that do nothing (F-37).
final class Crowd: Sendable {
    /// One connection's.
    final class Seat: Sendable {
        fileprivate let close: @Sendable () -> Void
        /// In nanoseconds of the loops' clock; 0 while it is being asked something or answered.
        fileprivate let idleSince: Atomic<UInt64>

        init(idleSince: UInt64, close: @escaping @Sendable () -> Void) {
            self.close = close
            self.idleSince = Atomic(idleSince)
        }

        func becameBusy() { idleSince.store(0, ordering: .relaxed) }
        func becameIdle(at now: UInt64) { idleSince.store(max(now, 1), ordering: .relaxed) }
    }

    enum Entrance { case admitted, turnedAway, full }

    private struct State {
        var seats: [ObjectIdentifier: Seat] = [:]
        var turnedAway: Set<ObjectIdentifier> = []
    }

    private let most: Int
    private let state = Mutex(State())

    init(most: Int) { self.most = most }

    var count: Int { state.withLock { $0.seats.count } }

    /// Of those who have to go, several go at once: looking for them takes a look at everybody. Who is turned away is told so if there are
    /// few such, and closed if there are many.
    func enter(_ seat: Seat) -> Entrance {
        let (entrance, leaving) = state.withLock { state -> (Entrance, [Seat]) in
            guard state.seats.count >= most else {
                state.seats[ObjectIdentifier(seat)] = seat
                return (.admitted, [])
            }
            let idle = state.seats.values.map { ($0, $0.idleSince.load(ordering: .relaxed)) }.filter { $0.1 > 0 }
            let leaving = idle.sorted { $0.1 < $1.1 }.prefix(max(1, most / 64)).map(\.0)
            guard !leaving.isEmpty else {
                guard state.turnedAway.count < max(1, most / 8) else { return (.full, []) }
                state.turnedAway.insert(ObjectIdentifier(seat))
                return (.turnedAway, [])
            }
            for seat in leaving { state.seats[ObjectIdentifier(seat)] = nil }
            state.seats[ObjectIdentifier(seat)] = seat
            return (.admitted, leaving)
        }
        for seat in leaving { seat.close() }
        return entrance
    }

    func leave(_ seat: Seat) {
        state.withLock { state in
            state.seats[ObjectIdentifier(seat)] = nil
            state.turnedAway.remove(ObjectIdentifier(seat))
        }
    }
}

/// Takes a connection's seat in the crowd, and tells a newcomer for whom there is none.
final class Seating: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let crowd: Crowd
    private var seat: Crowd.Seat?
    private var isTurnedAway = false
    private var outstanding = 0

    init(_ crowd: Crowd) { self.crowd = crowd }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        let seat = Crowd.Seat(idleSince: NIODeadline.now().uptimeNanoseconds) { channel.close(promise: nil) }
        self.seat = seat
        switch crowd.enter(seat) {
        case .admitted: break
        case .turnedAway: isTurnedAway = true
        case .full: context.close(promise: nil)
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let seat { crowd.leave(seat) }
        seat = nil
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isTurnedAway {
            if case .end = unwrapInboundIn(data) { turnAway(context) }
            return
        }
        if case .head = unwrapInboundIn(data) {
            outstanding += 1
            seat?.becameBusy()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) {
            outstanding = max(0, outstanding - 1)
            if outstanding == 0 { seat?.becameIdle(at: NIODeadline.now().uptimeNanoseconds) }
        }
        context.write(data, promise: promise)
    }

    private func turnAway(_ context: ChannelHandlerContext) {
        let refusal = Refusal.overloaded("The gateway has as many connections as it can serve; try again in a moment.")
        let body = ByteBuffer(bytes: Response.problemText(refusal, requestID: nil).bytes)
        let headers: HTTPFields = [
            .contentType: "application/problem+json", .contentLength: String(body.readableBytes), .retryAfter: "1", .connection: "close",
            .cacheControl: "no-store",
        ]
        context.write(wrapOutboundOut(.head(HTTPResponse(status: .serviceUnavailable, headerFields: headers))), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
}
