import Gateway
import OAuth
import Pacing
import Reports

/// What is to be done, and what follows from what came of it.
extension RefreshBook {
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

    mutating func planRenewals(_ name: String, _ plan: inout Plan, at now: BootInstant) {
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

    func job(_ user: UserID, _ entry: Entry, rest: Rest?, pass: IssuerBackoff.Pass?) -> Job {
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
    mutating func judge(_ name: String, _ pass: IssuerBackoff.Pass, _ outcome: Outcome, at now: BootInstant) {
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
    mutating func judgeStore(_ outcome: Outcome, at now: BootInstant) -> Bool {
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
    mutating func apply(_ outcome: Outcome, _ job: Job, wasClosed: Bool, _ consequence: inout Consequence, at now: Moment) -> Answer {
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

    mutating func fail(
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

    mutating func keep(_ rest: Rest, of user: UserID, failures: Int, at now: BootInstant) {
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
}
