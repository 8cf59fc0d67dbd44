import Testing

@testable import Pacing

struct PoolSizingTests {
    /// SplitMix64: the same numbers in every run.
    struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return mixed ^ mixed >> 31
        }
    }

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

    @Test func `under any steady load and any settings it grows first, then shrinks, then rests`() {
        var numbers = Numbers(state: 1)
        for _ in 0..<400 {
            let ceiling = Int.random(in: 1...60, using: &numbers)
            let sizing = PoolSizing(
                minimum: .random(in: 1...ceiling, using: &numbers), ceiling: ceiling,
                growthFactor: [1, 1.01, 1.5, 2, 10, .random(in: 1...4, using: &numbers)][Int.random(in: 0..<6, using: &numbers)],
                threshold: [0.05, 0.5, 0.8, 1, .random(in: 0.05...1, using: &numbers)][Int.random(in: 0..<5, using: &numbers)])
            let load = Int.random(in: 0...80, using: &numbers)
            var size = Int.random(in: sizing.minimum...ceiling, using: &numbers)
            var history = UsageHistory()
            var sizes = [size]
            for _ in 0..<400 {
                // Everybody asks at once, one after the other; the pool is asked each time, whether it has an idle handle or not.
                for inUse in 0..<load {
                    size = sizing.grown(from: size, inUse: min(inUse, size), waiting: max(0, inUse - size) + 1, room: 1000)
                    sizes.append(size)
                }
                history.record(Double(min(load, size)) / Double(size))
                size = sizing.shrunk(from: size, history: history.values)
                sizes.append(size)
            }
            let steps = zip(sizes, sizes.dropFirst()).map { $1 - $0 }.filter { $0 != 0 }
            #expect(steps == steps.filter { $0 > 0 } + steps.filter { $0 < 0 }, "\(sizing), a load of \(load)")
            #expect(Set(sizes.suffix(100)).count == 1, "\(sizing), a load of \(load)")
            #expect(size >= min(load, ceiling), "\(sizing), a load of \(load)")
        }
    }

    @Test func `after a peak it comes back to what it needs`() {
        var size = 2
        var history = UsageHistory()
        func minute(_ load: Int) {
            for inUse in 0..<load { size = Self.sizing.grown(from: size, inUse: min(inUse, size), waiting: max(0, inUse - size) + 1, room: 100) }
            history.record(Double(min(load, size)) / Double(size))
            size = Self.sizing.shrunk(from: size, history: history.values)
        }
        for _ in 0..<10 { minute(18) }
        #expect(size == 20)
        for _ in 0..<60 { minute(1) }
        #expect(size == 2)
    }

    @Test func `a pool that grows by single handles gives them back one by one`() {
        let sizing = PoolSizing(minimum: 2, ceiling: 20, growthFactor: 1)
        #expect(sizing.grown(from: 5, inUse: 5, waiting: 1, room: 9) == 6)
        #expect(sizing.shrunk(from: 6, history: [0.5, 0.5, 0.5, 0.5, 0.5]) == 5)
        #expect(sizing.shrunk(from: 6, history: [0.7, 0.5, 0.5, 0.5, 0.5]) == 6)
    }

    @Test(arguments: [Double.nan, .infinity, 1e300, 2])
    func `a share that says nothing, or too much, shrinks nothing`(share: Double) {
        for position in 0..<5 {
            var history = [Double](repeating: 0, count: 5)
            history[position] = share
            #expect(Self.sizing.shrunk(from: 15, history: history) == 15)
        }
    }

    @Test(arguments: [Int.min, -1, 0, 1, .max - 1, .max], [Int.min, -1, 0, 1, .max - 1, .max])
    func `no number is too large or too small to ask with`(size: Int, count: Int) {
        for ceiling in [Int.min, 0, 7, .max] {
            for factor in [1, 1.5, 1e300] {
                let sizing = PoolSizing(minimum: count, ceiling: ceiling, growthFactor: factor)
                for room in [Int.min, 0, 3, .max] {
                    let grown = sizing.grown(from: size, inUse: count, waiting: count, room: room)
                    #expect(grown >= size)
                    #expect(grown <= max(size, sizing.ceiling))
                }
                let shrunk = sizing.shrunk(from: size, history: [0, 0, -1, 0, 0])
                #expect(shrunk <= size)
                #expect(shrunk >= min(size, sizing.minimum))
            }
        }
    }

    @Test func `whatever it is asked, it stays within its bounds`() {
        var numbers = Numbers(state: 2)
        for _ in 0..<10_000 {
            let ceiling = Int.random(in: -5...100, using: &numbers)
            let sizing = PoolSizing(
                minimum: .random(in: -5...120, using: &numbers), ceiling: ceiling,
                growthFactor: [.nan, -1, 1, 1.5, 10, .infinity][Int.random(in: 0..<6, using: &numbers)],
                threshold: [.nan, -1, 0, 0.8, 1, 7][Int.random(in: 0..<6, using: &numbers)])
            let size = Int.random(in: 0...max(1, ceiling), using: &numbers)
            let room = Int.random(in: -3...50, using: &numbers)
            let grown = sizing.grown(
                from: size, inUse: .random(in: 0...size, using: &numbers), waiting: .random(in: 0...9, using: &numbers), room: room)
            #expect(grown >= size)
            #expect(grown <= max(size, min(sizing.ceiling, size + max(0, room))))
            let history = (0..<6).map { _ in Double.random(in: 0...1, using: &numbers) * [1, 0.3][Int.random(in: 0..<2, using: &numbers)] }
            let shrunk = sizing.shrunk(from: size, history: history)
            #expect(shrunk <= size)
            #expect(shrunk >= min(size, sizing.minimum))
            #expect(Double(shrunk) >= (history.suffix(5).max() ?? 0) * Double(size))
        }
    }

    @Test func `nothing was measured before the first sample`() {
        #expect(UsageHistory().values.isEmpty)
        #expect(LatencyRing().average == nil)
        #expect(LatencyRing().longest == nil)
        var ring = LatencyRing()
        ring.record(.milliseconds(3))
        #expect(ring.average == .milliseconds(3))
        #expect(ring.longest == .milliseconds(3))
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
