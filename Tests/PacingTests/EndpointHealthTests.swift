import Gateway
import Testing

@testable import Pacing

struct EndpointHealthTests {
    private func moment(_ seconds: Double) -> Moment {
        Moment(wall: Timestamp(microseconds: Int64(seconds * 1e6)), boot: BootInstant(nanoseconds: Int64(seconds * 1e9)))
    }

    private func ask(_ health: inout EndpointHealth, at second: Double, _ outcome: EndpointHealth.Outcome) throws {
        let pass = health.begin(at: moment(second).boot)
        health.end(try #require(pass), outcome, at: moment(second), chance: 0.5)
    }

    private let refused = EndpointHealth.Outcome.failed(.init("connecting failed", isOfConnecting: true))
    private let silent = EndpointHealth.Outcome.failed(.init("no answer", isOfConnecting: false))

    @Test func `an idle endpoint is looked at every half minute, a busy one never`() throws {
        var health = EndpointHealth(at: moment(0).boot, chance: 0.5)
        #expect(!health.isProbeDue(at: moment(29).boot))
        #expect(health.isProbeDue(at: moment(30).boot))
        for second in stride(from: 25.0, to: 300, by: 25) {
            try ask(&health, at: second, .answered)
            #expect(!health.isProbeDue(at: moment(second + 24).boot))
        }
        #expect(health.isProbeDue(at: moment(305).boot))
    }

    @Test(arguments: [(0.0, 24.0), (0.5, 30.0), (1.0, 36.0)])
    func `looks are spread by a fifth`(chance: Double, due: Double) {
        let health = EndpointHealth(at: moment(0).boot, chance: chance)
        #expect(!health.isProbeDue(at: moment(due - 0.1).boot))
        #expect(health.isProbeDue(at: moment(due + 0.1).boot))
    }

    @Test func `one that is down is looked at as soon as its pause is over`() throws {
        var health = EndpointHealth(at: moment(0).boot, chance: 0.5)
        for second in [1.0, 2, 3] { try ask(&health, at: second, refused) }
        #expect(health.openedAt == moment(3).wall)
        #expect(health.lastFault?.at == moment(3).wall)
        #expect(!health.isProbeDue(at: moment(3.9).boot))
        #expect(health.isProbeDue(at: moment(4).boot))
        try ask(&health, at: 4, refused)
        #expect(!health.isProbeDue(at: moment(5.9).boot))
        #expect(health.isProbeDue(at: moment(6).boot))
        try ask(&health, at: 6, .answered)
        #expect(health.openedAt == nil)
        #expect(!health.breaker.isOpen)
    }

    @Test func `a connection proves an endpoint that could not be connected to, not one that fell silent`() throws {
        for (fault, isClosed) in [(refused, true), (silent, false)] {
            var health = EndpointHealth(at: moment(0).boot, chance: 0.5)
            for _ in 0..<3 { try ask(&health, at: 0, fault) }
            try ask(&health, at: 1, .reached)
            #expect(health.breaker.isOpen == !isClosed)
            // It is left to somebody's request, and looked at again after a while.
            #expect(health.breaker.waits(at: moment(1).boot) == nil)
            #expect(!health.isProbeDue(at: moment(2).boot))
        }
    }

    @Test func `what is under way and what stays are its load`() throws {
        var health = EndpointHealth(at: moment(0).boot, chance: 0)
        let pass = health.begin(at: moment(0).boot)
        health.conversations += 1
        #expect(health.load == 2)
        health.end(try #require(pass), .nothing, at: moment(0), chance: 0)
        #expect(health.load == 1)
    }
}
