package import Gateway
import MCP
package import Pacing
import Synchronization

/// How a request is let in: what it has to take under the limits of this gateway is taken, all or nothing, in one
/// transaction; and what was granted and refused is counted.
package final class Admission: Sendable {
    private struct State {
        var terms: [TenantID: TenantTerms]
        /// In which order the terms were committed that were changed.
        var orders: [TenantID: Int] = [:]
        var fairness: FairnessRecord
        var times = DecisionTimes()
    }

    private let plan: PacingPlan
    private let seat: @Sendable (Principal, Timestamp) -> Duration?
    private let judge: @Sendable (AdmissionRequest, Moment) throws -> Verdict
    private let clock: @Sendable () -> BootInstant
    private let state: Mutex<State>

    /// - Parameters:
    ///   - terms: of every tenant there is; of those made later, what `change` says.
    ///   - seat: finds a user a place among those who may be active at the same time, or says how long there is none.
    ///   - judge: takes what a request asks, or nothing.
    ///   - clock: to measure with.
    package init(
        plan: PacingPlan, terms: [TenantID: TenantTerms], clock: @escaping @Sendable () -> BootInstant,
        seat: @escaping @Sendable (Principal, Timestamp) -> Duration? = { _, _ in nil },
        judge: @escaping @Sendable (AdmissionRequest, Moment) throws -> Verdict
    ) {
        self.plan = plan
        self.judge = judge
        self.clock = clock
        self.seat = seat
        let perMinute = plan.global > 0 ? Int64(plan.global) : nil
        state = Mutex(State(terms: terms, fairness: FairnessRecord(window: plan.window.window, perMinute: perMinute)))
    }

    /// Lets a known caller in.
    ///
    /// - Parameters:
    ///   - operation: nil for a request to the admin API.
    ///   - alias: the server whose own endpoint it is made at, where tools are called by their own names.
    /// - Returns: what is left of the caller's own buckets.
    /// - Throws: `Refusal.throttled`, `Refusal.overloaded` when there is no room to count, or that counting is broken.
    package func admit(_ principal: Principal, _ operation: Operation? = nil, of alias: ServerAlias? = nil, at now: Moment) throws -> [Budget] {
        if let wait = seat(principal, now.wall) {
            throw Refusal.overloaded(
                "As many users are active as this gateway takes at the same time (MREG_FASTMCP_MAX_CONCURRENT_USERS); try again later.",
                retryAfter: wait)
        }
        let terms = terms(of: principal.tenant)
        let called: String? = if case .callTool(let name) = operation { name } else { nil }
        // One limit for one tool, whichever endpoint it is called at.
        let tool = called.map { name in alias.map { ToolName.exposed(name, of: $0) } ?? name }
        let server = tool.flatMap { ToolName.alias(in: $0) }
        let begun = clock()
        let verdict = try judge(plan.request(of: principal, server: server, tool: tool, under: terms), now)
        let took = Duration.nanoseconds(clock().nanoseconds - begun.nanoseconds)
        let outcome = verdict.count
        state.withLock { state in
            state.times.note(took)
            state.fairness.note(principal.tenant, weight: terms.weight, outcome, at: now.boot)
        }
        switch verdict {
        case .admitted(let budgets): return budgets.filter { $0.limit != .global }
        case .refused(let limit, let allowance, let wait):
            let owner = Self.owner(of: limit, principal, terms, server, tool)
            // What everybody together may ask is nobody's to know.
            throw Refusal.throttled(Throttle(limit, of: owner, allows: limit == .global ? nil : allowance, retryAfter: wait))
        }
    }

    /// Makes somebody pay who shows no valid token.
    ///
    /// - Throws: `Refusal.throttled`, also when there is no room to count another address.
    package func admitStranger(at address: IPAddress?, _ now: Moment) throws {
        guard let address else { return }
        let verdict: Verdict
        do {
            verdict = try judge(plan.request(ofStrangerAt: AddressPrefix(address)), now)
        } catch let refusal as Refusal {
            // No room to count one more address: whoever cannot be counted is not let in.
            throw Refusal.throttled(Throttle(.address, of: "\(AddressPrefix(address))", retryAfter: refusal.retryAfter ?? .seconds(60)))
        }
        let outcome = verdict.count
        state.withLock { state in state.fairness.note(FairShare.strangers, weight: 1, outcome, at: now.boot) }
        guard case .refused(let limit, let allowance, let wait) = verdict else { return }
        guard limit == .address else { throw Refusal.throttled(Throttle(.global, retryAfter: wait)) }
        throw Refusal.throttled(Throttle(.address, of: "\(AddressPrefix(address))", allows: allowance, retryAfter: wait))
    }

    private static func owner(of limit: Throttle.Limit, _ principal: Principal, _ terms: TenantTerms, _ server: String?, _ tool: String?) -> String {
        switch limit {
        case .user, .inFlight: principal.name
        case .key: principal.key.map { "\($0.rawValue)" } ?? ""
        case .tenant, .share, .window, .dailyQuota, .monthlyQuota: terms.name
        case .server, .queue: server ?? ""
        case .tool: tool ?? ""
        case .address, .global, .registrations: ""
        }
    }

    // MARK: Terms

    /// What holds for a tenant from now on.
    ///
    /// - Parameter order: higher for what was committed later; what comes late is left out.
    package func change(_ terms: TenantTerms, of tenant: TenantID, order: Int = 0) {
        state.withLock { state in
            guard order >= state.orders[tenant] ?? 0 else { return }
            state.terms[tenant] = terms
            state.orders[tenant] = order
        }
    }

    package func isNew(_ tenant: TenantID) -> Bool { state.withLock { $0.terms[tenant] == nil } }

    package func terms(of tenant: TenantID) -> TenantTerms {
        state.withLock { $0.terms[tenant] } ?? TenantTerms(name: "\(tenant.rawValue)")
    }

    package var limits: PacingPlan { plan }

    // MARK: Figures

    package func figures(at now: BootInstant) -> AdmissionFigures {
        state.withLock { state in
            AdmissionFigures(fairness: state.fairness.report(at: now), times: state.times, names: state.terms.mapValues(\.name))
        }
    }
}

/// What is known of the requests of the last window.
package struct AdmissionFigures: Sendable {
    package let fairness: FairnessReport
    /// Of all decisions since the start.
    package let times: DecisionTimes
    package let names: [TenantID: String]
}

extension Verdict {
    /// Where it counts: a caller whose own limits are used up asked for nothing the others could have had.
    fileprivate var count: FairnessRecord.Outcome {
        switch self {
        case .admitted: .granted
        case .refused(.global, _, _), .refused(.share, _, _): .turnedAway
        case .refused: .throttled
        }
    }
}
