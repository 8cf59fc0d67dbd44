import Gateway
import HTTPTypes
import Pacing

/// What a caller may still ask, in header fields: `RateLimit` and `RateLimit-Policy` of
/// draft-ietf-httpapi-ratelimit-headers-10 for every limit of the caller's own, and the older `X-RateLimit-*` for the one
/// that is used up first.
extension HTTPFields {
    mutating func tell(_ budgets: [Budget]) {
        guard let tightest = budgets.min(by: { $0.remaining < $1.remaining }) else { return }
        self[.rateLimitPolicy] = budgets.map {
            Self.policy($0.limit, Throttle.Allowance($0.capacity, in: $0.window))
        }.joined(separator: ", ")
        self[.rateLimit] = budgets.map { Self.state($0.limit, $0.remaining, $0.resetsAfter) }.joined(separator: ", ")
        tell(limit: tightest.capacity, remaining: tightest.remaining, resetsAfter: tightest.resetsAfter)
    }

    /// Of what is used up, the time is that until there is something again.
    mutating func tell(_ throttle: Throttle) {
        self[.retryAfter] = String(throttle.retryAfter.roundedUpSeconds)
        self[.rateLimit] = Self.state(throttle.limit, 0, throttle.retryAfter)
        self[.rateLimitPolicy] = throttle.allowance.map { Self.policy(throttle.limit, $0) }
        tell(limit: throttle.allowance?.most, remaining: 0, resetsAfter: throttle.retryAfter)
    }

    private mutating func tell(limit: Int64?, remaining: Int64, resetsAfter: Duration) {
        self[.rateLimitLimit] = limit.map { String($0) }
        self[.rateLimitRemaining] = String(remaining)
        self[.rateLimitReset] = String(resetsAfter.wholeSeconds)
    }

    private static func policy(_ limit: Throttle.Limit, _ allowance: Throttle.Allowance) -> String {
        let window = allowance.window.map { ";w=\($0.roundedUpSeconds)" } ?? ""
        return "\"\(limit.rawValue)\";q=\(allowance.most)\(window)"
    }

    private static func state(_ limit: Throttle.Limit, _ remaining: Int64, _ time: Duration) -> String {
        "\"\(limit.rawValue)\";r=\(remaining);t=\(time.wholeSeconds)"
    }
}

extension Duration {
    /// Rounded up.
    fileprivate var wholeSeconds: Int64 { self <= .zero ? 0 : roundedUpSeconds }
}
