import Gateway
import Testing

@testable import Pacing

struct AdmissionRequestTests {
    let now = Moment(wall: Timestamp(microseconds: 20_000 * 86_400_000_000), boot: BootInstant(nanoseconds: 3_600_000_000_000))
    let tenant = TenantID(7)

    static func limit(_ perMinute: Int, burst: Double = 1) throws -> RateLimit {
        try #require(RateLimit(perMinute: perMinute, burst: burst))
    }

    static func empty(at now: Moment) -> TokenBucket { TokenBucket(level: 0, creditedAt: now.boot) }

    /// Nobody has asked yet.
    static func unused(_ request: AdmissionRequest) -> Holdings {
        var holdings = Holdings()
        holdings.buckets = request.claims.map { _ in nil }
        holdings.quotas = request.quotas.map { _ in nil }
        return holdings
    }

    func everything() throws -> AdmissionRequest {
        AdmissionRequest(
            tenant: tenant,
            claims: [
                .init(.global, try Self.limit(600)), .init(.tenant(tenant), try Self.limit(120)), .init(.user(UserID(1)), try Self.limit(60)),
                .init(.server(tenant, alias: "web"), try Self.limit(30)), .init(.tool(tenant, name: "web__search"), try Self.limit(6)),
            ],
            window: WindowLimit(most: 500, length: .seconds(300)), quotas: [.init(.day, most: 10), .init(.month, most: 100)])
    }

    @Test func `what is granted is taken from everything, and told in the order of the claims`() throws {
        let request = try everything()
        var (holdings, share) = (Self.unused(request), FairShare?.none)
        guard case .admitted(let budgets) = request.judge(&holdings, share: &share, at: now) else {
            Issue.record("refused to somebody who never asked")
            return
        }
        #expect(budgets.map(\.limit) == [.global, .tenant, .user, .server, .tool])
        #expect(budgets.map(\.capacity) == [600, 120, 60, 30, 6])
        #expect(budgets.map(\.remaining) == [599, 119, 59, 29, 5])
        #expect(budgets.map(\.window) == Array(repeating: .seconds(60), count: 5))
        #expect(budgets.map(\.resetsAfter) == [.milliseconds(100), .milliseconds(500), .seconds(1), .seconds(2), .seconds(10)])
        #expect(holdings.buckets.map { $0?.remaining } == [599, 119, 59, 29, 5])
        #expect(holdings.window == SlidingWindow(number: 12, current: 1, previous: 0))
        // The 20,000th day lies in October 2024.
        #expect(holdings.quotas == [QuotaCount(period: 20_000, used: 1), QuotaCount(period: 657, used: 1)])
    }

    @Test(arguments: 0..<8)
    func `of whatever one thing is used up, nothing is taken of the others`(usedUp: Int) throws {
        let request = try everything()
        var (holdings, share) = (Self.unused(request), FairShare?.none)
        switch usedUp {
        case 0..<5: holdings.buckets[usedUp] = Self.empty(at: now)
        case 5: holdings.window = SlidingWindow(number: 12, current: 500, previous: 0)
        default: holdings.quotas[usedUp - 6] = QuotaCount(period: [20_000, 657][usedUp - 6], used: [10, 100][usedUp - 6])
        }
        let before = holdings
        guard case .refused(let limit, let allowance, let wait) = request.judge(&holdings, share: &share, at: now) else {
            Issue.record("granted")
            return
        }
        #expect(limit == [.global, .tenant, .user, .server, .tool, .window, .dailyQuota, .monthlyQuota][usedUp])
        #expect(allowance.most == [600, 120, 60, 30, 6, 500, 10, 100][usedUp])
        #expect(allowance.window == (usedUp < 5 ? .seconds(60) : [.seconds(300), .seconds(86_400), .seconds(31 * 86_400)][usedUp - 5]))
        let fading = Duration.nanoseconds(300_000_000_000 + 600_000_000)
        let waits: [Duration] = [.milliseconds(100), .milliseconds(500), .seconds(1), .seconds(2), .seconds(10), fading, .seconds(86_400)]
        // From 4 October until November.
        #expect(wait == (usedUp < 7 ? waits[usedUp] : .seconds(28 * 86_400)))
        #expect(holdings.buckets == before.buckets && holdings.window == before.window && holdings.quotas == before.quotas)
    }

    @Test func `of several limits the one with the longest wait is named, and after that wait none is left`() throws {
        let request = try everything()
        var (holdings, share) = (Self.unused(request), FairShare?.none)
        holdings.buckets = request.claims.map { _ in Self.empty(at: now) }
        guard case .refused(.tool, _, let wait) = request.judge(&holdings, share: &share, at: now) else {
            Issue.record("another limit was named")
            return
        }
        let later = Moment(wall: now.wall, boot: now.boot.advanced(by: wait))
        guard case .admitted = request.judge(&holdings, share: &share, at: later) else {
            Issue.record("the wait did not suffice")
            return
        }
    }

