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

    struct Opened: Sendable {
        let revision: Revision
        let session: String?
        let transport: any MessageTransport
    }

    private let makeTransport: @Sendable () throws(UpstreamFailure) -> any MessageTransport
    private let client: Implementation
    private let verdict: EraVerdict
    private let credential: OwnCredential?
    private var opened: Opened?
    private var opening: Opening?
    private var isClosed = false

    init(
        client: Implementation, verdict: EraVerdict, credential: OwnCredential? = nil,
        makeTransport: @escaping @Sendable () throws(UpstreamFailure) -> any MessageTransport
    ) {
        self.client = client
        self.verdict = verdict
        self.credential = credential
        self.makeTransport = makeTransport
    }

    /// Returns if it is worth trying once more, with another credential.
    nonisolated func turnedAway(_ why: TurnedAway) async throws(UpstreamFailure) {
        guard let credential else { throw .rejected(status: 401, error: nil) }
        try await credential.turnedAway(why)
    }

    func open() async throws -> Opened {
        if isClosed { throw UpstreamFailure.unreachable("the conversation was closed") }
        if let opened, !opened.transport.isClosed { return opened }
        let opening = self.opening ?? begin()
        await opening.question.wait()
        guard let outcome = opening.outcome else { throw UpstreamFailure.unreachable("the caller went away before it was asked") }
        return try outcome.get()
    }

    private func begin() -> Opening {
        let opening = Opening()
        self.opening = opening
        // Unstructured on purpose: the handshake belongs to every waiter and must outlive the one that asked first.
        opening.task = Task {
            let outcome: Result<Opened, any Error>
            do { outcome = .success(try await self.handshake()) } catch { outcome = .failure(error) }
            self.end(opening, outcome)
        }
        return opening
    }

    private func end(_ opening: Opening, _ outcome: Result<Opened, any Error>) {
        self.opening = nil
        if case .success(let fresh) = outcome {
            if isClosed { fresh.transport.close() } else { opened = fresh }
        }
        opening.outcome = outcome
        opening.question.answered()
    }

    /// Forgets a session that the server no longer knows, or a verdict that turned out wrong; the next use opens anew.
    func reset(_ stale: Opened, keepingVerdict: Bool) {
        if !keepingVerdict { verdict.forget() }
        guard let opened, opened.transport === stale.transport, opened.session == stale.session else { return }
        if !keepingVerdict { opened.transport.close() }
        self.opened = nil
    }

    func close() async {
        isClosed = true
        opening?.task?.cancel()
        guard let opened else { return }
        self.opened = nil
        if let session = opened.session { await opened.transport.endSession(session) }
        opened.transport.close()
    }

    // MARK: Finding out what the server speaks (ERA-4, ERA-5)

    private func handshake() async throws -> Opened {
        var mayRenew = true
        while true {
            do { return try await introduce() } catch UpstreamFailure.turnedAway(let why) {
                try await turnedAway(why)
                guard mayRenew else { throw UpstreamFailure.turnedAway(why) }
                mayRenew = false
            }
        }
    }

    private func introduce() async throws -> Opened {
        let transport = try makeTransport()
        do {
            switch verdict.era {
            case .modern: return Opened(revision: ModernRequest.revision, session: nil, transport: transport)
            case .legacy: return try await initialize(transport)
            case nil:
                let era = try await probe(transport)
                let opened =
                    switch era {
                    case .modern: Opened(revision: ModernRequest.revision, session: nil, transport: transport)
                    case .legacy: try await initialize(transport)
                    }
                verdict.settle(opened.revision)
                return opened
            }
        } catch let failure as UpstreamFailure where failure.mayHaveActed {
            // Whatever went wrong in the introduction, of the call itself nothing was sent.
            transport.close()
            throw UpstreamFailure.unreachable(failure == .abandoned ? "the conversation was closed" : failure.reason)
        } catch {
            transport.close()
            throw error
        }
    }

    /// Asks in the modern way. Every way of not understanding means legacy; not being reachable, or being turned away
    /// for want of credentials, means nothing either way.
    private func probe(_ transport: any MessageTransport) async throws -> Revision.Era {
        let exchange = transport.exchange(patience: .probe)
        let question = ModernRequest.discover(id: MessageID(exchange.id), client: client)
        do {
            try await transport.send(
                Outbound(body: question, headers: ModernRequest.headers(method: "server/discover", name: nil)), on: exchange, onSession: nil)
            switch try await exchange.response(answering: { await Opened.answer($0, $1, over: transport, headers: []) }) {
            case .success(let result): return ModernRequest.isServed(result) ? .modern : .legacy
            case .failure(let error): return Self.era(of: error)
            }
        } catch UpstreamFailure.rejected(let status, let error) where status != 401 && status != 403 {
            return error.map(Self.era) ?? .legacy
        } catch UpstreamFailure.timedOut {
            return .legacy
        }
    }

    private static func era(of error: ProtocolError) -> Revision.Era {
        guard ModernRequest.isModernError(error) else { return .legacy }
        return ModernRequest.servesOnlyLegacy(error) ? .legacy : .modern
    }

    private func initialize(_ transport: any MessageTransport) async throws -> Opened {
        let session = Mutex<String?>(nil)
        let exchange = transport.exchange(patience: .handshake)
        let request = LegacyRequest.initialize(id: MessageID(exchange.id), client: client)
        try await transport.send(Outbound(body: request, headers: []), on: exchange) { id in session.withLock { $0 = id } }
        let result: JSON
        switch try await exchange.response(answering: { await Opened.answer($0, $1, over: transport, headers: []) }) {
        case .success(let answer): result = answer
        // A slow start can make a server miss the probe and then refuse the handshake of the era before (P-5).
        case .failure(let error) where ModernRequest.isModernError(error):
            verdict.settle(ModernRequest.revision)
            return Opened(revision: ModernRequest.revision, session: nil, transport: transport)
        case .failure(let error): throw UpstreamFailure.garbled("it refused the handshake: \(error.message)")
        }
        guard let revision = LegacyRequest.agreed(result) else { throw UpstreamFailure.garbled("it offers a revision nobody here speaks") }
        let opened = Opened(revision: revision, session: session.withLock { $0 }, transport: transport)
        try await transport.notify(Outbound(body: LegacyRequest.initialized, headers: opened.headers(method: "", name: nil)))
        verdict.settle(revision)
        return opened
    }
}

