package import Access
package import Gateway
package import Logging
package import MCP
import NIOCore
import ServiceLifecycle
import Synchronization
package import Upstreams

/// What the registered servers offer: asks them, remembers, and keeps a finished `RouteTable` per tenant.
///
/// A list is answered from memory. One that is older than `freshFor` is answered all the same and asked for anew in
/// the background; only a server that was never reached makes a caller wait, and not for long.
package final class Catalogue: Service {
    private struct Entry {
        let upstream: Upstream
        /// What it listed last, and what of its tools is used.
        var listing: PinBook.Listing?
        var judged = PinBook.Judged()
        var others: [ListKind: [JSON]] = [:]
        /// What was left out of what it listed last.
        var cuts: [ListCut] = []
        var lists: [ListKind: [JSON]]? { listing.map { _ in others.merging([.tools: judged.used]) { $1 } } }
        var askedAt: NIODeadline?
        /// How many conversations with it had been opened by then.
        var openings = 0
        var failures = 0
        var lastFailure: String?
        var asking: (question: Question, task: Task<Void, Never>)?

        /// Whether the server said that a list changed since the last question began, or somebody wants it asked anew.
        var isOutdated = false

        /// Whether a caller waited for its first list as long as anybody does.
        var wasWaitedFor = false

        /// Never asked, or not answered yet, and nobody found out yet that waiting does not help.
        var isCold: Bool { listing == nil && failures == 0 && !wasWaitedFor }
    }

    private struct State {
        var entries: [ServerID: Entry] = [:]
        /// Of the endpoint of all servers; made anew with every change.
        var tables: [TenantID: RouteTable] = [:]
        /// Of the endpoints of one server; made when they are first asked for.
        var verbatim: [ServerID: RouteTable] = [:]
        /// The moment of the last change taken up, also of servers that are gone: two changes that were stored one after
        /// the other may arrive here the other way round.
        var changedAt: [ServerID: Timestamp] = [:]

        mutating func isNews(_ server: ServerID, at moment: Timestamp) -> Bool {
            if let known = changedAt[server], known >= moment { return false }
            changedAt[server] = moment
            return true
        }
    }

    /// How a server is doing, for whoever looks at the registry.
    package struct Condition: Sendable {
        package let revision: Revision?
        package let toolCount: Int?
        /// Tools that wait for somebody's approval.
        package let waitingCount: Int
        /// Why it could not be asked last time, or cannot be now: nil while its lists are had and one of its endpoints is up.
        package let lastFailure: String?
        /// Whether it is a program that is not started any more; `lastFailure` says why.
        package let isResting: Bool
        /// Its endpoints, if it is reached by URL.
        package let replicas: [ReplicaCondition]
        /// Its lists of which only the beginning is used.
        package let cuts: [ListCut]
    }

    private let answers: Answers
    private let originKey: String
    private let pins: PinBook
    private let makeUpstream: @Sendable (ServerRecord) -> Upstream
    private let changes: Changes
    private let logger: Logger
    private let freshFor: TimeAmount
    private let state = Mutex(State())
    private let due: AsyncStream<ServerID>
    private let remind: AsyncStream<ServerID>.Continuation

    /// A server that fails is not asked again sooner than this.
    private static let retryAfter = TimeAmount.seconds(5)
    /// How long a caller waits for servers that were never asked, or for one whose list may have changed.
    private static let longestWait = Duration.seconds(8)
    /// How long a server may take to list its tools, over all pages.
    private static let longestListing = Duration.seconds(25)
    private static let sweepInterval = Duration.seconds(60)

    /// - Parameters:
    ///   - originKey: the operator's own `_meta` key: a reverse-DNS prefix, a slash and a name.
    ///   - freshFor: how old a list may be that nobody is asked for anew.
    package init(
        answers: Answers, originKey: String, changes: Changes, pins: PinBook, logger: Logger, freshFor: Duration = .seconds(30),
        makeUpstream: @escaping @Sendable (ServerRecord) -> Upstream
    ) {
        self.answers = answers
        self.changes = changes
        self.originKey = originKey
        self.pins = pins
        self.logger = logger
        self.freshFor = TimeAmount(freshFor)
        self.makeUpstream = makeUpstream
        (due, remind) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1024))
    }

    // MARK: The registry's side

    /// Takes up a server that was registered or changed; its former self is let go.
    ///
    /// - Parameter isShownAnother: whether the conversations with it are over though its record looks the same.
    package func put(_ server: ServerRecord, isShownAnother: Bool = false) async {
        let former = state.withLock { state -> Upstream? in
            guard state.isNews(server.id, at: server.updatedAt) else { return nil }
            let former = state.entries[server.id]
            // A new title changes nothing about the conversations with a server.
            if let former, server.status == .active, !isShownAnother, former.upstream.server.isReached(like: server) {
                if former.upstream.wake() { state.entries[server.id]?.isOutdated = true }
                return nil
            }
            former?.asking?.task.cancel()
            state.entries[server.id] = server.status == .active ? Entry(upstream: makeUpstream(server)) : nil
            rebuild(server.tenant, server.id, &state)
            return former?.upstream
        }
        changes.announce(ListKind.allCases.map { .list($0) }, of: server.alias, in: server.tenant)
        // Asked at once, so that the first list need not wait for it.
        if server.status == .active { remind.yield(server.id) }
        await former?.close()
    }

    /// - Parameter moment: later than every change of the server.
    package func remove(_ server: ServerRecord, at moment: Timestamp) async {
        let former = state.withLock { state -> Upstream? in
            guard state.isNews(server.id, at: moment) else { return nil }
            let former = state.entries.removeValue(forKey: server.id)
            former?.asking?.task.cancel()
            rebuild(server.tenant, server.id, &state)
            return former?.upstream
        }
        changes.announce(ListKind.allCases.map { .list($0) }, of: server.alias, in: server.tenant)
        await former?.close()
    }

    /// Ends a user's conversation with a server, for they are somebody else to it from now on.
    package func endConversation(of user: UserID, with server: ServerID) async {
        await state.withLock { $0.entries[server]?.upstream }?.endConversation(of: user)
    }

    /// Has a server listed anew, before long.
    package func recheck(_ server: ServerID) {
        state.withLock {
            $0.entries[server]?.failures = 0
            $0.entries[server]?.isOutdated = true
        }
        remind.yield(server)
    }

    package func condition(of server: ServerID) -> Condition? {
        state.withLock { $0.entries[server] }.map {
            let rest = $0.upstream.rest
            let replicas = $0.upstream.replicaConditions
            return Condition(
                revision: $0.upstream.revision, toolCount: $0.lists?[.tools]?.count, waitingCount: pins.pins(of: server).waiting.count,
                lastFailure: rest ?? $0.upstream.complaint ?? replicas.outage ?? $0.lastFailure, isResting: rest != nil, replicas: replicas,
                cuts: $0.cuts)
        }
    }

    /// Judges anew what a server listed last, for its pins have changed.
    package func rejudge(_ server: ServerID) {
        let its = state.withLock { state -> ServerRecord? in
            guard let entry = state.entries[server], let listing = entry.listing else { return nil }
            state.entries[server]?.judged = pins.judge(listing, of: entry.upstream.server)
            rebuild(entry.upstream.server.tenant, server, &state)
            return entry.upstream.server
        }
        if let its { changes.announce([.list(.tools)], of: its.alias, in: its.tenant) }
    }

    /// Servers that could not be asked last time, or cannot be now, over all tenants; and all there are.
    package var tally: (failing: Int, all: Int) {
        let entries = state.withLock { Array($0.entries.values) }
        let failing = entries.count {
            let upstream = $0.upstream
            return $0.lastFailure != nil || (upstream.rest ?? upstream.complaint ?? upstream.replicaConditions.outage) != nil
        }
        return (failing, entries.count)
    }

    /// How many programs are not started any more.
    package var restingCount: Int { upstreams.count { $0.rest != nil } }

    /// Asks a server now, also a program that was put to rest, and says how that went.
    package func check(_ server: ServerID) async -> Condition? {
        state.withLock { $0.entries[server]?.upstream }?.wake()
        await refresh(server)?.wait()
        return condition(of: server)
    }

    // MARK: The corridor's side

    /// An endpoint's table as it stands, and whether a caller who can wait should: some server was never reached.
    ///
    /// - Parameter alias: of the only server of the endpoint; nil for the endpoint of all.
    func table(of tenant: TenantID, only alias: ServerAlias? = nil) -> (table: RouteTable, isCold: Bool) {
        let (table, isCold, stale) = state.withLock { state -> (RouteTable, Bool, [ServerID]) in
            var (isCold, stale, only) = (false, [ServerID](), ServerID?.none)
            // Every request comes by here: nothing is copied but what there is to do.
            for (server, entry) in state.entries {
                let its = entry.upstream.server
                guard its.tenant == tenant, alias == nil || its.alias == alias else { continue }
                only = server
                if entry.isCold { isCold = true }
                if entry.asking == nil && isDue(entry) { stale.append(server) }
            }
            return (alias == nil ? aggregate(of: tenant, &state) : verbatim(only, &state), isCold, stale)
        }
        for server in stale { remind.yield(server) }
        return (table, isCold)
    }

    private func aggregate(of tenant: TenantID, _ state: inout State) -> RouteTable {
        if state.tables[tenant] == nil { rebuild(tenant, nil, &state) }
        return state.tables[tenant] ?? emptyTable
    }

    /// - Parameter server: nil if there is none of that alias.
    private func verbatim(_ server: ServerID?, _ state: inout State) -> RouteTable {
        guard let server, let entry = state.entries[server] else { return emptyTable }
        if let table = state.verbatim[server] { return table }
        let part = RouteTable.Part(upstream: entry.upstream, lists: entry.lists)
        let table = RouteTable([part], isAggregate: false, answers: answers, originKey: originKey)
        state.verbatim[server] = table
        return table
    }

    /// Whether the tenant has an active server of that alias.
    func has(_ alias: ServerAlias, in tenant: TenantID) -> Bool {
        state.withLock { $0.entries.values.contains { $0.upstream.server.alias == alias && $0.upstream.server.tenant == tenant } }
    }

    /// The tool of that exposed name, if a server of the tenant lists it.
    package func tool(_ exposed: String, of tenant: TenantID) -> Tool? { table(of: tenant).table.route(exposed)?.tool }

    /// Why a server of the tenant never listed its tools, though it was asked; nil if it did, or was not, or is not there.
    func reasonForNoList(of alias: ServerAlias, in tenant: TenantID) -> String? {
        state.withLock { state in
            state.entries.values.first { $0.upstream.server.alias == alias && $0.upstream.server.tenant == tenant && $0.listing == nil }?.lastFailure
        }.map { $0.hasSuffix(".") ? String($0.dropLast()) : $0 }
    }

    /// The tool of that exposed name that waits for approval, and the owner of its server. A tool that is used goes before it.
    package func held(_ exposed: String, of tenant: TenantID) -> (tool: Tool, owner: UserID)? {
        state.withLock { state in
            for entry in state.entries.values where entry.upstream.server.tenant == tenant && !entry.judged.held.isEmpty {
                // Strings compare by what they mean, so another spelling would find its look-alike.
                if let tool = entry.judged.held[exposed], tool.exposed.utf8.elementsEqual(exposed.utf8) { return (tool, entry.upstream.server.owner) }
            }
            return nil
        }
    }

    /// Own names of a server's tools that may be called twice, as its owner said of what it lists now.
    package func idempotentTools(of server: ServerID) -> Set<ExactName> { state.withLock { $0.entries[server]?.judged.idempotent ?? [] } }

    /// Messages of servers that were nobody's, of those that are registered now.
    package var strayMessages: Int { upstreams.reduce(0) { $0 + $1.strayMessages } }

    /// The conversations with a tenant's servers, of all or of one.
    func upstreams(of tenant: TenantID, only alias: ServerAlias?) -> [Upstream] {
        state.withLock { $0.entries.values.map(\.upstream) }.filter { $0.server.tenant == tenant && (alias == nil || $0.server.alias == alias) }
    }

    /// Waits, within bounds, until every server of the endpoint that was never asked has answered or failed. For one that does neither
    /// nobody waits again.
    func warm(_ tenant: TenantID, only alias: ServerAlias? = nil) async {
        let cold = state.withLock { state in
            state.entries.filter {
                $0.value.upstream.server.tenant == tenant && (alias == nil || $0.value.upstream.server.alias == alias) && $0.value.isCold
            }.map(\.key)
        }
        let end = ContinuousClock.now + Self.longestWait
        for question in cold.compactMap({ refresh($0) }) { await question.wait(atMost: end - .now) }
        guard ContinuousClock.now >= end else { return }
        state.withLock { state in
            for server in cold { state.entries[server]?.wasWaitedFor = true }
        }
    }

    /// Asks a server again, if its lists are more than a moment old: an unknown name points to it.
    ///
    /// - Returns: whether there may be something new.
    func refresh(_ alias: ServerAlias, of tenant: TenantID) async -> Bool {
        let moment = NIODeadline.now() - .seconds(2)
        let owner = state.withLock { state in
            state.entries.first { _, entry in
                let server = entry.upstream.server
                return server.tenant == tenant && server.alias == alias && (entry.askedAt ?? .uptimeNanoseconds(0)) < moment
            }?.key
        }
        guard let owner, let question = refresh(owner) else { return false }
        await question.wait(atMost: Self.longestWait)
        return true
    }

    /// Asks a server again, for what it listed no longer holds; a question that is under way may have been too early. Waits no longer than
    /// anybody does.
    func listAnew(_ server: ServerID) async {
        let end = ContinuousClock.now + Self.longestWait
        if let asking = state.withLock({ $0.entries[server]?.asking?.question }) { await asking.wait(atMost: end - .now) }
        await refresh(server)?.wait(atMost: end - .now)
    }

    // MARK: Changes

    /// A server said something outside of any answer.
    package func noticed(_ notice: UpstreamNotice, by server: ServerID) {
        switch notice {
        case .listChanged:
            let isKnown = state.withLock { state in
                state.entries[server]?.isOutdated = true
                return state.entries[server] != nil
            }
            if isKnown { remind.yield(server) }
        case .resourceUpdated(let uri, let user):
            guard let its = state.withLock({ $0.entries[server]?.upstream.server }) else { return }
            changes.announce([.resource(uri)], of: its.alias, in: its.tenant, for: user)
        case .elicitationComplete(let id, let user):
            let shown = changes.elicitations.complete(Elicitations.Asked(server: server, user: user, id: ExactName(id)))
            if shown.isEmpty { state.withLock { $0.entries[server]?.upstream }?.countStray() }
            for (listener, name) in shown { listener.hear([.elicitation(name)]) }
        }
    }

    /// Has the servers of an endpoint tell of changes, before long.
    func listen(in tenant: TenantID, only alias: ServerAlias?) {
        let own = state.withLock { $0.entries.filter { $0.value.upstream.server.tenant == tenant } }
        for (server, entry) in own where alias == nil || entry.upstream.server.alias == alias { remind.yield(server) }
    }

    /// Servers are to tell of changes while somebody hears them.
    private func listenIfHeard(_ upstream: Upstream) async { await upstream.listen(changes.isHeard(in: upstream.server.tenant)) }

    // MARK: Asking

    private func isDue(_ entry: Entry) -> Bool {
        guard entry.upstream.rest == nil else { return false }
        guard let askedAt = entry.askedAt else { return true }
        let age = NIODeadline.now() - askedAt
        guard entry.failures == 0 else { return age > Self.retryAfter * min(entry.failures, 12) }
        guard case .stdio = entry.upstream.server.transport else { return age > freshFor }
        // A program lists the same until it is started anew, and for a list alone none is started (P-13).
        return age > freshFor && entry.upstream.openings > entry.openings
    }

    /// Asks a server again if its lists are old, or said to be; to hear of changes alone no program is started (P-13).
    private func refreshIfDue(_ server: ServerID) async {
        let isWanted = state.withLock { $0.entries[server].map { $0.isOutdated || isDue($0) } ?? false }
        if isWanted { await refresh(server)?.wait() }
    }

    /// One question to a server runs at a time; everybody waits for that one.
    private func refresh(_ server: ServerID) -> Question? {
        state.withLock { state -> Question? in
            guard let entry = state.entries[server] else { return nil }
            if let asking = entry.asking { return asking.question }
            let question = Question()
            // Unstructured on purpose: the answer belongs to every waiter and must outlive the one that asked first. The
            // entry holds the task, and cancels it when it goes or the gateway stops.
            let task = Task {
                await self.ask(server, entry.upstream)
                question.answered()
            }
            state.entries[server]?.asking = (question, task)
            state.entries[server]?.isOutdated = false
            return question
        }
    }

    private func ask(_ server: ServerID, _ upstream: Upstream) async {
        let (lists, place, cuts, listingFailure) = await Self.list(upstream)
        // On disk before anything is made of it.
        let noted =
            if let lists {
                await pins.note(lists[.tools] ?? [], of: upstream.server, at: place)
            } else {
                (listing: PinBook.Listing?.none, failure: String?.none)
            }
        let failure = listingFailure ?? noted.failure
        let (changed, newCuts) = state.withLock { state -> ([ListKind], [ListCut]) in
            guard var entry = state.entries[server], entry.upstream === upstream else { return ([], []) }
            entry.asking = nil
            entry.askedAt = .now()
            entry.openings = upstream.openings
            // It may have changed after its list was read.
            if entry.isOutdated { remind.yield(server) }
            entry.failures = failure == nil ? 0 : entry.failures + 1
            entry.lastFailure = failure
            let former = entry.lists
            // A server that fails now keeps its last lists: its tools are still there, and calling them says why not. Of one whose tools could
            // not be noted, what differs is used no more; judged here, so that no approval is missed that came meanwhile.
            if let listing = noted.listing, noted.failure == nil || entry.listing != nil {
                entry.listing = listing
                entry.judged = pins.judge(listing, of: upstream.server)
                entry.others = (lists ?? [:]).filter { $0.key != .tools }
            }
            let newCuts = cuts.filter { !entry.cuts.contains($0) }
            if lists != nil { entry.cuts = cuts }
            let now = entry.lists
            let changed = ListKind.allCases.filter { now?[$0]?.map(\.text) != former?[$0]?.map(\.text) }
            let wasCold = former == nil && now != nil
            state.entries[server] = entry
            if !changed.isEmpty || wasCold || state.tables[upstream.server.tenant] == nil {
                rebuild(upstream.server.tenant, server, &state)
            }
            return (changed, newCuts)
        }
        if !changed.isEmpty { changes.announce(changed.map { .list($0) }, of: upstream.server.alias, in: upstream.server.tenant) }
        if let failure {
            logger.warning("a server could not be listed", metadata: ["server.alias": "\(upstream.server.alias)", "reason": "\(failure)"])
        }
        for cut in newCuts {
            logger.warning("a server's list was cut", metadata: ["server.alias": "\(upstream.server.alias)", "reason": "\(cut.sentence)"])
        }
    }

    private typealias Found = (lists: [ListKind: [JSON]]?, place: Int?, cuts: [ListCut], failure: String?)

    /// The lists of a server, which of its places has those tools, and what was left out, or why there are none to be had in time.
    private static func list(_ upstream: Upstream) async -> Found {
        await withTaskGroup(of: Found.self) { group in
            group.addTask {
                do {
                    var lists: [ListKind: [JSON]] = [:]
                    var cuts: [ListCut] = []
                    var place: Int?
                    let turn = upstream.placeInTurn()
                    let kinds = try await upstream.offer().kinds
                    for kind in ListKind.allCases where kinds.contains(kind) {
                        lists[kind] = try await upstream.list(kind, preferring: turn) {
                            cuts.append($0)
                        } whenAnswered: {
                            if kind == .tools { place = $0 }
                        }
                    }
                    return (lists, place, cuts, nil)
                } catch {
                    return (nil, nil, [], (error as? UpstreamFailure)?.reason ?? "\(error)")
                }
            }
            group.addTask {
                try? await Task.sleep(for: longestListing)
                return (nil, nil, [], "it took more than \(longestListing.components.seconds) s to list what it has")
            }
            let first = await group.next() ?? (nil, nil, [], nil)
            group.cancelAll()
            return first
        }
    }

    /// - Parameter server: what changed, if it was one server.
    private func rebuild(_ tenant: TenantID, _ server: ServerID?, _ state: inout State) {
        let parts = state.entries.values.filter { $0.upstream.server.tenant == tenant }.map {
            RouteTable.Part(upstream: $0.upstream, lists: $0.lists)
        }
        if let server { state.verbatim[server] = nil }
        state.tables[tenant] = RouteTable(parts, answers: answers, originKey: originKey)
    }

    private var emptyTable: RouteTable { RouteTable([], answers: answers, originKey: originKey) }

    /// Asks for stale lists anew and ends idle conversations, until shutdown; then ends them all.
    package func run() async throws {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    while !Task.isCancelled {
                        do { try await Task.sleep(for: Self.sweepInterval) } catch { return }
                        for upstream in self.upstreams {
                            await upstream.closeIdle()
                            await self.listenIfHeard(upstream)
                        }
                    }
                }
                for await server in due {
                    group.addTask {
                        await self.refreshIfDue(server)
                        if let upstream = self.state.withLock({ $0.entries[server]?.upstream }) { await self.listenIfHeard(upstream) }
                    }
                }
                group.cancelAll()
            }
        } onGracefulShutdown: {
            self.remind.finish()
        }
        stopAsking()
        await withDiscardingTaskGroup { group in
            for upstream in upstreams { group.addTask { await upstream.close() } }
        }
    }

    /// Gives up every question to a server that is under way.
    package func stopAsking() {
        for task in state.withLock({ $0.entries.values.compactMap { $0.asking?.task } }) { task.cancel() }
    }

    /// The conversations with all active servers.
    package var upstreams: [Upstream] { state.withLock { $0.entries.values.map(\.upstream) } }
}
