package import Gateway

/// What tenants were granted and refused lately, and how that compares with how it should have been divided.
///
/// Counted in slices of a thirtieth of the window; a value without a clock. What a tenant could not have had anyway, for
/// its own limits were used up, is no demand here.
package struct FairnessRecord: Sendable {
    package struct Count: Hashable, Sendable {
        package var granted = 0
        /// Refused because the gateway's capacity, or the tenant's share of it, was used up.
        package var turnedAway = 0
        /// Refused for a limit of the caller's own.
        package var throttled = 0
        package var weight = 1

        fileprivate mutating func add(_ outcome: Outcome, _ weight: Int) {
            self.weight = weight
            switch outcome {
            case .granted: granted += 1
            case .turnedAway: turnedAway += 1
            case .throttled: throttled += 1
            }
        }
    }

    package enum Outcome: Sendable {
        case granted, turnedAway, throttled
    }

    private struct Slice {
        let number: Int64
        var counts: [TenantID: Count] = [:]
    }

    package static let slices: Int64 = 30

    private let length: Int64
    /// Tokens a minute that all tenants share; nil without a limit.
    private let perMinute: Int64?
    private var recent: [Slice] = []

    package init(window: Duration, perMinute: Int64?) {
        length = max(1_000_000_000, window.nanoseconds / Self.slices)
        self.perMinute = perMinute
    }

    package mutating func note(_ tenant: TenantID, weight: Int, _ outcome: Outcome, at now: BootInstant) {
        let number = now.nanoseconds / length
        if recent.last.map({ $0.number < number }) ?? true {
            recent.append(Slice(number: number))
            recent.removeAll { $0.number <= number - Self.slices }
        }
        recent[recent.count - 1].counts[tenant, default: Count()].add(outcome, weight)
    }

    /// What the window shows. Of the slice that is not over yet it is not told what capacity went unused.
    package func report(at now: BootInstant) -> FairnessReport {
        let number = now.nanoseconds / length
        var report = FairnessReport()
        for slice in recent where slice.number > number - Self.slices {
            report.add(slice.counts, capacity: capacity(slice.number < number ? length : nil))
        }
        return report
    }

    /// What the global rate lets through in that time.
    private func capacity(_ nanoseconds: Int64?) -> Double? {
        guard let perMinute else { return nil }
        return nanoseconds.map { Double($0) / 60e9 * Double(perMinute) } ?? 0
    }
}

/// How fairly capacity was divided, by the definitions below.
package struct FairnessReport: Hashable, Sendable {
    package struct Line: Hashable, Sendable {
        package var count = FairnessRecord.Count()
        /// What weighted max-min would have granted, of the same capacity and for the same demand.
        package var ideal = 0.0
        /// Refused for fairness while capacity went unused.
        package var refusedFalsely = 0.0

        package init() {}
    }

    package private(set) var tenants: [TenantID: Line] = [:]

    package init() {}

    /// - Parameter capacity: what the global rate lets through in that time; nil if there is no such limit.
    mutating func add(_ counts: [TenantID: FairnessRecord.Count], capacity: Double?) {
        let granted = counts.values.reduce(0) { $0 + $1.granted }
        // Bursts are granted from what was saved up before, so a slice may have held more than its rate.
        let divided = max(Double(granted), capacity ?? .infinity)
        let order = counts.keys.sorted()
        let ideals = MaxMin.shares(
            order.map { (weight: Double(counts[$0]?.weight ?? 1), demand: Double((counts[$0]?.granted ?? 0) + (counts[$0]?.turnedAway ?? 0))) },
            of: divided)
        // Less the one that may be under way between two slices.
        var unused = max(0, divided - Double(granted) - 1).rounded(.down)
        for (tenant, ideal) in zip(order, ideals) {
            guard let count = counts[tenant] else { continue }
            var line = tenants[tenant] ?? Line()
            line.count.granted += count.granted
            line.count.turnedAway += count.turnedAway
            line.count.throttled += count.throttled
            line.count.weight = count.weight
            line.ideal += ideal
            if capacity != nil {
                let falsely = min(Double(count.turnedAway), unused, max(0, ideal - Double(count.granted)))
                line.refusedFalsely += falsely
                unused -= falsely
            }
            tenants[tenant] = line
        }
    }

    private var shares: [Double] { tenants.values.filter { $0.ideal > 0 }.map { Double($0.count.granted) / $0.ideal } }

    /// Jain's index of granted over ideal: 1 when every tenant got the same part of what it should have got, 1/n when one of
    /// n got everything. Nil when nobody asked.
    package var efficiency: Double? { MaxMin.jain(shares) }

    /// The share of tenants that got at least 95 % of the ideal; nil when nobody asked.
    package var satisfaction: Double? {
        let shares = shares
        return shares.isEmpty ? nil : Double(shares.count { $0 >= 0.95 }) / Double(shares.count)
    }

    package var requests: Int { tenants.values.reduce(0) { $0 + $1.count.granted + $1.count.turnedAway + $1.count.throttled } }
    package var refusedFalsely: Double { tenants.values.reduce(0) { $0 + $1.refusedFalsely } }
}

/// Weighted max-min fairness, as arithmetic.
package enum MaxMin {
    /// Divides a capacity: nobody gets more than they ask, and nobody who gets less has a smaller part, for their weight,
    /// than another.
    package static func shares(_ wishes: [(weight: Double, demand: Double)], of capacity: Double) -> [Double] {
        var shares = [Double](repeating: 0, count: wishes.count)
        var left = capacity
        var weights = wishes.reduce(0) { $0 + $1.weight }
        for index in wishes.indices.sorted(by: { wishes[$0].demand / wishes[$0].weight < wishes[$1].demand / wishes[$1].weight }) {
            let share = weights > 0 ? left * wishes[index].weight / weights : 0
            shares[index] = min(wishes[index].demand, share)
            left -= shares[index]
            weights -= wishes[index].weight
        }
        return shares
    }

    /// Jain's index of fairness: (Σx)² / n·Σx².
    package static func jain(_ values: [Double]) -> Double? {
        let sum = values.reduce(0, +)
        let squares = values.reduce(0) { $0 + $1 * $1 }
        guard !values.isEmpty else { return nil }
        return squares > 0 ? sum * sum / (Double(values.count) * squares) : 1
    }
}
