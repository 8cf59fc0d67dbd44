package import Gateway

/// How full the gateway was in one minute.
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
            self.size = size
            self.ceiling = ceiling
            self.inUsePeak = inUsePeak
            self.waitMilliseconds = waitMilliseconds
            self.timeouts = timeouts
        }
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
        self.activeUsers = activeUsers
        self.cpuShare = cpuShare
        self.memoryBytes = memoryBytes
        self.diskBytes = diskBytes
        self.walBytes = walBytes
        self.pools = pools
    }
}

/// The sum of all tenants' requests of one hour.
package struct HourTotals: Sendable {
    /// Since 1970 UTC.
    package let hour: Int64
    package let sum: RollupSum

    package init(hour: Int64, sum: RollupSum) {
        self.hour = hour
        self.sum = sum
    }

    var day: Int64 { hour >= 0 ? hour / 24 : (hour - 23) / 24 }
}

/// What the settings bound, as far as reports measure against it.
package struct Bounds: Sendable {
    package let users: Int
    package let databaseBytes: Int
    package let handles: Int

    package init(users: Int, databaseBytes: Int, handles: Int) {
        self.users = users
        self.databaseBytes = databaseBytes
        self.handles = handles
    }
}
