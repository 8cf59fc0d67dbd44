import Gateway
import Testing

@testable import Pacing

/// The division of the global bucket, in virtual time.
struct FairShareTests {
    /// A gateway with nothing but its global bucket and the division of it.
    struct Gateway {
        let limit: RateLimit
        var bucket: TokenBucket
        var share: FairShare
        var granted: [Int64: Int] = [:]
        var asked: [Int64: Int] = [:]

        init(perMinute: Int, burst: Double = 2, window: Duration = .seconds(300)) throws {
            limit = try #require(RateLimit(perMinute: perMinute, burst: burst))
            bucket = TokenBucket(full: limit, at: BootInstant(nanoseconds: 0))
            share = FairShare(of: limit, burst: 1.5, window: window, at: BootInstant(nanoseconds: 0))
        }

        /// - Returns: nil if it was granted; else how long to wait.
        mutating func ask(_ tenant: Int64, weight: Int = 1, at now: BootInstant) -> Duration? {
            asked[tenant, default: 0] += 1
            bucket.credit(limit, at: now)
            let refusals = [
                bucket.wait(for: 1, of: limit), share.wait(for: 1, of: TenantID(tenant), weight: weight, total: bucket.level, at: now),
            ].compactMap { $0 }
            if let wait = refusals.max() { return wait }
            bucket.remove(1)
            share.take(1, of: TenantID(tenant))
            granted[tenant, default: 0] += 1
            return nil
        }

        mutating func startCounting() { (granted, asked) = ([:], [:]) }

        /// Jain's index of granted over what max-min would have granted of the same.
        func index(weights: [Int64: Int] = [:]) -> Double {
            let tenants = asked.keys.sorted()
            let ideal = MaxMin.shares(
                tenants.map { (weight: Double(weights[$0] ?? 1), demand: Double(asked[$0] ?? 0)) }, of: Double(granted.values.reduce(0, +)))
            return MaxMin.jain(zip(tenants, ideal).map { Double(granted[$0] ?? 0) / $1 }) ?? 0
        }
    }

    struct Numbers {
        private var state: UInt64
        init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

