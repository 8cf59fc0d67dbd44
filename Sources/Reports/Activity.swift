package import Gateway

/// One user of a tenant in a period.
package struct UserActivity: Sendable {
    package let user: UserID
    package let name: String
    package let activeSessions: Int
    package let requests: Int
    package let lastActivity: Timestamp

    package init(user: UserID, name: String, activeSessions: Int, requests: Int, lastActivity: Timestamp) {
        self.user = user
        self.name = name
        self.activeSessions = activeSessions
        self.requests = requests
        self.lastActivity = lastActivity
    }
}

/// What a limit refused a user, once or many times.
package struct RateLimitEvent: Sendable {
    package let at: Timestamp
    package let limit: String
    package let refusals: Int

    package init(at: Timestamp, limit: String, refusals: Int) {
        self.at = at
        self.limit = limit
        self.refusals = refusals
    }
}

/// How busy a tenant was in a period.
package struct TenantAnalytics: Sendable {
    package let tenant: TenantID
    package let name: String
    package var requests = 0
    package var microseconds: Int64 = 0
    package var uniqueUsers = 0
    /// Whether `uniqueUsers` is counted; otherwise it is estimated, within 2.3 % (one standard deviation).
    package var isExact = true

    package init(tenant: TenantID, name: String) {
        self.tenant = tenant
        self.name = name
    }

    package var averageMilliseconds: Double { requests == 0 ? 0 : Double(microseconds) / 1000 / Double(requests) }
}
