package import Gateway
import Pacing
import Synchronization

/// Lets calls through to the servers: so many at once to each server, so many at once of each user.
///
/// A call that finds its server full waits in a fair queue (`FairQueue`) until a place is free, and no longer than `longestWait`.
/// What is not in use costs nothing: a server with no call under way, and a user with none, are forgotten.
package final class CallGate: Sendable {
    private let state: Mutex<State>
    private let tickets = Atomic<UInt64>(0)
    private let now: @Sendable () -> BootInstant

    /// - Parameters:
    ///   - perServer: calls under way to one server; 0 for any number.
    ///   - perUser: calls of one user under way or waiting, to all servers; 0 for any number.
    ///   - capacity: calls that may wait for one server, at least 1.
    ///   - longestWait: how long one of them waits at most; with none, nobody waits.
    ///   - now: the clock that `enter` is told the time of.
    package init(perServer: Int, perUser: Int, capacity: Int, longestWait: Duration, now: @escaping @Sendable () -> BootInstant) {
        self.now = now
        state = Mutex(State(perServer: perServer, perUser: perUser, capacity: capacity, longestWait: longestWait))
    }

    deinit {
        state.withLock { $0.alarm?.cancel() }
    }

    /// Refuses a call that `enter` would refuse for its user now: so that it need not be paid for first.
    ///
    /// - Throws: `.throttled` with `inFlight`.
    package func checkRoom(for principal: Principal) throws(Refusal) {
        try state.withLock { state throws(Refusal) in try state.checkRoom(for: principal) }
    }

    /// Comes back with a place among the server's calls under way: at once if there is one, which suspends nobody.
    ///
    /// - Parameters:
    ///   - alias: the server's name, for refusals.
    ///   - weight: of the principal's tenant, 1 to 1000.
    /// - Throws: `.throttled` with `inFlight` if the user has as many calls as they may have; with `queue` if the call may
    ///   not wait, gave way to somebody who has fewer waiting, or has waited long enough; `.overloaded` if the
    ///   task was cancelled as it waited.
    package func enter(_ server: ServerID, named alias: String, _ principal: Principal, weight: Int, at now: BootInstant) async throws(Refusal)
        -> Pass
    {
        if try state.withLock({ state throws(Refusal) in try state.admit(to: server, principal) }) {
            return Pass(Place(server: server, user: principal.user, since: now), of: self)
        }
        let call = Call(
            ticket: FairQueue.Ticket(tickets.add(1, ordering: .relaxed).newValue), server: server, alias: alias, principal: principal,
            weight: weight, came: now)
        return try await wait(with: call).get()
    }

    private func wait(with call: Call) async -> Result<Pass, Refusal> {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                settle(
                    state.withLock { state in
                        // Seen under the lock: cancelled before it, this says so; after it, `onCancel` finds the call.
                        guard !Task.isCancelled else { return [Settlement(continuation, .failure(Self.gone))] }
                        return state.enqueue(call, continuation)
                    })
                watch()
            }
        } onCancel: {
            settle(state.withLock { $0.dismiss(call.ticket, from: call.server, Self.gone) })
        }
    }

    private static let gone = Refusal.overloaded("The caller went away.")

    fileprivate func leave(_ place: Place) {
        let now = now()
        settle(state.withLock { $0.leave(place, at: now) })
    }

    /// Outside the lock: a pass that nobody wants any more comes back through it.
    private func settle(_ settlements: [Settlement]) {
        for settlement in settlements {
            settlement.continuation.resume(returning: settlement.outcome.map { Pass($0, of: self) })
        }
    }

    // MARK: Deadlines

    /// Sees to it that a task sleeps until the first deadline. There is one at most; it ends when nobody waits, or with the gate.
    private func watch() {
        state.withLock { state in
            guard state.alarm == nil, !state.queues.isEmpty else { return }
            state.alarm = Task { [weak self] in
                while let wait = self?.dismissExpired() {
                    try? await Task.sleep(for: wait)
                }
            }
        }
    }

    /// Refuses whoever has waited long enough; says how long until the next one has, nil if nobody waits.
    func dismissExpired() -> Duration? {
        let now = now()
        let (settlements, next) = state.withLock { state in
            let settlements = state.dismissExpired(at: now)
            let next = state.queues.values.compactMap(\.line.earliestDeadline).min()
            if next == nil { state.alarm = nil }
            return (settlements, next)
        }
        settle(settlements)
        return next.map { .nanoseconds($0.nanoseconds - now.nanoseconds) }
    }

    // MARK: Figures

    package struct Figures: Hashable, Sendable {
        /// Of servers with a call under way; counted since they last had none.
        package struct Server: Hashable, Sendable {
            package var inFlight = 0
            package var waiting = 0
            /// Calls that found the queue full, gave way, or waited in vain.
            package var refused = 0
            package var longestWait: Duration = .zero
        }

        package var servers: [ServerID: Server] = [:]
        /// Users with a call under way or waiting; 0 if they have no bound.
        package var users = 0
        /// By a server's queue, and by the bound on a user; since the start.
        package var refusedByQueue = 0
        package var refusedByUser = 0
        package var longestWait: Duration = .zero
    }

    package func figures() -> Figures { state.withLock { $0.figures } }
}

