/// A limit that was met: which one, whose it is, and when there is room again.
package struct Throttle: Hashable, Sendable {
    package enum Limit: String, Sendable, CaseIterable {
        /// Of requests without a valid token, from one address.
        case address
        /// Of all callers together.
        case global
        case tenant
        case user
        /// Of one API key, as it was made.
        case key
        case server
        case tool
        /// A tenant's part of what all tenants together may ask.
        case share
        /// What a tenant may ask over any fairness window, however it is spread.
        case window
        case dailyQuota = "daily_quota"
        case monthlyQuota = "monthly_quota"
        /// Calls of one user under way at the same time.
        case inFlight = "in_flight"
        /// Places in front of a server that has all the calls under way it may have.
        case queue
        /// Clients that one address, or all together, may register in an hour.
        case registrations
    }

    /// How much a limit allows in how long; without a length it is for one moment.
    package struct Allowance: Hashable, Sendable {
        package let most: Int64
        package let window: Duration?

        package init(_ most: Int64, in window: Duration?) {
            self.most = most
            self.window = window
        }
    }

    package let limit: Limit
    /// The name of the address, tenant, user, server or tool, or the number of the key; empty for `global`.
    package let whose: String
    package let allowance: Allowance?
    package let retryAfter: Duration

    package init(_ limit: Limit, of whose: String = "", allows allowance: Allowance? = nil, retryAfter: Duration) {
        self.limit = limit
        self.allowance = allowance
        self.whose = whose
        self.retryAfter = retryAfter
    }

    /// What is used up, and what to do about it.
    var sentence: String {
        let what =
            switch limit {
            case .address: "The address \(whose) has sent too many requests without a valid token; sign in, or"
            case .global: "The gateway has as many requests as it takes from all callers together;"
            case .registrations: "As many clients were registered from \(whose) as may be in an hour;"
            case .tenant: "The tenant “\(whose)” has used up its limit;"
            case .user: "The user “\(whose)” has used up their limit;"
            case .key: "The API key \(whose) has used up its own limit;"
            case .server: "The limit of the server “\(whose)” is used up;"
            case .tool: "The limit of the tool “\(whose)” is used up;"
            case .share: "The gateway is busy, and the tenant “\(whose)” has had its share;"
            case .window: "The tenant “\(whose)” has asked more, for minutes, than its rate allows;"
            case .dailyQuota: "The tenant “\(whose)” has used up its quota of the day;"
            case .monthlyQuota: "The tenant “\(whose)” has used up its quota of the month;"
            case .inFlight: "The user “\(whose)” has as many calls under way as one user may have; wait for one to end, or"
            case .queue: "The server “\(whose)” is busy, and too many calls wait for it already;"
            }
        return "\(what) try again in \(retryAfter.roundedUpSeconds) s."
    }
}
