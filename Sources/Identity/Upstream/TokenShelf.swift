import Gateway
import Synchronization

/// What is shown to servers, held in memory until shortly before it is over, and obtained anew by one for all who wait.
///
/// What could not be obtained is not asked for again at once, so that a broken authorization server is asked by nobody more
/// often than every few seconds. Bounded: what was used least lately makes room.
final class TokenShelf: Sendable {
    struct Key: Hashable, Sendable {
        let server: ServerID
        /// Nil for what is everybody's.
        let user: UserID?
    }

    struct Item: Sendable {
        let value: Secret<String>
        /// Nil if that is not known.
        let expiresAt: Timestamp?
    }

    struct Held: Sendable {
        let value: Secret<String>
        let mark: Int64
        let goodUntil: Timestamp?
        let obtainedAt: BootInstant
        /// Whether the one before it was turned away.
        let isReplacement: Bool
    }

    typealias Obtaining = @Sendable (_ isReplacement: Bool) async throws(CredentialFailure) -> Item
    private typealias Outcome = Result<Held, CredentialFailure>

    private struct Failed {
        let failure: CredentialFailure
        let until: BootInstant
    }

    private struct Place {
        var held: Held?
        var failed: Failed?
        var work: SharedWork<Outcome>?
        var isTurnedAway = false
        var usedAt = BootInstant(nanoseconds: 0)
    }

    private struct State {
        var places: [Key: Place] = [:]
        var lastMark: Int64 = 0
    }

    static let capacity = 10_000
    /// Before its end: a call that is begun with it may take a while to arrive.
    static let margin = Duration.seconds(30)
    /// For how long a failure stands for the next try.
    static let pause = Duration.seconds(5)
    /// The same when the server turned away what was obtained for it a moment ago.
    static let pauseAfterRefusal = Duration.seconds(30)
    private static let freshFor = Duration.seconds(60)
    /// Longer than one question to an authorization server takes.
    static let patience = Duration.seconds(20)

    private let state = Mutex(State())
    private let now: @Sendable () -> Moment

    init(now: @escaping @Sendable () -> Moment) { self.now = now }

    /// What is held, or what is obtained now.
    func take(_ key: Key, obtaining: @escaping Obtaining) async throws(CredentialFailure) -> Held {
        enum Step {
            case have(Held)
            case fail(CredentialFailure)
            case wait(SharedWork<Outcome>)
        }
        let moment = now()
        let step = state.withLock { state -> Step in
            if state.places[key] == nil { Self.makeRoom(&state) }
            var place = state.places[key] ?? Place()
            defer { state.places[key] = place }
            place.usedAt = moment.boot
            if let held = place.held, held.goodUntil.map({ moment.wall < $0 }) ?? true { return .have(held) }
            if let failed = place.failed, moment.boot < failed.until { return .fail(failed.failure) }
            if let work = place.work { return .wait(work) }
            let work = SharedWork<Outcome>()
            place.work = work
            let isReplacement = place.isTurnedAway
            // Unstructured on purpose: it belongs to everybody who waits. Its own deadlines end it.
            Task { await carryOut(work, for: key, isReplacement, obtaining) }
            return .wait(work)
        }
        switch step {
        case .have(let held): return held
        case .fail(let failure): throw failure
        case .wait(let work):
            guard let outcome = await work.outcome(within: Self.patience) else {
                throw CredentialFailure(.later, "The token for this server took too long to come; try again in a while.")
            }
            return try outcome.get()
        }
    }

    private func carryOut(_ work: SharedWork<Outcome>, for key: Key, _ isReplacement: Bool, _ obtaining: Obtaining) async {
        let outcome: Outcome
        do throws(CredentialFailure) {
            let item = try await obtaining(isReplacement)
            let moment = now()
            let mark = state.withLock { state in
                state.lastMark += 1
                return state.lastMark
            }
            outcome = .success(
                Held(
                    value: item.value, mark: mark, goodUntil: item.goodUntil(at: moment.wall), obtainedAt: moment.boot, isReplacement: isReplacement))
        } catch {
            outcome = .failure(error)
        }
        let until = now().boot.advanced(by: Self.pause)
        state.withLock { state in
            // Forgotten meanwhile: what was obtained is for those who asked before that, and for nobody after.
            guard var place = state.places[key], place.work === work else { return }
            place.work = nil
            place.isTurnedAway = false
            switch outcome {
            case .success(let held): (place.held, place.failed) = (held, nil)
            case .failure(let failure): (place.held, place.failed) = (nil, Failed(failure: failure, until: until))
            }
            state.places[key] = place
        }
        work.end(outcome)
    }

    enum Verdict {
        /// Another one may be obtained, or is there already.
        case tryAgain
        /// It was obtained in place of one that was turned away, a moment ago: a third would be no better.
        case hopeless
    }

    /// Takes note that a server turned one away.
    ///
    /// - Parameter isRenewable: whether another one could be had.
    func turnedAway(_ key: Key, mark: Int64, isRenewable: Bool, otherwise failure: CredentialFailure) -> Verdict {
        let moment = now().boot
        return state.withLock { state in
            guard var place = state.places[key], let held = place.held, held.mark == mark else { return .tryAgain }
            defer { state.places[key] = place }
            place.held = nil
            if isRenewable && !(held.isReplacement && moment < held.obtainedAt.advanced(by: Self.freshFor)) {
                place.isTurnedAway = true
                return .tryAgain
            }
            place.failed = Failed(failure: failure, until: moment.advanced(by: Self.pauseAfterRefusal))
            return .hopeless
        }
    }

    func forget(_ key: Key) { state.withLock { $0.places[key] = nil } }

    /// All that is held for a server.
    func forget(_ server: ServerID) {
        state.withLock { state in state.places = state.places.filter { $0.key.server != server } }
    }

    private static func makeRoom(_ state: inout State) {
        guard state.places.count >= capacity, let oldest = state.places.min(by: { $0.value.usedAt < $1.value.usedAt }) else { return }
        state.places[oldest.key] = nil
    }
}

extension TokenShelf.Item {
    /// A little before its end; of a short life, a tenth before.
    fileprivate func goodUntil(at moment: Timestamp) -> Timestamp? {
        guard let expiresAt else { return nil }
        let life = Duration.microseconds(max(0, expiresAt.microseconds.subtractingReportingOverflow(moment.microseconds).partialValue))
        return expiresAt.advanced(by: .zero - min(TokenShelf.margin, life / 10))
    }
}
