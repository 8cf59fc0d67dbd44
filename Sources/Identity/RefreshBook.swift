import Gateway
import OAuth
import Pacing
import Reports

/// The refresher's memory: whose tokens there are, what is due and under way, and who waits. It has no clock, and does nothing
/// but remember; what it keeps of a token is its times, not the token.
///
/// Bounded: `capacity` tokens of some 300 bytes, `mostWaiting` callers, and answers that could not be stored of about
/// `mostUnstored` users, beyond which no issuer is asked.
struct RefreshBook: Sendable {
    typealias Waiter = CheckedContinuation<Answer, Never>

    /// What a caller hears.
    enum Answer: Sendable {
        /// What it holds is good.
        case good
        /// What it holds is not what there is now: look again.
        case stale
        case renewed(IssuerTokens)
        case refused(TokensUnavailable)
        /// The tokens are no more.
        case gone
    }

    enum Glance: Sendable {
        case answer(Answer)
        /// A refresh is under way or about to be.
        case wait(version: UInt64, expiresAt: BootInstant)
    }

    /// What an attempt left behind that must be written down.
    enum Rest: Sendable {
        case save(IssuerTokens, RefreshIntent)
        /// - Parameter isDoubtful: an earlier attempt with the same token got no answer, and may be why this one was refused.
        case forget(RefreshIntent, code: String, isDoubtful: Bool, isRecorded: Bool)
    }

    struct Job: Sendable {
        let user: UserID
        let issuer: String
        /// Of the tokens that are to be renewed.
        let obtainedAt: Timestamp
        let isDoubtful: Bool
        /// Nil to renew; else what is to be written down.
        let rest: Rest?
        fileprivate let version: UInt64
        fileprivate let pass: IssuerBackoff.Pass?
    }

    enum Outcome: Sendable {
        /// - Parameter rest: what could not be stored.
        case renewed(IssuerTokens, rest: Rest?)
        case refused(rest: Rest?)
        case failed(RefreshFailure)
        /// The user signed in or out meanwhile; with what is stored now.
        case overtaken(IssuerTokens?, wasAsked: Bool)
        /// The store failed before the issuer was asked.
        case unstored(String)
        /// Shutdown came in between; whether the issuer acted is not known.
        case abandoned
        /// What was to be written down is, or still not.
        case settled
        case left(Rest)
    }

    /// What follows from an outcome.
    struct Consequence: Sendable {
        fileprivate(set) var waiters: [Waiter] = []
        fileprivate(set) var answer = Answer.stale
        /// Its token was tried as often as it may be; told once.
        fileprivate(set) var isGivenUp = false
        /// The issuer was open before, and is closed now.
        fileprivate(set) var hasClosedIssuer = false
        /// The store worked before.
        fileprivate(set) var isStoreNews = false
    }

    struct Plan: Sendable {
        fileprivate(set) var jobs: [Job] = []
        /// When there may be more to do; nil if something else has to happen first.
        fileprivate(set) var wakeAt: BootInstant?
        let isStopping: Bool
        fileprivate(set) var isIdle = true
    }

    private struct Entry: Sendable {
        var issuer: String
        var life: TokenLife
        var obtainedAt: Timestamp
        var canRefresh: Bool
        /// Changes with the tokens.
        var version: UInt64
        var attempts = RefreshSchedule.Attempts.none
        /// All attempts since the last renewal, also those that speak against the issuer.
        var tries = 0
        var isDoubtful = false
        var end: End?

        enum End: Sendable { case givenUp, refused }
    }

    private struct Issuer: Sendable {
        var backoff = IssuerBackoff()
        var inFlight = 0
        var tokens = 0
        var queue = DueQueue<UserID>()

        /// Whose token is to be refreshed now, with leave to do so.
        mutating func take(mostInFlight: Int, at now: BootInstant) -> (user: UserID, pass: IssuerBackoff.Pass)? {
            guard inFlight < mostInFlight, let earliest = queue.earliest, earliest <= now, let pass = backoff.pass(at: now) else { return nil }
            return queue.take(at: now).map { ($0, pass) }
        }
    }

