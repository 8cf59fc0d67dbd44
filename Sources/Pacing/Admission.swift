package import Gateway

/// Whose tokens are taken.
package enum BucketKey: Hashable, Sendable {
    case address(AddressPrefix)
    case global
    case tenant(TenantID)
    case user(UserID)
    case key(APIKeyID)
    /// A server by its alias, which is its tenant's own.
    case server(TenantID, alias: String)
    /// A tool by the name that callers know it by.
    case tool(TenantID, name: String)

    package var limit: Throttle.Limit {
        switch self {
        case .address: .address
        case .global: .global
        case .tenant: .tenant
        case .user: .user
        case .key: .key
        case .server: .server
        case .tool: .tool
        }
    }
}

/// Everything that one request has to take at once, or nothing of it.
package struct AdmissionRequest: Hashable, Sendable {
    /// A token of one bucket.
    package struct Claim: Hashable, Sendable {
        package let key: BucketKey
        package let limit: RateLimit

        package init(_ key: BucketKey, _ limit: RateLimit) {
            self.key = key
            self.limit = limit
        }
    }

    package struct QuotaClaim: Hashable, Sendable {
        package let period: QuotaPeriod
        package let most: Int64

        package init(_ period: QuotaPeriod, most: Int64) {
            self.period = period
            self.most = most
        }
    }

    /// Whose share of the global bucket the request is part of.
    package var tenant: TenantID
    package var weight: Int
    /// At most one for each key.
    package var claims: [Claim]
    /// What the tenant may ask over a window.
    package var window: WindowLimit?
    /// What the tenant may ask in a period of the calendar; one of each at most.
    package var quotas: [QuotaClaim]

    package init(tenant: TenantID, weight: Int = 1, claims: [Claim], window: WindowLimit? = nil, quotas: [QuotaClaim] = []) {
        self.tenant = tenant
        self.weight = weight
        self.claims = claims
        self.window = window
        self.quotas = quotas
    }
}

/// What was found stored for a request, in its order; nil for what nobody has used.
package struct Holdings: Sendable {
    package var buckets: [TokenBucket?] = []
    package var window: SlidingWindow?
    package var quotas: [QuotaCount?] = []

    package init() {}
}

package enum Verdict: Hashable, Sendable {
    /// With what is left of each bucket, in the order of the claims.
    case admitted([Budget])
    case refused(Throttle.Limit, allows: Throttle.Allowance, retryAfter: Duration)
}

/// What is left of a bucket.
package struct Budget: Hashable, Sendable {
    package let limit: Throttle.Limit
    package let capacity: Int64
    package let remaining: Int64
    /// How long an empty bucket takes to fill.
    package let window: Duration
    /// How long until it is full again.
    package let resetsAfter: Duration
}

extension AdmissionRequest {
    /// Judges the request, and takes what it asks if all of it is there. A refusal takes nothing from any, and names the
    /// limit that lets the caller wait longest.
    ///
    /// - Parameters:
    ///   - holdings: afterwards, if the request is admitted, what is to be stored.
    ///   - share: how the global bucket is divided, if it is. Nothing is taken from it yet: that is for when the rest is stored.
    package func judge(_ holdings: inout Holdings, share: inout FairShare?, at now: Moment) -> Verdict {
        var refusal: (limit: Throttle.Limit, allows: Throttle.Allowance, wait: Duration)?
        func refuse(_ limit: Throttle.Limit, _ wait: Duration?, _ most: Int64, in window: Duration) {
            if let wait, wait > refusal?.wait ?? .zero { refusal = (limit, Throttle.Allowance(most, in: window), wait) }
        }
        var buckets = [TokenBucket]()
        buckets.reserveCapacity(claims.count)
        for (claim, stored) in zip(claims, holdings.buckets) {
            var bucket = stored ?? TokenBucket(full: claim.limit, at: now.boot)
            bucket.credit(claim.limit, at: now.boot)
            refuse(claim.key.limit, bucket.wait(for: 1, of: claim.limit), claim.limit.capacity, in: claim.limit.timeToFill)
            if claim.key == .global {
                let wait = share?.wait(for: 1, of: tenant, weight: weight, total: bucket.level, at: now.boot)
                refuse(.share, wait, share?.capacity(of: tenant) ?? 0, in: claim.limit.timeToFill)
            }
            buckets.append(bucket)
        }
        var window = holdings.window ?? SlidingWindow()
        if let limit = self.window { refuse(.window, window.wait(for: 1, in: limit, at: now.boot), limit.most, in: limit.length) }
        var counts = [QuotaCount]()
        for (claim, stored) in zip(quotas, holdings.quotas) {
            var count = stored ?? QuotaCount()
            count.turn(to: claim.period.number(at: now.wall))
            if count.used >= claim.most { refuse(claim.period.limit, claim.period.remaining(at: now.wall), claim.most, in: claim.period.length) }
            counts.append(count)
        }
        if let refusal { return .refused(refusal.limit, allows: refusal.allows, retryAfter: refusal.wait) }

        for index in buckets.indices { buckets[index].remove(1) }
        if let limit = self.window {
            window.add(1, in: limit, at: now.boot)
            holdings.window = window
        }
        for index in counts.indices { counts[index].use(1) }
        holdings.buckets = buckets
        holdings.quotas = counts
        return .admitted(zip(claims, buckets).map { Budget($0, $1) })
    }
}

extension Budget {
    fileprivate init(_ claim: AdmissionRequest.Claim, _ bucket: TokenBucket) {
        self.init(
            limit: claim.key.limit, capacity: claim.limit.capacity, remaining: bucket.remaining, window: claim.limit.timeToFill,
            resetsAfter: bucket.timeToFill(of: claim.limit))
    }
}

extension QuotaPeriod {
    package var limit: Throttle.Limit { self == .day ? .dailyQuota : .monthlyQuota }
}
