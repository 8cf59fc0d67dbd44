import Gateway
import Testing

@testable import Reports

struct RollupTests {
    static func record(_ user: Int64?, at seconds: Int64 = 0, outcome: AuditRecord.Outcome = .ok, weight: Int = 1) -> AuditRecord {
        AuditRecord(
            requestID: RequestID(1), at: Timestamp(microseconds: seconds * 1_000_000), user: user.map { UserID($0) }, tenant: TenantID(1),
            action: "tools/call", outcome: outcome, duration: .milliseconds(10), weight: weight)
    }

    static func users(_ numbers: some Sequence<Int64>, second: Int = 0) -> UserSketch {
        var sketch = UserSketch()
        for number in numbers { sketch.insert(UserID(number), second: second) }
        return sketch
    }

    static func union(_ sketches: [UserSketch], since: Int = 0) -> UserUnion {
        var union = UserUnion()
        for sketch in sketches { sketch.bytes.withUnsafeBytes { union.add($0, since: since) } }
        return union
    }

    @Test func `records are summed by hour, tenant, server, method and outcome`() {
        var rollups = Rollups()
        for record in [
            Self.record(1), Self.record(2, at: 3599, weight: 5), Self.record(1, at: 3600, outcome: .failed), Self.record(1, outcome: .intended),
        ] {
            rollups.add(record)
        }
        #expect(rollups.count == 4)
        #expect(rollups.requests.count == 2)
        let first = rollups.tenants[TenantHour(tenant: 1, hour: 0)]
        #expect(first?.requests == 6)
        #expect(first?.users.count == 2)
        #expect(rollups.tenants[TenantHour(tenant: 1, hour: 1)]?.errors == 1)
    }

    @Test(arguments: [0, 1, 2, 511, 512]) func `few users are counted exactly, also after storing`(count: Int64) throws {
        let sketch = Self.users(0..<count)
        #expect(sketch.isExact)
        #expect(sketch.count == Int(count))
        #expect(sketch.bytes.withUnsafeBytes { UserSketch(bytes: $0) } == sketch)
        #expect(Self.union([sketch, sketch]).count == Int(count))
    }

    @Test(arguments: [513, 5_000, 100_000]) func `many users are estimated within four standard deviations`(count: Int64) {
        let sketch = Self.users(0..<count)
        #expect(!sketch.isExact)
        let bound = 4 * UserSketch.standardError
        #expect(abs(Double(sketch.count) / Double(count) - 1) < bound)
        #expect(abs(Double(Self.union([sketch, Self.users(0..<100)]).count) / Double(count) - 1) < bound)
    }

    @Test func `the union of hours counts everybody once`() {
        let hours = (0..<24).map { hour in Self.users(Int64(hour) * 10..<Int64(hour) * 10 + 400) }
        #expect(Self.union(hours).count == 630)
        #expect(Self.union(hours).isExact)
    }

    @Test func `who was last seen before the window began is left out`() {
        var sketch = Self.users(0..<10, second: 100)
        for user in 5..<10 as Range<Int64> { sketch.insert(UserID(user), second: 2000) }
        #expect(Self.union([sketch], since: 1000).count == 5)
        #expect(Self.union([sketch], since: 100).count == 10)
    }

    @Test(arguments: [[], [2], [0, 1, 2], [1, 0], [UInt8](repeating: 0, count: 7 + 5)])
    func `bytes that are no sketch are none`(bytes: [UInt8]) {
        #expect(bytes.withUnsafeBytes { UserSketch(bytes: $0) } == nil || bytes.count % 6 == 1)
        #expect(
            bytes.withUnsafeBytes { bytes in
                var union = UserUnion(); union.add(bytes); return union.count
            } <= 2)
    }

    @Test func `sums stop at the largest number`() {
        var sum = RollupSum()
        (sum.requests, sum.errors, sum.unauthenticated, sum.microseconds) = (.max, .max, .max, .max)
        sum.add(sum)
        sum.add(Self.record(1, outcome: .failed, weight: 5), second: 0)
        #expect([sum.requests, sum.errors, sum.unauthenticated] == [.max, .max, .max])
        #expect(sum.microseconds == .max)
    }

    @Test func `a damaged histogram stops at the largest number`() {
        // A bucket and the largest count there is, three times over.
        let stored = [[UInt8]](repeating: [3] + [UInt8](repeating: 0xFF, count: 8) + [0x7F], count: 3).flatMap(\.self)
        var histogram = LatencyHistogram()
        stored.withUnsafeBytes { histogram.add(stored: $0, total: .zero) }
        histogram.add(histogram)
        histogram.record(.seconds(1))
        #expect(histogram.count == .max)
        for share in [0, 0.5, 0.99, 1, 2, .nan, -1] as [Double] { #expect(histogram.percentile(share) != nil) }
        #expect(histogram.percentile(0.5) == .microseconds(LatencyHistogram.bounds[3]))
    }

    @Test func `a histogram comes back as it was stored`() {
        var histogram = LatencyHistogram()
        for number in 0..<1000 { histogram.record(.microseconds(number * number)) }
        var read = LatencyHistogram()
        histogram.bytes.withUnsafeBytes { read.add(stored: $0, total: histogram.total) }
        #expect(read.counts == histogram.counts)
        #expect(read.percentile(0.95) == histogram.percentile(0.95))
        var hostile = LatencyHistogram()
        [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255].withUnsafeBytes { hostile.add(stored: $0, total: .zero) }
        #expect(hostile.count == 0)
    }
}
