package import Gateway

/// What is known of one endpoint of a server: its circuit breaker, what it has to do, and when it is worth a look.
package struct EndpointHealth: Sendable {
    package enum Outcome: Hashable, Sendable {
        /// It answered, if only with an error.
        case answered
        /// It took a connection, which says little of one that takes connections and then falls silent.
        case reached
        case failed(Fault)
        /// It was not asked after all, or nobody waited for the answer.
        case nothing
    }

    package struct Fault: Hashable, Sendable {
        package let reason: String
        /// Whether no connection came about.
        package let isOfConnecting: Bool

        package init(_ reason: String, isOfConnecting: Bool) {
            self.reason = reason
            self.isOfConnecting = isOfConnecting
        }
    }

    /// How long an endpoint of which nothing was heard is left alone, give or take a fifth.
    package static let interval = Duration.seconds(30)
    private static let spread = 0.2

    package private(set) var breaker = CircuitBreaker()
    /// Requests under way at it.
    package private(set) var underWay = 0
    /// Conversations that stay with it.
    package var conversations = 0
    package private(set) var lastFault: (fault: Fault, at: Timestamp)?
    /// On the wall's clock, while the breaker is open.
    package private(set) var openedAt: Timestamp?
    private var quietUntil: BootInstant

    /// - Parameter chance: from 0 up to 1, so that many endpoints are not looked at in the same moment.
    package init(at now: BootInstant, chance: Double) { quietUntil = Self.next(now, chance) }

    package var load: Int { underWay + conversations }

    /// Leave to ask it; nil while its breaker is open. Given back with `end`.
    package mutating func begin(at now: BootInstant) -> CircuitBreaker.Pass? {
        guard let pass = breaker.pass(at: now) else { return nil }
        underWay += 1
        return pass
    }

    package mutating func end(_ pass: CircuitBreaker.Pass, _ outcome: Outcome, at now: Moment, chance: Double) {
        underWay -= 1
        if outcome != .nothing { quietUntil = Self.next(now.boot, chance) }
        switch outcome {
        case .answered: breaker.answered(pass)
        case .reached: if lastFault?.fault.isOfConnecting ?? true { breaker.answered(pass) } else { breaker.returned(pass) }
        case .failed(let fault):
            breaker.failed(pass, at: now.boot)
            lastFault = (fault, now.wall)
        case .nothing: breaker.returned(pass)
        }
        if !breaker.isOpen { openedAt = nil } else if openedAt == nil { openedAt = now.wall }
        // One that is down is looked at as soon as its pause is over.
        if case .failed = outcome, let earliest = breaker.waits(at: now.boot) { quietUntil = earliest }
    }

    /// Whether nothing was heard of it for so long that it is worth a look. One that works all the time never is.
    package func isProbeDue(at now: BootInstant) -> Bool { now >= quietUntil && breaker.waits(at: now) == nil }

    private static func next(_ now: BootInstant, _ chance: Double) -> BootInstant {
        now.advanced(by: interval * (1 - spread + 2 * spread * chance))
    }
}
