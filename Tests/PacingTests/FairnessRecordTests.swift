import Gateway
import Testing

@testable import Pacing

struct FairnessRecordTests {
    /// Slices of ten seconds.
    static func record(perMinute: Int64? = 600) -> FairnessRecord { FairnessRecord(window: .seconds(300), perMinute: perMinute) }
    static func at(_ seconds: Int64) -> BootInstant { BootInstant(nanoseconds: seconds * 1_000_000_000) }

    static func note(
        _ record: inout FairnessRecord, _ tenant: Int64, weight: Int = 1, granted: Int = 0, turnedAway: Int = 0, throttled: Int = 0,
        at second: Int64 = 0
    ) {
        for (count, outcome) in [(granted, FairnessRecord.Outcome.granted), (turnedAway, .turnedAway), (throttled, .throttled)] {
            for _ in 0..<count { record.note(TenantID(tenant), weight: weight, outcome, at: at(second)) }
        }
    }

    /// Ten seconds of 600 a minute are a hundred.
    @Test func `a fair division has an index of one, whatever each asked`() throws {
        var record = Self.record()
        Self.note(&record, 1, granted: 10)
        Self.note(&record, 2, weight: 2, granted: 60, turnedAway: 1000)
        Self.note(&record, 3, granted: 30, turnedAway: 1)
        let report = record.report(at: Self.at(10))
        #expect(report.efficiency.map { $0 > 0.999_999 } == true)
        #expect(report.satisfaction == 1)
        #expect(report.refusedFalsely == 0)
        #expect(report.requests == 1101)
        let line = try #require(report.tenants[TenantID(2)])
        #expect(line.count == FairnessRecord.Count(granted: 60, turnedAway: 1000, throttled: 0, weight: 2))
        #expect(abs(line.ideal - 60) < 1e-9)
    }

    @Test(arguments: 1...20)
    func `when one of so many gets everything the index is one divided by as many`(tenants: Int) {
        var record = Self.record()
        for tenant in 1...tenants { Self.note(&record, Int64(tenant), granted: tenant == 1 ? 100 : 0, turnedAway: 100) }
        let report = record.report(at: Self.at(10))
        #expect(report.efficiency.map { abs($0 - 1 / Double(tenants)) < 1e-9 } == true)
        #expect(report.satisfaction == 1 / Double(tenants))
    }

    @Test func `half of what is due is half`() {
        var record = Self.record()
        Self.note(&record, 1, granted: 75, turnedAway: 25)
        Self.note(&record, 2, granted: 25, turnedAway: 75)
        let report = record.report(at: Self.at(10))
        // (3/2 + 1/2)² / 2·((3/2)² + (1/2)²).
        #expect(report.efficiency.map { abs($0 - 0.8) < 1e-9 } == true)
        #expect(report.satisfaction == 0.5)
    }

    @Test func `a refusal is false only as far as capacity was idle, and the tenant had less than its part`() {
        var record = Self.record()
        Self.note(&record, 1, granted: 40, turnedAway: 100)
        Self.note(&record, 2, granted: 40, turnedAway: 5)
        var report = record.report(at: Self.at(10))
        // Twenty were idle; 55 and 45 were due.
        #expect(report.refusedFalsely == 19)
        #expect(report.tenants[TenantID(2)]?.refusedFalsely == 4)

        var full = Self.record()
        Self.note(&full, 1, granted: 100, turnedAway: 100)
        Self.note(&full, 2, turnedAway: 100)
        report = full.report(at: Self.at(10))
        #expect(report.refusedFalsely == 0)
    }

    @Test func `what a caller's own limit refuses is neither demand nor a false refusal`() {
        var record = Self.record()
        Self.note(&record, 1, granted: 5, throttled: 1000)
        Self.note(&record, 2, granted: 5)
        let report = record.report(at: Self.at(10))
        #expect(report.efficiency.map { abs($0 - 1) < 1e-9 } == true)
        #expect(report.refusedFalsely == 0)
        #expect(report.tenants[TenantID(1)]?.ideal == 5)
        #expect(report.requests == 1010)
    }

    @Test func `without a limit everybody is due what they asked, and nothing is refused falsely`() {
        var record = Self.record(perMinute: nil)
        Self.note(&record, 1, granted: 1000)
        Self.note(&record, 2, granted: 1)
        let report = record.report(at: Self.at(10))
        #expect(report.efficiency == 1)
        #expect(report.refusedFalsely == 0)
    }

    @Test func `a burst above the rate is divided as what it was`() {
        var record = Self.record()
        Self.note(&record, 1, granted: 900)
        Self.note(&record, 2, granted: 300)
        #expect(record.report(at: Self.at(10)).efficiency.map { abs($0 - 1) < 1e-9 } == true)
    }

    @Test func `strangers count as one tenant`() {
        var record = Self.record()
        for _ in 0..<100 { record.note(FairShare.strangers, weight: 1, .turnedAway, at: Self.at(0)) }
        Self.note(&record, 1, granted: 50, turnedAway: 50)
        let report = record.report(at: Self.at(10))
        #expect(report.tenants.count == 2)
        #expect(report.tenants[FairShare.strangers]?.ideal == 50)
        #expect(report.efficiency == 0.5)
    }

