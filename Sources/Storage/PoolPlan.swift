/// How many handles the pools may have, and how they change their size. The defaults are those of the settings.
package struct PoolPlan: Sendable {
    package struct Pool: Sendable {
        package var ceiling: Int
        package var timeout: Duration

        package init(ceiling: Int, timeout: Duration) {
            self.ceiling = ceiling
            self.timeout = timeout
        }
    }

    package var authentication = Pool(ceiling: 25, timeout: .seconds(10))
    package var read = Pool(ceiling: 20, timeout: .seconds(15))
    /// Slots in the queue of the one writer.
    package var write = Pool(ceiling: 15, timeout: .seconds(30))
    package var analytics = Pool(ceiling: 10, timeout: .seconds(60))
    /// Reading handles over all pools, and the one that writes.
    package var handles = 10...50
    package var isAdaptive = true
    package var growthFactor = 1.5
    package var threshold = 0.8

    package init() {}

    /// The part of the largest total that a pool has which does not change its size.
    func fixed(_ pool: Pool) -> Int {
        let all = authentication.ceiling + read.ceiling + analytics.ceiling
        return min(pool.ceiling, max(1, (handles.upperBound - 1) * pool.ceiling / max(1, all)))
    }

    /// The part of the smallest total that a pool keeps: by its share of the ceilings, at least one.
    func minimum(of pool: Pool) -> Int {
        let all = authentication.ceiling + read.ceiling + analytics.ceiling
        return min(pool.ceiling, max(1, handles.lowerBound * pool.ceiling / max(1, all)))
    }
}
