package import Gateway
import Pacing
import Synchronization

/// One endpoint of a server. What is known of it is shared by all conversations with it.
final class Replica: Sendable {
    /// Its place among the server's endpoints; the first is 0.
    let number: Int
    let endpoint: Endpoint
    let weight: Int
    private let now: @Sendable () -> Moment
    private let health: Mutex<EndpointHealth>

    init(number: Int, endpoint: Endpoint, weight: Int, now: @escaping @Sendable () -> Moment) {
        self.number = number
        self.endpoint = endpoint
        self.weight = weight
        self.now = now
        health = Mutex(EndpointHealth(at: now().boot, chance: .random(in: 0..<1)))
    }

    // MARK: Asking it

    /// Leave to ask it, given back with `leave`.
    ///
    /// - Throws: `resting` while its breaker is open.
    func enter() throws(UpstreamFailure) -> CircuitBreaker.Pass {
        let moment = now().boot
        let (pass, last) = health.withLock { ($0.begin(at: moment), $0.lastFault?.fault) }
        if let pass { return pass }
        throw Self.resting(last, waits ?? moment, at: moment)
    }

    func leave(_ pass: CircuitBreaker.Pass, _ outcome: EndpointHealth.Outcome) {
        let moment = now()
        health.withLock { $0.end(pass, outcome, at: moment, chance: .random(in: 0..<1)) }
    }

    /// That a conversation stays with it, until the seat is gone.
    func seat() -> Seat {
        health.withLock { $0.conversations += 1 }
        return Seat { self.health.withLock { $0.conversations -= 1 } }
    }

    final class Seat: Sendable {
        private let leave: @Sendable () -> Void
        init(_ leave: @escaping @Sendable () -> Void) { self.leave = leave }
        deinit { leave() }
    }

    // MARK: How it is doing

    var waits: BootInstant? {
        let moment = now().boot
        return health.withLock { $0.breaker.waits(at: moment) }
    }

    var isOpen: Bool { health.withLock { $0.breaker.isOpen } }
    var lastFault: EndpointHealth.Fault? { health.withLock { $0.lastFault?.fault } }

    var isProbeDue: Bool {
        let moment = now().boot
        return health.withLock { $0.isProbeDue(at: moment) }
    }

    var candidate: Balancer.Candidate {
        let moment = now().boot
        return health.withLock { health in
            Balancer.Candidate(
                name: endpoint.description, weight: weight, load: health.load, state: health.breaker.state(at: moment),
                waits: health.breaker.waits(at: moment))
        }
    }

    var condition: ReplicaCondition {
        let moment = now().boot
        return health.withLock { health in
            let state: ReplicaCondition.State =
                switch health.breaker.state(at: moment) {
                case .closed: .closed
                case .halfOpen: .halfOpen
                case .open: .open
                }
            return ReplicaCondition(
                endpoint: endpoint.description, weight: weight, state: state, faultsInRow: health.breaker.faultsInRow,
                lastFault: health.lastFault.map { (reason: $0.fault.reason, at: $0.at) }, openedAt: health.openedAt, underWay: health.underWay,
                conversations: health.conversations)
        }
    }

    static func resting(_ last: EndpointHealth.Fault?, _ until: BootInstant, at now: BootInstant) -> UpstreamFailure {
        let wait = Duration.nanoseconds(max(0, until.nanoseconds - now.nanoseconds))
        let why = last.map { " (\($0.reason))" } ?? ""
        return .resting("it keeps failing\(why), so its circuit is open; it is tried again in \(wait.roundedUpSeconds) s", retryAfter: wait)
    }
}

/// How one endpoint of a server is doing, for whoever looks at the registry.
package struct ReplicaCondition: Sendable {
    package enum State: String, Sendable {
        case closed, open
        case halfOpen = "half_open"
    }

    package let endpoint: String
    package let weight: Int
    package let state: State
    package let faultsInRow: Int
    package let lastFault: (reason: String, at: Timestamp)?
    package let openedAt: Timestamp?
    package let underWay: Int
    package let conversations: Int
}

extension [ReplicaCondition] {
    /// Why a server is not asked anywhere; nil if one of its endpoints is, or it has none.
    package var outage: String? {
        guard !isEmpty, allSatisfy({ $0.state != .closed }) else { return nil }
        let why = compactMap(\.lastFault).max { $0.at < $1.at }.map { " (\($0.reason))" } ?? ""
        return count == 1
            ? "it keeps failing\(why), so its circuit is open" : "all its \(count) endpoints keep failing\(why), so their circuits are open"
    }
}

/// The endpoints of one server, and whose turn it is.
final class Replicas: Sendable {
    let all: [Replica]
    private let balancer: Mutex<Balancer>
    private let now: @Sendable () -> Moment

