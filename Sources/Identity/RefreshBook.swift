import Gateway
import OAuth
import Pacing
import Reports

/// The refresher's memory: whose tokens there are, what is due and under way, and who waits. It has no clock, and does nothing
/// but remember; what it keeps of a token is its times, not the token.
///
/// Bounded: `capacity` tokens of some 300 bytes, `mostWaiting` callers, and answers that could not be stored of about
/// `mostUnstored` users, beyond which no issuer is asked.
///
/// Who asks stands in RefreshCallers.swift, what is done in RefreshWork.swift. Only these three files touch what it remembers.
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
        let version: UInt64
        let pass: IssuerBackoff.Pass?
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
        var waiters: [Waiter] = []
        var answer = Answer.stale
        /// Its token was tried as often as it may be; told once.
        var isGivenUp = false
        /// The issuer was open before, and is closed now.
        var hasClosedIssuer = false
        /// The store worked before.
        var isStoreNews = false
    }

    struct Plan: Sendable {
        var jobs: [Job] = []
        /// When there may be more to do; nil if something else has to happen first.
        var wakeAt: BootInstant?
        let isStopping: Bool
        var isIdle = true
    }

    struct Entry: Sendable {
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

    struct Issuer: Sendable {
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

    let schedule: RefreshSchedule
    let isBackground: Bool
    let mostInFlight: Int
    let capacity: Int

    var entries: [UserID: Entry] = [:]
    var issuers: [String: Issuer] = [:]
    var running: Set<UserID> = []
    var rests: [UserID: (rest: Rest, failures: Int)] = [:]
    var restQueue = DueQueue<UserID>()
    var settling = 0
    var waiting: [UserID: [UInt64: Waiter]] = [:]
    var waitingCount = 0
    var versions: UInt64 = 0
    var tally = RefreshTally()
    /// How often in a row an attempt could not be noted, and until when none is begun for it.
    var storeFailures = 0
    var storeClosedUntil: BootInstant?
    var isStopping = false

    static let mostWaiting = 4096
    static let mostUnstored = 100
    /// Before everything that is merely due.
    static let urgent = BootInstant(nanoseconds: .min)
    static let restBackoff = Backoff(first: .seconds(1), longest: .seconds(30))
    /// How soon a token is tried again if the reason it was not renewed lies elsewhere.
    static let pause = Duration.seconds(30)
    /// How long an issuer is left alone that does not know us any more: an operator has to see to it.
    static let clientPause = Duration.seconds(300)

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

    mutating func put(_ user: UserID, _ tokens: IssuerTokens, at now: Moment) -> Bool {
        put(
            user, issuer: tokens.issuer, obtainedAt: tokens.obtainedAt, expiresAt: tokens.expiresAt, canRefresh: tokens.refreshToken != nil, at: now)
    }

    mutating func put(
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

    mutating func drop(_ user: UserID) {
        guard let entry = entries.removeValue(forKey: user) else { return }
        issuers[entry.issuer]?.queue.remove(user)
        issuers[entry.issuer]?.tokens -= 1
        dropIfUnused(entry.issuer)
    }

    mutating func dropIfUnused(_ name: String) {
        guard let issuer = issuers[name], issuer.tokens <= 0, issuer.inFlight == 0 else { return }
        issuers[name] = nil
    }

    mutating func dropRest(of user: UserID) {
        rests[user] = nil
        restQueue.remove(user)
    }

    /// Makes a token due when its schedule says so.
    mutating func enqueue(_ user: UserID, notBefore: BootInstant? = nil, at now: BootInstant) {
        guard isBackground, let entry = entries[user], entry.canRefresh, entry.end == nil, rests[user] == nil else { return }
        switch schedule.next(for: entry.life, after: entry.attempts, at: now) {
        case .notYet(let until): issuers[entry.issuer]?.queue.set(user, dueAt: max(until, notBefore ?? until))
        case .due: issuers[entry.issuer]?.queue.set(user, dueAt: notBefore ?? min(now, entry.life.dueAt))
        case .giveUp: issuers[entry.issuer]?.queue.remove(user)
        }
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
