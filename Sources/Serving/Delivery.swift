import Gateway
import HTTPTypes
import Hummingbird
import MCP
import NIOCore
package import Pacing
import Synchronization

/// The answers of all connections that wait for their readers. Who is let go loses the connection: of what they asked for the outcome is
/// on record, and a stream of a session can be come back for.
package final class Unread: Sendable {
    private struct State {
        var answers: UnreadAnswers
        var closings: [UnreadAnswers.Ticket: @Sendable () -> Void] = [:]
    }

    private let state: Mutex<State>

    package init(_ answers: UnreadAnswers = UnreadAnswers()) { state = Mutex(State(answers: answers)) }

    package var bytes: Int { state.withLock { $0.answers.bytes } }
    package var letGo: Int { state.withLock { $0.answers.letGo } }

    /// - Parameter close: called at most once, if it has to go for others.
    func begin(_ bytes: Int, of user: UserID?, close: @escaping @Sendable () -> Void) -> UnreadAnswers.Ticket {
        let (ticket, closings) = state.withLock { state in
            let (ticket, leaving) = state.answers.begin(bytes, of: user)
            state.closings[ticket] = close
            return (ticket, leaving.compactMap { state.closings.removeValue(forKey: $0) })
        }
        for close in closings { close() }
        return ticket
    }

    func took(_ bytes: Int, of ticket: UnreadAnswers.Ticket) { state.withLock { $0.answers.took(bytes, of: ticket) } }

    func end(_ ticket: UnreadAnswers.Ticket) {
        state.withLock { state in
            state.answers.end(ticket)
            state.closings[ticket] = nil
        }
    }
}

/// Hands answers to one reader. What is large goes in pieces, each when the reader took the one before, so that it lies here once and is
/// counted.
struct Delivery: Sendable {
    /// Up to here an answer goes at once.
    private static let mostAtOnce = 64 << 10
    /// Half of what a channel takes before it says that it is full.
    private static let piece = 32 << 10

    let unread: Unread
    let user: UserID?
    let channel: any Channel

    func response(_ message: JSONText, status: HTTPResponse.Status, headers: HTTPFields) -> Response {
        guard message.bytes.count > Self.mostAtOnce else { return .json(message, status: status, headers: headers) }
        var headers = headers
        headers[.contentType] = "application/json"
        let bytes = message.bytes
        let body = ResponseBody(contentLength: bytes.count) { writer in
            let pieces = stride(from: 0, to: bytes.count, by: Self.piece).lazy.map { bytes[$0..<min($0 + Self.piece, bytes.count)] }
            try await hand(pieces, of: bytes.count, to: &writer)
            try await writer.finish(nil)
        }
        return Response(status: status, headers: headers, body: body)
    }

    /// One event of a stream.
    func write(_ message: JSONText, id: String?, to writer: inout any ResponseBodyWriter) async throws {
        if message.bytes.count > Self.mostAtOnce {
            try await hand(EventStream.pieces(of: message, id: id, upTo: Self.piece), of: message.bytes.count, to: &writer)
        } else {
            try await writer.write(ByteBuffer(bytes: EventStream.event(message, id: id)))
        }
    }

    private func hand<Piece: Collection<UInt8>>(_ pieces: some Sequence<Piece>, of bytes: Int, to writer: inout any ResponseBodyWriter) async throws {
        let ticket = unread.begin(bytes, of: user) { [channel] in channel.close(promise: nil) }
        defer { unread.end(ticket) }
        for piece in pieces {
            try await writer.write(ByteBuffer(bytes: piece))
            // Only when the channel's loop has it is it known whether there is room for another.
            try await channel.eventLoop.submit {}.get()
            unread.took(piece.count, of: ticket)
        }
    }
}