    private let schedule: RefreshSchedule
    private let isBackground: Bool
    private let mostInFlight: Int
    private let capacity: Int

    private var entries: [UserID: Entry] = [:]
    private var issuers: [String: Issuer] = [:]
    private var running: Set<UserID> = []
    private var rests: [UserID: (rest: Rest, failures: Int)] = [:]
    private var restQueue = DueQueue<UserID>()
    private var settling = 0
    private var waiting: [UserID: [UInt64: Waiter]] = [:]
    private var waitingCount = 0
    private var versions: UInt64 = 0
    private var tally = RefreshTally()
    /// How often in a row an attempt could not be noted, and until when none is begun for it.
    private var storeFailures = 0
    private var storeClosedUntil: BootInstant?
    private var isStopping = false

    static let mostWaiting = 4096
    static let mostUnstored = 100
    /// Before everything that is merely due.
    private static let urgent = BootInstant(nanoseconds: .min)
    private static let restBackoff = Backoff(first: .seconds(1), longest: .seconds(30))
    /// How soon a token is tried again if the reason it was not renewed lies elsewhere.
    private static let pause = Duration.seconds(30)
    /// How long an issuer is left alone that does not know us any more: an operator has to see to it.
    private static let clientPause = Duration.seconds(300)

    init(schedule: RefreshSchedule, isBackground: Bool, mostInFlight: Int, capacity: Int) {
        self.schedule = schedule
        self.isBackground = isBackground
        self.mostInFlight = max(1, mostInFlight)
        self.capacity = max(1, capacity)
    }

    // MARK: Tokens come and go

    /// Takes up tokens that were stored at a sign-in, whatever was known of the user's before.
    ///
    /// - Returns: who waited for the former ones.
    mutating func add(_ user: UserID, _ tokens: IssuerTokens, at now: Moment) -> [Waiter] {
        dropRest(of: user)
        _ = put(user, tokens, at: now)
        return takeWaiters(of: user)
    }

    /// Takes up tokens found in the store, unless the user's are known.
    ///
    /// - Returns: false if there is no room.
    mutating func takeUp(_ stored: StoredTokens, at now: Moment) -> Bool {
        guard entries[stored.user] == nil else { return true }
        let isPut = put(
            stored.user, issuer: stored.issuer, obtainedAt: stored.obtainedAt, expiresAt: stored.expiresAt, canRefresh: stored.canRefresh, at: now)
        if isPut, stored.hasOpenIntent, stored.canRefresh {
            entries[stored.user]?.isDoubtful = true
            issuers[stored.issuer]?.queue.set(stored.user, dueAt: Self.urgent)
        }
        return isPut
    }

    mutating func remove(_ user: UserID) -> [Waiter] {
        dropRest(of: user)
        drop(user)
        return takeWaiters(of: user)
    }

    private mutating func put(_ user: UserID, _ tokens: IssuerTokens, at now: Moment) -> Bool {
        put(
            user, issuer: tokens.issuer, obtainedAt: tokens.obtainedAt, expiresAt: tokens.expiresAt, canRefresh: tokens.refreshToken != nil, at: now)
    }

    private mutating func put(
        _ user: UserID, issuer: String, obtainedAt: Timestamp, expiresAt: Timestamp, canRefresh: Bool, at now: Moment
    ) -> Bool {
        guard entries[user] != nil || entries.count < capacity else { return false }
        versions += 1
        // The name as it is known already, so that ten thousand tokens share one.
        let name = issuers.index(forKey: issuer).map { issuers.keys[$0] } ?? issuer
        let life = schedule.life(of: user, obtainedAt: obtainedAt, expiresAt: expiresAt, seenAt: now)
        // Counted first: what is known of an issuer goes with its last token.
        issuers[name, default: Issuer()].tokens += 1
        drop(user)
        entries[user] = Entry(issuer: name, life: life, obtainedAt: obtainedAt, canRefresh: canRefresh, version: versions)
        enqueue(user, at: now.boot)
        return true
    }

