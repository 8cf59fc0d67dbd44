import Gateway
import Testing

@testable import Pacing

/// What holds of the division of the global bucket whoever asks when, in virtual time.
struct FairSharePropertyTests {
    typealias Gateway = FairShareTests.Gateway

    static let second: Int64 = 1_000_000_000
    static func at(_ nanoseconds: Int64) -> BootInstant { BootInstant(nanoseconds: nanoseconds) }

    /// A gateway that is used at random, by tenants that want more than there is.
    static func used(_ seed: Int, weights: ClosedRange<Int64>, _ check: (Gateway, _ tenant: Int64, _ weight: Int, BootInstant, Duration) -> Void)
        throws
    {
        var chance = Chance(seed)
        let tenants = chance.pick(1...30)
        let perMinute = 60 * tenants * chance.pick(1...1000)
        var gateway = try Gateway(perMinute: Int(perMinute), burst: Double(chance.pick(1...10)), window: .seconds(chance.pick(10...300)))
        let weight = (0...tenants).map { _ in Int(chance.pick(weights)) }
        var now: Int64 = 0
        // To begin with, all that was saved is used up.
        gateway.bucket = TokenBucket(level: chance.pick(0...4 * tenants) * TokenBucket.token, creditedAt: Self.at(0))
        for _ in 0..<3000 {
            now += chance.pick(0...Self.second * 60 / perMinute)
            if chance.pick(0...400) == 0 { now += chance.pick(0...20) * Self.second * 60 / perMinute }
            let tenant = chance.pick(1...tenants)
            guard let wait = gateway.ask(tenant, weight: weight[Int(tenant)], at: Self.at(now)) else { continue }
            check(gateway, tenant, weight[Int(tenant)], Self.at(now), wait)
        }
    }

    @Test(arguments: 1...20)
    func `who waits as long as they are told is served, if nobody else asks meanwhile`(seed: Int) throws {
        var (checked, dishonest) = (0, 0)
        try Self.used(seed, weights: seed % 2 == 0 ? 1...1 : 1...20) { gateway, tenant, weight, now, wait in
            var copy = gateway
            if copy.ask(tenant, weight: weight, at: now.advanced(by: wait)) != nil { dishonest += 1 }
            checked += 1
        }
        #expect(dishonest == 0, "of \(checked)")
        #expect(checked > 100)
    }

    /// Then nothing that flows in is lost: a bucket is lost from only when it is full.
    @Test(arguments: 1...20)
    func `nobody is refused while the bucket is full`(seed: Int) throws {
        var (refused, wrong) = (0, 0)
        try Self.used(seed + 100, weights: 1...1000) { gateway, _, _, _, _ in
            refused += 1
            if gateway.bucket.level == gateway.limit.capacity * TokenBucket.token { wrong += 1 }
        }
        #expect(wrong == 0, "of \(refused)")
        #expect(refused > 100)
    }

    /// Who asks no bucket, but the division alone, still never gets more than there is to divide.
    @Test(arguments: 1...20)
    func `what is divided is never more than the bucket holds, though others empty it or its limit is lowered`(seed: Int) throws {
        var chance = Chance(seed)
        let limit = try #require(RateLimit(perMinute: 600, burst: 2))
        var share = FairShare(of: limit, burst: 1.5, window: .seconds(300), at: Self.at(0))
        let whole = limit.capacity * TokenBucket.token
        var total = whole
        for round in 0..<50 {
            let now = Self.at(Int64(round) * Self.second)
            for _ in 0..<chance.pick(0...20) { _ = share.wait(for: 1, of: TenantID(chance.pick(1...12)), weight: 2, total: total, at: now) }
            total = chance.pick(0...3) == 0 ? 0 : chance.pick(0...whole)
            var granted: Int64 = 0
            for tenant in Int64(1)...12 {
                while share.wait(for: 1, of: TenantID(tenant), weight: Int(tenant % 3 + 1), total: total - granted * TokenBucket.token, at: now)
                    == nil
                {
                    share.take(1, of: TenantID(tenant))
                    granted += 1
                    guard granted * TokenBucket.token <= total else { break }
                }
            }
            #expect(granted * TokenBucket.token <= total)
            total -= granted * TokenBucket.token
        }
    }