    @Test func `of waits that are equal the first claim is named`() throws {
        let limit = try Self.limit(60)
        let request = AdmissionRequest(tenant: tenant, claims: [.init(.user(UserID(1)), limit), .init(.tenant(tenant), limit)])
        var (holdings, share) = (Self.unused(request), FairShare?.none)
        holdings.buckets = [Self.empty(at: now), Self.empty(at: now)]
        #expect(
            request.judge(&holdings, share: &share, at: now)
                == .refused(.user, allows: Throttle.Allowance(60, in: .seconds(60)), retryAfter: .seconds(1)))
    }

    @Test func `a request without limits is granted, however often`() {
        let request = AdmissionRequest(tenant: tenant, claims: [])
        var (holdings, share) = (Holdings(), FairShare?.none)
        #expect((0..<1000).allSatisfy { _ in request.judge(&holdings, share: &share, at: now) == .admitted([]) })
    }

    @Test(arguments: QuotaPeriod.allCases)
    func `a quota of so many grants so many, and as many again in the next period`(period: QuotaPeriod) {
        let request = AdmissionRequest(tenant: tenant, claims: [], quotas: [.init(period, most: 5)])
        var (holdings, share) = (Self.unused(request), FairShare?.none)
        func granted(at wall: Timestamp) -> Int {
            (0..<20).count { _ in request.judge(&holdings, share: &share, at: Moment(wall: wall, boot: now.boot)) == .admitted([]) }
        }
        let next = now.wall.advanced(by: period.remaining(at: now.wall))
        #expect([now.wall, Timestamp(microseconds: next.microseconds - 1), next, next].map { granted(at: $0) } == [5, 0, 5, 0])
    }

    @Test func `a window of so many grants so many at once`() {
        let request = AdmissionRequest(tenant: tenant, claims: [], window: WindowLimit(most: 5, length: .seconds(300)))
        var (holdings, share) = (Holdings(), FairShare?.none)
        #expect((0..<20).count { _ in request.judge(&holdings, share: &share, at: now) == .admitted([]) } == 5)
    }

    @Test func `a share is judged with the global bucket, and nothing is taken of it`() throws {
        let global = try Self.limit(600, burst: 2)
        let request = AdmissionRequest(tenant: tenant, claims: [.init(.global, global)])
        var (holdings, share) = (Self.unused(request), FairShare?(FairShare(of: global, burst: 1.5, window: .seconds(300), at: now.boot)))
        // Not taken: the share stays where it was, though the bucket is used.
        for _ in 0..<500 {
            guard case .admitted = request.judge(&holdings, share: &share, at: now) else {
                Issue.record("the share was used up by asking")
                return
            }
        }
        holdings.buckets = [nil]
        while case .admitted = request.judge(&holdings, share: &share, at: now) { share?.take(1, of: tenant) }
        let capacity = try #require(share?.capacity(of: tenant))
        guard case .refused(.share, let allowance, let wait) = request.judge(&holdings, share: &share, at: now) else {
            Issue.record("another limit was named")
            return
        }
        #expect(allowance == Throttle.Allowance(capacity, in: .seconds(120)))
        #expect(wait > .zero)
        // The bucket itself has more.
        #expect(holdings.buckets[0].map { $0.remaining > 0 } == true)
    }
}

struct PacingPlanTests {
    static let tenant = TenantID(7)
    let terms = TenantTerms(name: "acme")

    static func plan() -> PacingPlan {
        var plan = PacingPlan()
        plan.perRole = [.anonymous: 20, .user: 100, .serverOwner: 500, .admin: 1000]
        return plan
    }

    static func principal(_ role: Role, _ name: String = "ada") -> Principal { Principal(user: UserID(3), name: name, tenant: tenant, role: role) }

    /// Requests a minute by what they are counted for.
    static func rates(_ request: AdmissionRequest) -> [Throttle.Limit: Int64] {
        Dictionary(uniqueKeysWithValues: request.claims.map { ($0.key.limit, $0.limit.perMinute) })
    }

    @Test(arguments: [(Role.anonymous, 20), (.user, 100), (.serverOwner, 500), (.admin, 1000), (.auditor, 100)] as [(Role, Int64)])
    func `a caller has the rate of their role, and a tenant that of ten users`(role: Role, rate: Int64) {
        let request = Self.plan().request(of: Self.principal(role), server: "web", tool: "web__search", under: terms)
        #expect(Self.rates(request) == [.global: 10_000, .tenant: 1000, .user: rate])
        #expect(request.claims.map(\.key) == [.global, .tenant(Self.tenant), .user(UserID(3))])
        #expect(request.claims.allSatisfy { $0.limit.capacity == 2 * $0.limit.perMinute })
        #expect(request.window == WindowLimit(most: 7500, length: .seconds(300)))
        #expect(request.quotas == [])
        #expect(request.weight == 1)
    }

