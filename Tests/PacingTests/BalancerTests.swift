import Gateway
import Testing

@testable import Pacing

struct BalancerTests {
    private func candidate(
        _ name: String, weight: Int = 1, load: Int = 0, state: CircuitBreaker.State = .closed, waits: BootInstant? = nil
    ) -> Balancer.Candidate {
        Balancer.Candidate(name: name, weight: weight, load: load, state: state, waits: waits)
    }

    private func open(_ name: String, until second: Int64) -> Balancer.Candidate {
        let end = BootInstant(nanoseconds: second * 1_000_000_000)
        return candidate(name, state: .open(until: end), waits: end)
    }

    /// How often each was chosen.
    private func tally(
        _ strategy: BalancingStrategy, _ candidates: [Balancer.Candidate], rounds: Int, users: Int64 = 1, avoiding: Set<Int> = []
    ) -> [Int] {
        var balancer = Balancer(strategy, of: candidates.count)
        var random = Chance(1)
        var counts = candidates.map { _ in 0 }
        for round in 0..<rounds {
            let user = UserID(Int64(round) % users + 1)
            if case .candidate(let index) = balancer.choose(among: candidates, avoiding: avoiding, for: user, using: &random) { counts[index] += 1 }
        }
        return counts
    }

    @Test func `round robin goes round, whatever the weights`() {
        let candidates = [candidate("a", weight: 9), candidate("b"), candidate("c")]
        var balancer = Balancer(.roundRobin, of: 3)
        var random = Chance(1)
        let choices = (0..<6).map { _ in balancer.choose(among: candidates, for: nil, using: &random) }
        #expect(choices == [0, 1, 2, 0, 1, 2].map { .candidate($0) })
    }

    @Test func `weighted gives each its share, and the heavy one's turns are spread`() {
        let candidates = [candidate("a", weight: 5), candidate("b"), candidate("c")]
        var balancer = Balancer(.weighted, of: 3)
        var random = Chance(1)
        let choices = (0..<7).map { _ in balancer.choose(among: candidates, for: nil, using: &random) }
        #expect(choices == [0, 0, 1, 0, 2, 0, 0].map { .candidate($0) })
    }

    @Test func `least connections goes where the least is to be done for the weight`() {
        #expect(tally(.leastConnections, [candidate("a", load: 2), candidate("b", load: 1), candidate("c", load: 3)], rounds: 1) == [0, 1, 0])
        #expect(tally(.leastConnections, [candidate("a", weight: 4, load: 3), candidate("b", load: 1)], rounds: 1) == [1, 0])
        #expect(tally(.leastConnections, [candidate("a"), candidate("b"), candidate("c", load: 1)], rounds: 10) == [5, 5, 0])
    }

    @Test func `random is by weight`() {
        let counts = tally(.random, [candidate("a", weight: 3), candidate("b", weight: 1)], rounds: 4000)
        #expect((2850...3150).contains(counts[0]))
        #expect(counts[0] + counts[1] == 4000)
    }

    @Test func `a hash sends a user to the same place each time, and users by weight`() {
        let candidates = [candidate("a", weight: 3), candidate("b"), candidate("c")]
        let counts = tally(.consistentHash, candidates, rounds: 5000, users: 5000)
        #expect((2850...3150).contains(counts[0]))
        #expect((850...1150).contains(counts[1]))
        for user in 1...50 as ClosedRange<Int64> {
            let choices = Set(choices(of: user, among: candidates, times: 5))
            #expect(choices.count == 1)
        }
    }

    private func choices(of user: Int64, among candidates: [Balancer.Candidate], times: Int = 1) -> [Balancer.Choice] {
        var balancer = Balancer(.consistentHash, of: candidates.count)
        var random = Chance(1)
        return (0..<times).map { _ in balancer.choose(among: candidates, for: UserID(user), using: &random) }
    }

    @Test func `when one fails only its own users move, and they come back`() {
        let all = ["a", "b", "c"].map { candidate($0) }
        let without = [all[0], open("b", until: 9), all[2]]
        for user in 1...300 as ClosedRange<Int64> {
            let before = choices(of: user, among: all)
            let during = choices(of: user, among: without)
            if before == [.candidate(1)] { #expect(during != before) } else { #expect(during == before) }
        }
    }

    @Test(arguments: BalancingStrategy.allCases)
    func `an open one gets nothing, and when all are open it says when to come back`(_ strategy: BalancingStrategy) {
        #expect(tally(strategy, [candidate("a"), open("b", until: 9), candidate("c")], rounds: 100, users: 100)[1] == 0)
        var balancer = Balancer(strategy, of: 2)
        var random = Chance(1)
        let none = balancer.choose(among: [open("a", until: 9), open("b", until: 7)], for: nil, using: &random)
        #expect(none == .none(until: BootInstant(nanoseconds: 7_000_000_000)))
    }

    @Test(arguments: BalancingStrategy.allCases)
    func `one that was down is tried with somebody's work only when no other is up`(_ strategy: BalancingStrategy) {
        let back = candidate("b", state: .halfOpen)
        #expect(tally(strategy, [candidate("a"), back], rounds: 50, users: 50) == [50, 0])
        #expect(tally(strategy, [open("a", until: 9), back], rounds: 50, users: 50) == [0, 50])
    }

    @Test(arguments: BalancingStrategy.allCases)
    func `one to be avoided is chosen only when there is no other`(_ strategy: BalancingStrategy) {
        #expect(tally(strategy, [candidate("a"), candidate("b")], rounds: 50, users: 50, avoiding: [0]) == [0, 50])
        #expect(tally(strategy, [candidate("a"), open("b", until: 9)], rounds: 50, users: 50, avoiding: [0]) == [50, 0])
        #expect(tally(strategy, [candidate("a")], rounds: 5, avoiding: [0]) == [5])
    }
}