    private mutating func drop(_ user: UserID) {
        guard let entry = entries.removeValue(forKey: user) else { return }
        issuers[entry.issuer]?.queue.remove(user)
        issuers[entry.issuer]?.tokens -= 1
        dropIfUnused(entry.issuer)
    }

    private mutating func dropIfUnused(_ name: String) {
        guard let issuer = issuers[name], issuer.tokens <= 0, issuer.inFlight == 0 else { return }
        issuers[name] = nil
    }

    private mutating func dropRest(of user: UserID) {
        rests[user] = nil
        restQueue.remove(user)
    }

    /// Makes a token due when its schedule says so.
    private mutating func enqueue(_ user: UserID, notBefore: BootInstant? = nil, at now: BootInstant) {
        guard isBackground, let entry = entries[user], entry.canRefresh, entry.end == nil, rests[user] == nil else { return }
        switch schedule.next(for: entry.life, after: entry.attempts, at: now) {
        case .notYet(let until): issuers[entry.issuer]?.queue.set(user, dueAt: max(until, notBefore ?? until))
        case .due: issuers[entry.issuer]?.queue.set(user, dueAt: notBefore ?? min(now, entry.life.dueAt))
        case .giveUp: issuers[entry.issuer]?.queue.remove(user)
        }
    }

    // MARK: Callers

    func version(of user: UserID) -> UInt64? { entries[user]?.version }

    /// What the issuer answered and the store does not have yet.
    func unstored(_ user: UserID) -> IssuerTokens? {
        if case .save(let tokens, _)? = rests[user]?.rest { tokens } else { nil }
    }

    /// Whether a caller may use the tokens it holds; if not, they are refreshed as soon as may be.
    ///
    /// - Parameters:
    ///   - known: the version from before the tokens were loaded.
    ///   - isForced: they are refreshed in any case, and at once.
    mutating func glance(_ user: UserID, holding tokens: IssuerTokens, known: UInt64?, isForced: Bool, at now: Moment) -> Glance {
        guard entries[user]?.version == known else { return .answer(.stale) }
        if known == nil || entries[user]?.obtainedAt != tokens.obtainedAt {
            // Stored a moment ago, and whoever did it is about to say so.
            if running.contains(user) || rests[user] != nil { return .answer(.good) }
            guard put(user, tokens, at: now) else {
                return .answer(now.wall < tokens.expiresAt && !isForced ? .good : .refused(.busy))
            }
        }
        guard let entry = entries[user] else { return .answer(.stale) }
        let isExpired = now.boot >= entry.life.expiresAt
        func answer(_ refusal: TokensUnavailable) -> Glance { .answer(isExpired || isForced ? .refused(refusal) : .good) }

        if entry.end == .refused { return .answer(.gone) }
        if now.boot < entry.life.emergencyAt, !isForced || rests[user] != nil { return .answer(.good) }
        guard entry.canRefresh else { return answer(.signInAgain) }
        if isStopping { return answer(.stopping) }
        if rests[user] != nil { return answer(.later(Self.pause)) }
        guard waitingCount < Self.mostWaiting else { return answer(.busy) }
        if !running.contains(user), let wait = wait(for: entry, isForced: isForced, at: now.boot) {
            return answer(entry.end == .givenUp ? .signInAgain : .later(wait))
        }
        if !isAboutToRun(user, entry) { issuers[entry.issuer]?.queue.set(user, dueAt: Self.urgent) }
        return .wait(version: entry.version, expiresAt: entry.life.expiresAt)
    }

    /// Lets a caller wait for the end of a refresh, unless it has ended.
    mutating func park(_ waiter: Waiter, _ number: UInt64, for user: UserID, version: UInt64) -> Answer? {
        guard let entry = entries[user], entry.version == version, isAboutToRun(user, entry) else { return .stale }
        if isStopping { return .refused(.stopping) }
        guard waitingCount < Self.mostWaiting else { return .refused(.busy) }
        waiting[user, default: [:]][number] = waiter
        waitingCount += 1
        return nil
    }

