import Gateway
import Identity
import OAuth
import Synchronization

/// Issuers that rotate refresh tokens, and the store of a gateway, in a simulated time.
final class FakeIssuers: Sendable {
    /// Where things can go wrong.
    enum Step: CaseIterable, Sendable {
        case load, begin, begun, request, answer, finish, finished, record, forget, forgotten
    }

    enum Fault: Sendable {
        case failure(RefreshFailure)
        /// The issuer acts on the request, and its answer never comes.
        case lostAnswer
    }

    struct Broken: Error {}

    /// A gateway's life: after its end none of its doors leads anywhere.
    final class Life: Sendable {
        private let ended = Atomic(false)
        var isOver: Bool { ended.load(ordering: .relaxed) }
        func end() { ended.store(true, ordering: .relaxed) }
    }

    struct Counts {
        var requests = 0
        var requestsOf: [UserID: Int] = [:]
        var inFlight: [String: Int] = [:]
        var mostInFlight: [String: Int] = [:]
        /// By the minute since boot.
        var perMinute: [Int64: Int] = [:]
        /// When each request came.
        var moments: [BootInstant] = []
        /// Requests for tokens whose access token had expired by then.
        var late = 0
        var steps: [Step: Int] = [:]
    }

    private struct Faults {
        /// What goes wrong with a request; the number counts all of them from 1.
        var fault: @Sendable (_ request: Int, _ user: UserID) -> Fault? = { _, _ in nil }
        /// Which doors are broken; the number counts the times that one was used.
        var isBroken: @Sendable (_ step: Step, _ time: Int) -> Bool = { _, _ in false }
    }

    private struct State {
        var tokens: [UserID: IssuerTokens] = [:]
        var intents: [UserID: RefreshIntent] = [:]
        var records: [AuditRecord] = []
        /// How often each user's refresh token was rotated, and when last.
        var generations: [UserID: (number: Int, since: BootInstant)] = [:]
        var signIns = 0
        var counts = Counts()
    }

    let simulation: Simulation
    private let state = Mutex(State())
    /// How long an access token lives.
    let lifetime: Duration
    /// How long a refresh token is taken after it was rotated; nil for ever.
    let grace: Duration?
    let latency: @Sendable (_ request: Int) -> Duration
    private let faults = Mutex(Faults())
    private let crash = Mutex<(step: Step, time: Int)?>(nil)

    init(
        _ simulation: Simulation, lifetime: Duration = .seconds(3600), grace: Duration? = nil,
        latency: @escaping @Sendable (Int) -> Duration = { _ in .milliseconds(200) }
    ) {
        self.simulation = simulation
        self.lifetime = lifetime
        self.grace = grace
        self.latency = latency
    }

    func fail(_ fault: @escaping @Sendable (_ request: Int, _ user: UserID) -> Fault?) { faults.withLock { $0.fault = fault } }
    func breakDoors(_ isBroken: @escaping @Sendable (_ step: Step, _ time: Int) -> Bool) { faults.withLock { $0.isBroken = isBroken } }
    /// The gateway that comes to a step for so many times dies there.
    func crash(at step: Step, time: Int) { crash.withLock { $0 = (step, time) } }

    var counts: Counts { state.withLock { $0.counts } }
    var records: [AuditRecord] { state.withLock { $0.records } }
    var openIntents: Int { state.withLock { $0.intents.count } }
    func stored(_ user: UserID) -> IssuerTokens? { state.withLock { $0.tokens[user] } }

    /// Whether the stored refresh token of a user is one that the issuer takes.
    func isGood(_ user: UserID) -> Bool {
        let now = simulation.now.boot
        return state.withLock { state in state.tokens[user].map { accepts($0.refreshToken, of: user, state, at: now) } ?? false }
    }

    /// Stores tokens as a sign-in does.
    @discardableResult
    func signIn(_ user: UserID, at issuer: String = "https://issuer.example", canRefresh: Bool = true) -> IssuerTokens {
        let now = simulation.now
        return state.withLock { state in
            state.signIns += 1
            // Sign-ins are told apart by hundreds of thousands.
            let number = state.signIns * 100_000
            state.generations[user] = (number, now.boot)
            let tokens = issue(user, issuer, number, at: now, canRefresh: canRefresh)
            state.tokens[user] = tokens
            state.intents[user] = nil
            return tokens
        }
    }

    /// Deletes tokens as a sign-out does.
    func signOut(_ user: UserID) {
        state.withLock { state in
            state.tokens[user] = nil
            state.intents[user] = nil
        }
    }

    private func issue(_ user: UserID, _ issuer: String, _ number: Int, at now: Moment, canRefresh: Bool = true) -> IssuerTokens {
        IssuerTokens(
            accessToken: Secret("access \(user.rawValue) \(number)"),
            refreshToken: canRefresh ? Secret("refresh \(user.rawValue) \(number)") : nil, scope: "tools", expiresAt: now.wall + lifetime,
            obtainedAt: now.wall, issuer: issuer)
    }