    /// None for a server that is no URL.
    init(_ server: ServerRecord, now: @escaping @Sendable () -> Moment) {
        var places: [(Endpoint, Int)] = []
        if let first = server.transport.httpEndpoint {
            places = [(first, server.weight)] + server.replicas.compactMap { replica in Endpoint(replica.endpoint).map { ($0, replica.weight) } }
        }
        all = places.enumerated().map { Replica(number: $0, endpoint: $1.0, weight: $1.1, now: now) }
        balancer = Mutex(Balancer(server.strategy, of: all.count))
        self.now = now
    }

    /// - Parameters:
    ///   - user: whose work it is; nil for the gateway's own.
    ///   - avoided: by number; chosen only if there is no other.
    ///   - preferred: by number; chosen if it may be asked and is not avoided.
    /// - Throws: `resting` if all breakers are open.
    func choose(for user: UserID?, avoiding avoided: Set<Int> = [], preferring preferred: Int? = nil) throws(UpstreamFailure) -> Replica {
        guard !all.isEmpty else { throw .unreachable("its URL is not usable") }
        if let preferred, all.indices.contains(preferred), !avoided.contains(preferred), all[preferred].waits == nil { return all[preferred] }
        let candidates = all.map(\.candidate)
        let choice = balancer.withLock { balancer in
            var random = SystemRandomNumberGenerator()
            return balancer.choose(among: candidates, avoiding: avoided, for: user, using: &random)
        }
        switch choice {
        case .candidate(let number): return all[number]
        case .none(let until): throw Replica.resting(all.compactMap(\.lastFault).first, until, at: now().boot)
        }
    }

    /// Whether one that was not tried may be asked.
    func hasOther(than tried: Set<Int>) -> Bool { all.contains { !tried.contains($0.number) && $0.waits == nil } }
}

/// Where a conversation is held: with a handshake at one replica, else at whichever there is for each request.
struct Berth: Sendable {
    let replicas: Replicas
    let bound: Replica
    let user: UserID?
    let seat: Replica.Seat

    init(_ replicas: Replicas, for user: UserID?, avoiding avoided: Set<Int>) throws(UpstreamFailure) {
        self.replicas = replicas
        self.user = user
        bound = try replicas.choose(for: user, avoiding: avoided)
        seat = bound.seat()
    }

    func place(isStateless: Bool, avoiding avoided: Set<Int>, preferring preferred: Int?) throws(UpstreamFailure) -> Replica {
        guard isStateless, replicas.all.count > 1 else { return bound }
        return try replicas.choose(for: user, avoiding: avoided, preferring: preferred)
    }

    /// Whether the conversation is better held elsewhere.
    var isDown: Bool { bound.isOpen && replicas.hasOther(than: [bound.number]) }
}

extension HTTPConnections {
    /// Sends a request to a replica, and has its breaker hear what comes of it.
    ///
    /// - Parameter target: where exactly, if it is not the replica's own endpoint.
    /// - Throws: nothing was sent: `unreachable`, or `resting` while the breaker is open.
    func send(
        _ exchange: Exchange, _ request: HTTPConnection.Request, at replica: Replica, target: Endpoint? = nil, of user: UserID? = nil
    ) async throws(UpstreamFailure) {
        let pass = try replica.enter()
        exchange.watch(at: replica.number) { [weak self] failure in
            // That there are too many connections is nothing against the replica.
            let isFull = self?.isFull(replica.endpoint) ?? true
            replica.leave(pass, .init(failure, isListening: exchange.isListening, isFull: isFull))
        }
        do throws(UpstreamFailure) {
            try await send(exchange, request, to: target ?? replica.endpoint, of: user)
        } catch {
            exchange.fail(error)
            throw error
        }
    }
}

extension EndpointHealth.Outcome {
    /// - Parameters:
    ///   - failure: nil for an answer.
    ///   - isListening: such a stream ends at some time.
    init(_ failure: UpstreamFailure?, isListening: Bool = false, isFull: Bool = false) {
        switch failure {
        case nil, .turnedAway, .garbled: self = .answered
        case .unreachable(let reason): self = isFull || isListening ? .nothing : .failed(.init(reason, isOfConnecting: true))
        case .lost, .timedOut: self = isListening ? .nothing : .failed(.init(failure?.reason ?? "", isOfConnecting: false))
        // What stands in front of a server says that there is none.
        case .rejected(502...504, nil): self = .failed(.init(failure?.reason ?? "", isOfConnecting: false))
        case .rejected: self = .answered
        case .credential, .resting, .abandoned, .signedOut: self = .nothing
        }
    }
}
