/// Another place where a server that is reached by URL can be asked just the same.
package struct ServerReplica: Hashable, Sendable {
    /// An absolute http or https URL.
    package let endpoint: String
    /// How much of the work it gets, beside the others.
    package let weight: Int

    /// Besides the first endpoint.
    package static let most = 16
    package static let weights = 1...100

    package init(endpoint: String, weight: Int = 1) {
        self.endpoint = endpoint
        self.weight = weight
    }
}

/// How the work for a server is shared out among its endpoints. Each but `round_robin` heeds their weights.
package enum BalancingStrategy: String, Sendable, CaseIterable {
    /// One after the other.
    case roundRobin = "round_robin"
    /// One after the other, the heavier more often.
    case weighted
    /// Whichever has the least to do for its weight.
    case leastConnections = "least_connections"
    case random
    /// A user's work always goes to the same one; when one fails, only the work of its users moves.
    case consistentHash = "consistent_hash"
}