extension Link.Opened {
    /// Answers a server's own request. Whether that arrives is the server's affair, not the call's.
    func answer(_ id: MessageID, _ method: String) async {
        await Self.answer(id, method, over: transport, headers: headers(method: "", name: nil))
    }

    static func answer(_ id: MessageID, _ method: String, over transport: any MessageTransport, headers: [(String, String)]) async {
        try? await transport.notify(Outbound(body: LegacyRequest.answer(to: id, method: method), headers: headers))
    }

    func headers(method: String, name: String?) -> [(String, String)] {
        switch revision.era {
        case .modern: ModernRequest.headers(method: method, name: name)
        case .legacy: [("MCP-Protocol-Version", revision.rawValue)] + (session.map { [("Mcp-Session-Id", $0)] } ?? [])
        }
    }
}

/// What is known of the era a server speaks, shared by all conversations with it.
final class EraVerdict: Sendable {
    private let choice: EraChoice
    private let found = Mutex<Revision?>(nil)

    init(_ choice: EraChoice) { self.choice = choice }

    /// The operator's word, else what was found; nil when it is to be asked.
    var era: Revision.Era? {
        switch choice {
        case .modern: .modern
        case .legacy: .legacy
        case .auto: found.withLock { $0?.era }
        }
    }

    var revision: Revision? { found.withLock { $0 } }

    func settle(_ revision: Revision) { found.withLock { $0 = revision } }
    func forget() { found.withLock { $0 = nil } }
}
