import Gateway
import Testing

@testable import Pacing

struct SlidingWindowTests {
    static let minute: Int64 = 60_000_000_000

    static func at(_ nanoseconds: Int64) -> BootInstant { BootInstant(nanoseconds: nanoseconds) }
    static func seconds(_ seconds: Double) -> BootInstant { at(Int64(seconds * 1e9)) }

    /// Counts one, if it fits.
    static func take(_ window: inout SlidingWindow, _ limit: WindowLimit, _ now: BootInstant) -> Bool {
        guard window.wait(for: 1, in: limit, at: now) == nil else { return false }
        window.add(1, in: limit, at: now)
        return true
    }

    /// The most instants of an ascending list that any stretch of that length holds.
    static func fullest(_ instants: [Int64], _ length: Int64) -> Int {
        var (first, most) = (0, 0)
        for (index, instant) in instants.enumerated() {
            while instants[first] <= instant - length { first += 1 }
            most = max(most, index - first + 1)
        }
        return most
    }

    @Test func `what the window before counted fades as it slides out`() {
        let limit = WindowLimit(most: 100, length: .seconds(60))
        var window = SlidingWindow(number: 10, current: 80, previous: 0)
        #expect(window.count(in: limit, at: Self.seconds(600)) == 80)
        #expect(window.count(in: limit, at: Self.seconds(660)) == 80)
        #expect(window.count(in: limit, at: Self.seconds(675)) == 60)
        #expect(window.count(in: limit, at: Self.seconds(690)) == 40)
        // Of eighty, a sixtieth of a second before the end, a part of one is left; it counts whole.
        #expect(window.count(in: limit, at: Self.at(720_000_000_000 - 1)) == 1)
        #expect(window.count(in: limit, at: Self.seconds(720)) == 0)
    }

    @Test func `a window that was skipped leaves nothing behind`() {
        var window = SlidingWindow(number: 10, current: 80, previous: 80)
        #expect(window.count(in: WindowLimit(most: 100, length: .seconds(60)), at: Self.seconds(720)) == 0)
    }

    @Test func `the wait is until the window before has faded, or until this one has`() {
        let limit = WindowLimit(most: 10, length: .seconds(60))
        var fading = SlidingWindow(number: 1, current: 5, previous: 10)
        // Of the ten before, four may be left: at 36 of 60 seconds.
        #expect(fading.wait(for: 1, in: limit, at: Self.seconds(60)) == .seconds(36))
        #expect(fading.wait(for: 1, in: limit, at: Self.seconds(90)) == .seconds(6))
        #expect(fading.wait(for: 1, in: limit, at: Self.seconds(96)) == nil)
        var full = SlidingWindow(number: 1, current: 10, previous: 0)
        #expect(full.wait(for: 1, in: limit, at: Self.seconds(90)) == .seconds(36))
        #expect(full.wait(for: 10, in: limit, at: Self.seconds(90)) == .seconds(90))
    }

    @Test func `a refusal counts nothing, however often it is repeated`() {
        let limit = WindowLimit(most: 3, length: .seconds(60))
        var window = SlidingWindow(number: 1, current: 3, previous: 3)
        let waits = Set((0..<1000).map { _ in window.wait(for: 1, in: limit, at: Self.seconds(60)) })
        #expect(waits.count == 1 && !waits.contains(nil))
        #expect(window == SlidingWindow(number: 1, current: 3, previous: 3))
    }

    /// Counts above the limit come from a limit that was lowered.
    @Test(arguments: [true, false])
    func `the wait it tells is exactly enough`(slides: Bool) {
        var chance = Chance(slides ? 1 : 2)
        var dishonest: [String] = []
        var refusals = 0
        for _ in 0..<20_000 {
            let limit = WindowLimit(most: chance.pick(1...200), length: .nanoseconds(chance.pick(1_000_000_000...600_000_000_000)), slides: slides)
            let (number, more) = (chance.pick(0...1000), chance.pick(1...limit.most))
            let window = SlidingWindow(number: number, current: chance.pick(0...limit.most * 2), previous: chance.pick(0...limit.most * 2))
            let now = Self.at(number * limit.length.nanoseconds + chance.pick(0...limit.length.nanoseconds - 1))
            func wait(at instant: BootInstant) -> Duration? {
                var copy = window
                return copy.wait(for: more, in: limit, at: instant)
            }
            guard let told = wait(at: now) else { continue }
            refusals += 1
            let isEnough = wait(at: now.advanced(by: told)) == nil
            let isNeeded = told > .zero && wait(at: now.advanced(by: told - .nanoseconds(1))) != nil
            if !isEnough || !isNeeded { dishonest.append("\(window) \(limit) \(more) \(now) \(told)") }
        }
        #expect(dishonest == [])
        #expect(refusals > 5000)
    }

