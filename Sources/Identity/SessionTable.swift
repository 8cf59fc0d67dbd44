package import Gateway
import ServiceLifecycle
import Synchronization

/// Sessions with something happening in them, in memory: noted with every request, written behind.
///
/// Bounded: `capacity` sessions of ten activities; beyond that the longest idle ones are written and forgotten, and taken
/// up again as they are when they come back.
package final class SessionTable: Service {
    private struct State {
        var sessions: [SessionID: Session] = [:]
        var changed: Set<SessionID> = []
        /// When each user who has a seat last asked.
        var seats: [UserID: Timestamp] = [:]
    }

    package static let capacity = 10_000
    static let mostActivities = 10
    private static let writeInterval = Duration.seconds(5)

    private let timeout: Duration
    private let sweepInterval: Duration
    private let keepsActivities: Bool
    private let write: @Sendable ([Session]) async throws -> Void
    private let now: @Sendable () -> Timestamp
    private let state = Mutex(State())

    /// - Parameters:
    ///   - timeout: how long a session without a request stays active.
    ///   - write: stores sessions; their counters are what came since they were written last, and a revoked one stays as it is.
    package init(
        timeout: Duration, sweepInterval: Duration, keepsActivities: Bool, now: @escaping @Sendable () -> Timestamp,
        write: @escaping @Sendable ([Session]) async throws -> Void
    ) {
        self.timeout = timeout
        self.sweepInterval = sweepInterval
        self.keepsActivities = keepsActivities
        self.now = now
        self.write = write
    }

    /// Finds a user a seat, who keeps it for as long as their sessions count as active.
    ///
    /// - Parameter most: how many there are.
    /// - Returns: nil with a seat; else how long until the next one may be free.
    package func seat(_ user: UserID, of most: Int, at moment: Timestamp) -> Duration? {
        let limit = moment.advanced(by: .zero - timeout)
        return state.withLock { state in
            if state.seats[user] == nil, state.seats.count >= most {
                state.seats = state.seats.filter { $0.value >= limit && $0.value <= moment }
                if state.seats.count >= most, let first = state.seats.values.min() {
                    return .microseconds(max(1, first.microseconds - limit.microseconds))
                }
            }
            state.seats[user] = moment
            return nil
        }
    }

    /// Notes a request.
    package func note(_ principal: Principal, client: String?, era: String, action: String, target: String, isError: Bool, at moment: Timestamp) {
        guard principal.session != .none else { return }
        state.withLock { state in
            if state.sessions[principal.session] == nil, state.sessions.count >= Self.capacity { Self.makeRoom(&state) }
            // Changed where it lies: this is done for every request.
            let activity = keepsActivities ? Session.Activity(at: moment, action: action.cut(64), target: target.cut(64)) : nil
            state.sessions[
                principal.session,
                default: Session(
                    id: principal.session, user: principal.user, tenant: principal.tenant, startedAt: moment, lastActivity: moment, client: "",
                    era: era, requests: 0, errors: 0, isActive: true, activities: [])
            ].note(activity, client: client, era: era, isError: isError, at: moment)
            state.changed.insert(principal.session)
        }
    }

    /// Forgets a quarter of those that are written: the longest idle.
    private static func makeRoom(_ state: inout State) {
        let idle = state.sessions.values.filter { !state.changed.contains($0.id) }.sorted { $0.lastActivity < $1.lastActivity }
        for session in idle.prefix(capacity / 4) { state.sessions[session.id] = nil }
        // All of them changed since the last write: one goes unwritten rather than the table growing.
        if idle.isEmpty, let oldest = state.sessions.values.min(by: { $0.lastActivity < $1.lastActivity }) {
            state.sessions[oldest.id] = nil
            state.changed.remove(oldest.id)
        }
    }

    /// Users with a request within the timeout.
    package var activeUsers: Int {
        let limit = now().advanced(by: .zero - timeout)
        return state.withLock { state in Set(state.sessions.values.lazy.filter { $0.lastActivity >= limit }.map(\.user)).count }
    }

    /// Forgets a session that was ended elsewhere.
    package func forget(_ id: SessionID) {
        state.withLock { state in
            state.sessions[id] = nil
            state.changed.remove(id)
        }
    }

    package func forget(_ user: UserID) {
        state.withLock { state in
            for id in state.sessions.values.filter({ $0.user == user }).map(\.id) {
                state.sessions[id] = nil
                state.changed.remove(id)
            }
        }
    }

    /// Writes what has changed since the last time.
    package func flush() async throws {
        let changed = state.withLock { state -> [Session] in
            let changed = state.changed.compactMap { state.sessions[$0] }
            // What is handed on is not counted again.
            for session in changed {
                state.sessions[session.id]?.requests = 0
                state.sessions[session.id]?.errors = 0
            }
            state.changed = []
            return changed
        }
        guard !changed.isEmpty else { return }
        do {
            try await write(changed)
        } catch {
            state.withLock { state in
                for session in changed where state.sessions[session.id] != nil {
                    state.sessions[session.id]?.requests += session.requests
                    state.sessions[session.id]?.errors += session.errors
                    state.changed.insert(session.id)
                }
            }
            throw error
        }
    }

    /// Ends the sessions that nothing happened in for the timeout.
    package func sweep() async throws {
        let limit = now().advanced(by: .zero - timeout)
        state.withLock { state in
            for (id, session) in state.sessions where session.lastActivity < limit && session.isActive {
                state.sessions[id]?.isActive = false
                state.changed.insert(id)
            }
        }
        try await flush()
        state.withLock { state in
            state.sessions = state.sessions.filter { $0.value.isActive || state.changed.contains($0.key) }
        }
    }

    /// Writes behind until shutdown, and then once more.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var sweptAt = ContinuousClock.now
            while (try? await Task.sleep(for: Self.writeInterval)) != nil {
                // What cannot be written now is tried again the next time; the audit log says that the disk is full.
                if ContinuousClock.now - sweptAt >= self.sweepInterval {
                    sweptAt = .now
                    try? await self.sweep()
                } else {
                    try? await self.flush()
                }
            }
        }
        try? await Task { try await self.flush() }.value
    }
}

extension Session {
    fileprivate mutating func note(_ activity: Activity?, client: String?, era: String, isError: Bool, at moment: Timestamp) {
        lastActivity = max(lastActivity, moment)
        isActive = true
        self.era = era
        if let client, !client.isEmpty, client != self.client { self.client = client.cut(128).withoutControls.cut(128) }
        requests += 1
        if isError { errors += 1 }
        guard let activity else { return }
        if activities.count == SessionTable.mostActivities { activities.removeLast() }
        activities.insert(activity, at: 0)
    }
}