    private func accepts(_ token: Secret<String>?, of user: UserID, _ state: State, at now: BootInstant) -> Bool {
        guard let generation = state.generations[user], let number = Self.number(of: token) else { return false }
        if number == generation.number { return true }
        guard number / 100_000 == generation.number / 100_000, number < generation.number else { return false }
        return grace.map { number == generation.number - 1 && now <= generation.since.advanced(by: $0) } ?? true
    }

    /// A refresh token's number, `refresh <user> <number>`.
    private static func number(of token: Secret<String>?) -> Int? { token?.revealed.split(separator: " ").last.flatMap { Int($0) } }

    // MARK: Doors

    func doors(of life: Life = Life()) -> RefreshDoors {
        RefreshDoors(
            refresh: { user, tokens throws(RefreshFailure) in try await self.answer(user, tokens, life) },
            load: { user in
                try await self.pass(.load, life)
                return self.state.withLock { $0.tokens[user] }
            },
            begin: { user, intent in
                try await self.pass(.begin, life)
                let tokens = self.state.withLock { state in
                    if state.tokens[user] != nil { state.intents[user] = intent }
                    return state.tokens[user]
                }
                try await self.pass(.begun, life)
                return tokens
            },
            finish: { user, tokens, intent in
                try await self.pass(.finish, life)
                let isOurs = self.state.withLock { state in
                    guard state.intents[user] == intent else { return false }
                    state.tokens[user] = tokens
                    state.intents[user] = nil
                    return true
                }
                try await self.pass(.finished, life)
                return isOurs
            },
            forget: { user, intent in
                try await self.pass(.forget, life)
                let isOurs = self.state.withLock { state in
                    guard state.intents[user] == intent else { return false }
                    state.tokens[user] = nil
                    state.intents[user] = nil
                    return true
                }
                try await self.pass(.forgotten, life)
                return isOurs
            },
            all: { after, count in
                self.state.withLock { state in
                    state.tokens.keys.filter { user in after.map { user > $0 } ?? true }.sorted().prefix(count).compactMap { user in
                        state.tokens[user].map {
                            StoredTokens(
                                user: user, issuer: $0.issuer, obtainedAt: $0.obtainedAt, expiresAt: $0.expiresAt,
                                canRefresh: $0.refreshToken != nil, hasOpenIntent: state.intents[user] != nil)
                        }
                    }
                }
            },
            record: { record in
                try await self.pass(.record, life)
                self.state.withLock { $0.records.append(record) }
            })
    }

    private func pass(_ step: Step, _ life: Life) async throws {
        if life.isOver { throw Broken() }
        let time = state.withLock { state in
            state.counts.steps[step, default: 0] += 1
            return state.counts.steps[step, default: 0]
        }
        if let crash = crash.withLock({ $0 }), crash == (step, time) {
            life.end()
            self.crash.withLock { $0 = nil }
        }
        // A dead process does not go on: it stands still until the test takes it away.
        while life.isOver, !Task.isCancelled { await simulation.sleep(for: .seconds(3600)) }
        if life.isOver || faults.withLock({ $0 }).isBroken(step, time) { throw Broken() }
    }

    private func answer(_ user: UserID, _ tokens: IssuerTokens, _ life: Life) async throws(RefreshFailure) -> IssuerTokens {
        do { try await pass(.request, life) } catch { throw .unreachable }
        let arrival = simulation.now
        let request = state.withLock { state in
            state.counts.requests += 1
            state.counts.requestsOf[user, default: 0] += 1
            state.counts.perMinute[arrival.boot.nanoseconds / 60_000_000_000, default: 0] += 1
            state.counts.moments.append(arrival.boot)
            if arrival.wall >= tokens.expiresAt { state.counts.late += 1 }
            state.counts.inFlight[tokens.issuer, default: 0] += 1
            let inFlight = state.counts.inFlight[tokens.issuer, default: 0]
            state.counts.mostInFlight[tokens.issuer] = max(inFlight, state.counts.mostInFlight[tokens.issuer] ?? 0)
            return state.counts.requests
        }
        defer { state.withLock { $0.counts.inFlight[tokens.issuer, default: 0] -= 1 } }
        await simulation.sleep(for: latency(request))
        // Whoever hangs up this early is not served.
        if Task.isCancelled { throw .unreachable }
        let fault = faults.withLock { $0 }.fault(request, user)
        if case .failure(let failure) = fault { throw failure }
        let now = simulation.now
        let renewed = state.withLock { state -> IssuerTokens? in
            guard accepts(tokens.refreshToken, of: user, state, at: now.boot), let generation = state.generations[user],
                let number = Self.number(of: tokens.refreshToken)
            else { return nil }
            // The former token, within its grace, brings the new one once more.
            if number == generation.number { state.generations[user] = (number + 1, now.boot) }
            return issue(user, tokens.issuer, number + 1, at: now)
        }
        guard let renewed else { throw .refused(code: "invalid_grant") }
        if case .lostAnswer = fault { throw .unreachable }
        do { try await pass(.answer, life) } catch { throw .unreachable }
        return renewed
    }
}
