package import Gateway

/// How token refreshes ended, counted by the hour: the running hour and the 23 before it, whatever their number.
///
/// A renewal begins with the first attempt for a token and ends when a new token is there, the issuer has refused it for good,
/// or it was tried as often as it may be. It is counted once, when it ends.
package struct RefreshTally: Sendable {
    package enum Ending: Hashable, Sendable {
        /// A new token was there when the old one had more than the margin left.
        case proactive
        /// When less than that was left.
        case emergency
        /// When the old one had expired: because nobody had needed it, or because it could not be done in time.
        case late
        /// The issuer refused the refresh token for good.
        case refused
        /// It failed as often as it may. Whoever asks for the token later may still bring about a renewal, which counts anew.
        case givenUp
    }

    package struct Counts: Hashable, Sendable {
        package var proactive = 0
        package var emergency = 0
        package var late = 0
        package var refused = 0
        package var givenUp = 0
        /// Attempts after the first, over all these renewals.
        package var retries = 0

        package init() {}

        package var renewed: Int { proactive + emergency + late }
        package var ended: Int { renewed + refused + givenUp }

        fileprivate mutating func count(_ ending: Ending, retries: Int) {
            switch ending {
            case .proactive: proactive += 1
            case .emergency: emergency += 1
            case .late: late += 1
            case .refused: refused += 1
            case .givenUp: givenUp += 1
            }
            self.retries += retries
        }

        fileprivate mutating func add(_ other: Self) {
            proactive += other.proactive
            emergency += other.emergency
            late += other.late
            refused += other.refused
            givenUp += other.givenUp
            retries += other.retries
        }
    }

    private var hours: [(hour: Int64, counts: Counts)] = []

    package init() {}

    /// - Parameter retries: attempts after the first.
    package mutating func count(_ ending: Ending, retries: Int, at now: BootInstant) {
        let hour = Self.hour(of: now)
        hours.removeAll { $0.hour <= hour - 24 }
        if hours.last?.hour != hour { hours.append((hour, Counts())) }
        hours[hours.count - 1].counts.count(ending, retries: max(0, retries))
    }

    package func counts(at now: BootInstant) -> Counts {
        let hour = Self.hour(of: now)
        return hours.filter { $0.hour > hour - 24 }.reduce(into: Counts()) { $0.add($1.counts) }
    }

    private static func hour(of moment: BootInstant) -> Int64 { moment.nanoseconds / 3_600_000_000_000 }
}

/// How the background refresh of tokens fares: what `token-refresh-analytics` answers.
package struct RefreshReport: Sendable {
    /// How things stand at the moment of the report.
    package struct Standing: Hashable, Sendable {
        package struct Issuer: Hashable, Sendable {
            package let issuer: String
            package let inFlight: Int
            /// Without an answer in between.
            package let failuresInRow: Int
            /// When it may be asked again; nil if it may be asked now.
            package let closedUntil: Timestamp?

            package init(issuer: String, inFlight: Int, failuresInRow: Int, closedUntil: Timestamp?) {
                self.issuer = issuer
                self.inFlight = inFlight
                self.failuresInRow = failuresInRow
                self.closedUntil = closedUntil
            }
        }

        /// Tokens that are kept fresh, or were until their issuer refused or failed too often.
        package var tokens = 0
        /// Of these, those that were given up: their users have to sign in again, or to ask for them when the issuer answers.
        package var givenUp = 0
        package var inFlight = 0
        /// Callers who wait for a refresh.
        package var waiting = 0
        /// What issuers answered and could not be stored yet.
        package var unstored = 0
        /// Nil if nothing is planned.
        package var nextDue: Timestamp?
        /// By name; those without tokens are left out.
        package var issuers: [Issuer] = []

        package init() {}
    }

    /// `success_rate`: the share of renewals that ended with a new token.
    package let successRate: Figure
    /// `proactive_ratio`: the share of new tokens that were there with more than the margin left.
    package let proactiveRatio: Figure
    /// `emergency_ratio`: the share of new tokens that were there with less than the margin left, but before the expiry. With
    /// the late ones the three shares make 1.
    package let emergencyRatio: Figure
    /// `avg_retry_count`: attempts after the first, per renewal that ended.
    package let averageRetryCount: Figure
    package let counts: RefreshTally.Counts
    package let standing: Standing

    /// All four have no value while nothing has ended that they could speak of.
    package var figures: [Figure] { [successRate, proactiveRatio, emergencyRatio, averageRetryCount] }

    /// - Parameters:
    ///   - counts: of the running hour and the 23 before it.
    ///   - startedAt: when the program began to count.
    package init(_ counts: RefreshTally.Counts, standing: Standing, startedAt: Timestamp, now: Timestamp) {
        let dayBefore = now.advanced(by: .seconds(-24 * 3600))
        let window = startedAt > dayBefore ? "since the start at \(startedAt.rfc3339)" : "the running hour and the 23 before it"
        func share(_ part: Int, of whole: Int) -> Double? { whole > 0 ? Double(part) / Double(whole) : nil }
        let (noneEnded, noneRenewed) = ("no renewal has ended", "no token was renewed")
        successRate = Figure(
            "success_rate", share(counts.renewed, of: counts.ended), unit: "share", window: window,
            formula: "renewals that ended with a new token / renewals that ended", target: .above(0.95, "0.95"),
            note: counts.ended == 0 ? noneEnded : nil)
        proactiveRatio = Figure(
            "proactive_ratio", share(counts.proactive, of: counts.renewed), unit: "share", window: window,
            formula: "new tokens that were there before the margin / new tokens", target: .above(0.8, "0.8"),
            note: counts.renewed == 0 ? noneRenewed : nil)
        emergencyRatio = Figure(
            "emergency_ratio", share(counts.emergency, of: counts.renewed), unit: "share", window: window,
            formula: "new tokens that were there within the margin / new tokens", target: .below(0.1, "0.1"),
            note: counts.renewed == 0 ? noneRenewed : nil)
        averageRetryCount = Figure(
            "avg_retry_count", share(counts.retries, of: counts.ended), unit: "attempts", window: window,
            formula: "attempts after the first / renewals that ended", target: .below(1.5, "1.5"),
            note: counts.ended == 0 ? noneEnded : nil)
        self.counts = counts
        self.standing = standing
    }
}