    mutating func leave(_ number: UInt64, _ user: UserID) -> Waiter? {
        guard let waiter = waiting[user]?.removeValue(forKey: number) else { return nil }
        waitingCount -= 1
        if waiting[user]?.isEmpty == true { waiting[user] = nil }
        return waiter
    }

    private mutating func takeWaiters(of user: UserID) -> [Waiter] {
        let waiters = waiting.removeValue(forKey: user).map { Array($0.values) } ?? []
        waitingCount -= waiters.count
        return waiters
    }

    private func isAboutToRun(_ user: UserID, _ entry: Entry) -> Bool {
        running.contains(user) || issuers[entry.issuer]?.queue[user] == Self.urgent
    }

    /// How long until somebody who asks for it can have it refreshed; nil for at once.
    private func wait(for entry: Entry, isForced: Bool, at now: BootInstant) -> Duration? {
        let closedUntil = [issuers[entry.issuer]?.backoff.closed(at: now), storeClosedUntil].compactMap(\.self).max()
        let attempts = isForced ? .none : entry.attempts
        guard case .notYet(let until) = schedule.next(for: entry.life, after: attempts, isAsked: true, closedUntil: closedUntil, at: now) else {
            return nil
        }
        return .nanoseconds(until.nanoseconds - now.nanoseconds)
    }

    // MARK: Work

    /// What is to be done now. Each job that is handed out ends with `ended`.
    mutating func plan(at now: BootInstant) -> Plan {
        var plan = Plan(isStopping: isStopping)
        while settling < mostInFlight, let user = restQueue.take(at: now) {
            guard let rest = rests[user]?.rest, let entry = entries[user], running.insert(user).inserted else { continue }
            settling += 1
            plan.jobs.append(job(user, entry, rest: rest, pass: nil))
        }
        if settling < mostInFlight { plan.wakeAt = restQueue.earliest }
        if let closedUntil = storeClosedUntil, now < closedUntil {
            plan.wakeAt = min(closedUntil, plan.wakeAt ?? closedUntil)
        } else if !isStopping, rests.count < Self.mostUnstored {
            for name in Array(issuers.keys) { planRenewals(name, &plan, at: now) }
        }
        plan.isIdle = running.isEmpty && rests.isEmpty
        return plan
    }

    private mutating func planRenewals(_ name: String, _ plan: inout Plan, at now: BootInstant) {
        while let (user, pass) = issuers[name]?.take(mostInFlight: mostInFlight, at: now) {
            guard let entry = entries[user], rests[user] == nil, running.insert(user).inserted else {
                // One that still runs is queued anew when it ends.
                issuers[name]?.backoff.returned(pass)
                continue
            }
            issuers[name]?.inFlight += 1
            plan.jobs.append(job(user, entry, rest: nil, pass: pass))
        }
        if let issuer = issuers[name], issuer.inFlight < mostInFlight, let earliest = issuer.queue.earliest {
            let wakeAt = max(earliest, issuer.backoff.closed(at: now) ?? earliest)
            plan.wakeAt = min(wakeAt, plan.wakeAt ?? wakeAt)
        }
    }

    private func job(_ user: UserID, _ entry: Entry, rest: Rest?, pass: IssuerBackoff.Pass?) -> Job {
        Job(
            user: user, issuer: entry.issuer, obtainedAt: entry.obtainedAt, isDoubtful: entry.isDoubtful, rest: rest, version: entry.version,
            pass: pass)
    }

