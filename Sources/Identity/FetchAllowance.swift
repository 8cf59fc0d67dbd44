package import Gateway
import Pacing

/// How often strangers may make the gateway ask other people's servers: so many times a minute for one address and for
/// all together, so that it is no use for hammering anybody. Arithmetic over values: no clock, no lock.
package struct FetchAllowance: Sendable {
    private let perAddress: RateLimit?
    private let inAll: RateLimit?
    private var together: TokenBucket?
    private var buckets: [AddressPrefix: TokenBucket] = [:]

    /// Beyond so many, those that are full again are forgotten: a full bucket equals no bucket.
    private static let seldom = 256

    /// - Parameters:
    ///   - perAddress: a minute, and at once; 0 for no limit.
    ///   - inAll: the same over all addresses.
    package init(perAddress: Int = 10, inAll: Int = 60) {
        self.perAddress = RateLimit(perMinute: perAddress, burst: 1)
        self.inAll = RateLimit(perMinute: inAll, burst: 1)
    }

    /// Takes one fetch from both allowances, or nothing from either.
    ///
    /// - Returns: nil if it may be made; else how long until it could be.
    package mutating func take(for address: AddressPrefix, at now: BootInstant) -> Duration? {
        var own = perAddress.map { buckets[address] ?? TokenBucket(full: $0, at: now) }
        var all = inAll.map { together ?? TokenBucket(full: $0, at: now) }
        // Their copies are thrown away if either says no.
        let waits = [Self.take(&own, perAddress, now), Self.take(&all, inAll, now)].compactMap { $0 }
        if let longest = waits.max() { return longest }
        together = all
        if buckets.count >= Self.seldom { forgetFull(at: now) }
        buckets[address] = own
        return nil
    }

    /// Addresses of which anything is remembered. What was granted in all within a minute bounds it, give or take `seldom`.
    var addresses: Int { buckets.count }

    private mutating func forgetFull(at now: BootInstant) {
        guard let perAddress else { return }
        buckets = buckets.filter { _, bucket in
            var bucket = bucket
            bucket.credit(perAddress, at: now)
            return bucket.timeToFill(of: perAddress) > .zero
        }
    }

    private static func take(_ bucket: inout TokenBucket?, _ limit: RateLimit?, _ now: BootInstant) -> Duration? {
        guard let limit, case .throttled(let wait) = bucket?.take(of: limit, at: now) else { return nil }
        return wait
    }
}
