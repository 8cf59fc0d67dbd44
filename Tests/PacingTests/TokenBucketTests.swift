import Gateway
import Testing

@testable import Pacing

struct TokenBucketTests {
    let start = BootInstant(nanoseconds: 1_000_000_000_000)

    static func limit(_ perMinute: Int, burst: Double = 1) throws -> RateLimit {
        try #require(RateLimit(perMinute: perMinute, burst: burst))
    }

    static func isAdmitted(_ decision: TokenBucket.Decision) -> Bool {
        if case .admitted = decision { true } else { false }
    }

    @Test func `a full bucket grants what it holds, then says how long to wait`() throws {
        let limit = try Self.limit(60, burst: 0.05)
        var bucket = TokenBucket(full: limit, at: start)
        #expect(bucket.take(of: limit, at: start) == .admitted(remaining: 2))
        #expect(bucket.take(of: limit, at: start) == .admitted(remaining: 1))
        #expect(bucket.take(of: limit, at: start) == .admitted(remaining: 0))
        #expect(bucket.take(of: limit, at: start) == .throttled(retryAfter: .seconds(1)))
    }

    @Test func `tokens come back with time, one at a time`() throws {
        let limit = try Self.limit(60)
        var bucket = TokenBucket(level: 0, creditedAt: start)
        #expect(bucket.take(of: limit, at: start.advanced(by: .nanoseconds(999_999_999))) == .throttled(retryAfter: .nanoseconds(1)))
        #expect(bucket.take(of: limit, at: start.advanced(by: .seconds(1))) == .admitted(remaining: 0))
        #expect(bucket.take(of: limit, at: start.advanced(by: .seconds(3))) == .admitted(remaining: 1))
    }

    @Test func `a refusal takes nothing, however often it is repeated`() throws {
        let limit = try Self.limit(60)
        var bucket = TokenBucket(level: TokenBucket.token / 2, creditedAt: start)
        let decisions = Set((0..<1000).map { _ in bucket.take(of: limit, at: start) })
        #expect(decisions == [.throttled(retryAfter: .milliseconds(500))])
        #expect(bucket == TokenBucket(level: TokenBucket.token / 2, creditedAt: start))
    }

    @Test(arguments: [2, 3, 60])
    func `several tokens are taken together or not at all`(tokens: Int64) throws {
        let limit = try Self.limit(60)
        var bucket = TokenBucket(level: (tokens - 1) * TokenBucket.token, creditedAt: start)
        #expect(bucket.take(tokens, of: limit, at: start) == .throttled(retryAfter: .seconds(1)))
        #expect(bucket.take(tokens - 1, of: limit, at: start) == .admitted(remaining: 0))
    }

    @Test(arguments: [1, 7, 59, 61, 100, 997, 60_000, 7_654_321, 10_000_000])
    func `the wait it tells is exactly enough`(perMinute: Int) throws {
        let limit = try Self.limit(perMinute)
        var bucket = TokenBucket(level: 1, creditedAt: start)
        guard case .throttled(let wait) = bucket.take(of: limit, at: start) else {
            Issue.record("a token was granted of one sixty-milliard-th")
            return
        }
        var early = bucket
        #expect(early.take(of: limit, at: start.advanced(by: wait - .nanoseconds(1))) == .throttled(retryAfter: .nanoseconds(1)))
        #expect(Self.isAdmitted(bucket.take(of: limit, at: start.advanced(by: wait))))
    }

    @Test(arguments: [.nanoseconds(-1), .seconds(-1), .seconds(-900)] as [Duration])
    func `a clock that runs backward grants nothing, there and back`(jump: Duration) throws {
        let limit = try Self.limit(60)
        var bucket = TokenBucket(level: 0, creditedAt: start)
        #expect(!Self.isAdmitted(bucket.take(of: limit, at: start.advanced(by: jump))))
        #expect(!Self.isAdmitted(bucket.take(of: limit, at: start)))
        #expect(bucket == TokenBucket(level: 0, creditedAt: start))
        #expect(bucket.take(of: limit, at: start.advanced(by: .seconds(1))) == .admitted(remaining: 0))
    }

    @Test(arguments: [.seconds(60), .seconds(3600), .seconds(400 * 86_400), .seconds(100 * 366 * 86_400)] as [Duration])
    func `a long idle time fills the bucket and no more`(idle: Duration) throws {
        let limit = try Self.limit(100)
        var bucket = TokenBucket(level: 0, creditedAt: start)
        #expect(bucket.take(of: limit, at: start.advanced(by: idle)) == .admitted(remaining: 99))
    }

    @Test func `a limit that was lowered takes away what no longer fits`() throws {
        var bucket = TokenBucket(full: try Self.limit(1000, burst: 10), at: start)
        #expect(bucket.take(of: try Self.limit(10), at: start) == .admitted(remaining: 9))
    }

    @Test func `a limit that was raised fills with time, not at once`() throws {
        var bucket = TokenBucket(full: try Self.limit(10), at: start)
        let raised = try Self.limit(6000)
        #expect(bucket.take(of: raised, at: start) == .admitted(remaining: 9))
        #expect(bucket.take(of: raised, at: start.advanced(by: .seconds(1))) == .admitted(remaining: 108))
    }