    /// From a gateway with two seconds' flow left. Even, off by up to half a step, at 80 % of the weighted share; and at random moments (Poisson), at half of it.
    @Test(arguments: [(0.8, false), (0.5, true)])
    func `tenants of any weight that stay below their share are never refused, while others want everything`(part: Double, isPoisson: Bool) throws {
        var (gateway, chance) = (try Gateway(perMinute: 600_000), Chance(isPoisson ? 11 : 12))
        // 10,000 a second for a total weight of 40.
        let weights = [1, 1, 2, 4, 8, 8, 4, 4, 4, 4]
        var visitors = weights.indices.map { index in
            let rate = Double(weights[index]) * 250 * (index < 2 ? 8 : part)
            return FairShareTests.Visitor(tenant: Int64(index + 1), weight: weights[index], step: Int64(1e9 / rate), next: Int64(index))
        }
        // The last is greedy too.
        visitors[9] = FairShareTests.Visitor(tenant: 10, weight: 4, step: Self.second / 4000, next: 9)
        // Everybody's part full, and then but two seconds of it left.
        for visitor in visitors + visitors { _ = gateway.ask(visitor.tenant, weight: visitor.weight, at: Self.at(0)) }
        gateway.bucket = TokenBucket(level: 20_000 * TokenBucket.token, creditedAt: Self.at(0))
        gateway.startCounting()
        func pause(_ step: Int64) -> Int64 {
            isPoisson ? Int64(-Double(step) * logarithm(Double(chance.pick(1...1 << 52)) / 0x1p52)) + 1 : step / 2 + chance.pick(1...step)
        }
        while let index = visitors.indices.min(by: { visitors[$0].next < visitors[$1].next }), visitors[index].next < 15 * Self.second {
            let visitor = visitors[index]
            _ = gateway.ask(visitor.tenant, weight: visitor.weight, at: Self.at(visitor.next))
            visitors[index].next += pause(visitor.step)
        }
        for tenant in Int64(3)...9 { #expect(gateway.granted[tenant] == gateway.asked[tenant], "tenant \(tenant)") }
        #expect((gateway.granted[10] ?? 0) * 2 < gateway.asked[10] ?? 0)
    }

    @Test func `a weight that is changed holds from then on`() throws {
        var gateway = try Gateway(perMinute: 6000)
        var now: Int64 = 0
        func ratio(_ weight: Int, seconds: Int64) -> Double {
            gateway.startCounting()
            let end = now + seconds * Self.second
            while now < end {
                now += Self.second / 400
                for tenant in Int64(1)...2 { _ = gateway.ask(tenant, weight: tenant == 1 ? weight : 1, at: Self.at(now)) }
            }
            return Double(gateway.granted[1] ?? 0) / Double(gateway.granted[2] ?? 1)
        }
        _ = ratio(1, seconds: 120)
        #expect(abs(ratio(1, seconds: 30) - 1) < 0.01)
        _ = ratio(3, seconds: 1)
        #expect(abs(ratio(3, seconds: 30) - 3) < 0.03)
        _ = ratio(1, seconds: 1)
        #expect(abs(ratio(1, seconds: 30) - 1) < 0.01)
    }

    @Test(arguments: [(1, 0.0, 1), (1, 1, 1), (2, 1, 2), (60, 1, 200), (60, 2, 100), (100, 1, 150), (600, 2, 1000)] as [(Int, Double, Int64)])
    func `a bucket that is small for so many tenants is used up all the same`(perMinute: Int, burst: Double, tenants: Int64) throws {
        var gateway = try Gateway(perMinute: perMinute, burst: burst)
        // Everybody again and again, for twenty minutes.
        let turn = 60 * Self.second / Int64(perMinute)
        for step in 0..<Int64(20 * perMinute) { _ = gateway.ask(step % tenants + 1, at: Self.at(step * turn)) }
        #expect(gateway.granted.values.reduce(0, +) >= 20 * perMinute * 9 / 10)
    }

    @Test func `light tenants beside a heavy one that asks nothing more use up all there is`() throws {
        var gateway = try Gateway(perMinute: 100)
        _ = gateway.ask(1, weight: 1000, at: Self.at(0))
        for step in Int64(0)..<2500 { _ = gateway.ask(step % 70 + 2, at: Self.at(step * Self.second / 10)) }
        // What was saved beside the heavy tenant's part and the reserve, and what flowed in within four minutes.
        #expect(gateway.granted.values.reduce(0, +) > 400)
    }
}

/// Natural logarithm of a number in 0...1, without a library for it: halved until it is near one, then by its series.
private func logarithm(_ number: Double) -> Double {
    let (exponent, fraction) = (Double(number.exponent) + 1, number.significand / 2)
    let ratio = (fraction - 1) / (fraction + 1)
    var (power, sum) = (ratio, 0.0)
    for divisor in stride(from: 1.0, to: 40, by: 2) {
        sum += power / divisor
        power *= ratio * ratio
    }
    return exponent * 0.693_147_180_559_945_3 + 2 * sum
}
