import Testing

@testable import Pacing

struct PoolSizingTests {
    static let sizing = PoolSizing(minimum: 2, ceiling: 20)

    @Test(arguments: [(size: 2, grown: 3), (size: 4, grown: 6), (size: 10, grown: 15), (size: 16, grown: 20), (size: 20, grown: 20)])
    func `a pool that is full grows by half, up to its ceiling`(size: Int, grown: Int) {
        #expect(Self.sizing.grown(from: size, inUse: size, waiting: 1, room: 100) == grown)
    }

    @Test func `it does not grow while a fifth of it is free`() {
        #expect(Self.sizing.grown(from: 10, inUse: 7, waiting: 1, room: 100) == 10)
        #expect(Self.sizing.grown(from: 10, inUse: 8, waiting: 1, room: 100) == 15)
    }

    @Test func `it grows no further than the room that all pools share`() {
        #expect(Self.sizing.grown(from: 10, inUse: 10, waiting: 5, room: 2) == 12)
        #expect(Self.sizing.grown(from: 10, inUse: 10, waiting: 5, room: 0) == 10)
    }

    @Test func `a pool without a handle gets its first`() {
        #expect(Self.sizing.grown(from: 0, inUse: 0, waiting: 1, room: 1) == 1)
    }

    @Test func `it shrinks after five quiet minutes, not after four, and not below its minimum`() {
        #expect(Self.sizing.shrunk(from: 15, history: [0.1, 0.1, 0.1, 0.1]) == 15)
        #expect(Self.sizing.shrunk(from: 15, history: [0.1, 0.1, 0.1, 0.1, 0.1]) == 10)
        #expect(Self.sizing.shrunk(from: 15, history: [0.1, 0.1, 0.9, 0.1, 0.1]) == 15)
        #expect(Self.sizing.shrunk(from: 2, history: [0, 0, 0, 0, 0]) == 2)
    }

    @Test func `under a steady load it comes to rest`() {
        for load in 1...20 {
            var size = 2
            var history = UsageHistory()
            var sizes: [Int] = []
            for _ in 0..<200 {
                while load > size, Self.sizing.grown(from: size, inUse: size, waiting: load - size, room: 100) > size {
                    size = Self.sizing.grown(from: size, inUse: size, waiting: load - size, room: 100)
                }
                history.record(Double(min(load, size)) / Double(size))
                size = Self.sizing.shrunk(from: size, history: history.values)
                sizes.append(size)
            }
            #expect(Set(sizes.suffix(100)).count == 1, "a load of \(load)")
        }
    }

    @Test func `whatever it is asked, it stays within its bounds`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<10_000 {
            let ceiling = Int.random(in: -5...100, using: &generator)
            let sizing = PoolSizing(
                minimum: .random(in: -5...120, using: &generator), ceiling: ceiling,
                growthFactor: [.nan, -1, 1, 1.5, 10, .infinity].randomElement()!,
                threshold: [.nan, -1, 0, 0.8, 1, 7].randomElement()!)
            let size = Int.random(in: 0...max(1, ceiling), using: &generator)
            let room = Int.random(in: -3...50, using: &generator)
            let grown = sizing.grown(from: size, inUse: size, waiting: .random(in: 0...9, using: &generator), room: room)
            #expect(grown >= size)
            #expect(grown <= max(size, min(sizing.ceiling, size + max(0, room))))
            let shrunk = sizing.shrunk(from: size, history: (0..<6).map { _ in Double.random(in: 0...1, using: &generator) })
            #expect(shrunk <= size)
            #expect(shrunk >= min(size, sizing.minimum))
        }
    }

    @Test func `a day of samples is kept, and a hundred latencies`() {
        var history = UsageHistory()
        for minute in 0..<2000 { history.record(Double(minute)) }
        #expect(history.values.count == 1440)
        #expect(history.values.first == 560)
        var ring = LatencyRing()
        for number in 1...150 { ring.record(.milliseconds(number)) }
        #expect(ring.count == 100)
        #expect(ring.average == .microseconds(100_500))
        #expect(ring.longest == .milliseconds(150))
    }
}
