import Forwarding
import NIOCore
import Synchronization

/// The requests under way on each connection, so that they hear of it when the client is gone: it may have nothing to be written to
/// it, and a connection that is only read from tells nobody else (F-33).
final class Departures: Sendable {
    private let underWay = Mutex<[ObjectIdentifier: [ObjectIdentifier: Departure]]>([:])

    /// - Returns: to be given to `remove` when the request is answered.
    func add(on channel: any Channel) -> Departure {
        let departure = Departure()
        underWay.withLock { $0[ObjectIdentifier(channel), default: [:]][ObjectIdentifier(departure)] = departure }
        // It may have gone before it was on the list.
        if !channel.isActive { gone(channel) }
        return departure
    }

    func remove(_ departure: Departure, on channel: any Channel) {
        underWay.withLock { underWay in
            let connection = ObjectIdentifier(channel)
            underWay[connection]?[ObjectIdentifier(departure)] = nil
            if underWay[connection]?.isEmpty ?? false { underWay[connection] = nil }
        }
    }

    fileprivate func gone(_ channel: any Channel) {
        let departures = underWay.withLock { $0.removeValue(forKey: ObjectIdentifier(channel)) }
        for departure in departures?.values ?? [:].values { departure.gone() }
    }

    var count: Int { underWay.withLock { $0.count } }
}

/// Watches one connection for what a client does besides sending requests: it goes away, or does not read what it asked for.
final class ClientWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// How long an answer may take for a client that says it will send nothing more: it may only have closed its half.
    private static let patienceWithHalfClosed = TimeAmount.milliseconds(500)
    /// Who takes less than `leastPace` bytes a second of what waits for them, this often looked at and for this many looks, is let go:
    /// after half a minute (F-35).
    private static let lookAtReaders = TimeAmount.seconds(10)
    private static let mostSlowLooks = 3
    private static let leastPace = 1024

    private let departures: Departures
    private var timer: Scheduled<Void>?

    init(_ departures: Departures) { self.departures = departures }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            let channel = context.channel
            context.eventLoop.scheduleTask(in: Self.patienceWithHalfClosed) { channel.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        if !context.channel.isWritable { watch(context.channel) }
        context.fireChannelWritabilityChanged()
    }

    private func watch(_ channel: any Channel, afterSlow slow: Int = 0) {
        let before = Self.waiting(channel)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        timer = channel.eventLoop.scheduleTask(in: Self.lookAtReaders) {
            let taken = before - Self.waiting(channel)
            let isSlow = Int64(taken) * 1_000_000_000 < Int64(Self.leastPace) * Self.lookAtReaders.nanoseconds
            bound.value.look(channel, isSlow ? slow + 1 : 0)
        }
    }

    private func look(_ channel: any Channel, _ slow: Int) {
        timer = nil
        if slow < Self.mostSlowLooks { watch(channel, afterSlow: slow) } else { channel.close(promise: nil) }
    }

    /// Bytes that the client has not taken.
    private static func waiting(_ channel: any Channel) -> Int {
        (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        departures.gone(context.channel)
        context.fireChannelInactive()
    }
}

/// Puts the watch where the bytes are, before whoever holds events back until an answer is written.
final class ClientWatchPlacement: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private let departures: Departures

    init(_ departures: Departures) { self.departures = departures }

    func handlerAdded(context: ChannelHandlerContext) {
        try? context.pipeline.syncOperations.addHandler(ClientWatch(departures), position: .first)
    }
}