        mutating func next(_ most: Int64) -> Int64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int64(state >> 11) % most
        }
    }

    /// One who asks now and then: at an even pace, off by up to half a step.
    struct Visitor {
        let tenant: Int64
        let weight: Int
        let step: Int64
        var next: Int64
    }

    /// Lets the visitors ask, each at their pace, until the end.
    static func run(_ gateway: inout Gateway, _ visitors: inout [Visitor], from start: Int64 = 0, until end: Int64, _ numbers: inout Numbers) {
        var order = visitors.indices.sorted { visitors[$0].next < visitors[$1].next }
        while let first = order.first, visitors[first].next < end {
            _ = gateway.ask(visitors[first].tenant, weight: visitors[first].weight, at: BootInstant(nanoseconds: visitors[first].next))
            visitors[first].next += visitors[first].step / 2 + numbers.next(visitors[first].step) + 1
            order.removeFirst()
            let place = order.firstIndex { visitors[$0].next >= visitors[first].next } ?? order.endIndex
            order.insert(first, at: place)
        }
    }

    static let second: Int64 = 1_000_000_000

    @Test func `one of ten who sends a thousand times as much gets what the others leave, and they get all they ask`() throws {
        var (gateway, numbers) = (try Gateway(perMinute: 6000), Numbers(1))
        // 100 a second: nine ask for 5 each, the tenth for 5,000.
        var visitors = (1...10).map { Visitor(tenant: $0, weight: 1, step: $0 == 10 ? Self.second / 5000 : Self.second / 5, next: $0) }
        Self.run(&gateway, &visitors, until: 120 * Self.second, &numbers)
        gateway.startCounting()
        Self.run(&gateway, &visitors, until: 180 * Self.second, &numbers)
        #expect(gateway.index() > 0.9999)
        for tenant in Int64(1)...9 { #expect(gateway.granted[tenant] == gateway.asked[tenant]) }
        // Nothing is left over.
        #expect(gateway.granted.values.reduce(0, +) >= 5999)
    }

    @Test func `tenants that want everything get it by weight`() throws {
        var (gateway, numbers) = (try Gateway(perMinute: 6000), Numbers(2))
        var visitors = [1, 2, 4].map { Visitor(tenant: Int64($0), weight: $0, step: Self.second / 400, next: Int64($0)) }
        Self.run(&gateway, &visitors, until: 120 * Self.second, &numbers)
        gateway.startCounting()
        Self.run(&gateway, &visitors, until: 240 * Self.second, &numbers)
        #expect(gateway.index(weights: [1: 1, 2: 2, 4: 4]) > 0.9999)
        let total = Double(gateway.granted.values.reduce(0, +))
        for weight in [1, 2, 4] { #expect(abs(Double(gateway.granted[Int64(weight)] ?? 0) / total - Double(weight) / 7) < 0.005) }
        #expect((11_990...12_010).contains(Int(total)))
    }

    /// Measured over the stretches in which nobody comes or goes, and summed: what each should have had is what max-min
    /// grants to those who were there.
    @Test func `tenants that come and go get their share while they are there`() throws {
        var (gateway, numbers) = (try Gateway(perMinute: 6000, window: .seconds(60)), Numbers(3))
        var (granted, ideal) = ([Int64: Double](), [Int64: Double]())
        var end: Int64 = 0
        for stretch in 0..<60 {
            let present = (1...10).filter { _ in numbers.next(3) > 0 }.map { Int64($0) }
            var visitors = present.map { Visitor(tenant: $0, weight: 1, step: Self.second / (10 * $0), next: end + $0) }
            end += 10 * Self.second
            gateway.startCounting()
            Self.run(&gateway, &visitors, until: end, &numbers)
            guard stretch >= 12 else { continue }
            let capacity = Double(gateway.granted.values.reduce(0, +))
            let shares = MaxMin.shares(present.map { (weight: 1, demand: Double(gateway.asked[$0] ?? 0)) }, of: capacity)
            for (tenant, share) in zip(present, shares) {
                granted[tenant, default: 0] += Double(gateway.granted[tenant] ?? 0)
                ideal[tenant, default: 0] += share
            }
        }
        let index = try #require(MaxMin.jain(ideal.map { (granted[$0.key] ?? 0) / $0.value }))
        #expect(index > 0.99)
    }

    @Test func `a thousand tenants, ten of them greedy, are served as ten are`() throws {
        var (gateway, numbers) = (try Gateway(perMinute: 600_000), Numbers(4))
        // 10,000 a second; a share is 10. Most ask for 5, ten for 500.
        var visitors = (1...1000).map { Visitor(tenant: $0, weight: 1, step: $0 <= 10 ? Self.second / 500 : Self.second / 5, next: $0 * 7919) }
        for visitor in visitors { _ = gateway.ask(visitor.tenant, at: BootInstant(nanoseconds: 0)) }
        Self.drain(&gateway)
        Self.run(&gateway, &visitors, until: 4 * Self.second, &numbers)
        gateway.startCounting()
        Self.run(&gateway, &visitors, until: 10 * Self.second, &numbers)
        #expect(gateway.index() > 0.999)
        for tenant in Int64(11)...1000 { #expect(gateway.granted[tenant] == gateway.asked[tenant], "tenant \(tenant)") }
    }

    /// Uses up what was saved.
    static func drain(_ gateway: inout Gateway) {
        for tenant in Int64(1)...10 { while gateway.ask(tenant, at: gateway.bucket.creditedAt) == nil {} }
    }

    @Test func `of a million requests of tenants under their share none is refused, while others want everything`() throws {
        var (gateway, numbers) = (try Gateway(perMinute: 600_000), Numbers(5))
        // 10,000 a second for 20: a share is 500. Eighteen ask for 400, two for 4,000.
        var visitors = (1...20).map { Visitor(tenant: $0, weight: 1, step: Self.second / ($0 <= 2 ? 4000 : 400), next: $0) }
        Self.run(&gateway, &visitors, until: 140 * Self.second, &numbers)
        let honest = (3...20).reduce(0) { $0 + (gateway.asked[Int64($1)] ?? 0) }
        #expect(honest > 1_000_000)
        for tenant in Int64(3)...20 { #expect(gateway.granted[tenant] == gateway.asked[tenant]) }
        #expect((gateway.granted[1] ?? 0) < (gateway.asked[1] ?? 0))
    }

    @Test func `a tenant that is alone gets everything but the reserve at once, and then all that flows in`() throws {
        var gateway = try Gateway(perMinute: 600)
        let start = BootInstant(nanoseconds: 0)
        while gateway.ask(1, at: start) == nil {}
        // A reserve of ten seconds.
        #expect(gateway.granted[1] == 1100)
        gateway.startCounting()
        for tick in 1...6000 { _ = gateway.ask(1, at: start.advanced(by: .milliseconds(tick * 10))) }
        #expect((598...601).contains(gateway.granted[1] ?? 0))
    }

    @Test func `who comes when everything is in use is served at their first request`() throws {
        var gateway = try Gateway(perMinute: 600)
        var now = BootInstant(nanoseconds: 0)
        for _ in 0..<100_000 {
            _ = gateway.ask(1, at: now)
            now = now.advanced(by: .milliseconds(2))
        }
        for tenant in Int64(2)...20 { #expect(gateway.ask(tenant, at: now) == nil) }
    }

    @Test(arguments: 1...20)
    func `never is more granted than the bucket held and what flowed in, and a wait is honest`(seed: UInt64) throws {
        var (gateway, numbers) = (try Gateway(perMinute: 600, window: .seconds(20)), Numbers(seed))
        var now = BootInstant(nanoseconds: 0)
        for _ in 0..<4000 {
            now = now.advanced(by: .nanoseconds(numbers.next(20_000_000)))
            if numbers.next(500) == 0 { now = now.advanced(by: .seconds(numbers.next(60))) }
            let tenant = numbers.next(12) + 1
            guard let wait = gateway.ask(tenant, weight: Int(numbers.next(3)) * 2 + 1, at: now), numbers.next(10) == 0 else { continue }
            now = now.advanced(by: wait + .milliseconds(1))
            #expect(gateway.bucket.level <= gateway.limit.capacity * TokenBucket.token)
        }
        let most = gateway.limit.capacity + now.nanoseconds / Self.second * 10 + 10
        #expect(gateway.granted.values.reduce(0, +) <= most)
    }

    @Test func `a bucket that others empty is divided anew`() throws {
        var gateway = try Gateway(perMinute: 600)
        let start = BootInstant(nanoseconds: 0)
        for tenant in Int64(1)...5 { _ = gateway.ask(tenant, at: start) }
        gateway.bucket = TokenBucket(level: 0, creditedAt: start)
        for tenant in Int64(1)...5 { #expect(gateway.ask(tenant, at: start) != nil) }
        #expect(gateway.ask(1, at: start.advanced(by: .seconds(2))) == nil)
    }

    @Test func `beyond so many tenants the bucket alone decides`() throws {
        var gateway = try Gateway(perMinute: 10_000_000)
        let start = BootInstant(nanoseconds: 0)
        for tenant in 1...FairShare.mostTenants + 10 { #expect(gateway.ask(Int64(tenant), at: start) == nil) }
        #expect(gateway.share.tenants == FairShare.mostTenants)
        // Those who stay away make room.
        _ = gateway.ask(1, at: start.advanced(by: .seconds(301)))
        #expect(gateway.share.tenants == 1)
    }
}
