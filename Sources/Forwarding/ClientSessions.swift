package import Gateway
import Identity
import MCP
import ServiceLifecycle
import Synchronization

/// Where sessions are kept beyond this process: live, the database.
package struct ClientSessionStore: Sendable {
    package var save: @Sendable ([ClientSessionRecord]) async throws -> Void
    package var delete: @Sendable ([String]) async throws -> Void

    package init(
        save: @escaping @Sendable ([ClientSessionRecord]) async throws -> Void,
        delete: @escaping @Sendable ([String]) async throws -> Void
    ) {
        self.save = save
        self.delete = delete
    }
}

/// The sessions of clients of the handshake era, on all endpoints.
///
/// Each is good for its user on its endpoint, and for nobody else: to anybody else it does not exist (L-3). One that an API key opened is
/// that key's alone. Bounded: a user who opens too many loses the one not used for longest, so nobody can keep others out; beyond
/// `most` nobody gets a new one.
package final class ClientSessions: Service {
    package static let most = 10_000
    package static let mostPerUser = 200
    /// A session nobody used for so long is over.
    package static let keptIdle = Duration.seconds(24 * 3600)

    private struct State {
        var sessions: [String: ClientSession] = [:]
        /// Kept from before the start, and not used since.
        var dormant: [String: ClientSessionRecord] = [:]
    }

    private let store: ClientSessionStore
    private let changes: Changes
    private let now: @Sendable () -> Timestamp
    private let sweepInterval: Duration
    private let state = Mutex(State())

    /// - Parameter kept: the sessions from before the start.
    package init(
        store: ClientSessionStore, kept: [ClientSessionRecord], changes: Changes, sweepInterval: Duration = .seconds(60),
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.store = store
        self.changes = changes
        self.now = now
        self.sweepInterval = sweepInterval
        let limit = now().advanced(by: .zero - Self.keptIdle)
        let fresh = kept.filter { $0.usedAt > limit }
        state.withLock { $0.dormant = Dictionary(fresh.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first }) }
    }

    package var count: Int { state.withLock { $0.sessions.count + $0.dormant.count } }

    /// The principal's session of that id on that endpoint.
    func find(_ id: String, of principal: Principal, at endpoint: Resource) -> ClientSession? {
        let session = state.withLock { state -> ClientSession? in
            if let session = state.sessions[id] { return session }
            guard let record = state.dormant[id], record.isGood(for: principal) else { return nil }
            state.dormant[id] = nil
            let session = ClientSession(record, principal: principal, only: endpoint.alias, isRestored: true)
            state.sessions[id] = session
            return session
        }
        guard let session, session.record.isGood(for: principal), session.endpoint == endpoint.path else { return nil }
        session.touch(at: now())
        return session
    }

    /// Opens a session; when this returns it is kept.
    func open(_ incoming: Incoming, of principal: Principal, at endpoint: Resource) async throws(Refusal) -> ClientSession {
        let moment = now()
        let record = ClientSessionRecord(
            id: RequestID.random().description + RequestID.random().description, user: principal.user, key: principal.key,
            tenant: principal.tenant, endpoint: endpoint.path, revision: incoming.revision.rawValue,
            capabilities: (incoming.params?["capabilities"].flatMap { $0.isObject && $0.bytes.count <= 4096 ? $0.text.description : nil }) ?? "{}",
            client: (incoming.client ?? "").cut(200), createdAt: moment, usedAt: moment)
        let session = ClientSession(record, principal: principal, only: endpoint.alias)
        let displaced = try state.withLock { state throws(Refusal) -> (ClientSession?, String?) in
            let own = state.sessions.values.filter { $0.user == principal.user }
            let sleeping = state.dormant.values.filter { $0.user == principal.user }
            var displaced: (ClientSession?, String?) = (nil, nil)
            if own.count + sleeping.count >= Self.mostPerUser {
                if let oldest = sleeping.min(by: { $0.usedAt < $1.usedAt }) {
                    state.dormant[oldest.id] = nil
                    displaced = (nil, oldest.id)
                } else if let oldest = own.filter({ !$0.isBusy }).min(by: { $0.record.usedAt < $1.record.usedAt }) ?? own.first {
                    state.sessions[oldest.id] = nil
                    displaced = (oldest, oldest.id)
                }
            }
            guard state.sessions.count + state.dormant.count < Self.most else {
                throw .overloaded("The gateway has \(Self.most) sessions, and none to spare; try again later.")
            }
            state.sessions[session.id] = session
            return displaced
        }
        displaced.0?.end()
        do {
            if let id = displaced.1 { try await store.delete([id]) }
            try await store.save([record])
        } catch {
            _ = state.withLock { $0.sessions.removeValue(forKey: session.id) }
            throw .overloaded("The gateway cannot keep sessions at the moment; try again.")
        }
        return session
    }

    /// Changes what is kept of a session; when this returns, the change is kept.
    func change(_ session: ClientSession, _ body: (inout ClientSessionRecord) -> Void) async throws(Refusal) {
        let record = session.change(body)
        session.listener.change { $0.resources = record.subscriptions }
        do { try await store.save([record]) } catch { throw .overloaded("The gateway cannot keep sessions at the moment; try again.") }
    }

    /// Its client is done with it.
    func end(_ session: ClientSession) async {
        _ = state.withLock { $0.sessions.removeValue(forKey: session.id) }
        changes.remove(session.listener)
        session.end()
        try? await store.delete([session.id])
    }

    /// Ends the calls and streams of whom the closure names. The sessions go on when their users are let in again.
    package func hush(_ isOver: (Principal) -> Bool) {
        let over = state.withLock { state in
            let over = state.sessions.values.filter { isOver($0.listener.principal) }
            for session in over {
                state.sessions[session.id] = nil
                state.dormant[session.id] = session.record
            }
            return over
        }
        for session in over {
            changes.remove(session.listener)
            session.end()
        }
    }

    /// Lets go of what was idle for too long, and keeps when the others were last used.
    package func sweep() async {
        let limit = now().advanced(by: .zero - Self.keptIdle)
        let (idle, ids, changed) = state.withLock { state in
            let idle = state.sessions.values.filter { !$0.isBusy && $0.record.usedAt < limit }
            let dormant = state.dormant.values.filter { $0.usedAt < limit }.map(\.id)
            for session in idle { state.sessions[session.id] = nil }
            for id in dormant { state.dormant[id] = nil }
            return (idle, idle.map(\.id) + dormant, state.sessions.values.compactMap { $0.takeChanged() })
        }
        for session in idle {
            changes.remove(session.listener)
            session.end()
        }
        do {
            if !changed.isEmpty { try await store.save(changed) }
            if !ids.isEmpty { try await store.delete(ids) }
        } catch {
            // They are found over again after a restart, and are too old then.
        }
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do { try await Task.sleep(for: self.sweepInterval) } catch { return }
                await self.sweep()
            }
        }
        await sweep()
    }
}

extension Resource {
    /// The only server of an endpoint; nil for the endpoint of all.
    var alias: ServerAlias? { if case .server(let alias) = self { alias } else { nil } }
}