    @Test func `nobody asked, so there is nothing to tell`() {
        let report = Self.record().report(at: Self.at(10))
        #expect(report.efficiency == nil && report.satisfaction == nil)
        #expect(report.requests == 0 && report.refusedFalsely == 0)
        #expect(FairnessReport() == report)
    }

    @Test func `each slice is divided by itself`() {
        var record = Self.record()
        // Each has everything while the other is away: nobody was wronged.
        Self.note(&record, 1, granted: 100, turnedAway: 100, at: 0)
        Self.note(&record, 2, granted: 100, turnedAway: 100, at: 10)
        let report = record.report(at: Self.at(20))
        #expect(report.efficiency == 1)
        #expect(report.tenants[TenantID(1)]?.ideal == 100)
    }

    @Test func `of the slice that is not over it is not told what was idle`() {
        var record = Self.record()
        Self.note(&record, 1, granted: 3, turnedAway: 5, at: 10)
        #expect(record.report(at: Self.at(10)).requests == 8)
        #expect(record.report(at: Self.at(19)).refusedFalsely == 0)
        #expect(record.report(at: Self.at(20)).refusedFalsely == 5)
    }

    @Test func `slices drop out of the window`() {
        var record = Self.record()
        for second in stride(from: Int64(0), to: 600, by: 10) { Self.note(&record, second / 10 + 1, granted: 1, at: second) }
        let report = record.report(at: Self.at(599))
        #expect(report.tenants.keys.map(\.rawValue).sorted() == Array(31...60))
    }

    @Test(arguments: [300, 310, 86_400] as [Int64])
    func `after a window in which nobody asked there is nothing to tell`(later: Int64) {
        var record = Self.record()
        Self.note(&record, 1, granted: 1, turnedAway: 99, at: 0)
        #expect(record.report(at: Self.at(299)).requests == 100)
        #expect(record.report(at: Self.at(later)).requests == 0)
    }

    @Test func `a clock that runs backward is counted where it was`() {
        var record = Self.record()
        Self.note(&record, 1, granted: 1, at: 100)
        Self.note(&record, 1, granted: 1, at: 50)
        #expect(record.report(at: Self.at(110)).requests == 2)
    }
}

struct MaxMinTests {
    @Test(
        arguments: [
            ([(1, 10), (1, 10)], 100, [10, 10]), ([(1, 100), (1, 100)], 100, [50, 50]), ([(1, 10), (1, 500)], 100, [10, 90]),
            ([(1, 500), (2, 500), (4, 500)], 70, [10, 20, 40]), ([(4, 8), (1, 500), (1, 500)], 60, [8, 26, 26]), ([(1, 0), (1, 5)], 0, [0, 0]),
            ([(1, 2), (1, 2.6), (1, 4), (1, 5)], 10, [2, 2.6, 2.7, 2.7]), ([], 100, []),
        ] as [([(Double, Double)], Double, [Double])])
    func `a capacity is divided as it should be`(wishes: [(Double, Double)], capacity: Double, shares: [Double]) {
        let found = MaxMin.shares(wishes.map { (weight: $0.0, demand: $0.1) }, of: capacity)
        #expect(found.count == shares.count)
        #expect(zip(found, shares).allSatisfy { abs($0 - $1) < 1e-9 })
    }

    @Test(arguments: 1...200)
    func `nobody gets more than they ask, nothing is wasted, and who gets less than they ask has as much for their weight as anybody`(seed: Int) {
        var chance = Chance(seed)
        let wishes = (0...chance.pick(0...30)).map { _ in
            (weight: Double(chance.pick(1...1000)), demand: chance.pick(0...3) == 0 ? 0 : Double(chance.pick(0...1_000_000)))
        }
        let demand = wishes.reduce(0) { $0 + $1.demand }
        let capacity = Double(chance.pick(0...Int64(demand) * 5 / 4 + 1))
        let shares = MaxMin.shares(wishes, of: capacity)
        #expect(zip(shares, wishes).allSatisfy { 0 <= $0 && $0 <= $1.demand })
        #expect(abs(shares.reduce(0, +) - min(demand, capacity)) <= 1e-9 * capacity)
        let most = zip(shares, wishes).map { $0 / $1.weight }.max() ?? 0
        for (share, wish) in zip(shares, wishes) where share < wish.demand { #expect(share / wish.weight >= most * (1 - 1e-9)) }
    }

    @Test func `Jain's index is one for equals, and one divided by their number when one has all`() {
        #expect(MaxMin.jain([]) == nil)
        #expect(MaxMin.jain([0, 0, 0]) == 1)
        #expect(MaxMin.jain([0.5, 0.5, 0.5]) == 1)
        #expect(MaxMin.jain([7, 0, 0, 0]) == 0.25)
        // (2 + 3)² over 2·(4 + 9).
        #expect(MaxMin.jain([2, 3]).map { abs($0 - 25.0 / 26) < 1e-12 } == true)
    }
}
