import Gateway
import OAuth
import Pacing

/// Whoever wants tokens: what they may use, and who waits for what.
extension RefreshBook {
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

    mutating func takeWaiters(of user: UserID) -> [Waiter] {
        let waiters = waiting.removeValue(forKey: user).map { Array($0.values) } ?? []
        waitingCount -= waiters.count
        return waiters
    }

    func isAboutToRun(_ user: UserID, _ entry: Entry) -> Bool {
        running.contains(user) || issuers[entry.issuer]?.queue[user] == Self.urgent
    }

    /// How long until somebody who asks for it can have it refreshed; nil for at once.
    func wait(for entry: Entry, isForced: Bool, at now: BootInstant) -> Duration? {
        let closedUntil = [issuers[entry.issuer]?.backoff.closed(at: now), storeClosedUntil].compactMap(\.self).max()
        let attempts = isForced ? .none : entry.attempts
        guard case .notYet(let until) = schedule.next(for: entry.life, after: attempts, isAsked: true, closedUntil: closedUntil, at: now) else {
            return nil
        }
        return .nanoseconds(until.nanoseconds - now.nanoseconds)
    }
}
