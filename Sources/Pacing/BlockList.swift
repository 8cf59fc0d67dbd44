package import Gateway

/// An address nobody may ask from without a valid token.
package struct Block: Hashable, Sendable {
    package enum Reason: String, Sendable {
        /// Too many violations.
        case violations
        /// An administrator said so.
        case administrator
    }

    package let address: AddressPrefix
    package let reason: Reason
    package let blockedAt: Timestamp
    package let until: Timestamp

    package init(address: AddressPrefix, reason: Reason, blockedAt: Timestamp, until: Timestamp) {
        self.address = address
        self.reason = reason
        self.blockedAt = blockedAt
        self.until = until
    }
}

/// Which addresses are blocked: a value without a clock. Bounded; of more, the one that ends first goes.
package struct BlockList: Sendable {
    package struct Entry: Sendable {
        package let block: Block
        /// On the clock that never jumps.
        package let ends: BootInstant
        /// Requests that were refused for it.
        package var refused = 0
        /// Refused and not yet on record.
        package var unrecorded = 0
        /// Somebody with a valid token came from there, so the block was, to them, a mistake.
        package var isMistaken = false
        /// Paces tokens nobody has seen yet.
        fileprivate var tries: TokenBucket
    }

    /// Of one address, a hundred at once and twenty a second; of all, a thousand and two hundred. A token costs two of them: it
    /// is asked for at the door and where it is checked.
    private static let tries = RateLimit(perMinute: 1200, burst: 1.0 / 12)
    private static let allTries = RateLimit(perMinute: 12_000, burst: 1.0 / 12)

    package static let most = 65_536
    private var entries: [AddressPrefix: Entry] = [:]
    /// Blocks of the last day, those that are over included, that hit somebody with a valid token.
    private var mistakes: [BootInstant] = []
    private static let mostMistakes = 10_000
    private var allTries: TokenBucket?
    private static let day = Duration.seconds(86_400)

    package init() {}

    package var count: Int { entries.count }

    /// - Parameter longest: no block ends later than that from now, whatever the wall clock says.
    package mutating func add(_ block: Block, at now: Moment, longest: Duration) {
        let left = Duration.microseconds(min(block.until.microseconds - now.wall.microseconds, longest.microseconds))
        guard left > .zero, let tries = Self.tries else { return }
        let earlier = entries[block.address]
        if earlier == nil, entries.count >= Self.most, let first = entries.min(by: { $0.value.ends < $1.value.ends }) {
            entries[first.key] = nil
        }
        var entry = Entry(block: block, ends: now.boot.advanced(by: left), tries: TokenBucket(full: tries, at: now.boot))
        if let earlier { (entry.refused, entry.unrecorded) = (earlier.refused, earlier.unrecorded) }
        entries[block.address] = entry
    }

    /// - Returns: the block that was lifted.
    package mutating func remove(_ address: AddressPrefix) -> Entry? { entries.removeValue(forKey: address) }

    /// What holds for an address; nil if nothing does.
    package func block(of address: AddressPrefix, at now: BootInstant) -> Block? {
        entries[address].flatMap { $0.ends > now ? $0.block : nil }
    }

    /// How long an address is still blocked; nil if it is not.
    package func remaining(_ address: AddressPrefix, at now: BootInstant) -> Duration? {
        guard !entries.isEmpty, let entry = entries[address], entry.ends > now else { return nil }
        return .nanoseconds(entry.ends.nanoseconds - now.nanoseconds)
    }

    /// Whether a token from there may be checked that nobody has seen yet.
    package mutating func mayTryToken(_ address: AddressPrefix, at now: BootInstant) -> Bool {
        guard let tries = Self.tries, let all = Self.allTries, case .admitted? = entries[address]?.tries.take(of: tries, at: now) else {
            return false
        }
        var bucket = allTries ?? TokenBucket(full: all, at: now)
        defer { allTries = bucket }
        if case .admitted = bucket.take(of: all, at: now) { return true }
        return false
    }

    package mutating func noteRefusal(of address: AddressPrefix) {
        entries[address]?.refused += 1
        entries[address]?.unrecorded += 1
    }

    /// Somebody with a valid token came from there.
    package mutating func noteMistake(_ address: AddressPrefix, at now: BootInstant) {
        guard let entry = entries[address], !entry.isMistaken, entry.ends > now else { return }
        entries[address]?.isMistaken = true
        if mistakes.count < Self.mostMistakes { mistakes.append(now) }
    }

    /// Blocks of the last day that hit somebody with a valid token.
    package func mistakes(at now: BootInstant) -> Int { mistakes.count { $0 > now.advanced(by: .zero - Self.day) } }

    /// Lets go of what is over.
    ///
    /// - Returns: what was refused since the last time, for the record.
    package mutating func sweep(at now: BootInstant) -> [Entry] {
        mistakes.removeAll { $0 <= now.advanced(by: .zero - Self.day) }
        let refused = entries.values.filter { $0.unrecorded > 0 }
        for entry in refused { entries[entry.block.address]?.unrecorded = 0 }
        entries = entries.filter { $0.value.ends > now }
        return refused
    }

    /// What is blocked now, the latest first.
    package func listed(at now: BootInstant) -> [Entry] {
        entries.values.filter { $0.ends > now }.sorted {
            ($1.block.blockedAt, $0.block.address.description) < ($0.block.blockedAt, $1.block.address.description)
        }
    }
}
