package import Forwarding
package import Gateway
import MCP
package import Pacing

/// Limits, blocks and their figures, as administrators ask for them: the same for the admin API and for the operator.
package struct PacingDesk: Sendable {
    package var addresses: AddressGuard
    package var admission: Admission
    package var gate: CallGate
    package var changeTerms:
        @Sendable (TenantID, AuditRecord, @Sendable @escaping (inout TenantTerms) throws -> Void) async throws -> (TenantTerms, order: Int)
    package var quotaUsed: @Sendable (QuotaPeriod, TenantID, Timestamp) throws -> Int64
    package var entries: @Sendable () -> Int
    package var now: @Sendable () -> Moment

    package init(
        addresses: AddressGuard, admission: Admission, gate: CallGate,
        changeTerms:
            @escaping @Sendable (TenantID, AuditRecord, @Sendable @escaping (inout TenantTerms) throws -> Void) async throws -> (
                TenantTerms, order: Int
            ),
        quotaUsed: @escaping @Sendable (QuotaPeriod, TenantID, Timestamp) throws -> Int64, entries: @escaping @Sendable () -> Int,
        now: @escaping @Sendable () -> Moment
    ) {
        self.addresses = addresses
        self.admission = admission
        self.gate = gate
        self.changeTerms = changeTerms
        self.quotaUsed = quotaUsed
        self.entries = entries
        self.now = now
    }

    // MARK: Limits

    static let limitNames: Set<String> = ["weight", "requests_per_minute", "user_requests_per_minute", "users", "servers", "tools"]
    static let quotaNames: Set<String> = ["daily", "monthly"]
    private static let quotas: ClosedRange<Int64> = 0...1_000_000_000_000

    func limits(of tenant: TenantID) -> JSONText {
        let (terms, plan) = (admission.terms(of: tenant), admission.limits)
        func rates(_ rates: [String: Int]) -> JSONText { .object(rates.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) }) }
        func unlessZero(_ rate: Int) -> JSONText { rate > 0 ? .number(rate) : .null }
        return [
            "tenant": .string(terms.name), "weight": .number(terms.weight), "requests_per_minute": terms.perMinute.map { .number($0) } ?? .null,
            "user_requests_per_minute": terms.userPerMinute.map { .number($0) } ?? .null, "users": rates(terms.users),
            "servers": rates(terms.servers), "tools": rates(terms.tools),
            "in_force": [
                "requests_per_minute": unlessZero(plan.tenantRate(terms)),
                "user_requests_per_minute": unlessZero(terms.userPerMinute ?? plan.perRole[.user] ?? 0),
                "burst_minutes": .number(plan.burst),
                "note": "null here means no limit; above it means that the setting holds. Rates of 0 stand for no limit.",
            ],
        ]
    }

    /// Changes what is named, from the next request on; `null` takes back what was set.
    func changeLimits(of tenant: TenantID, _ members: Members, audit: AuditRecord) async throws -> JSONText {
        let rates = TenantTerms.rates
        let weight = try members.integer("weight", in: TenantTerms.weights)
        let perMinute = try members.integer("requests_per_minute", in: rates)
        let userPerMinute = try members.integer("user_requests_per_minute", in: rates)
        let (users, servers, tools) = (
            try members.integers("users", in: rates, most: TenantTerms.mostRates),
            try members.integers("servers", in: rates, most: TenantTerms.mostRates),
            try members.integers("tools", in: rates, most: TenantTerms.mostRates)
        )
        try await change(tenant, audit) { terms in
            weight.map { terms.weight = $0.value ?? 1 }
            perMinute.map { terms.perMinute = $0.value }
            userPerMinute.map { terms.userPerMinute = $0.value }
            for (name, change) in users { terms.users[name] = change.value }
            for (name, change) in servers { terms.servers[name] = change.value }
            for (name, change) in tools { terms.tools[name] = change.value }
            guard [terms.users, terms.servers, terms.tools].allSatisfy({ $0.count <= TenantTerms.mostRates }) else {
                throw Refusal.conflict("A tenant has at most \(TenantTerms.mostRates) rates of a kind; take some back first.")
            }
        }
        return limits(of: tenant)
    }

    func quotas(of tenant: TenantID) throws -> JSONText {
        let terms = admission.terms(of: tenant)
        let now = now().wall
        func line(_ period: QuotaPeriod, _ most: Int64?) throws -> JSONText {
            // What nobody limits is not counted.
            guard let most else { return ["limit": .null, "used": .null, "begins_anew": .null] }
            return [
                "limit": .number(most), "used": .number(try quotaUsed(period, tenant, now)),
                "begins_anew": .string(now.advanced(by: period.remaining(at: now)).rfc3339),
            ]
        }
        return ["tenant": .string(terms.name), "daily": try line(.day, terms.dailyQuota), "monthly": try line(.month, terms.monthlyQuota)]
    }

    func changeQuotas(of tenant: TenantID, _ members: Members, audit: AuditRecord) async throws -> JSONText {
        let daily = try members.integer("daily", in: Self.quotas)
        let monthly = try members.integer("monthly", in: Self.quotas)
        try await change(tenant, audit) { terms in
            daily.map { terms.dailyQuota = $0.value }
            monthly.map { terms.monthlyQuota = $0.value }
        }
        return try quotas(of: tenant)
    }

    private func change(_ tenant: TenantID, _ audit: AuditRecord, _ change: @Sendable @escaping (inout TenantTerms) throws -> Void) async throws {
        let (terms, order) = try await changeTerms(tenant, audit, change)
        admission.change(terms, of: tenant, order: order)
    }

    // MARK: Blocks

    private static let longestBlock: Int64 = 31_536_000

    var blockList: JSONText {
        let now = now().boot
        return [
            "threshold": .number(addresses.rules.threshold), "within_seconds": .number(addresses.rules.period.components.seconds),
            "enabled": .bool(addresses.rules.isEnabled),
            "blocked": .array(
                addresses.listed.map { entry in
                    [
                        "address": .string("\(entry.block.address)"), "reason": .string(entry.block.reason.rawValue),
                        "blocked_at": .string(entry.block.blockedAt.rfc3339), "until": .string(entry.block.until.rfc3339),
                        "seconds_left": .number(Duration.nanoseconds(entry.ends.nanoseconds - now.nanoseconds).roundedUpSeconds),
                        "refused_requests": .number(entry.refused), "hit_a_valid_token": .bool(entry.isMistaken),
                    ]
                }),
        ]
    }

    /// - Parameter text: an address as a path names it; an IPv6 one stands for its /64.
    static func address(_ text: String?) throws(Refusal) -> AddressPrefix {
        guard let text, let decoded = text.removingURLPercentEncoding(), let address = AddressPrefix(decoded) else {
            throw .invalid("“\((text ?? "").cut(64))” is no IPv4 or IPv6 address.")
        }
        return address
    }

    func block(_ address: AddressPrefix, _ members: Members?, audit: AuditRecord) async throws -> JSONText {
        var seconds = addresses.rules.blocksFor.components.seconds
        if case .set(let asked)? = try members?.integer("seconds", in: 1...Self.longestBlock) { seconds = asked }
        let block = try await addresses.block(address, for: .seconds(seconds), audit: audit)
        return ["address": .string("\(block.address)"), "until": .string(block.until.rfc3339), "reason": .string(block.reason.rawValue)]
    }

    // MARK: Figures

    /// - Parameter tenant: whose lines may be seen; nil for all.
    func performance(of tenant: TenantID?) -> JSONText {
        let figures = admission.figures(at: now().boot)
        let (fairness, times) = (figures.fairness, figures.times)
        let mistakes = Double(addresses.mistakes)
        let rate = fairness.requests > 0 ? (fairness.refusedFalsely + mistakes) / Double(fairness.requests) : nil
        func microseconds(_ share: Double) -> JSONText { AdminText.number(times.percentile(share).map { Double($0.nanoseconds) / 1000 }) }
        let shown = fairness.tenants.filter { tenant == nil || $0.key == tenant }.sorted { $0.key < $1.key }
        return [
            "window_seconds": .number(admission.limits.window.window.components.seconds), "requests": .number(fairness.requests),
            "fairness_efficiency": AdminText.number(fairness.efficiency), "tenant_satisfaction": AdminText.number(fairness.satisfaction),
            "false_positive_rate": AdminText.number(rate), "blocks_that_hit_a_valid_token": .number(Int(mistakes)),
            "algorithm_overhead": [
                "unit": "µs", "p50": microseconds(0.5), "p95": microseconds(0.95), "p99": microseconds(0.99), "p999": microseconds(0.999),
                "decisions": .number(times.count),
            ],
            "entries": .number(entries()),
            "tenants": .array(shown.map { .object(Self.members(of: $0.value, figures.name(of: $0.key))) }),
            "queues": tenant == nil ? queues : nil, "definitions": Self.definitions,
        ]
    }

    /// What is under way and what waits in front of servers.
    private var queues: JSONText {
        .array(
            gate.figures().servers.sorted { $0.key < $1.key }.map { server, line in
                [
                    "server": .number(server.rawValue), "in_flight": .number(line.inFlight), "waiting": .number(line.waiting),
                    "refused": .number(line.refused), "longest_wait_ms": AdminText.number(Double(line.longestWait.microseconds) / 1000),
                ]
            })
    }

    /// How one tenant fares.
    func fairness(of tenant: TenantID) -> JSONText {
        let figures = admission.figures(at: now().boot)
        let line = figures.fairness.tenants[tenant] ?? FairnessReport.Line()
        return .object(
            Self.members(of: line, figures.name(of: tenant)) + [
                ("window_seconds", .number(admission.limits.window.window.components.seconds)),
                ("fairness_efficiency", AdminText.number(figures.fairness.efficiency)), ("definitions", Self.definitions),
            ])
    }

    private static func members(of line: FairnessReport.Line, _ name: String) -> [(String, JSONText?)] {
        [
            ("tenant", .string(name)), ("weight", .number(line.count.weight)), ("granted", .number(line.count.granted)),
            ("ideal_share", AdminText.number(line.ideal)), ("turned_away", .number(line.count.turnedAway)),
            ("over_own_limits", .number(line.count.throttled)),
            ("satisfaction", AdminText.number(line.ideal > 0 ? min(1, Double(line.count.granted) / line.ideal) : nil)),
        ]
    }

    private static let definitions: JSONText = [
        "fairness_efficiency":
            "Jain's index, (Σx)² / n·Σx², of x = granted over ideal share, over the tenants that asked within the window; 1 is best. A tenant's ideal share is what weighted max-min grants of the same capacity: of the requests that no limit of its own refused, as many as were granted in all, or as the global rate allows if that is more; reckoned in slices of a thirtieth of the window.",
        "algorithm_overhead": "Time of one admission decision, all buckets and its transaction included, since the start.",
        "false_positive_rate":
            "Requests refused for fairness though their tenant was under its ideal share while less was granted than the global rate allows, plus blocks of the last 24 hours that hit somebody with a valid token, over all requests in the window.",
        "tenant_satisfaction": "The share of tenants that got at least 95 % of their ideal share.",
    ]
}

extension Members.Change {
    var value: Value? { if case .set(let value) = self { value } else { nil } }
}

extension AdmissionFigures {
    fileprivate func name(of tenant: TenantID) -> String {
        tenant == FairShare.strangers ? "(callers without a token)" : names[tenant] ?? "\(tenant.rawValue)"
    }
}
