import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Something an issuer publishes: fetched when it is needed, by one for all who wait, and kept within bounds.
///
/// It is fresh for as long as the issuer says, five minutes at least and a day at most. When fetching anew fails, the old
/// one is good for a day more: an issuer that is away for an hour does not lock anybody out, one that is away for longer
/// vouches for nothing.
actor IssuerDocument<Value: Sendable> {
    struct Fetched: Sendable {
        let value: Value
        /// As the answer says; nil if it does not.
        let maxAge: Duration?
    }

    private struct Held {
        let value: Value
        let freshUntil: BootInstant
        let goodUntil: BootInstant
    }

    private let name: String
    private let now: @Sendable () -> BootInstant
    private let report: @Sendable (IssuerFailure) -> Void
    private let fetch: @Sendable () async throws(IssuerFailure) -> Fetched

    private var held: Held?
    private var running: Task<Result<Fetched, IssuerFailure>, Never>?
    private var triedAt: BootInstant?
    private var lastFailure: IssuerFailure?

    /// Between two fetches when something is held, and when nothing is: however many ask, the issuer is asked no more often.
    private static var pause: (held: Duration, empty: Duration) { (.seconds(60), .seconds(5)) }
    private static var usualAge: Duration { .seconds(3600) }
    private static var ages: ClosedRange<Duration> { .seconds(300) ... .seconds(86_400) }
    private static var grace: Duration { .seconds(86_400) }

    init(
        _ name: String, now: @escaping @Sendable () -> BootInstant, report: @escaping @Sendable (IssuerFailure) -> Void,
        fetch: @escaping @Sendable () async throws(IssuerFailure) -> Fetched
    ) {
        self.name = name
        self.now = now
        self.report = report
        self.fetch = fetch
    }

    /// What is held, or what is fetched now.
    func value() async throws(IssuerFailure) -> Value {
        if let held, now() < held.freshUntil { return held.value }
        return try await fetchedAnew()
    }

    /// The same fetched anew, for whoever misses something in it; as it was if it was fetched within the last minute, or
    /// cannot be fetched.
    func renewed() async throws(IssuerFailure) -> Value { try await fetchedAnew() }

    private func fetchedAnew() async throws(IssuerFailure) -> Value {
        if running == nil, let triedAt, now() < triedAt.advanced(by: held == nil ? Self.pause.empty : Self.pause.held) {
            return try kept(after: lastFailure)
        }
        let failure: IssuerFailure?
        switch await outcome() {
        case .success: failure = nil
        case .failure(let reason): failure = reason
        }
        return try kept(after: failure)
    }

    private func outcome() async -> Result<Fetched, IssuerFailure> {
        if let running { return await running.value }
        triedAt = now()
        // Unstructured on purpose: the fetch belongs to everybody who waits for it, and outlives the one who asked first. Its
        // own deadline ends it. What came of it is noted before anybody who waits goes on.
        let task = Task { () -> Result<Fetched, IssuerFailure> in
            let outcome: Result<Fetched, IssuerFailure>
            do throws(IssuerFailure) { outcome = .success(try await fetch()) } catch { outcome = .failure(error) }
            note(outcome)
            return outcome
        }
        running = task
        return await task.value
    }

    private func note(_ outcome: Result<Fetched, IssuerFailure>) {
        running = nil
        switch outcome {
        case .success(let fetched):
            let age = min(max(fetched.maxAge ?? Self.usualAge, Self.ages.lowerBound), Self.ages.upperBound)
            let freshUntil = now().advanced(by: age)
            held = Held(value: fetched.value, freshUntil: freshUntil, goodUntil: freshUntil.advanced(by: Self.grace))
            lastFailure = nil
        case .failure(let reason):
            lastFailure = reason
            if held != nil { report(reason) }
        }
    }

    private func kept(after failure: IssuerFailure?) throws(IssuerFailure) -> Value {
        if let held, now() < held.goodUntil { return held.value }
        throw failure ?? IssuerFailure(.later(after: Self.pause.empty), "The issuer's \(name) is not there yet.")
    }
}

extension FetchedAnswer {
    /// `max-age` of `Cache-Control` (RFC 9111); zero if the answer is not to be kept, nil if it says nothing.
    var maxAge: Duration? {
        guard let header = self["cache-control"] else { return nil }
        let directives = header.lowercased().split(separator: ",").map { $0.trimmingPrefix { $0 == " " || $0 == "\t" } }
        if directives.contains(where: { $0.hasPrefix("no-store") || $0.hasPrefix("no-cache") }) { return .zero }
        guard let directive = directives.first(where: { $0.hasPrefix("max-age=") }) else { return nil }
        return UInt32(directive.dropFirst("max-age=".count)).map { .seconds(Int64($0)) }
    }
}

extension Fetcher {
    /// A document of the issuer's, of at most so many bytes.
    func document(_ name: String, at endpoint: Endpoint, largest: Int) async throws(IssuerFailure) -> FetchedAnswer {
        let request = FetchRequest(.get, endpoint, headers: [("accept", "application/json")], largestAnswer: largest)
        let answer: FetchedAnswer
        do throws(FetchFailure) { answer = try await send(request) } catch { throw IssuerFailure(error, "The issuer's \(name) at \(endpoint)") }
        switch answer.status {
        case 200: break
        case 300..<400:
            throw IssuerFailure(
                .configuration, "The issuer's \(name) at \(endpoint) was answered with a redirect (\(answer.status)), which is not followed.")
        case 408, 429, 500..<600:
            throw IssuerFailure(.later(after: answer.retryAfter), "The issuer's \(name) at \(endpoint) was answered with status \(answer.status).")
        default:
            throw IssuerFailure(
                .configuration, "The issuer's \(name) at \(endpoint) was answered with status \(answer.status). Is the address right?")
        }
        // Whoever sends is held to the bound; a literal may not be.
        guard answer.body.count <= largest else { throw IssuerFailure(.tooLarge, "The issuer's \(name) at \(endpoint)") }
        return answer
    }
}

extension FetchedAnswer {
    /// `Retry-After` in seconds, at most an hour; nil if it is absent or a date.
    var retryAfter: Duration? {
        self["retry-after"].flatMap { UInt32($0) }.map { .seconds(min(Int64($0), 3600)) }
    }
}

extension IssuerFailure {
    /// - Parameter what: begins the sentence.
    init(_ failure: FetchFailure, _ what: String) {
        switch failure {
        case .unreachable(let reason): self.init(.later(after: nil), "\(what) cannot be reached: \(reason).")
        case .lost(let reason): self.init(.later(after: nil), "\(what) gave no answer: \(reason).")
        case .timedOut(let deadline): self.init(.later(after: nil), "\(what) gave no answer within \(deadline).")
        case .tooLarge: self.init(.configuration, "\(what) was answered with more than an issuer has to say.")
        }
    }
}