extension CallGate {
    /// One call under way. Its place is free again when it leaves, or when nobody holds it any more.
    package final class Pass: Sendable {
        private let place: Place
        private let gate: CallGate
        private let isHeld = Atomic<Bool>(true)

        fileprivate init(_ place: Place, of gate: CallGate) {
            self.place = place
            self.gate = gate
        }

        deinit { leave() }

        /// From any thread, any number of times; one place becomes free.
        package func leave() {
            guard isHeld.exchange(false, ordering: .relaxed) else { return }
            gate.leave(place)
        }
    }

    private struct Call: Sendable {
        let ticket: FairQueue.Ticket
        let server: ServerID
        let alias: String
        let principal: Principal
        let weight: Int
        let came: BootInstant
    }

    /// Among the calls under way to a server. In a `Pass`, or on the way into one.
    fileprivate struct Place: Sendable {
        let server: ServerID
        let user: UserID
        let since: BootInstant
    }

    private typealias Waiting = CheckedContinuation<Result<Pass, Refusal>, Never>

    /// Somebody who waits no longer, and how it ended.
    private struct Settlement {
        let continuation: Waiting
        let outcome: Result<Place, Refusal>

        init(_ continuation: Waiting, _ outcome: Result<Place, Refusal>) {
            self.continuation = continuation
            self.outcome = outcome
        }
    }

    /// A server with a call under way.
    private struct Door {
        var inFlight = 0
        var refused = 0
        var longestWait: Duration = .zero
        /// How long a call is under way, as an exponentially weighted mean; nil before the first has ended.
        var held: Duration?

        mutating func leave(after last: Duration) {
            inFlight -= 1
            held = held.map { $0 + (last - $0) / 8 } ?? last
        }

        mutating func record(wait: Duration) { longestWait = max(longestWait, wait) }
    }

    /// The calls that wait for a server. There is one only while all its places are taken.
    private struct Queue {
        var line: FairQueue
        var calls: [FairQueue.Ticket: (call: Call, continuation: Waiting)] = [:]
    }
}

extension CallGate {
    private struct State {
        let perServer: Int
        let perUser: Int
        let capacity: Int
        let longestWait: Duration
        var doors: [ServerID: Door] = [:]
        var queues: [ServerID: Queue] = [:]
        /// Calls under way or waiting.
        var users: [UserID: Int] = [:]
        var alarm: Task<Void, Never>?
        var totals = Figures()

        init(perServer: Int, perUser: Int, capacity: Int, longestWait: Duration) {
            self.perServer = perServer
            self.perUser = perUser
            self.capacity = capacity
            self.longestWait = longestWait
        }

        var figures: Figures {
            var figures = totals
            figures.users = users.count
            figures.servers = doors.mapValues { Figures.Server(inFlight: $0.inFlight, refused: $0.refused, longestWait: $0.longestWait) }
            for (server, queue) in queues { figures.servers[server]?.waiting = queue.line.count }
            return figures
        }

        mutating func checkRoom(for principal: Principal) throws(Refusal) {
            guard perUser > 0, users[principal.user, default: 0] >= perUser else { return }
            totals.refusedByUser += 1
            throw .throttled(Throttle(.inFlight, of: principal.name, retryAfter: .seconds(1)))
        }

        /// Takes a place; false if the call has to wait for one.
        mutating func admit(to server: ServerID, _ principal: Principal) throws(Refusal) -> Bool {
            try checkRoom(for: principal)
            // What becomes free goes to whoever waits, so a free place means that nobody does.
            guard perServer == 0 || doors[server, default: Door()].inFlight < perServer else { return false }
            doors[server, default: Door()].inFlight += 1
            count(principal.user)
            return true
        }

