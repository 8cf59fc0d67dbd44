import Gateway
import Testing

@testable import Pacing

struct CrashLoopTests {
    /// What each crash at these seconds led to.
    private func crash(_ loop: inout CrashLoop, at seconds: [Int64]) -> [Bool] {
        seconds.map { loop.crashed(at: BootInstant(nanoseconds: $0 * 1_000_000_000)) }
    }

    @Test func `five crashes within two minutes put a program to rest, and it is said once`() {
        var loop = CrashLoop()
        let said = crash(&loop, at: [0, 30, 60, 90, 120, 121])
        #expect(said == [false, false, false, false, true, false])
        #expect(loop.isResting)
    }

    @Test func `crashes further apart than that do not`() {
        var loop = CrashLoop()
        let said = crash(&loop, at: (0..<100).map { $0 * 31 })
        #expect(!said.contains(true))
        #expect(!loop.isResting)
    }

    @Test func `what is woken begins anew`() {
        var loop = CrashLoop()
        let early = loop.wake()
        _ = crash(&loop, at: [0, 0, 0, 0, 0])
        let late = loop.wake()
        #expect(!early && late)
        let said = crash(&loop, at: [1, 1, 1, 1, 1])
        #expect(said == [false, false, false, false, true])
    }
}
