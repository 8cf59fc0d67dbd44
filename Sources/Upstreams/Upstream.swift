package import Access
package import Gateway
package import Logging
package import MCP
package import Pacing
import Synchronization

/// What the conversations with all servers share.
package struct UpstreamSurroundings: Sendable {
    let client: Implementation
    let connections: HTTPConnections
    let keeper: ProcessKeeper
    let environment: [String: String]
    let credentials: Credentials
    /// The values of a program's sealed variables.
    let sealedEnvironment: @Sendable (ServerID) throws -> [String: Secret<String>]
    /// Of what a server says and nobody waits for.
    let chatter: Chatter.Bound
    let now: @Sendable () -> Moment
    let notice: @Sendable (ServerID, UpstreamNotice) -> Void
    let rested: @Sendable (ServerRecord, _ why: String) -> Void
    let logger: Logger

    /// - Parameters:
    ///   - environment: the gateway's own; a child sees only the few names in `StdioProcess.inherited`.
    ///   - sealedEnvironment: the values of a program's sealed variables, by name.
    ///   - chatter: bounds what a server says and nobody waits for.
    ///   - notice: told what servers say outside of calls, the same thing at most twice a second. It must not wait for anything.
    ///   - rested: told when a program is not started any more because it kept crashing. It must not wait for anything either.
    package init(
        client: Implementation, connections: HTTPConnections, keeper: ProcessKeeper, environment: [String: String], credentials: Credentials = .none,
        sealedEnvironment: @escaping @Sendable (ServerID) throws -> [String: Secret<String>] = { _ in [:] }, chatter: Chatter.Bound = .standard,
        notice: @escaping @Sendable (ServerID, UpstreamNotice) -> Void = { _, _ in },
        rested: @escaping @Sendable (ServerRecord, _ why: String) -> Void = { _, _ in }, now: @escaping @Sendable () -> Moment, logger: Logger
    ) {
        self.client = client
        self.connections = connections
        self.keeper = keeper
        self.environment = environment
        self.credentials = credentials
        self.sealedEnvironment = sealedEnvironment
        self.chatter = chatter
        self.now = now
        self.notice = notice
        self.rested = rested
        self.logger = logger
    }
}