    mutating func ended(_ job: Job, _ outcome: Outcome, at now: Moment) -> Consequence {
        var consequence = Consequence()
        running.remove(job.user)
        if job.rest != nil { settling -= 1 }
        let wasClosed = issuers[job.issuer]?.backoff.isClosed ?? false
        if let pass = job.pass {
            judge(job.issuer, pass, outcome, at: now.boot)
            consequence.isStoreNews = judgeStore(outcome, at: now.boot)
        }
        consequence.hasClosedIssuer = !wasClosed && issuers[job.issuer]?.backoff.isClosed == true
        if entries[job.user]?.version == job.version {
            consequence.answer = apply(outcome, job, wasClosed: wasClosed, &consequence, at: now)
        } else {
            // The user signed in or out while it ran; what came of it is about tokens that are no more.
            enqueue(job.user, at: now.boot)
        }
        consequence.waiters = takeWaiters(of: job.user)
        dropIfUnused(job.issuer)
        return consequence
    }

    /// Tells the issuer's back-off what came of a request.
    private mutating func judge(_ name: String, _ pass: IssuerBackoff.Pass, _ outcome: Outcome, at now: BootInstant) {
        guard var issuer = issuers[name] else { return }
        issuer.inFlight -= 1
        switch outcome {
        case .renewed, .refused, .overtaken(_, wasAsked: true): issuer.backoff.answered(pass)
        case .failed(let failure):
            switch failure.meaning {
            case .token, .attempt: issuer.backoff.answered(pass)
            case .client: issuer.backoff.failed(pass, retryAfter: Self.clientPause, at: now)
            case .issuer(let retryAfter): issuer.backoff.failed(pass, retryAfter: retryAfter, at: now)
            }
        case .overtaken, .unstored, .abandoned, .settled, .left: issuer.backoff.returned(pass)
        }
        issuers[name] = issuer
    }

    /// - Returns: whether it fails for the first time in a row.
    private mutating func judgeStore(_ outcome: Outcome, at now: BootInstant) -> Bool {
        switch outcome {
        case .unstored:
            // Several attempts may have begun together.
            if let storeClosedUntil, now < storeClosedUntil { return false }
            storeFailures = min(storeFailures + 1, 100)
            storeClosedUntil = now.advanced(by: Self.restBackoff.wait(afterFailures: storeFailures))
            return storeFailures == 1
        case .abandoned: return false
        case .renewed, .refused, .failed, .overtaken, .settled, .left:
            (storeFailures, storeClosedUntil) = (0, nil)
            return false
        }
    }

    /// Takes up what came of a job for tokens that are still the user's; says what its callers hear.
    private mutating func apply(_ outcome: Outcome, _ job: Job, wasClosed: Bool, _ consequence: inout Consequence, at now: Moment) -> Answer {
        guard let entry = entries[job.user] else { return .gone }
        switch outcome {
        case .renewed(let tokens, let rest):
            let life = entry.life
            let ending: RefreshTally.Ending = now.boot < life.emergencyAt ? .proactive : now.boot < life.expiresAt ? .emergency : .late
            tally.count(ending, retries: entry.tries, at: now.boot)
            _ = put(job.user, tokens, at: now)
            if let rest { keep(rest, of: job.user, failures: 1, at: now.boot) }
            return .renewed(tokens)

        case .refused(let rest):
            tally.count(.refused, retries: entry.tries, at: now.boot)
            if let rest {
                entries[job.user]?.end = .refused
                keep(rest, of: job.user, failures: 1, at: now.boot)
            } else {
                drop(job.user)
            }
            return .gone

        case .failed(let failure):
            fail(job, failure, wasClosed: wasClosed, &consequence, at: now.boot)
            guard let entry = entries[job.user], entry.end != .givenUp else { return .refused(.signInAgain) }
            return .refused(.later(wait(for: entry, isForced: false, at: now.boot) ?? .zero))

        case .overtaken(let tokens, _):
            dropRest(of: job.user)
            if let tokens { _ = put(job.user, tokens, at: now) } else { drop(job.user) }
            return tokens == nil ? .gone : .stale

        case .unstored:
            enqueue(job.user, notBefore: now.boot.advanced(by: Self.pause), at: now.boot)
            return .refused(.later(wait(for: entry, isForced: false, at: now.boot) ?? .zero))

        case .abandoned:
            entries[job.user]?.isDoubtful = true
            return .refused(.stopping)

        case .settled:
            dropRest(of: job.user)
            if entry.end == .refused { drop(job.user) } else { enqueue(job.user, at: now.boot) }
            return .stale

        case .left(let rest):
            keep(rest, of: job.user, failures: (rests[job.user]?.failures ?? 0) + 1, at: now.boot)
            return .stale
        }
    }

