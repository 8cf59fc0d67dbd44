package import Gateway

/// What records have in common that are summed together for a report.
package struct RollupKey: Hashable, Sendable {
    /// 0 stands for nobody known.
    package let tenant: Int64
    /// Hours since 1970 UTC.
    package let hour: Int64
    /// 0 stands for no server.
    package let server: Int64
    package let method: String
    package let outcome: AuditRecord.Outcome
}

package struct TenantHour: Hashable, Sendable {
    package let tenant: Int64
    package let hour: Int64
}

/// The sum of some records.
package struct RollupSum: Hashable, Sendable {
    package var requests = 0
    package var errors = 0
    /// Refused because nobody known asked.
    package var unauthenticated = 0
    package var microseconds: Int64 = 0
    package var latency = LatencyHistogram()
    package var users = UserSketch()

    package init() {}

    package mutating func add(_ record: AuditRecord, second: Int) {
        requests = requests.adding(saturating: record.weight)
        if record.isError { errors = errors.adding(saturating: record.weight) }
        if record.reason == "unauthenticated" { unauthenticated = unauthenticated.adding(saturating: record.weight) }
        microseconds = microseconds.adding(saturating: record.duration.microseconds)
        if let time = record.responseTime { latency.record(time) }
        if let user = record.user { users.insert(user, second: second) }
    }

    package mutating func add(_ other: RollupSum) {
        requests = requests.adding(saturating: other.requests)
        errors = errors.adding(saturating: other.errors)
        unauthenticated = unauthenticated.adding(saturating: other.unauthenticated)
        microseconds = microseconds.adding(saturating: other.microseconds)
        latency.add(other.latency)
        users.merge(other.users)
    }
}

extension AuditRecord {
    /// Whether something went wrong that the caller did not do: what an error rate counts.
    package var isError: Bool { outcome == .failed || outcome == .unknown || status >= 500 }
}

/// Sums records as they are committed, until the sums are written.
///
/// Rows that only announce a call (`intended`) are left out: the row that says how it ended counts.
package struct Rollups: Sendable {
    package private(set) var requests: [RollupKey: RollupSum] = [:]
    package private(set) var tenants: [TenantHour: RollupSum] = [:]
    package private(set) var count = 0

    package init() {}

    package mutating func add(_ record: AuditRecord) {
        count += 1
        guard record.outcome != .intended else { return }
        let seconds = record.at.seconds
        let hour = seconds / 3600
        let second = Int(seconds - hour * 3600)
        let tenant = record.tenant?.rawValue ?? 0
        let key = RollupKey(tenant: tenant, hour: hour, server: record.server?.rawValue ?? 0, method: record.action, outcome: record.outcome)
        requests[key, default: RollupSum()].add(record, second: second)
        tenants[TenantHour(tenant: tenant, hour: hour), default: RollupSum()].add(record, second: second)
    }
}

extension LatencyHistogram {
    /// Pairs of bucket (a byte) and count (a varint), of the buckets that are not empty.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        for (index, count) in counts.enumerated() where count > 0 {
            bytes.append(UInt8(index))
            var rest = UInt64(count)
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
        return bytes
    }

    /// Reads the stored form into this histogram, adding to what is there. What is not in that form is left out.
    package mutating func add(stored bytes: UnsafeRawBufferPointer, total: Duration) {
        var offset = 0
        while offset < bytes.count {
            let index = Int(bytes[offset])
            offset += 1
            var (count, shift): (UInt64, UInt64) = (0, 0)
            while offset < bytes.count {
                let byte = bytes[offset]
                offset += 1
                count |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { break }
                shift += 7
                if shift > 56 { return }
            }
            add(bucket: index, count: Int(clamping: count))
        }
        add(total: total)
    }
}
