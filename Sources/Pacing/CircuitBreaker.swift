package import Gateway

/// Whether a server's endpoint is worth asking: a value that hears what came of each request.
///
/// Closed, it lets everything through. It opens after so many faults in a row, and then refuses everything for a while, so that
/// nobody waits for an endpoint that is down. After the pause one request probes it: if that is answered the breaker closes, if
/// not the pause doubles. Faults are the transport's; an endpoint that answers with an error answers.
package struct CircuitBreaker: Sendable {
    /// Leave to ask once. Each is given back once: `answered`, `failed` or `returned`.
    package enum Pass: Hashable, Sendable {
        case ordinary
        /// The only one for now while it is open.
        case probe(Int)
    }

    package enum State: Hashable, Sendable {
        case closed
        /// Refuses everything until then.
        case open(until: BootInstant)
        /// One request may find out, or is about to.
        case halfOpen
    }

    /// Faults in a row that open it.
    package static let tolerance = 3
    /// A probe that has come to nothing by then does not keep others from being made.
    static let probePatience = Duration.seconds(10)
    private static let backoff = Backoff(first: .seconds(1), longest: .seconds(60))

    package private(set) var faultsInRow = 0
    /// When it opened; nil while it is closed.
    package private(set) var openedAt: BootInstant?
    private var probeAfter = BootInstant(nanoseconds: .min)
    private var probing: (number: Int, since: BootInstant)?
    private var probes = 0
    /// How often a probe has failed since it opened.
    private var failedProbes = 0

    package init() {}

    package var isOpen: Bool { openedAt != nil }

    package func state(at now: BootInstant) -> State {
        guard isOpen else { return .closed }
        return now < probeAfter ? .open(until: probeAfter) : .halfOpen
    }

    /// When it may be asked at the earliest; nil for now.
    package func waits(at now: BootInstant) -> BootInstant? {
        guard isOpen else { return nil }
        let earliest = max(probeAfter, probing.map { $0.since.advanced(by: Self.probePatience) } ?? probeAfter)
        return now < earliest ? earliest : nil
    }

    /// Leave to ask now; nil while it is open.
    package mutating func pass(at now: BootInstant) -> Pass? {
        guard isOpen else { return .ordinary }
        guard waits(at: now) == nil else { return nil }
        probes += 1
        probing = (probes, now)
        return .probe(probes)
    }

    /// It answered, if only with an error.
    package mutating func answered(_ pass: Pass) {
        // What was asked before it opened says nothing about now.
        if pass == .ordinary && isOpen { return }
        let probes = probes
        self = Self()
        self.probes = probes
    }

    /// It could not be reached, was lost on the way, or did not answer in time.
    package mutating func failed(_ pass: Pass, at now: BootInstant) {
        switch pass {
        case .ordinary:
            guard !isOpen else { return }
            faultsInRow += 1
            if faultsInRow >= Self.tolerance { open(at: now) }
        case .probe(let number):
            guard isOpen, probing?.number == number else { return }
            faultsInRow = min(faultsInRow + 1, Int(Int32.max))
            failedProbes = min(failedProbes + 1, Int(Int32.max))
            open(at: now)
        }
    }

    /// It was not asked after all, or nobody waited for what came of it.
    package mutating func returned(_ pass: Pass) {
        if case .probe(let number) = pass, probing?.number == number { probing = nil }
    }

    private mutating func open(at now: BootInstant) {
        if openedAt == nil { openedAt = now }
        probing = nil
        probeAfter = now.advanced(by: Self.backoff.wait(afterFailures: failedProbes + 1))
    }
}
