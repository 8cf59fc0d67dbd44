package import Gateway

/// What a tenant may ask, where an administrator set it; nil and what is missing stand for what the settings say.
///
/// Rates are requests a minute, 0 for no limit.
package struct TenantTerms: Hashable, Sendable {
    package var name: String
    /// Its part of the gateway's capacity, in comparison with others: 1 to 1000.
    package var weight = 1
    /// For all its users together.
    package var perMinute: Int?
    /// For each of its users who has no rate of their own.
    package var userPerMinute: Int?
    package var dailyQuota: Int64?
    package var monthlyQuota: Int64?
    /// By user name.
    package var users: [String: Int] = [:]
    /// By alias.
    package var servers: [String: Int] = [:]
    /// By the name that callers know.
    package var tools: [String: Int] = [:]

    package static let weights = 1...1000
    package static let rates = 0...10_000_000
    /// Rates of each kind that a tenant can have.
    package static let mostRates = 1000

    package init(name: String) { self.name = name }
}

/// The limits of this gateway: from a caller to everything that their request has to take.
package struct PacingPlan: Hashable, Sendable {
    package struct Fairness: Hashable, Sendable {
        package var window = Duration.seconds(300)
        /// How many minutes of its share a tenant may save up, and how far above its rate it may be over the window.
        package var burst = 1.5

        package init(window: Duration = .seconds(300), burst: Double = 1.5) {
            self.window = window
            self.burst = burst
        }
    }

    /// Requests a minute, 0 for no limit.
    package var perRole: [Role: Int] = [:]
    /// For each address without a valid token.
    package var strangers = 20
    /// How many users' rates a tenant has.
    package var tenantMultiplier = 10
    package var global = 10_000
    /// Minutes of requests that a full bucket holds.
    package var burst = 2.0
    package var window = Fairness()
    /// Whether tenants share the global bucket by weight.
    package var dividesGlobal = true
    package var windowSlides = true

    package init() {}

    private var globalLimit: RateLimit? { RateLimit(perMinute: global, burst: burst) }

    /// How the global bucket is divided; nil if it is not.
    package func share(at now: BootInstant) -> FairShare? {
        guard dividesGlobal, let globalLimit else { return nil }
        return FairShare(of: globalLimit, burst: window.burst, window: window.window, at: now)
    }

    /// - Parameters:
    ///   - server: the alias of the server a tool is called on.
    ///   - tool: the name it is called by.
    package func request(of principal: Principal, server: String?, tool: String?, under terms: TenantTerms) -> AdmissionRequest {
        let tenant = principal.tenant
        var request = AdmissionRequest(tenant: tenant, weight: terms.weight, claims: [])
        request.claims.reserveCapacity(6)
        request.claim(.global, globalLimit)
        let tenantRate = tenantRate(terms)
        request.claim(.tenant(tenant), RateLimit(perMinute: tenantRate, burst: burst))
        request.claim(.user(principal.user), RateLimit(perMinute: userRate(principal, terms), burst: burst))
        if let key = principal.key, let rate = principal.keyPerMinute { request.claim(.key(key), RateLimit(perMinute: rate, burst: burst)) }
        if let server, let rate = terms.servers[server] {
            request.claim(.server(tenant, alias: server), RateLimit(perMinute: rate, burst: burst))
        }
        if let tool, let rate = terms.tools[tool] { request.claim(.tool(tenant, name: tool), RateLimit(perMinute: rate, burst: burst)) }
        if tenantRate > 0 { request.window = windowLimit(tenantRate) }
        if let most = terms.dailyQuota { request.quotas.append(AdmissionRequest.QuotaClaim(.day, most: most)) }
        if let most = terms.monthlyQuota { request.quotas.append(AdmissionRequest.QuotaClaim(.month, most: most)) }
        return request
    }

    /// What somebody takes who shows no valid token.
    package func request(ofStrangerAt address: AddressPrefix) -> AdmissionRequest {
        var request = AdmissionRequest(tenant: FairShare.strangers, claims: [])
        request.claim(.address(address), RateLimit(perMinute: strangers, burst: burst))
        request.claim(.global, globalLimit)
        return request
    }

    /// Requests a minute of all users of a tenant; 0 for no limit.
    package func tenantRate(_ terms: TenantTerms) -> Int {
        let most = TenantTerms.rates.upperBound
        return min(most, terms.perMinute ?? (terms.userPerMinute ?? perRole[.user] ?? 0) * tenantMultiplier)
    }

    package func userRate(_ principal: Principal, _ terms: TenantTerms) -> Int {
        if let rate = terms.users[principal.name] { return rate }
        let standard = perRole[principal.role == .auditor ? .user : principal.role] ?? 0
        return principal.role == .user ? terms.userPerMinute ?? standard : standard
    }

    package func windowLimit(_ tenantRate: Int) -> WindowLimit {
        let minutes = Double(window.window.nanoseconds) / 60e9
        return WindowLimit(most: Int64((Double(tenantRate) * minutes * window.burst).rounded(.up)), length: window.window, slides: windowSlides)
    }
}

extension AdmissionRequest {
    fileprivate mutating func claim(_ key: BucketKey, _ limit: RateLimit?) {
        if let limit { claims.append(Claim(key, limit)) }
    }
}