    private mutating func fail(
        _ job: Job, _ failure: RefreshFailure, wasClosed: Bool, _ consequence: inout Consequence, at now: BootInstant
    ) {
        guard var entry = entries[job.user] else { return }
        entry.tries += 1
        entry.isDoubtful = true
        // Who is told to wait, or finds the issuer failing for everybody, has no worse a token for it.
        let isTokensFault =
            switch failure.meaning {
            case .token, .attempt: true
            case .client: false
            case .issuer(let retryAfter): retryAfter == nil && !wasClosed
            }
        guard isTokensFault else {
            entries[job.user] = entry
            // Behind the others: one token that always fails must not be every probe.
            return enqueue(job.user, notBefore: now.advanced(by: Self.pause), at: now)
        }
        entry.attempts = RefreshSchedule.Attempts(failures: entry.attempts.failures + 1, lastFailedAt: now)
        if schedule.next(for: entry.life, after: entry.attempts, at: now) == .giveUp, entry.end == nil {
            entry.end = .givenUp
            consequence.isGivenUp = true
            tally.count(.givenUp, retries: entry.tries - 1, at: now)
        }
        entries[job.user] = entry
        enqueue(job.user, at: now)
    }

    private mutating func keep(_ rest: Rest, of user: UserID, failures: Int, at now: BootInstant) {
        if let entry = entries[user] { issuers[entry.issuer]?.queue.remove(user) }
        rests[user] = (rest, failures)
        restQueue.set(user, dueAt: now.advanced(by: Self.restBackoff.wait(afterFailures: failures)))
    }

    /// From now on nothing is renewed; what has been is still written down.
    ///
    /// - Returns: everybody who waits.
    mutating func stop() -> [Waiter] {
        isStopping = true
        let waiters = waiting.values.flatMap(\.values)
        waiting = [:]
        waitingCount = 0
        return waiters
    }

    // MARK: Figures

    var unstoredCount: Int { rests.count }

    /// Whether nothing is remembered of anybody.
    var isBlank: Bool {
        entries.isEmpty && issuers.isEmpty && running.isEmpty && rests.isEmpty && restQueue.isEmpty && waiting.isEmpty && waitingCount == 0
            && settling == 0
    }

    func counts(at now: BootInstant) -> RefreshTally.Counts { tally.counts(at: now) }

    func standing(at now: Moment) -> RefreshReport.Standing {
        var standing = RefreshReport.Standing()
        standing.tokens = entries.count
        standing.givenUp = entries.values.count { $0.end != nil }
        standing.inFlight = issuers.values.reduce(0) { $0 + $1.inFlight }
        standing.waiting = waitingCount
        standing.unstored = rests.count
        func wall(_ moment: BootInstant) -> Timestamp {
            now.wall.advanced(by: .nanoseconds(max(moment, now.boot).nanoseconds - now.boot.nanoseconds))
        }
        standing.nextDue = issuers.values.compactMap { issuer in
            issuer.queue.earliest.map { max($0, issuer.backoff.closed(at: now.boot) ?? $0) }
        }.min().map(wall)
        standing.issuers = issuers.sorted { $0.key < $1.key }.map { name, issuer in
            .init(
                issuer: name, inFlight: issuer.inFlight, failuresInRow: issuer.backoff.failuresInRow,
                closedUntil: issuer.backoff.closed(at: now.boot).map(wall))
        }
        return standing
    }
}
