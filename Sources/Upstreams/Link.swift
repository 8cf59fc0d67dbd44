import Gateway
import MCP
import NIOCore
import Synchronization

/// A conversation with one server on behalf of one owner: which revision it speaks, its session or its process.
///
/// Opened when first needed; one opening runs at a time and everybody waits for that one. Lost sessions and ended
/// processes are opened anew, the latter with a growing pause.
actor Link {
    /// A handshake under way; what comes of it is set before its question is answered. Touched by the link alone.
    private final class Opening {
        let question = Question()
        var task: Task<Void, Never>?
        var outcome: Result<Opened, any Error>?
    }

    /// What a handshake, or the finding that none is needed, led to.
    struct Opened: Sendable {
        let revision: Revision
        let session: String?
        let transport: any MessageTransport
        let board: Switchboard
        /// What the server offered in it; nil if it was not asked.
        let offer: ServerOffer?
        /// What hears it outside of requests, in the handshake era.
        let ear: Ear
    }

    /// What a conversation is made of.
    struct Parts: Sendable {
        let client: Implementation
        let verdict: EraVerdict
        var credential: OwnCredential?
        let errands: Errands
        let board: @Sendable () -> Switchboard
        /// The way to the server that is tried first; nothing is sent yet.
        /// Not to the replicas it is given, if there is another.
        let transport: @Sendable (Switchboard, Set<Int>) throws(UpstreamFailure) -> any MessageTransport
        /// The way servers of the first revision know, for those that can be reached by it; to the replica of the other transport.
        var sse: (@Sendable (Switchboard, any MessageTransport) throws(UpstreamFailure) -> HTTPWithSSE)?
        /// Whether there is a replica beside those.
        var hasOther: @Sendable (Set<Int>) -> Bool = { _ in false }
        let ears: Ear.Places
        var onOpen: @Sendable (Opened) -> Void = { _ in }
        var onGap: @Sendable () -> Void = {}
    }

    /// What the server is told its caller can be asked, if it wants a handshake.
    nonisolated let capabilities: ClientCapabilities
    private let parts: Parts
    private nonisolated let state = Mutex<Opened?>(nil)
    private var opening: Opening?
    private var isClosed = false

    init(declaring capabilities: ClientCapabilities, _ parts: Parts) {
        self.capabilities = capabilities
        self.parts = parts
    }

    private var verdict: EraVerdict { parts.verdict }
    private var client: Implementation { parts.client }

    /// What it is now, if it is open. Changed by the link alone.
    private(set) nonisolated var opened: Opened? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }

    /// Whether a request is under way in it.
    nonisolated var isBusy: Bool { opened?.board.isBusy ?? false }

    /// Returns if it is worth trying once more, with another credential.
    nonisolated func turnedAway(_ why: TurnedAway) async throws(UpstreamFailure) {
        guard let credential = parts.credential else { throw .rejected(status: 401, error: nil) }
        try await credential.turnedAway(why)
    }

    /// - Parameter avoided: replicas it is not to be held with, if there is another.
    func open(avoiding avoided: Set<Int> = []) async throws -> Opened {
        if isClosed { throw UpstreamFailure.unreachable("the conversation was closed") }
        if let opened, !opened.transport.isClosed, !(opened.transport.replica.map(avoided.contains) ?? false) { return opened }
        let opening = self.opening ?? begin(avoiding: avoided)
        await opening.question.wait()
        guard let outcome = opening.outcome else { throw UpstreamFailure.unreachable("the caller went away before it was asked") }
        return try outcome.get()
    }

    private func begin(avoiding avoided: Set<Int>) -> Opening {
        let opening = Opening()
        self.opening = opening
        // Unstructured on purpose: the handshake belongs to every waiter and must outlive the one that asked first.
        opening.task = Task {
            let outcome: Result<Opened, any Error>
            do { outcome = .success(try await self.handshake(avoiding: avoided)) } catch { outcome = .failure(error) }
            self.end(opening, outcome)
        }
        return opening
    }

    private func end(_ opening: Opening, _ outcome: Result<Opened, any Error>) {
        self.opening = nil
        if case .success(let fresh) = outcome {
            if isClosed {
                fresh.close()
            } else {
                opened?.close()
                opened = fresh
                parts.onOpen(fresh)
            }
        }
        opening.outcome = outcome
        opening.question.answered()
    }

    /// Forgets a session that the server no longer knows, or a verdict that turned out wrong; the next use opens anew.
    func reset(_ stale: Opened, keepingVerdict: Bool) {
        if !keepingVerdict { verdict.forget() }
        guard let opened, opened.transport === stale.transport, opened.session == stale.session else { return }
        opened.ear.close()
        if !keepingVerdict { opened.transport.close() }
        self.opened = nil
    }

    func close() async {
        isClosed = true
        opening?.task?.cancel()
        guard let opened else { return }
        self.opened = nil
        opened.ear.close()
        if opened.session != nil { await opened.transport.endSession(headers: opened.headers) }
        opened.transport.close()
    }

    // MARK: Finding out what the server speaks (ERA-4, ERA-5)

    private func handshake(avoiding avoided: Set<Int>) async throws -> Opened {
        var (mayRenew, repetitions, tried) = (true, 0, avoided)
        while true {
            do { return try await introduce(&tried) } catch let failure as UpstreamFailure
                where Repetition.reading.isAllowed(after: failure, times: repetitions, hasSpoken: false, hasOther: parts.hasOther(tried))
            {
                // Of the call nothing was sent yet.
                repetitions += 1
            } catch UpstreamFailure.turnedAway(let why) {
                try await turnedAway(why)
                guard mayRenew else { throw UpstreamFailure.turnedAway(why) }
                mayRenew = false
            }
        }
    }

    /// - Parameter tried: the replica that is tried is added.
    private func introduce(_ tried: inout Set<Int>) async throws -> Opened {
        let board = parts.board()
        let transport = try parts.transport(board, tried)
        if let replica = transport.replica { tried.insert(replica) }
        listen(transport, board, headers: [])
        do {
            switch verdict.dialect {
            case .modern:
                // A program shows first that it runs, so that nothing of a call is sent to one that does not.
                return modern(transport, board, transport is StdioProcess ? try await probe(transport).1 : nil)
            case .legacy: return try await initialize(transport, board)
            case .sse: return try await introduceBySSE(beside: transport)
            case nil:
                let opened = try await find(transport, board)
                verdict.settle(opened.revision, isSSE: opened.transport is HTTPWithSSE)
                return opened
            }
        } catch let failure as UpstreamFailure where failure.mayHaveActed {
            // Whatever went wrong in the introduction, of the call itself nothing was sent.
            transport.close()
            throw UpstreamFailure.unreachable(failure == .abandoned ? "the conversation was closed" : failure.reason)
        } catch let failure as UpstreamFailure {
            transport.close()
            // It may speak otherwise than it used to (ERA-7).
            if failure.isWrongTransport { verdict.forget() }
            throw failure
        } catch {
            transport.close()
            throw error
        }
    }

    private func find(_ transport: any MessageTransport, _ board: Switchboard) async throws -> Opened {
        let (era, offer) = try await probe(transport)
        if era == .modern { return modern(transport, board, offer) }
        do { return try await initialize(transport, board) } catch let failure as UpstreamFailure where failure.isWrongTransport {
            guard parts.sse != nil else { throw failure }
            do { return try await introduceBySSE(beside: transport) } catch let other as UpstreamFailure {
                switch other {
                case .turnedAway, .credential: throw other
                default: throw failure
                }
            }
        }
    }

    private func introduceBySSE(beside other: any MessageTransport) async throws -> Opened {
        guard let make = parts.sse else { throw UpstreamFailure.unreachable("HTTP+SSE is a way to reach a URL, and it has none") }
        let board = parts.board()
        let transport = try make(board, other)
        listen(transport, board, headers: [])
        do {
            try await transport.connect()
            return try await initialize(transport, board)
        } catch {
            transport.close()
            throw error
        }
    }

    /// Says how answers to what the server asks of its own accord get to it.
    private func listen(_ transport: any MessageTransport, _ board: Switchboard, headers: [(String, String)]) {
        board.answers { [weak transport, errands = parts.errands] answer in
            guard let transport else { return false }
            return errands.run { try? await transport.notify(Outbound(body: answer, headers: headers)) }
        }
    }

    private func opened(
        _ revision: Revision, session: String? = nil, _ transport: any MessageTransport, _ board: Switchboard, _ offer: ServerOffer?
    ) -> Opened {
        let headers = Opened.headers(revision, session)
        let ear = Ear(places: transport is StreamableHTTP ? parts.ears : nil) { [weak transport] onOpen throws(UpstreamFailure) in
            guard let transport else { throw .abandoned }
            try await transport.hear(headers: headers, onOpen: onOpen)
        } isOver: { [weak transport] in
            transport?.isClosed ?? true
        } onGap: { [onGap = parts.onGap] in
            onGap()
        }
        board.agree(on: revision.era)
        listen(transport, board, headers: headers)
        if let offer { verdict.note(offer) }
        return Opened(revision: revision, session: session, transport: transport, board: board, offer: offer, ear: ear)
    }

    private func modern(_ transport: any MessageTransport, _ board: Switchboard, _ offer: ServerOffer?) -> Opened {
        opened(ModernRequest.revision, transport, board, offer)
    }

    /// Asks in the modern way. Every way of not understanding means legacy; not being reachable, or being turned away
    /// for want of credentials, means nothing either way.
    private func probe(_ transport: any MessageTransport) async throws -> (Revision.Era, ServerOffer?) {
        let exchange = transport.exchange(patience: .probe)
        let question = ModernRequest.discover(id: MessageID(exchange.id), client: client)
        do {
            try await transport.send(
                Outbound(body: question, headers: ModernRequest.headers(method: "server/discover", name: nil)), on: exchange, onSession: nil)
            switch try await exchange.response() {
            case .success(let result): return ModernRequest.isServed(result) ? (.modern, ServerOffer(result)) : (.legacy, nil)
            case .failure(let error): return (Self.era(of: error), nil)
            }
        } catch UpstreamFailure.rejected(let status, let error) where status != 401 && status != 403 {
            return (error.map(Self.era) ?? .legacy, nil)
        } catch UpstreamFailure.timedOut {
            return (.legacy, nil)
        }
    }

    private static func era(of error: ProtocolError) -> Revision.Era {
        guard ModernRequest.isModernError(error) else { return .legacy }
        return ModernRequest.servesOnlyLegacy(error) ? .legacy : .modern
    }

    private func initialize(_ transport: any MessageTransport, _ board: Switchboard) async throws -> Opened {
        let session = Mutex<String?>(nil)
        let exchange = transport.exchange(patience: .handshake)
        let request = LegacyRequest.initialize(id: MessageID(exchange.id), client: client, capabilities: capabilities)
        try await transport.send(Outbound(body: request, headers: []), on: exchange) { id in session.withLock { $0 = id } }
        let result: JSON
        switch try await exchange.response() {
        case .success(let answer): result = answer
        // A slow start can make a server miss the probe and then refuse the handshake of the era before (P-5).
        case .failure(let error) where ModernRequest.isModernError(error):
            verdict.settle(ModernRequest.revision)
            return modern(transport, board, nil)
        case .failure(let error): throw UpstreamFailure.garbled("it refused the handshake: \(error.message)")
        }
        guard let revision = LegacyRequest.agreed(result) else { throw UpstreamFailure.garbled("it offers a revision nobody here speaks") }
        let opened = opened(revision, session: session.withLock { $0 }, transport, board, ServerOffer(result))
        try await transport.notify(Outbound(body: LegacyRequest.initialized, headers: opened.headers))
        verdict.settle(revision, isSSE: transport is HTTPWithSSE)
        return opened
    }
}

extension UpstreamFailure {
    /// A server that does not know the transport declines like this (ERA-4).
    fileprivate var isWrongTransport: Bool {
        if case .rejected(let status, _) = self { [400, 404, 405].contains(status) } else { false }
    }
}