    @Test func `no rate, capacity or idle time overflows`() throws {
        let limit = try Self.limit(.max, burst: .infinity)
        #expect(limit.perMinute == 10_000_000)
        #expect(limit.capacity == 100_000_000)
        var bucket = TokenBucket(level: 0, creditedAt: BootInstant(nanoseconds: 0))
        #expect(bucket.take(of: limit, at: BootInstant(nanoseconds: .max)) == .admitted(remaining: 99_999_999))
        #expect(bucket.take(99_999_999, of: limit, at: BootInstant(nanoseconds: .max)) == .admitted(remaining: 0))
        #expect(bucket.take(of: limit, at: BootInstant(nanoseconds: 0)) == .throttled(retryAfter: .nanoseconds(6000)))
        let slow = try Self.limit(1, burst: 0)
        var idle = TokenBucket(level: 0, creditedAt: BootInstant(nanoseconds: 0))
        #expect(idle.take(of: slow, at: BootInstant(nanoseconds: 59_999_999_999)) == .throttled(retryAfter: .nanoseconds(1)))
        #expect(idle.take(of: slow, at: BootInstant(nanoseconds: .max)) == .admitted(remaining: 0))
    }
}

/// In processes of their own, because a trap would take the other tests with it. The bucket may come from a damaged
/// map, so none of these numbers can be excluded.
struct TokenBucketExtremesTests {
    @Test func `a clock that leaps over all of time traps nobody`() async {
        await #expect(processExitsWith: .success) {
            let limit = try #require(RateLimit(perMinute: 10_000_000, burst: 10))
            var bucket = TokenBucket(level: 0, creditedAt: BootInstant(nanoseconds: .min))
            _ = bucket.take(of: limit, at: BootInstant(nanoseconds: .max))
            #expect(bucket.level == 99_999_999 * TokenBucket.token)
        }
        await #expect(processExitsWith: .success) {
            let limit = try #require(RateLimit(perMinute: 1, burst: 1))
            var bucket = TokenBucket(level: 0, creditedAt: BootInstant(nanoseconds: .max))
            #expect(bucket.take(of: limit, at: BootInstant(nanoseconds: .min)) == .throttled(retryAfter: .seconds(60)))
        }
    }

    @Test func `a stored level below zero is an empty bucket`() async {
        await #expect(processExitsWith: .success) {
            let limit = try #require(RateLimit(perMinute: 10_000_000, burst: 10))
            var bucket = TokenBucket(level: .min, creditedAt: BootInstant(nanoseconds: 0))
            #expect(bucket.take(of: limit, at: BootInstant(nanoseconds: 0)) == .throttled(retryAfter: .nanoseconds(6000)))
        }
    }

    @Test func `a burst that is no number is no reason to stop`() async {
        await #expect(processExitsWith: .success) { #expect(RateLimit(perMinute: 60, burst: .nan)?.capacity == 60) }
        await #expect(processExitsWith: .success) { #expect(RateLimit(perMinute: 60, burst: -.infinity)?.capacity == 1) }
    }
}

struct TokenBucketModelTests {
    /// The bucket once more, with 128 bits and no cleverness.
    struct Model {
        var level: Int128
        var creditedAt: Int128

        mutating func take(perMinute: Int128, capacity: Int128, at now: Int128) -> Bool {
            if now > creditedAt {
                level += (now - creditedAt) * perMinute
                creditedAt = now
            }
            level = min(level, capacity * 60_000_000_000)
            guard level >= 60_000_000_000 else { return false }
            level -= 60_000_000_000
            return true
        }
    }

    @Test(
        arguments: [(7, 1.0, 3_000_000_000), (997, 2.0, 40_000_000), (1_234_567, 0.001, 50_000), (10_000_000, 10, 9_000)] as [(Int, Double, UInt64)])
    func `ten million takes drift by nothing`(perMinute: Int, burst: Double, spread: UInt64) throws {
        let limit = try #require(RateLimit(perMinute: perMinute, burst: burst))
        var now: Int64 = 1_000_000_000
        var bucket = TokenBucket(full: limit, at: BootInstant(nanoseconds: now))
        var model = Model(level: Int128(bucket.level), creditedAt: Int128(now))
        var random = UInt64(42)
        var differences = 0
        for _ in 0..<2_500_000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Now and then a step backward.
            let step = Int64((random >> 34) * spread >> 30)
            now += random >> 24 & 0xFF == 0 ? -step : step
            let isAdmitted =
                switch bucket.take(of: limit, at: BootInstant(nanoseconds: now)) {
                case .admitted: true
                case .throttled: false
                }
            let isExpected = model.take(perMinute: Int128(limit.perMinute), capacity: Int128(limit.capacity), at: Int128(now))
            if isAdmitted != isExpected || Int128(bucket.level) != model.level { differences += 1 }
        }
        #expect(differences == 0)
    }
}

struct RateLimitTests {
    @Test func `a limit of zero is none`() {
        #expect(RateLimit(perMinute: 0, burst: 2) == nil)
    }

    @Test(
        arguments: [
            (100, 2.0, 100, 200), (20, 2, 20, 40), (1, 0, 1, 1), (1, 0.4, 1, 1), (3, 0.5, 3, 2), (60, -3, 60, 1),
            (10_000_001, 1, 10_000_000, 10_000_000),
            (1, 1000, 1, 10), (.max, 10, 10_000_000, 100_000_000),
        ] as [(Int, Double, Int64, Int64)])
    func `a limit keeps within what the arithmetic can hold`(perMinute: Int, burst: Double, rate: Int64, capacity: Int64) {
        let limit = RateLimit(perMinute: perMinute, burst: burst)
        #expect(limit?.perMinute == rate)
        #expect(limit?.capacity == capacity)
    }
}
