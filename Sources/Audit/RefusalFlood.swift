import Gateway

/// Decides which refusals get a row of their own, and counts the others: somebody who is refused a million times must
/// not fill the disk with it.
///
/// A value without a clock: time is that of the records. Bounded: `mostKeys` sums at once; who comes beyond that is summed
/// together.
struct RefusalFlood {
    /// Refused for one reason, from one address if nobody is known, else to one user.
    struct Key: Hashable {
        let user: UserID?
        /// Of IPv6 the first 64 bits; empty for a known user, and for all addresses that found no place.
        let address: String
        let reason: String
    }

    private struct Sum {
        /// Rows of their own since `since`.
        var rows = 0
        var count = 0
        var since: Timestamp
        /// What the sum will be recorded as.
        var latest: AuditRecord
    }

    /// Rows a key gets in a window before it is summed.
    static let rowsPerWindow = 10
    static let window = Duration.seconds(60)
    /// With many keys at once a window is longer, or the sums themselves would be a flood.
    static let longWindow = Duration.seconds(900)
    private static let manyKeys = 16
    static let mostKeys = 128

    private var sums: [Key: Sum] = [:]
    private var strangers = Allowance(burst: 300, perMinute: 3)
    private var acquaintances = Allowance(burst: 1000, perMinute: 60)

    /// Whether the refusal gets a row of its own; if not, it was counted.
    mutating func admit(_ record: AuditRecord) -> Bool {
        let key = key(of: record)
        var sum = sums[key] ?? Sum(since: record.at, latest: record)
        defer { sums[key] = sum }
        if sum.rows < Self.rowsPerWindow, sum.count == 0,
            record.user == nil ? strangers.take(at: record.at) : acquaintances.take(at: record.at)
        {
            sum.rows += 1
            return true
        }
        sum.count += 1
        sum.latest = record
        return false
    }

    private func key(of record: AuditRecord) -> Key {
        let key = Key(user: record.user, address: record.user == nil ? Self.prefix(of: record.address) : "", reason: record.reason)
        if sums[key] != nil || sums.count < Self.mostKeys { return key }
        return Key(user: nil, address: "", reason: "various")
    }

    static func prefix(of address: String) -> String {
        guard let ip = IPAddress(address), ip.bytes.count == 16 else { return address }
        let groups = stride(from: 0, to: 8, by: 2).map { String(UInt16(ip.bytes[$0]) << 8 | UInt16(ip.bytes[$0 + 1]), radix: 16) }
        return groups.joined(separator: ":") + "::/64"
    }

    /// The sums whose window has ended, as records that stand for as many refusals as they count.
    ///
    /// - Parameter all: whether the others are ended too, because the program is.
    mutating func sums(endedAt now: Timestamp, all: Bool = false) -> [AuditRecord] {
        let window = sums.count > Self.manyKeys ? Self.longWindow : Self.window
        var ended: [AuditRecord] = []
        for (key, sum) in sums where all || now >= sum.since.advanced(by: window) || now < sum.since {
            sums[key] = nil
            guard sum.count > 0 else { continue }
            var record = sum.latest
            record.weight = sum.count
            record.address = key.user == nil ? key.address : record.address
            record.reason = key.reason
            record.target = ""
            if key.reason == "various" { (record.user, record.tenant) = (nil, nil) }
            ended.append(record)
        }
        return ended.sorted { $0.at < $1.at }
    }

    /// Gives back what could not be written.
    mutating func restore(_ records: [AuditRecord]) {
        for record in records {
            let key = key(of: record)
            var sum = sums[key] ?? Sum(since: record.at, latest: record)
            sum.count += record.weight
            sums[key] = sum
        }
    }
}

/// Rows for refusals that all callers of a kind share.
private struct Allowance {
    let burst: Double
    let perMinute: Double
    private var level: Double
    private var at: Timestamp?

    init(burst: Double, perMinute: Double) {
        self.burst = burst
        self.perMinute = perMinute
        level = burst
    }

    mutating func take(at now: Timestamp) -> Bool {
        let elapsed = at.map { max(0, Double(now.microseconds) - Double($0.microseconds)) } ?? 0
        level = min(burst, level + elapsed / 60_000_000 * perMinute)
        at = now
        guard level >= 1 else { return false }
        level -= 1
        return true
    }
}
