package import Access
package import Gateway
package import Logging
package import MCP
import NIOCore
import Synchronization

/// What the conversations with all servers share.
package struct UpstreamSurroundings: Sendable {
    let client: Implementation
    let connections: HTTPConnections
    let keeper: ProcessKeeper
    let environment: [String: String]
    let credentials: Credentials
    let logger: Logger

    /// - Parameter environment: the gateway's own; a child sees only the few names in `StdioProcess.inherited`.
    package init(
        client: Implementation, connections: HTTPConnections, keeper: ProcessKeeper, environment: [String: String], credentials: Credentials = .none,
        logger: Logger
    ) {
        self.client = client
        self.connections = connections
        self.keeper = keeper
        self.environment = environment
        self.credentials = credentials
        self.logger = logger
    }
}

/// A registered MCP server as something that can be asked.
///
/// Each user has a conversation of their own with it, so that a server's session or process never mixes two users;
/// only a stdio server that the operator marked as shared is one for all.
package final class Upstream: Sendable {
    private enum Owner: Hashable {
        case gateway
        case user(UserID)
    }

    private struct Held {
        let link: Link
        var usedAt: NIODeadline
    }

    package let server: ServerRecord
    private let surroundings: UpstreamSurroundings
    private let verdict: EraVerdict
    private struct Links {
        var byOwner: [Owner: Held] = [:]
        /// Pushed out by newer ones; closed when they count as idle, so that calls under way may end.
        var displaced: [Held] = []
        var isClosed = false
    }

    private let links = Mutex(Links())
    private static let mostLinks = 1024
    /// Longer than any call, so that no call under way counts as idle.
    private static let keptIdle = TimeAmount.minutes(15)
    private static let mostPages = 100
    private static let mostTools = 2000
    private static let mostToolBytes = 8 << 20

    package init(_ server: ServerRecord, surroundings: UpstreamSurroundings) {
        self.server = server
        self.surroundings = surroundings
        verdict = EraVerdict(server.era)
    }

    /// The revision it was found to speak; nil before it was first asked.
    package var revision: Revision? { verdict.revision ?? (verdict.era == .modern ? ModernRequest.revision : nil) }

    /// All its tools, over all pages, as it wrote them.
    ///
    /// Where each user is somebody else to the server, they are listed as one user sees them, in that user's conversation.
    package func tools() async throws -> [JSON] {
        let lister = server.credential.isPersonal ? try await surroundings.credentials.lister(server) : nil
        let owner = lister.map { Owner.user($0) } ?? .gateway
        var tools: [JSON] = []
        var bytes = 0
        var cursor: JSONText?
        var seen: Set<JSONText> = []
        for _ in 0..<Self.mostPages {
            let page = try await request("tools/list", params: [("cursor", cursor)], owner: owner)
            guard let listed = page["tools"], listed.kind == .array else { throw UpstreamFailure.garbled("its list of tools is none") }
            tools += listed.elements
            bytes += listed.bytes.count
            guard bytes <= Self.mostToolBytes else {
                throw UpstreamFailure.garbled("its list of tools is larger than \(Self.mostToolBytes >> 20) MiB")
            }
            guard let next = page["nextCursor"], next.kind == .string, tools.count < Self.mostTools, seen.insert(next.text).inserted else { break }
            cursor = next.text
        }
        return Array(tools.prefix(Self.mostTools))
    }

    /// Starts a request on a caller's behalf. Whatever comes of it is read from what this returns.
    ///
    /// - Parameter grant: policy's permission to make it.
    package func ask(_ request: Outgoing, by grant: Grant) async throws -> UpstreamCall {
        let link = try link(for: owner(grant.principal))
        let call = UpstreamCall(link: link, client: surroundings.client, request: request)
        try await call.start()
        return call
    }

    /// Ends all conversations; there will be no others.
    package func close() async {
        let all = links.withLock { links in
            defer { links = Links(isClosed: true) }
            return links.byOwner.values.map(\.link) + links.displaced.map(\.link)
        }
        await Self.close(all)
    }

    /// Ends the conversations nobody used for a quarter of an hour.
    package func closeIdle() async {
        let cutoff = NIODeadline.now() - Self.keptIdle
        let idle = links.withLock { links in
            let idle = links.byOwner.filter { $0.value.usedAt < cutoff }
            for owner in idle.keys { links.byOwner[owner] = nil }
            let displaced = links.displaced.filter { $0.usedAt < cutoff }
            links.displaced.removeAll { $0.usedAt < cutoff }
            return idle.values.map(\.link) + displaced.map(\.link)
        }
        await Self.close(idle)
    }

    /// Ends a user's conversation: the next one shows another credential, or none.
    package func endConversation(of user: UserID) async {
        let link = links.withLock { $0.byOwner.removeValue(forKey: .user(user))?.link }
        await link?.close()
    }

    /// All at once: each takes no longer than a farewell.
    private static func close(_ links: [Link]) async {
        await withDiscardingTaskGroup { group in
            for link in links { group.addTask { await link.close() } }
        }
    }

    private func owner(_ principal: Principal) -> Owner {
        if case .stdio(let command) = server.transport, command.isShared { return .gateway }
        return .user(principal.user)
    }

    private func link(for owner: Owner) throws(UpstreamFailure) -> Link {
        let link = links.withLock { links -> Link? in
            if links.isClosed { return nil }
            if links.byOwner[owner] == nil, links.byOwner.count >= Self.mostLinks,
                let oldest = links.byOwner.min(by: { $0.value.usedAt < $1.value.usedAt })
            {
                links.byOwner[oldest.key] = nil
                links.displaced.append(oldest.value)
            }
            let link = links.byOwner[owner]?.link ?? makeLink(for: owner)
            links.byOwner[owner] = Held(link: link, usedAt: .now())
            return link
        }
        guard let link else { throw .unreachable("it was changed or removed a moment ago") }
        return link
    }

    private func makeLink(for owner: Owner) -> Link {
        let surroundings = surroundings
        switch server.transport {
        case .http(let text):
            let credential = credential(for: owner)
            return Link(client: surroundings.client, verdict: verdict, credential: credential) { () throws(UpstreamFailure) in
                guard let endpoint = Endpoint(text) else { throw .unreachable("its URL is not usable") }
                return StreamableHTTP(endpoint: endpoint, connections: surroundings.connections, credential: credential)
            }
        case .stdio(let command):
            let restarts = Restarts()
            return Link(client: surroundings.client, verdict: verdict) { () throws(UpstreamFailure) in
                try restarts.admit()
                let process = StdioProcess(
                    command, environment: surroundings.environment, loop: surroundings.connections.loop, logger: surroundings.logger
                ) { restarts.ended() }
                try surroundings.keeper.keep(process)
                return process
            }
        }
    }

    private func credential(for owner: Owner) -> OwnCredential? {
        guard server.credential != .none else { return nil }
        let user: UserID? = if case .user(let user) = owner, server.credential.isPersonal { user } else { nil }
        return OwnCredential(server: server, user: user, credentials: surroundings.credentials)
    }

    private func request(_ method: String, params: [(String, JSONText?)], owner: Owner) async throws -> JSON {
        let link = try link(for: owner)
        var (mayReopen, mayRenew) = (true, true)
        while true {
            let opened = try await link.open()
            let exchange = opened.transport.exchange(patience: .handshake)
            let meta = opened.revision.era == .modern ? JSONText.object(ModernRequest.envelope(client: surroundings.client)) : nil
            let body = Message.request(id: MessageID(exchange.id), method: method, params: .object(params + [("_meta", meta)]))
            do {
                try await opened.transport.send(
                    Outbound(body: body, headers: opened.headers(method: method, name: nil)), on: exchange, onSession: nil)
                switch try await exchange.response(answering: { await opened.answer($0, $1) }) {
                case .success(let result): return result
                case .failure(let error): throw UpstreamFailure.rejected(status: 200, error: error)
                }
            } catch UpstreamFailure.turnedAway(let why) {
                try await link.turnedAway(why)
                guard mayRenew else { throw UpstreamFailure.turnedAway(why) }
                mayRenew = false
            } catch let failure as UpstreamFailure where mayReopen && failure.isWorthReopening {
                // A list changes nothing, so it may be asked twice: of a server that forgot us, or learned a new era.
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
        case .rejected(200, _), .abandoned, .signedOut, .unreachable, .turnedAway, .credential: false
        default: true
        }
    }

    /// 404 to a request with a session: the server no longer knows it (L-3).
    var isLostSession: Bool {
        if case .rejected(404, _) = self { true } else { false }
    }
}
