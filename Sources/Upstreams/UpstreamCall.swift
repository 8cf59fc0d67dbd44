package import MCP
import Synchronization

/// A tool call under way at a server: read it until its result.
package final class UpstreamCall: Sendable {
    package enum Event: Sendable {
        /// The parameters of a progress notification, under the gateway's own token.
        case progress(JSON)
        case log(JSON)
        case question(MessageID, ServerQuestion)
        case answer(Result<JSON, ProtocolError>)
        /// Nothing to tell for as long as was to be waited.
        case silence
    }

    private struct Sent {
        let exchange: Exchange
        let opened: Link.Opened
    }

    private let link: Link
    private let client: Implementation
    private let request: Outgoing
    private let sent = Mutex<Sent?>(nil)
    private let isServerTold = Atomic<Bool>(false)

    init(link: Link, client: Implementation, request: Outgoing) {
        self.link = link
        self.client = client
        self.request = request
    }

    func start() async throws {
        let opened = try await link.open()
        if Task.isCancelled { throw UpstreamFailure.unreachable("the caller went away before it was asked") }
        let exchange = opened.transport.exchange(patience: .call)
        // Two callers may use the same token; ours is the request's id, which nobody else has.
        let params = request.params(for: opened.revision, client: client, progressToken: .number(exchange.id))
        let body = Message.request(id: MessageID(exchange.id), method: request.method, params: params)
        sent.withLock { $0 = Sent(exchange: exchange, opened: opened) }
        try await opened.transport.send(
            Outbound(body: body, headers: opened.headers(method: request.method, name: request.name)), on: exchange, onSession: nil)
    }

    /// The next thing to tell the caller; nil after the answer. Cancelling the task cancels the call.
    ///
    /// - Parameter wait: how long to wait before returning `silence`; nil waits for as long as a call may take.
    /// - Throws: `UpstreamFailure`.
    package func next(orSilenceAfter wait: Duration? = nil) async throws -> Event? {
        var (mayReopen, mayRenew) = (true, true)
        while let current = sent.withLock({ $0 }) {
            do {
                guard let event = try await current.exchange.next(orSilenceAfter: wait) else { return nil }
                switch event {
                case .notification("notifications/progress", let params?) where isOwn(params, current): return .progress(params)
                case .notification: continue
                case .silence: return .silence
                case .request(let id, let method):
                    await withTaskCancellationHandler {
                        await current.opened.answer(id, method)
                    } onCancel: {
                        current.exchange.abandon(.abandoned)
                    }
                case .response(let result): return .answer(result)
                }
            } catch let failure as UpstreamFailure where failure.isLostSession && mayReopen && current.opened.session != nil {
                // The server refused because it no longer knows the session: it did not act, so the call may go again.
                mayReopen = false
                await link.reset(current.opened, keepingVerdict: true)
                try await start()
            } catch UpstreamFailure.turnedAway(let why) {
                try await link.turnedAway(why)
                guard mayRenew else { throw UpstreamFailure.turnedAway(why) }
                // It was turned away at the door, so the call may go again.
                mayRenew = false
                try await start()
            } catch UpstreamFailure.rejected(let status, let error) {
                // It may speak another era than it used to: asked anew with the next call (ERA-7).
                let isEnvelope = error.map { $0.code == -32600 || ModernRequest.isModernError($0) } ?? true
                if [400, 404, 405].contains(status) && isEnvelope { await link.reset(current.opened, keepingVerdict: false) }
                if let error { return .answer(.failure(error)) }
                throw UpstreamFailure.rejected(status: status, error: nil)
            } catch let failure as UpstreamFailure {
                switch failure {
                case .abandoned, .signedOut, .timedOut: tellServer(current)
                case .unreachable, .rejected, .turnedAway, .credential, .lost, .garbled: break
                }
                throw failure
            }
        }
        return nil
    }

    /// Whether progress was asked for and stands under the token that was given out.
    private func isOwn(_ progress: JSON, _ current: Sent) -> Bool {
        request.wantsProgress && progress["progressToken"]?.integer == current.exchange.id
    }

    /// Ends it: nobody waits for its answer any more, or nobody may have it.
    package func abandon(_ why: UpstreamFailure = .abandoned) {
        guard let current = sent.withLock({ $0 }), !current.exchange.isOver else { return }
        current.exchange.abandon(why)
        tellServer(current)
    }

    /// In the stateless era closing the stream says it all.
    private func tellServer(_ current: Sent) {
        guard current.opened.revision.era == .legacy, !isServerTold.exchange(true, ordering: .relaxed) else { return }
        current.opened.transport.tellCancelled(current.exchange, headers: current.opened.headers(method: "", name: nil))
    }
}