        /// Lets a call wait that found no place, unless there is one by now.
        mutating func enqueue(_ call: Call, _ continuation: Waiting) -> [Settlement] {
            do throws(Refusal) {
                if try admit(to: call.server, call.principal) {
                    return [Settlement(continuation, .success(Place(server: call.server, user: call.principal.user, since: call.came)))]
                }
            } catch {
                return [Settlement(continuation, .failure(error))]
            }
            var settlements = dismissExpired(from: call.server, at: call.came)
            count(call.principal.user)
            var queue = queues.removeValue(forKey: call.server) ?? emptyQueue
            let caller = FairQueue.Caller(call.principal.user, of: call.principal.tenant, weight: call.weight)
            let arrival = queue.line.add(
                call.ticket, of: caller, until: call.came.advanced(by: longestWait), at: call.came, pace: pace(of: call.server))
            queue.calls[call.ticket] = (call, continuation)
            queues[call.server] = queue
            switch arrival {
            case .waits(nil): break
            case .waits(let displaced?): settlements += refuse(displaced, from: call.server, at: call.came)
            case .refused(let obstacle): settlements += refuse(call.ticket, from: call.server, obstacle, at: call.came)
            }
            return settlements
        }

        /// Frees a place, and gives it to whoever is next.
        mutating func leave(_ place: Place, at now: BootInstant) -> [Settlement] {
            discount(place.user)
            doors[place.server]?.leave(after: .nanoseconds(max(0, now.nanoseconds - place.since.nanoseconds)))
            let settlements = queues.isEmpty ? [] : admitNext(to: place.server, at: now)
            if doors[place.server]?.inFlight == 0 { doors[place.server] = nil }
            return settlements
        }

        private mutating func admitNext(to server: ServerID, at now: BootInstant) -> [Settlement] {
            guard let turn = queues[server]?.line.next(at: now) else { return [] }
            var settlements = turn.expired.flatMap { refuse($0, from: server, at: now) }
            if let next = turn.next, let (call, continuation) = take(next, from: server, at: now) {
                doors[server]?.inFlight += 1
                settlements.append(Settlement(continuation, .success(Place(server: server, user: call.principal.user, since: now))))
            }
            return settlements
        }

        /// Refuses a call that waits; nothing if it does not.
        mutating func dismiss(_ ticket: FairQueue.Ticket, from server: ServerID, _ refusal: Refusal) -> [Settlement] {
            queues[server]?.line.remove(ticket)
            guard let (call, continuation) = take(ticket, from: server, at: nil) else { return [] }
            discount(call.principal.user)
            return [Settlement(continuation, .failure(refusal))]
        }

        mutating func dismissExpired(at now: BootInstant) -> [Settlement] {
            Array(queues.keys).flatMap { dismissExpired(from: $0, at: now) }
        }

        private mutating func dismissExpired(from server: ServerID, at now: BootInstant) -> [Settlement] {
            let expired = queues[server]?.line.expire(at: now) ?? []
            return expired.flatMap { refuse($0, from: server, at: now) }
        }

        private var emptyQueue: Queue { Queue(line: FairQueue(capacity: capacity, perUser: perUser > 0 ? perUser : capacity)) }

        /// The time from one call's end to the next, with all places taken; zero if it is not known yet.
        private func pace(of server: ServerID) -> Duration { (doors[server]?.held ?? .zero) / max(1, perServer) }

        /// Refuses a call that the queue holds no longer.
        private mutating func refuse(
            _ ticket: FairQueue.Ticket, from server: ServerID, _ obstacle: FairQueue.Obstacle = .full, at now: BootInstant
        ) -> [Settlement] {
            // What waits, and whoever is refused, would take so long.
            var wait = pace(of: server) * ((queues[server]?.line.count ?? 0) + 1)
            if case .late(let expected) = obstacle { wait = max(expected, pace(of: server)) }
            guard let (call, continuation) = take(ticket, from: server, at: now) else { return [] }
            discount(call.principal.user)
            doors[server]?.refused += 1
            totals.refusedByQueue += 1
            return [Settlement(continuation, .failure(.throttled(Throttle(.queue, of: call.alias, retryAfter: max(.seconds(1), wait)))))]
        }

        /// Ends a call's wait, and the queue with the last one. The wait counts if it came to its end.
        private mutating func take(
            _ ticket: FairQueue.Ticket, from server: ServerID, at end: BootInstant?
        ) -> (call: Call, continuation: Waiting)? {
            guard let taken = queues[server]?.calls.removeValue(forKey: ticket) else { return nil }
            if queues[server]?.calls.isEmpty == true { queues[server] = nil }
            if let end {
                let wait = Duration.nanoseconds(max(0, end.nanoseconds - taken.call.came.nanoseconds))
                doors[server]?.record(wait: wait)
                totals.longestWait = max(totals.longestWait, wait)
            }
            return taken
        }

        private mutating func count(_ user: UserID) {
            if perUser > 0 { users[user, default: 0] += 1 }
        }

        private mutating func discount(_ user: UserID) {
            guard let calls = users[user] else { return }
            users[user] = calls > 1 ? calls - 1 : nil
        }
    }
}
