package import Gateway

/// Shares the work for a server out among its endpoints: a value that remembers whose turn it is.
package struct Balancer: Sendable {
    /// An endpoint as it stands when the choice is made.
    package struct Candidate: Hashable, Sendable {
        /// Tells it from the others, also in the next run of the program.
        package let name: String
        package let weight: Int
        /// What it has to do.
        package let load: Int
        package let state: CircuitBreaker.State
        /// When it may be asked at the earliest; nil for now.
        package let waits: BootInstant?

        package init(name: String, weight: Int, load: Int, state: CircuitBreaker.State, waits: BootInstant?) {
            self.name = name
            self.weight = weight
            self.load = load
            self.state = state
            self.waits = waits
        }
    }

    package enum Choice: Hashable, Sendable {
        /// The candidate of that number.
        case candidate(Int)
        /// None may be asked before then.
        case none(until: BootInstant)
    }

    private let strategy: BalancingStrategy
    /// How much each is owed (smooth weighted round robin): whoever is owed most has the turn, and pays for it.
    private var credits: [Int]

    package init(_ strategy: BalancingStrategy, of count: Int) {
        self.strategy = strategy
        credits = Array(repeating: 0, count: count)
    }

    /// - Parameters:
    ///   - candidates: one or more, as many as it was made for, each time in the same order.
    ///   - avoided: chosen only if there is no other.
    ///   - user: whose work it is; nil for the gateway's own.
    package mutating func choose(
        among candidates: [Candidate], avoiding avoided: Set<Int> = [], for user: UserID?, using random: inout some RandomNumberGenerator
    ) -> Choice {
        precondition(candidates.count == credits.count && !candidates.isEmpty, "the candidates are always the same")
        let usable = candidates.indices.filter { candidates[$0].waits == nil }
        guard !usable.isEmpty else { return .none(until: candidates.compactMap(\.waits).min() ?? BootInstant(nanoseconds: 0)) }
        let preferred = usable.filter { !avoided.contains($0) }
        let wanted = preferred.isEmpty ? usable : preferred
        // Whether one that was down is up again is better found out by nobody's work, as long as another one is up.
        let sound = wanted.filter { candidates[$0].state == .closed }
        return .candidate(pick(sound.isEmpty ? wanted : sound, candidates, user, &random))
    }

    private mutating func pick(_ indices: [Int], _ candidates: [Candidate], _ user: UserID?, _ random: inout some RandomNumberGenerator) -> Int {
        guard indices.count > 1 else { return indices[0] }
        switch strategy {
        case .roundRobin: return turn(indices) { _ in 1 }
        case .weighted: return turn(indices) { candidates[$0].weight }
        case .leastConnections:
            // Compared as load / weight, without dividing; of equals, whose turn it is.
            let least = indices.min { isLess(candidates[$0], candidates[$1]) } ?? indices[0]
            return turn(indices.filter { !isLess(candidates[least], candidates[$0]) }) { candidates[$0].weight }
        case .random:
            var point = Int.random(in: 0..<indices.reduce(0) { $0 + candidates[$1].weight }, using: &random)
            for index in indices {
                if point < candidates[index].weight { return index }
                point -= candidates[index].weight
            }
            return indices[0]
        case .consistentHash: return indices.max { score(candidates[$0], user) < score(candidates[$1], user) } ?? indices[0]
        }
    }

    private func isLess(_ left: Candidate, _ right: Candidate) -> Bool { left.load * right.weight < right.load * left.weight }

    private mutating func turn(_ indices: [Int], _ weight: (Int) -> Int) -> Int {
        for index in indices { credits[index] += weight(index) }
        let next = indices.max { credits[$0] < credits[$1] || (credits[$0] == credits[$1] && $0 > $1) } ?? indices[0]
        credits[next] -= indices.reduce(0) { $0 + weight($1) }
        return next
    }

    /// The highest of as many draws as it has weight (rendezvous hashing): users are shared out by weight, and only those of one
    /// that is gone go elsewhere.
    private func score(_ candidate: Candidate, _ user: UserID?) -> UInt64 {
        let seed = Self.hash(candidate.name) ^ Self.mixed(UInt64(bitPattern: user?.rawValue ?? -1))
        return (0..<UInt64(candidate.weight)).map { Self.mixed(seed &+ $0 &* 0x9E37_79B9_7F4A_7C15) }.max() ?? 0
    }

    /// FNV-1a: the same in each run, which the library's own hash is not.
    private static func hash(_ name: String) -> UInt64 {
        name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }

    /// The end of SplitMix64.
    private static func mixed(_ number: UInt64) -> UInt64 {
        var mixed = number &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