    @Test func `a key with a limit of its own takes from that besides its owner's`() {
        func claims(_ key: APIKeyID?, _ rate: Int?) -> [BucketKey] {
            let principal = Principal(user: UserID(3), name: "ada", tenant: Self.tenant, role: .user, key: key, keyPerMinute: rate)
            return Self.plan().request(of: principal, server: nil, tool: nil, under: terms).claims.map(\.key)
        }
        #expect(claims(APIKeyID(9), 60) == [.global, .tenant(Self.tenant), .user(UserID(3)), .key(APIKeyID(9))])
        #expect(claims(APIKeyID(9), nil) == [.global, .tenant(Self.tenant), .user(UserID(3))])
    }

    @Test func `what an administrator set for a user, a server or a tool goes before`() {
        var terms = terms
        (terms.weight, terms.perMinute, terms.userPerMinute) = (4, 333, 44)
        (terms.users, terms.servers, terms.tools) = (["ada": 5], ["web": 6], ["web__search": 7])
        (terms.dailyQuota, terms.monthlyQuota) = (8, 9)
        let plan = Self.plan()
        let request = plan.request(of: Self.principal(.user), server: "web", tool: "web__search", under: terms)
        #expect(request.claims.map(\.limit.perMinute) == [10_000, 333, 5, 6, 7])
        #expect(
            request.claims.suffix(2).map(\.key) == [.server(Self.tenant, alias: "web"), .tool(Self.tenant, name: "web__search")])
        #expect(request.quotas == [.init(.day, most: 8), .init(.month, most: 9)])
        #expect(request.weight == 4)
        #expect(request.window?.most == 2498)
        // Of others nothing is said.
        let other = plan.request(of: Self.principal(.user, "eve"), server: "files", tool: "files__read", under: terms)
        #expect(Self.rates(other) == [.global: 10_000, .tenant: 333, .user: 44])
        // A rate for every user is no rate for administrators; one for a name is.
        #expect(plan.userRate(Self.principal(.admin, "eve"), terms) == 1000)
        #expect(plan.userRate(Self.principal(.admin), terms) == 5)
    }

    @Test func `a tenant's own rate for users changes what it has together`() {
        var (plan, terms) = (Self.plan(), terms)
        terms.userPerMinute = 50
        #expect(plan.tenantRate(terms) == 500)
        plan.tenantMultiplier = 3
        #expect(plan.tenantRate(terms) == 150)
        #expect(plan.tenantRate(self.terms) == 300)
        terms.userPerMinute = 10_000_000
        #expect(plan.tenantRate(terms) == 10_000_000)
    }

    @Test func `a rate of nought is no limit`() throws {
        var (plan, terms) = (Self.plan(), terms)
        (plan.global, terms.perMinute) = (0, 0)
        (terms.users, terms.servers, terms.tools) = (["ada": 0], ["web": 0], ["web__search": 0])
        let request = plan.request(of: Self.principal(.user), server: "web", tool: "web__search", under: terms)
        #expect(request.claims == [])
        #expect(request.window == nil)
        #expect(plan.share(at: BootInstant(nanoseconds: 0)) == nil)
        plan.strangers = 0
        #expect(plan.request(ofStrangerAt: try AddressPrefix(#require(IPAddress("203.0.113.7")))).claims == [])
    }

    @Test func `a stranger takes of their address's bucket and of the global one, and counts as one tenant with all others`() throws {
        let address = try AddressPrefix(#require(IPAddress("2001:db8::7")))
        let request = Self.plan().request(ofStrangerAt: address)
        #expect(request.claims.map(\.key) == [.address(address), .global])
        #expect(Self.rates(request) == [.address: 20, .global: 10_000])
        #expect(request.tenant == FairShare.strangers)
        #expect(request.window == nil && request.quotas == [])
    }

    @Test func `the global bucket is divided if there is one and the settings say so`() {
        var plan = Self.plan()
        #expect(plan.share(at: BootInstant(nanoseconds: 0))?.limit == RateLimit(perMinute: 10_000, burst: 2))
        plan.dividesGlobal = false
        #expect(plan.share(at: BootInstant(nanoseconds: 0)) == nil)
    }

    @Test func `a window that stands is asked for as one`() {
        var plan = Self.plan()
        (plan.windowSlides, plan.window) = (false, PacingPlan.Fairness(window: .seconds(90), burst: 1))
        #expect(plan.windowLimit(7) == WindowLimit(most: 11, length: .seconds(90), slides: false))
    }
}
