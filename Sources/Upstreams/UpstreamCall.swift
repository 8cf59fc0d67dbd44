package import MCP
import Synchronization

/// A request under way at a server: read it until its answer.
package final class UpstreamCall: Sendable {
    package enum Event: Sendable {
        /// The parameters of a progress notification, under the gateway's own token; its value grows from one to the next.
        case progress(JSON)
        /// The parameters of a log message, as grave as the request wanted or graver.
        case log(JSON)
        /// Something the server wants to know before it goes on, and the caller can be asked. To be answered under its id.
        case question(MessageID, ServerQuestion)
        /// An elicitation by URL that was put to the caller was dealt with; the server's name of it.
        case elicitationComplete(String)
        case answer(Result<JSON, ProtocolError>)
        /// The last: a stateless server found the headers at odds with the body (-32020), and did not take the request up.
        case mismatch(ProtocolError)
        /// Nothing to tell for as long as was to be waited.
        case silence
    }

    private struct Sent {
        let exchange: Exchange
        let link: Link
        let opened: Link.Opened
    }

    private let client: Implementation
    private let request: Outgoing
    private let repetition: Repetition
    private let replicas: Replicas
    /// Where it goes if it may be asked, by number: the state that the request carries was made there.
    private let preferred: Int?
    private let open: @Sendable (_ avoiding: Set<Int>) async throws -> (link: Link, opened: Link.Opened)
    private let sent = Mutex<Sent?>(nil)
    private let isServerTold = Atomic<Bool>(false)
    private let abandoned = Mutex<UpstreamFailure?>(nil)
    private let hasSpoken = Atomic<Bool>(false)
    /// Replicas that were tried in vain.
    private let tried = Mutex<Set<Int>>([])

    init(
        client: Implementation, request: Outgoing, repetition: Repetition, replicas: Replicas, preferring preferred: Int?,
        open: @escaping @Sendable (_ avoiding: Set<Int>) async throws -> (link: Link, opened: Link.Opened)
    ) {
        self.client = client
        self.request = request
        self.repetition = repetition
        self.replicas = replicas
        self.preferred = preferred
        self.open = open
    }

    /// What it was sent in.
    package var revision: Revision { sent.withLock { $0?.opened.revision } ?? ModernRequest.revision }

    /// The replica it was sent to last, by number; nil if the server is no URL.
    package var replica: Int? { sent.withLock { $0?.exchange.replica } }

    func begin() async throws {
        do { try await start() } catch let failure as UpstreamFailure where goesElsewhere(after: failure) { try await start() }
    }

    /// Whether it is made once more, at another replica than the one it was just sent to.
    private func goesElsewhere(after failure: UpstreamFailure) -> Bool {
        guard let replica else { return false }
        return tried.withLock { tried in
            let isAllowed = repetition.isAllowed(
                after: failure, times: tried.count, hasSpoken: hasSpoken.load(ordering: .relaxed),
                hasOther: replicas.hasOther(than: tried.union([replica])))
            if isAllowed { tried.insert(replica) }
            return isAllowed
        }
    }

    private func start() async throws {
        let avoided = tried.withLock { $0 }
        let (link, opened) = try await open(avoided)
        await raiseLevel(opened)
        // Some servers ask on the stream beside those of requests, even for the sake of one. Where nobody can be asked, they are told
        // so; unheard they would wait.
        if opened.session != nil { await opened.ear.open() }
        if Task.isCancelled { throw UpstreamFailure.unreachable("the caller went away before it was asked") }
        let audience = Audience(capabilities: request.capabilities, logLevel: request.logLevel, wantsProgress: request.wantsProgress)
        let exchange = opened.transport.exchange(patience: .call, for: .call(audience))
        // Two callers may use the same token; ours is the request's id, which nobody else has.
        let params = request.params(for: opened.revision, client: client, progressToken: .number(exchange.id))
        let body = Message.request(id: MessageID(exchange.id), method: request.method, params: params)
        sent.withLock { $0 = Sent(exchange: exchange, link: link, opened: opened) }
        // Who gave it up meanwhile found only the one before.
        if let why = abandoned.withLock({ $0 }) {
            exchange.abandon(why)
            throw why
        }
        let headers = opened.headers(method: request.method, name: request.name) + request.headers
        try await opened.transport.send(
            Outbound(body: body, headers: headers, isResumable: opened.revision.era == .legacy, avoiding: avoided, preferred: preferred),
            on: exchange, onSession: nil)
    }

    /// A server with a handshake logs at one level for the whole conversation: the most verbose that anybody in it wants. Whether it
    /// does is no reason not to call.
    private func raiseLevel(_ opened: Link.Opened) async {
        guard let level = request.logLevel, opened.revision.era == .legacy, opened.offer?.logs ?? false, opened.board.mustRaise(to: level) else {
            return
        }
        let (method, params) = LegacyRequest.setLevel(level)
        _ = try? await opened.ask(method, params, as: client, patience: .farewell)
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
                case .progress, .log, .question, .elicitationComplete: hasSpoken.store(true, ordering: .relaxed)
                default: break
                }
                switch event {
                case .progress(let params): return .progress(params)
                case .log(let params): return .log(params)
                case .question(let id, let question): return .question(id, question)
                case .elicitationComplete(let id): return .elicitationComplete(id)
                case .notification: continue
                case .silence: return .silence
                case .response(let result): return .answer(result)
                }
            } catch let failure as UpstreamFailure where failure.isLostSession && mayReopen && current.opened.session != nil {
                // The server refused because it no longer knows the session: it did not act, so the call may go again.
                mayReopen = false
                await current.link.reset(current.opened, keepingVerdict: true)
                try await start()
            } catch let failure as UpstreamFailure where goesElsewhere(after: failure) {
                try await start()
            } catch UpstreamFailure.turnedAway(let why) {
                try await current.link.turnedAway(why)
                guard mayRenew else { throw UpstreamFailure.turnedAway(why) }
                // It was turned away at the door, so the call may go again.
                mayRenew = false
                try await start()
            } catch UpstreamFailure.rejected(let status, let error) {
                // It may speak another era than it used to: asked anew with the next call (ERA-7). That it found the headers wanting
                // (-32020) says that it speaks the modern one.
                let isTheirs = current.opened.revision.era == .modern && error?.code == -32020
                let isEnvelope = error.map { $0.code == -32600 || (ModernRequest.isModernError($0) && !isTheirs) } ?? true
                if [400, 404, 405].contains(status) && isEnvelope { await current.link.reset(current.opened, keepingVerdict: false) }
                if status == 400, isTheirs, let error { return .mismatch(error) }
                if let error { return .answer(.failure(error)) }
                throw UpstreamFailure.rejected(status: status, error: nil)
            } catch let failure as UpstreamFailure {
                switch failure {
                case .abandoned, .signedOut, .timedOut: tellServer(current)
                case .unreachable, .resting, .rejected, .turnedAway, .credential, .lost, .garbled: break
                }
                throw failure
            }
        }
        return nil
    }

    /// Answers a question of the server's. Once for each; an id of none that is open is ignored, and so is an answer after the end.
    package func answer(_ id: MessageID, _ result: Result<JSONText, ProtocolError>) async {
        guard let current = sent.withLock({ $0 }), current.exchange.take(id) else { return }
        let answer =
            switch result {
            case .success(let result): Message.result(result, to: id)
            case .failure(let error): error.response(to: id)
            }
        // Whether it arrives is the server's affair, not the call's.
        try? await current.opened.transport.notify(Outbound(body: answer, headers: current.opened.headers))
    }

    /// Ends it: nobody waits for its answer any more, or nobody may have it.
    package func abandon(_ why: UpstreamFailure = .abandoned) {
        abandoned.withLock { $0 = $0 ?? why }
        guard let current = sent.withLock({ $0 }), !current.exchange.isOver else { return }
        current.exchange.abandon(why)
        tellServer(current)
    }

    /// In the stateless era closing the stream says it all.
    private func tellServer(_ current: Sent) {
        guard current.opened.revision.era == .legacy, !isServerTold.exchange(true, ordering: .relaxed) else { return }
        current.opened.transport.tellCancelled(current.exchange, headers: current.opened.headers)
    }
}
