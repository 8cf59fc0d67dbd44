import Gateway
import Testing

@testable import Pacing

struct CircuitBreakerTests {
    private func seconds(_ seconds: Int64) -> BootInstant { BootInstant(nanoseconds: seconds * 1_000_000_000) }

    private func pass(_ breaker: inout CircuitBreaker, at now: BootInstant) throws -> CircuitBreaker.Pass {
        let pass = breaker.pass(at: now)
        return try #require(pass)
    }

    /// One that opened at second 0.
    private func opened() throws -> CircuitBreaker {
        var breaker = CircuitBreaker()
        for _ in 0..<CircuitBreaker.tolerance {
            let pass = try self.pass(&breaker, at: seconds(0))
            breaker.failed(pass, at: seconds(0))
        }
        return breaker
    }

    @Test func `three faults in a row open it, and then nobody passes`() throws {
        var breaker = CircuitBreaker()
        for _ in 0..<2 {
            let pass = try self.pass(&breaker, at: seconds(0))
            breaker.failed(pass, at: seconds(0))
        }
        #expect(breaker.state(at: seconds(0)) == .closed)
        let third = try pass(&breaker, at: seconds(5))
        breaker.failed(third, at: seconds(5))
        #expect(breaker.state(at: seconds(5)) == .open(until: seconds(6)))
        #expect(breaker.openedAt == seconds(5))
        let fourth = breaker.pass(at: seconds(5))
        #expect(fourth == nil)
        #expect(breaker.waits(at: seconds(5)) == seconds(6))
    }

    @Test func `an answer between the faults starts the count anew`() throws {
        var breaker = CircuitBreaker()
        for round in 0..<20 {
            let pass = try self.pass(&breaker, at: seconds(0))
            if round % 3 == 2 { breaker.answered(pass) } else { breaker.failed(pass, at: seconds(0)) }
        }
        #expect(breaker.state(at: seconds(0)) == .closed)
    }

    @Test func `after the pause one probe passes, and its answer closes it`() throws {
        var breaker = try opened()
        let probe = try pass(&breaker, at: seconds(1))
        #expect(breaker.state(at: seconds(1)) == .halfOpen)
        let second = breaker.pass(at: seconds(1))
        #expect(second == nil)
        breaker.answered(probe)
        #expect(breaker.state(at: seconds(1)) == .closed)
        #expect(breaker.faultsInRow == 0)
        #expect(breaker.openedAt == nil)
        let after = breaker.pass(at: seconds(1))
        #expect(after == .ordinary)
    }

    @Test(arguments: [(1, 2), (2, 4), (5, 32), (6, 60), (40, 60)])
    func `each failed probe doubles the pause, up to a minute`(probes: Int, pause: Int64) throws {
        var breaker = try opened()
        var now = seconds(0)
        for _ in 0..<probes {
            now = try #require(breaker.waits(at: now))
            let probe = try pass(&breaker, at: now)
            breaker.failed(probe, at: now)
        }
        #expect(breaker.waits(at: now) == now.advanced(by: .seconds(pause)))
        #expect(breaker.openedAt == seconds(0))
    }

    @Test func `what was asked before it opened neither closes nor lengthens it`() throws {
        var breaker = CircuitBreaker()
        var early: [CircuitBreaker.Pass] = []
        for _ in 0..<6 { early.append(try pass(&breaker, at: seconds(0))) }
        for pass in early.prefix(4) { breaker.failed(pass, at: seconds(0)) }
        breaker.answered(early[4])
        breaker.failed(early[5], at: seconds(0))
        #expect(breaker.state(at: seconds(0)) == .open(until: seconds(1)))
    }

    @Test func `a probe that was not made after all leaves the turn to the next`() throws {
        var breaker = try opened()
        let probe = try pass(&breaker, at: seconds(1))
        breaker.returned(probe)
        let next = breaker.pass(at: seconds(1))
        #expect(next != nil)
    }

    @Test func `a probe that hears nothing is not waited for, and fails for itself alone`() throws {
        var breaker = try opened()
        let silent = try pass(&breaker, at: seconds(1))
        #expect(breaker.waits(at: seconds(2)) == seconds(11))
        let second = try pass(&breaker, at: seconds(11))
        breaker.failed(silent, at: seconds(12))
        #expect(breaker.state(at: seconds(12)) == .halfOpen)
        breaker.answered(second)
        #expect(breaker.state(at: seconds(12)) == .closed)
    }

    @Test func `a probe of an earlier opening is no fault of this one`() throws {
        var breaker = try opened()
        let old = try pass(&breaker, at: seconds(1))
        let second = try pass(&breaker, at: seconds(11))
        breaker.answered(second)
        breaker.failed(old, at: seconds(12))
        #expect(breaker.faultsInRow == 0)
    }
}
