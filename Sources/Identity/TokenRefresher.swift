package import Gateway
package import Logging
package import OAuth
package import Pacing
package import Reports
import ServiceLifecycle
import Synchronization

/// Keeps the tokens fresh that issuers gave us for our users: in the background before they expire, and at once for
/// whoever asks for one that has.
///
/// One loop serves all of them; tokens have no task and no timer. A token is refreshed by one attempt at a time, which all
/// its callers wait for together, and an issuer is asked `inFlight` times at once at most. Nothing is refreshed before `run`.
///
/// An attempt is noted durably before the refresh token is used, and the note goes in the transaction that stores the answer.
/// A crash in between leaves the note: at the next start these tokens come first, with the refresh token that is stored. If
/// the issuer takes that for used up, its user signs in again, and the record says why. An answer that cannot be stored stays
/// in memory until it can, and the former refresh token is not used again.
package final class TokenRefresher: Service {
    private let doors: RefreshDoors
    private let clock: RefreshClock
    private let logger: Logger
    private let startedAt: Timestamp
    private let book: Mutex<RefreshBook>
    private let bell = Bell()
    private let callers = Atomic<UInt64>(0)

    /// How long a caller waits for a refresh if it does not say.
    package static let longestWait = Duration.seconds(10)
    /// An attempt that takes longer is given up; its door's own deadline should come first.
    private static let longestAttempt = Duration.seconds(30)
    /// How long an attempt may go on after shutdown has begun: an answer that is lost may cost its user a sign-in.
    private static let grace = Duration.seconds(5)
    /// Timers may stand still while the machine sleeps.
    private static let longestNap = Duration.seconds(60)
    private static let pause = Duration.seconds(30)
    private static let page = 500

    /// - Parameters:
    ///   - isBackground: false to refresh only what is asked for, and what a crash left in doubt.
    ///   - inFlight: requests to one issuer at once, at least 1.
    ///   - capacity: tokens that are kept fresh; those beyond it are good until they expire.
    package init(
        schedule: RefreshSchedule, isBackground: Bool = true, inFlight: Int = 10, capacity: Int = 100_000, doors: RefreshDoors,
        clock: RefreshClock, logger: Logger
    ) {
        self.doors = doors
        self.clock = clock
        self.logger = logger
        startedAt = clock.now().wall
        book = Mutex(RefreshBook(schedule: schedule, isBackground: isBackground, mostInFlight: inFlight, capacity: capacity))
    }

    // MARK: Sign-ins and sign-outs

    /// Takes up tokens that were stored.
    package func add(_ user: UserID, _ tokens: IssuerTokens) {
        let now = clock.now()
        for waiter in book.withLock({ $0.add(user, tokens, at: now) }) { waiter.resume(returning: .renewed(tokens)) }
        bell.ring()
    }

    /// Lets go of a user whose tokens were deleted.
    package func remove(_ user: UserID) {
        for waiter in book.withLock({ $0.remove(user) }) { waiter.resume(returning: .gone) }
    }

    // MARK: Callers

    /// A user's tokens, with more than the margin left if that can be had, and never expired.
    ///
    /// - Parameter limit: how long to wait for a refresh.
    /// - Throws: `TokensUnavailable`; what the store throws; `CancellationError`.
    package func current(_ user: UserID, within limit: Duration = longestWait) async throws -> IssuerTokens {
        try await tokens(of: user, isForced: false, within: limit)
    }

    /// Refreshes a user's tokens now, or waits for the refresh that is under way; says what came of it. Only an issuer that asked
    /// to be left alone, or fails for everybody, is not asked.
    package func force(_ user: UserID) async -> ForcedRefresh {
        do {
            return .renewed(expiresAt: try await tokens(of: user, isForced: true, within: Self.longestWait).expiresAt)
        } catch let refusal as TokensUnavailable {
            return .failed(refusal)
        } catch is CancellationError {
            return .failed(.timedOut)
        } catch {
            logger.error("tokens could not be read", metadata: ["user.id": "\(user.rawValue)", "error": "\(error)"])
            return .storeFailed
        }
    }

    private func tokens(of user: UserID, isForced: Bool, within limit: Duration) async throws -> IssuerTokens {
        let deadline = clock.now().boot.advanced(by: limit)
        var isForced = isForced
        // Another round if they changed as they were looked at; that they do so time and again is next to impossible.
        for _ in 0..<4 {
            let (version, unstored) = book.withLock { ($0.version(of: user), $0.unstored(user)) }
            guard let tokens = if let unstored { unstored } else { try await doors.load(user) } else { throw TokensUnavailable.signInAgain }
            let now = clock.now()
            var expiresAt: BootInstant?
            let answer: RefreshBook.Answer
            switch book.withLock({ $0.glance(user, holding: tokens, known: version, isForced: isForced, at: now) }) {
            case .answer(let known): answer = known
            case .wait(let version, let end):
                bell.ring()
                expiresAt = end
                answer = await wait(for: user, version, until: deadline)
                try Task.checkCancellation()
            }
            switch answer {
            case .good: return tokens
            case .renewed(let renewed): return renewed
            case .gone: throw TokensUnavailable.signInAgain
            case .refused(let refusal):
                if !isForced, let expiresAt, clock.now().boot < expiresAt { return tokens }
                throw refusal
            case .stale:
                // What came while it waited is as new as what it asked for.
                if expiresAt != nil { isForced = false }
            }
        }
        throw TokensUnavailable.later(.seconds(1))
    }

    private func wait(for user: UserID, _ version: UInt64, until deadline: BootInstant) async -> RefreshBook.Answer {
        await withTaskGroup(of: RefreshBook.Answer.self) { group in
            group.addTask {
                await self.clock.sleep(deadline)
                return .refused(.timedOut)
            }
            group.addTask { await self.park(user, version) }
            defer { group.cancelAll() }
            return await group.next() ?? .refused(.timedOut)
        }
    }

    private func park(_ user: UserID, _ version: UInt64) async -> RefreshBook.Answer {
        let number = callers.add(1, ordering: .relaxed).newValue
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = book.withLock { book in
                    // Seen under the lock: cancelled before it, this says so; after it, `onCancel` finds the caller.
                    Task.isCancelled ? .refused(.timedOut) : book.park(continuation, number, for: user, version: version)
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            book.withLock { $0.leave(number, user) }?.resume(returning: .refused(.timedOut))
        }
    }

    // MARK: The loop

    /// Refreshes until shutdown. Then nothing new is begun, and what is under way is awaited for some seconds, then cancelled
    /// and awaited.
    package func run() async throws {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.takeUpStored() }
                var end: BootInstant?
                while !Task.isCancelled {
                    let now = clock.now().boot
                    let plan = book.withLock { $0.plan(at: now) }
                    for job in plan.jobs { group.addTask { await self.carryOut(job) } }
                    if plan.isStopping {
                        end = end ?? now.advanced(by: Self.grace)
                        if plan.isIdle { break }
                    }
                    if let end, now >= end { break }
                    let latest = min(end ?? now.advanced(by: Self.longestNap), now.advanced(by: Self.longestNap))
                    await nap(until: min(latest, plan.wakeAt ?? latest))
                }
                stop()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            self.stop()
        }
        let unstored = book.withLock { $0.unstoredCount }
        if unstored > 0 {
            logger.error("tokens of some users could not be stored; they may have to sign in again", metadata: ["users": "\(unstored)"])
        }
    }

    func stop() {
        for waiter in book.withLock({ $0.stop() }) { waiter.resume(returning: .refused(.stopping)) }
        bell.ring()
    }

    /// Returns then, when the bell rings, or when the task is cancelled.
    private func nap(until moment: BootInstant) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.clock.sleep(moment) }
            group.addTask { await self.bell.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    private func takeUpStored() async {
        var last: UserID?
        var refused = 0
        while !Task.isCancelled {
            do {
                let stored = try await doors.all(last, Self.page)
                guard let end = stored.last else { break }
                last = end.user
                let now = clock.now()
                refused += book.withLock { book in stored.count { !book.takeUp($0, at: now) } }
                bell.ring()
            } catch {
                if Task.isCancelled { return }
                logger.error("the stored tokens could not be listed; it is tried again", metadata: ["error": "\(error)"])
                await clock.sleep(clock.now().boot.advanced(by: Self.pause))
            }
        }
        if refused > 0 { logger.warning("there are more tokens than can be kept fresh", metadata: ["tokens": "\(refused)"]) }
    }

    // MARK: One token

    private func carryOut(_ job: RefreshBook.Job) async {
        let outcome: RefreshBook.Outcome
        if let rest = job.rest {
            outcome =
                switch await settle(rest, of: job.user, job.issuer, isFirst: false) {
                case .done: .settled
                case .overtaken(let tokens): .overtaken(tokens, wasAsked: true)
                case .left(let rest): .left(rest)
                }
        } else {
            outcome = await renew(job)
        }
        let now = clock.now()
        let consequence = book.withLock { $0.ended(job, outcome, at: now) }
        for waiter in consequence.waiters { waiter.resume(returning: consequence.answer) }
        bell.ring()
        if consequence.hasClosedIssuer, case .failed(let failure) = outcome {
            let level: Logger.Level = failure.meaning == .client ? .error : .warning
            logger.log(level: level, "an issuer is left alone for a while", metadata: ["issuer": "\(job.issuer)", "reason": "\(failure.reason)"])
        }
        if consequence.isStoreNews, case .unstored(let error) = outcome {
            logger.error("refreshes cannot be noted, and are put off", metadata: ["error": "\(error)"])
        }
        if consequence.isGivenUp {
            logger.warning(
                "a token was given up; its user has to sign in again", metadata: ["user.id": "\(job.user.rawValue)", "issuer": "\(job.issuer)"])
            do { try await doors.record(record(job.user, job.issuer, "retries_exhausted")) } catch {
                logger.error("a record was lost", metadata: ["user.id": "\(job.user.rawValue)", "error": "\(error)"])
            }
        }
    }

    private func renew(_ job: RefreshBook.Job) async -> RefreshBook.Outcome {
        if Task.isCancelled { return .abandoned }
        let intent = RefreshIntent(id: .random(in: .min ... .max), at: clock.now().wall)
        let tokens: IssuerTokens
        do {
            guard let stored = try await doors.load(job.user) else { return .overtaken(nil, wasAsked: false) }
            guard stored.obtainedAt == job.obtainedAt, stored.refreshToken != nil else { return .overtaken(stored, wasAsked: false) }
            guard let begun = try await doors.begin(job.user, intent) else { return .overtaken(nil, wasAsked: false) }
            tokens = begun
        } catch {
            return Task.isCancelled ? .abandoned : .unstored("\(error)")
        }

        switch await ask(job.user, tokens) {
        case .success(let answer):
            // Nothing may come between the answer and the attempt to store it.
            let renewed = answer.keeping(tokens.refreshToken)
            return switch await settle(.save(renewed, intent), of: job.user, job.issuer) {
            case .done: .renewed(renewed, rest: nil)
            case .overtaken(let tokens): .overtaken(tokens, wasAsked: true)
            case .left(let rest): .renewed(renewed, rest: rest)
            }
        case .failure(let failure):
            guard case .refused(let code) = failure, failure.meaning == .token else {
                return Task.isCancelled ? .abandoned : .failed(failure)
            }
            let rest = RefreshBook.Rest.forget(intent, code: code, isDoubtful: job.isDoubtful, isRecorded: false)
            return switch await settle(rest, of: job.user, job.issuer) {
            case .done: .refused(rest: nil)
            case .overtaken(let tokens): .overtaken(tokens, wasAsked: true)
            case .left(let rest): .refused(rest: rest)
            }
        }
    }

    /// Asks the issuer. After the deadline it is told to hurry; an answer that comes all the same counts, for it may be the
    /// only one there is.
    private func ask(_ user: UserID, _ tokens: IssuerTokens) async -> Result<IssuerTokens, RefreshFailure> {
        await withTaskGroup(of: Result<IssuerTokens, RefreshFailure>?.self) { group in
            let deadline = clock.now().boot.advanced(by: Self.longestAttempt)
            group.addTask {
                do throws(RefreshFailure) { return .success(try await self.doors.refresh(user, tokens)) } catch { return .failure(error) }
            }
            group.addTask {
                await self.clock.sleep(deadline)
                return nil
            }
            var answer: Result<IssuerTokens, RefreshFailure>?
            while let next = await group.next() {
                group.cancelAll()
                answer = answer ?? next
            }
            return answer ?? .failure(.unreachable)
        }
    }

    private enum Settled {
        case done
        case overtaken(IssuerTokens?)
        case left(RefreshBook.Rest)
    }

    /// Writes down what an attempt left behind. The record comes first: rather twice in it than never.
    private func settle(_ rest: RefreshBook.Rest, of user: UserID, _ issuer: String, isFirst: Bool = true) async -> Settled {
        var rest = rest
        do {
            switch rest {
            case .save(let tokens, let intent):
                if try await doors.finish(user, tokens, intent) { return .done }
            case .forget(let intent, let code, let isDoubtful, let isRecorded):
                if !isRecorded {
                    let reason = code.withoutControls.cut(64) + (isDoubtful ? " (an earlier answer may have been lost)" : "")
                    try await doors.record(record(user, issuer, reason))
                    rest = .forget(intent, code: code, isDoubtful: isDoubtful, isRecorded: true)
                    logger.notice(
                        "an issuer refused a refresh; its user has to sign in again",
                        metadata: ["user.id": "\(user.rawValue)", "reason": "\(reason)"])
                }
                if try await doors.forget(user, intent) { return .done }
            }
            return .overtaken(try await doors.load(user))
        } catch {
            if isFirst {
                logger.error(
                    "what an issuer answered could not be stored; it is tried again",
                    metadata: ["user.id": "\(user.rawValue)", "error": "\(error)"])
            }
            return .left(rest)
        }
    }

    private func record(_ user: UserID, _ issuer: String, _ reason: String) -> AuditRecord {
        AuditRecord(
            requestID: .random(), at: clock.now().wall, user: user, action: "token.refresh", target: issuer, outcome: .failed, reason: reason,
            status: 401, address: "schedule")
    }

    // MARK: Figures

    package func report() -> RefreshReport {
        let now = clock.now()
        let (counts, standing) = book.withLock { ($0.counts(at: now.boot), $0.standing(at: now)) }
        return RefreshReport(counts, standing: standing, startedAt: startedAt, now: now.wall)
    }

    /// Whether nothing is remembered of anybody.
    var isBlank: Bool { book.withLock { $0.isBlank } }
}

extension IssuerTokens {
    /// These, with an earlier refresh token if the issuer gave no new one (RFC 6749, section 6).
    fileprivate func keeping(_ earlier: Secret<String>?) -> Self {
        guard refreshToken == nil else { return self }
        return Self(
            accessToken: accessToken, refreshToken: earlier, scope: scope, expiresAt: expiresAt, obtainedAt: obtainedAt, issuer: issuer)
    }
}

extension RefreshFailure {
    fileprivate var reason: String {
        switch self {
        case .refused(let code): "it answered \(code.withoutControls.cut(64))"
        case .later(let wait?): "it asked to wait for \(wait.components.seconds) s"
        case .later(nil): "it answers with errors"
        case .unreachable: "it does not answer"
        }
    }
}
