package import Gateway

/// How full the gateway was in one minute. It is read from a file: what is below zero or no number is zero.
package struct UsageSample: Hashable, Sendable {
    package struct Pool: Hashable, Codable, Sendable {
        package let name: String
        /// Handles it might have lent.
        package let size: Int
        package let ceiling: Int
        /// Most that were lent at once.
        package let inUsePeak: Int
        /// The longest wait for one.
        package let waitMilliseconds: Double
        /// Since the start of the program.
        package let timeouts: Int

        package init(name: String, size: Int, ceiling: Int, inUsePeak: Int, waitMilliseconds: Double, timeouts: Int) {
            self.name = name
            self.size = max(0, size)
            self.ceiling = max(0, ceiling)
            self.inUsePeak = max(0, inUsePeak)
            self.waitMilliseconds = waitMilliseconds.isFinite ? max(0, waitMilliseconds) : 0
            self.timeouts = max(0, timeouts)
        }

        package init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            self.init(
                name: try values.decode(String.self, forKey: .name), size: try values.decode(Int.self, forKey: .size),
                ceiling: try values.decode(Int.self, forKey: .ceiling), inUsePeak: try values.decode(Int.self, forKey: .inUsePeak),
                waitMilliseconds: try values.decode(Double.self, forKey: .waitMilliseconds), timeouts: try values.decode(Int.self, forKey: .timeouts))
        }

        /// Whether it lends handles of the database; the pool `write` lends slots in the writer's queue.
        var lendsHandles: Bool { name != "write" }
        /// Most lent at once over what it may hold, 0 or more.
        var peakShare: Double { Double(inUsePeak) / Double(max(1, ceiling)) }
    }

    package let at: Timestamp
    package let activeUsers: Int
    /// Of all processors, 0 to 1.
    package let cpuShare: Double
    package let memoryBytes: Int
    package let diskBytes: Int
    package let walBytes: Int
    package let pools: [Pool]

    package init(at: Timestamp, activeUsers: Int, cpuShare: Double, memoryBytes: Int, diskBytes: Int, walBytes: Int, pools: [Pool]) {
        self.at = at
        self.activeUsers = max(0, activeUsers)
        self.cpuShare = cpuShare.isNaN ? 0 : min(max(0, cpuShare), 1)
        self.memoryBytes = max(0, memoryBytes)
        self.diskBytes = max(0, diskBytes)
        self.walBytes = max(0, walBytes)
        self.pools = pools
    }

    /// Hours since 1970 UTC.
    var hour: Int64 { at.seconds / 3600 }
    /// Handles lent at once, at most: each pool's peak, though they need not have come at the same moment.
    var handles: Int { pools.filter(\.lendsHandles).reduce(0) { $0.adding(saturating: $1.inUsePeak) } }
}

extension Sequence<UsageSample> {
    /// Every pool that any of them names, in the order they appear.
    var poolNames: [String] {
        reduce(into: []) { names, sample in
            for pool in sample.pools where !names.contains(pool.name) { names.append(pool.name) }
        }
    }

    /// What they say of one pool, in their order.
    func pools(named name: String) -> [UsageSample.Pool] { compactMap { $0.pools.first { $0.name == name } } }
}

/// The sum of all tenants' requests of one hour. It is read from a file: a part is neither below zero nor more than the whole.
package struct HourTotals: Sendable {
    /// Since 1970 UTC.
    package let hour: Int64
    package let sum: RollupSum

    package init(hour: Int64, sum: RollupSum) {
        self.hour = hour
        var sound = sum
        sound.requests = max(0, sum.requests)
        sound.errors = min(max(0, sum.errors), sound.requests)
        sound.unauthenticated = min(max(0, sum.unauthenticated), sound.requests)
        sound.microseconds = max(0, sum.microseconds)
        self.sum = sound
    }

    /// Since 1970 UTC.
    var day: Int64 { Self.day(ofHour: hour) }

    static func day(ofHour hour: Int64) -> Int64 { hour / 24 - (hour % 24 < 0 ? 1 : 0) }
}

/// What the settings bound, as far as reports measure against it; each at least 1.
package struct Bounds: Sendable {
    /// `MREG_FASTMCP_MAX_CONCURRENT_USERS`
    package let users: Int
    /// `MREG_AUDIT_MAX_BYTES`
    package let databaseBytes: Int
    /// Of all pools: the smaller of `DB_MAX_CONNECTIONS` and `MREG_FASTMCP_MAX_POOL_SIZE`.
    package let handles: Int

    package init(users: Int, databaseBytes: Int, handles: Int) {
        self.users = max(1, users)
        self.databaseBytes = max(1, databaseBytes)
        self.handles = max(1, handles)
    }
}