    @Test(arguments: 1...12)
    func `no stretch of the window's length holds twice the limit, whenever who asks chooses to`(seed: Int) {
        var chance = Chance(seed)
        let limit = WindowLimit(most: chance.pick(1...40), length: .seconds(60))
        var (window, now, admitted) = (SlidingWindow(), Int64(0), [Int64]())
        for _ in 0..<6000 {
            // Bursts, pauses, and every now and then the very end of a window.
            switch chance.pick(0...9) {
            case 0: now += chance.pick(0...Self.minute * 2)
            case 1: now = max(now, (now / Self.minute + 1) * Self.minute - chance.pick(1...1000))
            default: now += chance.pick(0...Self.minute / 50)
            }
            if Self.take(&window, limit, Self.at(now)) { admitted.append(now) }
        }
        #expect(Self.fullest(admitted, Self.minute) < 2 * limit.most)
        #expect(admitted.count > 100)
    }

    @Test func `who fills one window at its end gets next to twice the limit at the end of the next, and no more`() {
        let limit = WindowLimit(most: 100, length: .seconds(60))
        var (window, admitted) = (SlidingWindow(), [Int64]())
        for instant in Array(repeating: Self.minute - 1, count: 200) + Array(stride(from: Self.minute, to: 2 * Self.minute - 1, by: 10_000_000)) {
            if Self.take(&window, limit, Self.at(instant)) { admitted.append(instant) }
        }
        #expect(Self.fullest(admitted, Self.minute) == 199)
    }

    /// From the beginning of a window on, at an even pace: from a tenth of what the limit allows to twenty times as much.
    /// One more is possible at a pace just above the limit's, when the window before ended with a refusal. What fades is
    /// rounded up, so the limit's very pace is refused once in a while, and one less a window never.
    @Test func `of an even stream no stretch holds more than the limit and one, and one below the limit is never refused`() {
        for seed in 1...200 {
            var chance = Chance(seed)
            let limit = WindowLimit(most: chance.pick(1...50), length: .seconds(60))
            let step = (Self.minute * chance.pick(1...200) / 20 + limit.most - 1) / limit.most
            let beginning = chance.pick(0...1000) * Self.minute
            let (isBelow, end) = (step * (limit.most - 1) >= Self.minute, beginning + 6 * Self.minute)
            var (window, admitted) = (SlidingWindow(), [Int64]())
            for instant in stride(from: beginning, to: end, by: Int64.Stride(step)) where Self.take(&window, limit, Self.at(instant)) {
                admitted.append(instant)
            }
            #expect(Self.fullest(admitted, Self.minute) <= limit.most + (isBelow ? 0 : 1), "seed \(seed)")
            if isBelow { #expect(admitted.count == Int((6 * Self.minute + step - 1) / step), "seed \(seed)") }
        }
    }

    @Test(arguments: [1, 59_999_999_999, 60_000_000_000, 3_600_000_000_000] as [Int64], [true, false])
    func `a clock that runs backward grants nothing, there and back`(jump: Int64, slides: Bool) {
        let limit = WindowLimit(most: 5, length: .seconds(60), slides: slides)
        var window = SlidingWindow()
        let now = Self.seconds(3630)
        for _ in 0..<5 { #expect(Self.take(&window, limit, now)) }
        #expect(!Self.take(&window, limit, now.advanced(by: .nanoseconds(-jump))))
        #expect(!Self.take(&window, limit, now))
        #expect(window == SlidingWindow(number: 60, current: 5, previous: 0))
    }

    @Test func `a window that stands begins anew at its time, whatever the one before counted`() {
        let limit = WindowLimit(most: 5, length: .seconds(60), slides: false)
        var window = SlidingWindow(number: 1, current: 5, previous: 5)
        #expect(window.wait(for: 1, in: limit, at: Self.seconds(60)) == .seconds(60))
        #expect(window.wait(for: 1, in: limit, at: Self.at(119_999_999_999)) == .nanoseconds(1))
        #expect(window.count(in: limit, at: Self.seconds(120)) == 0)
        #expect(window == SlidingWindow(number: 2, current: 0, previous: 0))
    }

    @Test(arguments: [0, 59, 60, 1_000_000] as [Double])
    func `a window that was restored counts in the one that stands`(now: Double) {
        let limit = WindowLimit(most: 100, length: .seconds(60))
        var window = SlidingWindow(number: SlidingWindow.unplaced, current: 60, previous: 0)
        #expect(window.count(in: limit, at: Self.seconds(now)) == 60)
        #expect(window.number == Int64(now) / 60)
        // From there it goes on as any other.
        let end = Double(window.number + 1) * 60
        #expect(window.count(in: limit, at: Self.seconds(end + 30)) == 30)
    }

    @Test func `counts below nothing, and limits of nothing, are damage that traps nobody`() {
        var window = SlidingWindow(number: -7, current: -5, previous: .min)
        let limit = WindowLimit(most: -3, length: .zero)
        #expect(limit == WindowLimit(most: 1, length: .seconds(1)))
        #expect(Self.take(&window, limit, Self.at(-5)))
        #expect(!Self.take(&window, limit, Self.at(-5)))
        var huge = SlidingWindow(number: 1, current: 0, previous: .max)
        #expect(huge.count(in: limit, at: Self.at(1_500_000_000)) == .max / 2 + 1)
    }
}
