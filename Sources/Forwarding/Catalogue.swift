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
        var tools: [JSON]?
        var askedAt: NIODeadline?
        var failures = 0
        var lastFailure: String?
        var asking: (question: Question, task: Task<Void, Never>)?
    }

    private struct State {
        var entries: [ServerID: Entry] = [:]
        var tables: [TenantID: RouteTable] = [:]
        var tableCount = 0
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
        package let lastFailure: String?
    }

    private let answers: Answers
    private let originKey: String
    private let makeUpstream: @Sendable (ServerRecord) -> Upstream
    private let logger: Logger
    private let state = Mutex(State())
    private let due: AsyncStream<ServerID>
    private let remind: AsyncStream<ServerID>.Continuation

    private static let freshFor = TimeAmount.seconds(30)
    /// A server that fails is not asked again sooner than this.
    private static let retryAfter = TimeAmount.seconds(5)
    /// How long a caller waits for servers that were never asked, or for one whose list may have changed.
    private static let longestWait = Duration.seconds(8)
    /// How long a server may take to list its tools, over all pages.
    private static let longestListing = Duration.seconds(25)
    private static let sweepInterval = Duration.seconds(60)

    /// - Parameter originKey: the operator's own `_meta` key: a reverse-DNS prefix, a slash and a name.
    package init(answers: Answers, originKey: String, logger: Logger, makeUpstream: @escaping @Sendable (ServerRecord) -> Upstream) {
        self.answers = answers
        self.originKey = originKey
        self.logger = logger
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
            if let former, server.status == .active, !isShownAnother, former.upstream.server.isReached(like: server) { return nil }
            former?.asking?.task.cancel()
            state.entries[server.id] = server.status == .active ? Entry(upstream: makeUpstream(server)) : nil
            rebuild(server.tenant, &state)
            return former?.upstream
        }
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
            rebuild(server.tenant, &state)
            return former?.upstream
        }
        await former?.close()
    }

    /// Ends a user's conversation with a server, for they are somebody else to it from now on.
    package func endConversation(of user: UserID, with server: ServerID) async {
        await state.withLock { $0.entries[server]?.upstream }?.endConversation(of: user)
    }

    /// Has a server listed anew, before long.
    package func recheck(_ server: ServerID) {
        state.withLock { $0.entries[server]?.failures = 0 }
        remind.yield(server)
    }

    package func condition(of server: ServerID) -> Condition? {
        state.withLock { $0.entries[server] }.map {
            Condition(revision: $0.upstream.revision, toolCount: $0.tools?.count, lastFailure: $0.lastFailure)
        }
    }

    /// Servers that were asked and last failed, over all tenants; and all there are.
    package var tally: (failing: Int, all: Int) {
        state.withLock { state in (state.entries.values.count { $0.lastFailure != nil }, state.entries.count) }
    }

    /// Asks a server now and says how that went.
    package func check(_ server: ServerID) async -> Condition? {
        await refresh(server)?.wait()
        return condition(of: server)
    }

    // MARK: The corridor's side

    /// The tenant's table as it stands, and whether a caller who can wait should: some server was never reached.
    func table(of tenant: TenantID) -> (table: RouteTable, isCold: Bool) {
        let (table, isCold, stale) = state.withLock { state -> (RouteTable, Bool, [ServerID]) in
            if state.tables[tenant] == nil { rebuild(tenant, &state) }
            let own = state.entries.filter { $0.value.upstream.server.tenant == tenant }
            let stale = own.filter { $0.value.asking == nil && Self.isDue($0.value) }
            return (state.tables[tenant] ?? emptyTable, own.contains { $0.value.tools == nil && $0.value.failures == 0 }, Array(stale.keys))
        }
        for server in stale { remind.yield(server) }
        return (table, isCold)
    }

    /// The tool of that exposed name, if a server of the tenant lists it.
    package func tool(_ exposed: String, of tenant: TenantID) -> Tool? { table(of: tenant).table.route(exposed)?.tool }

    /// Why a server of the tenant never listed its tools, though it was asked; nil if it did, or was not, or is not there.
    func reasonForNoList(of alias: ServerAlias, in tenant: TenantID) -> String? {
        state.withLock { state in
            state.entries.values.first { $0.upstream.server.alias == alias && $0.upstream.server.tenant == tenant && $0.tools == nil }?.lastFailure
        }.map { $0.hasSuffix(".") ? String($0.dropLast()) : $0 }
    }

    /// Waits, within bounds, until every server of the tenant that was never asked has answered or failed.
    func warm(_ tenant: TenantID) async {
        let cold = state.withLock { state in
            state.entries.filter { $0.value.upstream.server.tenant == tenant && $0.value.tools == nil && $0.value.failures == 0 }.map(\.key)
        }
        let end = ContinuousClock.now + Self.longestWait
        for question in cold.compactMap({ refresh($0) }) { await question.wait(atMost: end - .now) }
    }

    /// Asks again the server that an unknown tool name points to, if its list is more than a moment old.
    ///
    /// - Returns: whether there may be something new.
    func refreshOwner(of exposed: String, tenant: TenantID) async -> Bool {
        let moment = NIODeadline.now() - .seconds(2)
        let owner = state.withLock { state in
            state.entries.first { _, entry in
                let server = entry.upstream.server
                let isOwner = server.tenant == tenant && exposed.hasPrefix(server.alias.description + ToolName.separator)
                return isOwner && (entry.askedAt ?? .uptimeNanoseconds(0)) < moment
            }?.key
        }
        guard let owner, let question = refresh(owner) else { return false }
        await question.wait(atMost: Self.longestWait)
        return true
    }

    // MARK: Asking

    private static func isDue(_ entry: Entry) -> Bool {
        guard let askedAt = entry.askedAt else { return true }
        let age = NIODeadline.now() - askedAt
        guard entry.failures == 0 else { return age > retryAfter * min(entry.failures, 12) }
        return age > freshFor
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
            return question
        }
    }

    private func ask(_ server: ServerID, _ upstream: Upstream) async {
        let (tools, failure) = await Self.list(upstream)
        state.withLock { state in
            guard var entry = state.entries[server], entry.upstream === upstream else { return }
            entry.asking = nil
            entry.askedAt = .now()
            entry.failures = failure == nil ? 0 : entry.failures + 1
            entry.lastFailure = failure
            let isNews = tools.map { $0.map(\.text) != entry.tools?.map(\.text) } ?? false
            // A server that fails now keeps its last list: its tools are still there, and calling them says why not.
            if let tools { entry.tools = tools }
            state.entries[server] = entry
            if isNews || state.tables[upstream.server.tenant] == nil { rebuild(upstream.server.tenant, &state) }
        }
        if let failure {
            logger.warning("a server could not be listed", metadata: ["server.alias": "\(upstream.server.alias)", "reason": "\(failure)"])
        }
    }

    /// The tools of a server, or why there are none to be had in time.
    private static func list(_ upstream: Upstream) async -> ([JSON]?, String?) {
        await withTaskGroup(of: ([JSON]?, String?).self) { group in
            group.addTask {
                do { return (try await upstream.tools(), nil) } catch { return (nil, (error as? UpstreamFailure)?.reason ?? "\(error)") }
            }
            group.addTask {
                try? await Task.sleep(for: longestListing)
                return (nil, "it took more than \(longestListing.components.seconds) s to list its tools")
            }
            let first = await group.next() ?? (nil, nil)
            group.cancelAll()
            return first
        }
    }

    private func rebuild(_ tenant: TenantID, _ state: inout State) {
        let parts = state.entries.values.filter { $0.upstream.server.tenant == tenant }.map {
            RouteTable.Part(upstream: $0.upstream, tools: $0.tools)
        }
        state.tableCount += 1
        state.tables[tenant] = RouteTable(parts, answers: answers, originKey: originKey, mark: String(state.tableCount, radix: 36))
    }

    private var emptyTable: RouteTable { RouteTable([], answers: answers, originKey: originKey, mark: "0") }

    /// Asks for stale lists anew and ends idle conversations, until shutdown; then ends them all.
    package func run() async throws {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    while !Task.isCancelled {
                        do { try await Task.sleep(for: Self.sweepInterval) } catch { return }
                        for upstream in self.upstreams { await upstream.closeIdle() }
                    }
                }
                for await server in due { group.addTask { await self.refresh(server)?.wait() } }
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

    private var upstreams: [Upstream] { state.withLock { $0.entries.values.map(\.upstream) } }
}
