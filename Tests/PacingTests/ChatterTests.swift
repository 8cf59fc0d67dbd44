import Gateway
import Testing

@testable import Pacing

struct ChatterTests {
    /// A thousand bytes at once, a thousand a second, for ten seconds at most.
    private let bound = Chatter.Bound(burst: 1000, perSecond: 1000, longest: .seconds(10))

    private func instant(_ milliseconds: Int64) -> BootInstant { BootInstant(nanoseconds: milliseconds * 1_000_000) }

    @Test func `a burst is read at once, and what comes on top of it later`() {
        var chatter = Chatter(bound, at: instant(0))
        #expect(chatter.heard(600, at: instant(0)) == .readOn)
        #expect(chatter.heard(400, at: instant(0)) == .readOn)
        // What is owed, and a quarter of a second's worth to go on with.
        #expect(chatter.heard(500, at: instant(0)) == .pause(.milliseconds(750)))
        #expect(chatter.heard(300, at: instant(750)) == .pause(.milliseconds(300)))
    }

    @Test func `over any time no more is read than the burst and the pace allow`() {
        var chatter = Chatter(bound, at: instant(0))
        var (now, read) = (Int64(0), 0)
        while now < 9_000 {
            read += 300
            if case .pause(let wait) = chatter.heard(300, at: instant(now)) { now += wait.nanoseconds / 1_000_000 }
        }
        #expect(read <= 1000 + Int(now))
        #expect(read >= Int(now))
    }

    @Test func `who stays within the pace is never held up`() {
        var chatter = Chatter(bound, at: instant(0))
        let decisions = (1...1000).map { chatter.heard(400, at: instant($0 * 400)) }
        #expect(decisions.allSatisfy { $0 == .readOn })
    }

    @Test func `who goes on for longer than anybody has to hear is given up`() {
        var chatter = Chatter(bound, at: instant(0))
        var (now, last) = (Int64(0), Chatter.Decision.readOn)
        while last != .enough, now < 60_000 {
            last = chatter.heard(300, at: instant(now))
            if case .pause(let wait) = last { now += wait.nanoseconds / 1_000_000 }
        }
        #expect(last == .enough)
        #expect((10_000...11_000).contains(now))
    }

    @Test func `who is silent for a while may begin anew`() {
        var chatter = Chatter(bound, at: instant(0))
        for round in 0..<100 {
            // Ten seconds each, of which the last is silent.
            for step in 0..<10 { #expect(chatter.heard(900, at: instant(Int64(round) * 10_000 + Int64(step) * 850)) != .enough) }
        }
    }

    @Test func `small messages take more than their bytes, and a large one no more than the burst`() {
        var small = Chatter(bound, at: instant(0))
        let decisions = (0..<16).map { _ in small.heard(1, at: instant(0)) }
        #expect(decisions == Array(repeating: .readOn, count: 15) + [.pause(.milliseconds(16 * 64 - 1000 + 250))])
        var large = Chatter(bound, at: instant(0))
        #expect(large.heard(16 << 20, at: instant(0)) == .readOn)
        #expect(large.heard(16 << 20, at: instant(0)) == .pause(.milliseconds(1250)))
    }

    @Test func `no time is too long, and time that runs backward gives nothing`() {
        var chatter = Chatter(.standard, at: BootInstant(nanoseconds: .min / 4))
        #expect(chatter.heard(1 << 20, at: BootInstant(nanoseconds: .max / 4)) == .readOn)
        #expect(chatter.heard(1 << 18, at: BootInstant(nanoseconds: 0)) == .pause(.milliseconds(1250)))
    }
}
