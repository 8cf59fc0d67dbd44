import Gateway
package import MCP
import Synchronization
import Upstreams

/// A call's progress and answer as the caller reads them: JSON-RPC messages, the answer last.
package final class ReplyStream: Sendable {
    private let call: UpstreamCall
    private let closing: Forwarder.Closing
    /// Left with the stream's end.
    private let pass: CallGate.Pass
    private let running: RunningCalls
    private let first: Mutex<JSON?>
    private let isEnded = Mutex(false)

    /// - Parameter first: the progress that made it a stream.
    init(_ call: UpstreamCall, _ closing: Forwarder.Closing, _ pass: CallGate.Pass, _ running: RunningCalls, first: JSON) {
        self.call = call
        self.closing = closing
        self.pass = pass
        self.running = running
        self.first = Mutex(first)
    }

    package enum Part: Sendable {
        case message(JSONText)
        /// Nothing for as long as was to be waited.
        case silence
    }

    /// The next message; nil after the answer. The answer comes when its record is on disk.
    ///
    /// - Parameter wait: how long to wait before returning `silence`; nil waits for the next message.
    package func next(orSilenceAfter wait: Duration? = nil) async -> Part? {
        if isEnded.withLock({ $0 }) { return nil }
        let waiting = first.withLock { first in
            defer { first = nil }
            return first
        }
        if let waiting { return .message(progress(waiting)) }
        do {
            switch try await call.next(orSilenceAfter: wait) {
            case .progress(let params)?: return .message(progress(params))
            case .answer(let result)?: return await end { await closing.answer(result) }
            case .silence?, .log?, .question?: return .silence
            case nil: return nil
            }
        } catch {
            return await end { await closing.refuse(Forwarder.refusal(error, closing.decision.server)) }
        }
    }

    /// The caller went away: the call is cancelled and recorded as such.
    package func abandon() {
        let wasEnded = isEnded.withLock { ended in
            defer { ended = true }
            return ended
        }
        guard !wasEnded else { return }
        pass.leave()
        running.remove(call)
        call.abandon()
        closing.recordSoon(.answered, .cancelled, "client_gone")
    }

    /// Nobody ever read it: the connection was gone before the first byte.
    deinit { abandon() }

    private func end(_ reply: () async -> Reply) async -> Part? {
        isEnded.withLock { $0 = true }
        pass.leave()
        running.remove(call)
        guard case .message(let message) = await reply().body else { return nil }
        return .message(message)
    }

    private func progress(_ params: JSON) -> JSONText {
        let token = closing.decision.incoming?.progressToken
        return Message.notification(method: "notifications/progress", params: params.replacing([("progressToken", token)]))
    }
}