/// A registered MCP server as something that can be asked.
///
/// Each user has a conversation of their own with it, so that a server's session or process never mixes two users;
/// only a stdio server that the operator marked as shared is one for all.
package final class Upstream: Sendable {
    typealias Owner = Conversations.Owner

    package let server: ServerRecord
    let client: Implementation
    let conversations: Conversations
    let listenings: Listenings
    let replicas: Replicas
    let diaries: Diaries
    private let crashes: Crashes
    private let surroundings: UpstreamSurroundings
    var connections: HTTPConnections { surroundings.connections }
    private let verdict: EraVerdict
    private let strays: Strays
    let errands: Errands
    private let turns = Atomic<Int>(0)

    private static let mostPages = 100
    private static let mostItems = 2000
    private static let mostBytes = 8 << 20

    package init(_ server: ServerRecord, surroundings: UpstreamSurroundings) {
        self.server = server
        self.surroundings = surroundings
        client = surroundings.client
        let verdict = EraVerdict(server.era)
        let errands = Errands(most: 512)
        let strays = Strays()
        let listenings = Listenings(loop: surroundings.connections.loop) { surroundings.notice(server.id, $0) }
        let replicas = Replicas(server, now: surroundings.now)
        let diaries = Diaries()
        let crashes = Crashes(now: surroundings.now)
        let making = LinkMaking(
            server: server, surroundings: surroundings, verdict: verdict, errands: errands, listenings: listenings, strays: strays,
            replicas: replicas, diaries: diaries, crashes: crashes)
        conversations = Conversations(verdict: verdict, errands: errands) { owner, capabilities in making.link(for: owner, declaring: capabilities) }
        self.verdict = verdict
        self.errands = errands
        self.listenings = listenings
        self.strays = strays
        self.replicas = replicas
        self.diaries = diaries
        self.crashes = crashes
        guard case .stdio = server.transport else { return }
        crashes.watch { [weak conversations] in
            conversations?.opened.contains { !$0.transport.isClosed } ?? false
        } onRest: { why in
            surroundings.logger.error("a program was put to rest", metadata: ["server.alias": "\(server.alias)", "reason": "\(why)"])
            surroundings.rested(server, why)
        }
        listenings.whenOpened { [weak self] opened in errands.run { [weak self] in await self?.hearLists(of: opened) } }
    }

    /// The revision it was found to speak; nil before it was first asked.
    package var revision: Revision? { verdict.revision ?? (verdict.dialect == .modern ? ModernRequest.revision : nil) }

    /// Whether it reads arguments in headers: over HTTP, in the stateless era.
    package var takesParameterHeaders: Bool {
        if case .stdio = server.transport { return false }
        return revision?.era == .modern
    }

    /// What it offers, as far as it was asked.
    package var knownOffer: ServerOffer? { verdict.offer }

    /// Why a program is not started any more; nil while it is, and for what is no program.
    package var rest: String? { crashes.rest }

    /// Why the latest process of a program was ended; nil while another runs, and if nothing was wrong with it.
    package var complaint: String? { crashes.complaint }

    /// Has a program that was put to rest started again when it is next needed.
    ///
    /// - Returns: whether it was at rest.
    @discardableResult
    package func wake() -> Bool { crashes.wake() }

    /// How many messages of its were nobody's, and dropped.
    package var strayMessages: Int { strays.count }
    /// Counts one that turned out to be nobody's.
    package func countStray() { strays.add() }

    /// What it offers; asked again when what is known is older than five minutes and no conversation says it.
    package func offer() async throws -> ServerOffer { try await offer(to: lister()) }

    func offer(to owner: Owner) async throws -> ServerOffer {
        if let offer = verdict.freshOffer { return offer }
        let (_, opened) = try await conversations.open(of: owner, declaring: nil)
        if let offer = verdict.freshOffer ?? (opened.revision.era == .legacy ? opened.offer : nil) { return offer }
        let offer = ServerOffer(try await request("server/discover", [], owner: owner))
        verdict.note(offer)
        return offer
    }

    /// Which of its places is to say next what it lists: each in turn, where it has no sessions.
    package func placeInTurn() -> Int { turns.wrappingAdd(1, ordering: .relaxed).oldValue % max(1, replicas.all.count) }

    /// All of one list, over all pages, as the server wrote it; nothing if it does not offer that list.
    ///
    /// Where each user is somebody else to the server, it is the list that one user sees, asked for in that user's conversation.
    /// Bounded: 100 pages, 2000 items, 8 MiB.
    ///
    /// - Parameters:
    ///   - place: the replica that is asked if it may be, by number.
    ///   - whenCut: told if the list goes on after what is returned.
    ///   - whenAnswered: told which replica answered a page.
    package func list(
        _ kind: ListKind, preferring place: Int? = nil, whenCut: (ListCut) -> Void = { _ in }, whenAnswered: (Int) -> Void = { _ in }
    ) async throws -> [JSON] {
        let owner = try await lister()
        let kinds = try await offer(to: owner).kinds
        // A server that says nothing at all of what it offers may have tools for all that.
        guard kinds.contains(kind) || (kinds.isEmpty && kind == .tools) else { return [] }
        var items: [JSON] = []
        var bytes = 0
        var cursor: JSONText?
        var seen: Set<JSONText> = []
        for number in 1...Self.mostPages {
            let (page, answerer) = try await answer(kind.method, [("cursor", cursor)], owner: owner, preferring: place)
            if let answerer { whenAnswered(answerer) }
            guard let listed = page[kind.member], listed.kind == .array else { throw UpstreamFailure.garbled("its list of \(kind.noun) is none") }
            items += listed.elements
            bytes += listed.bytes.count
            guard bytes <= Self.mostBytes else {
                throw UpstreamFailure.garbled("its list of \(kind.noun) is larger than \(Self.mostBytes >> 20) MiB")
            }
            let next = page["nextCursor"].flatMap { $0.kind == .string ? $0.text : nil }
            let cut = Self.cut(after: items.count, on: number, next, isSeen: next.map { !seen.insert($0).inserted } ?? false)
            if let cut { whenCut(ListCut(kind, kept: min(items.count, Self.mostItems), cut)) }
            guard cut == nil, let next else { break }
            cursor = next
        }
        return Array(items.prefix(Self.mostItems))
    }

    /// Why a list is not read on though there is more of it.
    private static func cut(after items: Int, on page: Int, _ next: JSONText?, isSeen: Bool) -> ListCut.Reason? {
        if items > mostItems || (items == mostItems && next != nil) { return .entries }
        if isSeen { return .circle }
        return next != nil && page == mostPages ? .pages(page) : nil
    }

    /// Starts a request on a caller's behalf. Whatever comes of it is read from what this returns.
    ///
    /// - Parameters:
    ///   - grant: policy's permission to make it.
    ///   - isIdempotent: whether the server's owner said of the tool that calling it twice is as good as once.
    ///   - preferred: the replica that made the state which the request carries, by number (`UpstreamCall.replica`).
    package func ask(_ request: Outgoing, by grant: Grant, isIdempotent: Bool = false, preferring preferred: Int? = nil) async throws
        -> UpstreamCall
    {
        let owner = owner(grant.principal)
        var request = request
        request.capabilities = request.capabilities.limited(to: server.questions)
        let declared = declared(request.capabilities)
        let repetition = Repetition(method: request.method, isMarked: isIdempotent)
        let call = UpstreamCall(client: client, request: request, repetition: repetition, replicas: replicas, preferring: preferred) {
            [conversations] avoided in
            try await conversations.open(of: owner, declaring: declared, avoiding: avoided)
        }
        try await call.begin()
        return call
    }

    /// Ends all conversations; there will be no others.
    package func close() async {
        await listenings.close()
        await conversations.close()
        errands.close()
    }

    /// Ends the conversations nobody used for a quarter of an hour, and in which nobody listens.
    package func closeIdle() async { await conversations.closeIdle(keeping: listenings.owners) }

    /// How many conversations were opened with it, or processes started.
    package var openings: Int { listenings.openings.load(ordering: .relaxed) }

    /// Ends a user's conversations: the next ones show another credential, or none.
    package func endConversation(of user: UserID) async { await conversations.close(of: .user(user)) }

    // MARK: Whose conversation

    func owner(_ principal: Principal) -> Owner { isShared ? .gateway : .user(principal.user) }

    /// The user whose conversation a caller's requests are made in; nil if it is everybody's.
    package func conversant(of principal: Principal) -> UserID? { owner(principal).user }

    /// Who lists, and listens to changes of lists.
    func lister() async throws -> Owner {
        let lister = server.credential.isPersonal ? try await surroundings.credentials.lister(server) : nil
        return lister.map { .user($0) } ?? .gateway
    }

    private var isShared: Bool { if case .stdio(let command) = server.transport { command.isShared } else { false } }

    /// A process of all users is told of none of them what they can be asked: it could not tell whom it asks.
    func declared(_ capabilities: ClientCapabilities) -> ClientCapabilities {
        guard !isShared else { return .none }
        // Extensions are a matter of the stateless era, which hears of them with each request.
        var declared = capabilities.limited(to: server.questions)
        declared.extensions = []
        return declared
    }

    private func hasOther(than tried: Set<Int>, _ replica: Int?) -> Bool { replica.map { replicas.hasOther(than: tried.union([$0])) } ?? false }

    /// Asks something in the gateway's own name that changes nothing, so it may be asked twice.
    func request(_ method: String, _ params: [(String, JSONText?)], owner: Owner) async throws -> JSON {
        try await answer(method, params, owner: owner, preferring: nil).result
    }

    /// The same, with the replica that answered.
    private func answer(
        _ method: String, _ params: [(String, JSONText?)], owner: Owner, preferring preferred: Int?
    ) async throws -> (result: JSON, replica: Int?) {
        let repetition = Repetition(method: method, isMarked: false)
        var (mayReopen, mayRenew) = (true, true)
        var tried: Set<Int> = []
        while true {
            let (link, opened) = try await conversations.open(of: owner, declaring: nil, avoiding: tried)
            let exchange = opened.transport.exchange(patience: .handshake)
            do {
                try await opened.send(method, params, as: client, on: exchange, avoiding: tried, preferring: preferred)
                switch try await exchange.response() {
                case .success(let result): return (result, exchange.replica)
                case .failure(let error): throw UpstreamFailure.rejected(status: 200, error: error)
                }
            } catch UpstreamFailure.turnedAway(let why) {
                try await link.turnedAway(why)
                guard mayRenew else { throw UpstreamFailure.turnedAway(why) }
                mayRenew = false
            } catch let failure as UpstreamFailure
                where repetition.isAllowed(after: failure, times: tried.count, hasSpoken: false, hasOther: hasOther(than: tried, exchange.replica))
            {
                tried.formUnion(exchange.replica.map { [$0] } ?? [])
            } catch let failure as UpstreamFailure where mayReopen && failure.isWorthReopening {
                // A server may have forgotten us, or learned a new era.
                mayReopen = false
                await link.reset(opened, keepingVerdict: failure.isLostSession)
            }
        }
    }
}

extension UpstreamFailure {
    /// Whether another conversation may fare better: not where the server answered in so many words, or nobody asks.
    fileprivate var isWorthReopening: Bool {
        switch self {
        case .rejected(200, _), .abandoned, .signedOut, .unreachable, .resting, .turnedAway, .credential: false
        default: true
        }
    }

    /// 404 to a request with a session: the server no longer knows it (L-3).
    var isLostSession: Bool {
        if case .rejected(404, _) = self { true } else { false }
    }
}
