package import Audit
import Forwarding
package import Gateway
package import HTTPTypes
package import Logging
package import Pacing
import ServiceLifecycle
import Synchronization

/// Keeps out addresses that misbehave: counts what comes from them without a valid token, and blocks those with too much
/// of it.
///
/// Proxies we trust, this machine itself and the operator's list are never blocked, and a valid token passes from
/// anywhere. What is blocked is looked up in memory; it is stored, and recorded, by a task of its own.
package final class AddressGuard: Service {
    package struct Rules: Sendable {
        package var isEnabled: Bool
        /// Violations within `period` that block an address.
        package var threshold: Int
        package var period = Duration.seconds(3600)
        package var blocksFor: Duration
        package var neverBlocked: [AddressRange]
        package var trustedProxies: [AddressRange]

        package init(
            isEnabled: Bool, threshold: Int, blocksFor: Duration, neverBlocked: [AddressRange] = [], trustedProxies: [AddressRange] = []
        ) {
            self.isEnabled = isEnabled
            self.threshold = threshold
            self.blocksFor = blocksFor
            self.neverBlocked = neverBlocked
            self.trustedProxies = trustedProxies
        }

        package var violations: WindowLimit { WindowLimit(most: Int64(threshold), length: period) }
    }

    /// Where violations are counted and blocks are kept: live, the hot state and the record of truth.
    package struct Store: Sendable {
        package var countViolation: @Sendable (AddressPrefix, WindowLimit, BootInstant) throws -> Int64?
        package var countMisdeed: @Sendable (UserID, WindowLimit, BootInstant) throws -> Int64?
        package var forget: @Sendable (AddressPrefix) throws -> Void
        package var save: @Sendable (Block, AuditRecord) async throws -> Void
        package var delete: @Sendable (AddressPrefix, AuditRecord) async throws -> Bool

        package init(
            countViolation: @escaping @Sendable (AddressPrefix, WindowLimit, BootInstant) throws -> Int64?,
            countMisdeed: @escaping @Sendable (UserID, WindowLimit, BootInstant) throws -> Int64?,
            forget: @escaping @Sendable (AddressPrefix) throws -> Void, save: @escaping @Sendable (Block, AuditRecord) async throws -> Void,
            delete: @escaping @Sendable (AddressPrefix, AuditRecord) async throws -> Bool
        ) {
            self.countViolation = countViolation
            self.countMisdeed = countMisdeed
            self.forget = forget
            self.save = save
            self.delete = delete
        }
    }

    /// Where a request comes from.
    package struct Origin: Hashable, Sendable {
        package let address: IPAddress
        /// Whether it says that it was forwarded.
        package let isForwarded: Bool
    }

    package let rules: Rules
    private let store: Store
    private let audit: AuditTrail
    private let logger: Logger
    private let now: @Sendable () -> Moment
    private let blocks: Mutex<BlockList>
    private let toSave: AsyncStream<Block>
    private let save: AsyncStream<Block>.Continuation

    /// Blocks that wait to be stored, at most; what finds no place is blocked all the same, until the program ends.
    private static let mostUnsaved = 4096
    private static let sweepInterval = Duration.seconds(60)
    /// Rows a minute that tell what was refused; what does not fit is told by the next sweep.
    private static let rowsPerSweep = 16

    package init(
        rules: Rules, blocks: [Block], store: Store, audit: AuditTrail, logger: Logger, now: @escaping @Sendable () -> Moment
    ) {
        self.rules = rules
        self.store = store
        self.audit = audit
        self.logger = logger
        self.now = now
        var list = BlockList()
        for block in blocks { list.add(block, at: now(), longest: block.until.duration(since: block.blockedAt)) }
        self.blocks = Mutex(list)
        (toSave, save) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.mostUnsaved))
    }

    // MARK: At the door

    /// Where a request comes from that arrived over a connection; nil over a socket that has no addresses.
    package func origin(peer: IPAddress?, _ headers: HTTPFields) -> Origin? {
        guard let peer else { return nil }
        let isForwarded = headers[.xForwardedFor] != nil || headers[.forwarded] != nil
        guard isForwarded else { return Origin(address: peer.unmapped, isForwarded: false) }
        let client = ClientAddress.of(peer: peer, forwardedFor: headers[values: .xForwardedFor], trusted: rules.trustedProxies)
        return Origin(address: client, isForwarded: true)
    }

    /// False as long as nothing is blocked, which is the usual thing.
    package var hasBlocks: Bool { blocks.withLock { $0.count > 0 } }

    /// How long the address is still blocked; nil if it is not.
    package func blocked(_ origin: Origin) -> Duration? {
        guard rules.isEnabled, !isExempt(origin) else { return nil }
        let now = now().boot
        return blocks.withLock { $0.remaining(AddressPrefix(origin.address), at: now) }
    }

    /// Whether a blocked address may try one more token that nobody has seen yet: some, so that colleagues of whoever is
    /// to blame can begin to work, and not so many that checking them is a burden.
    package func mayTryToken(_ origin: Origin) -> Bool {
        let now = now().boot
        return blocks.withLock { $0.mayTryToken(AddressPrefix(origin.address), at: now) }
    }

    package func noteRefusal(of origin: Origin) { blocks.withLock { $0.noteRefusal(of: AddressPrefix(origin.address)) } }

    /// Somebody with a valid token came from there.
    package func notePassage(from origin: Origin) {
        let now = now().boot
        blocks.withLock { $0.noteMistake(AddressPrefix(origin.address), at: now) }
    }

    private func isExempt(_ origin: Origin) -> Bool {
        (origin.address.isLoopback && !origin.isForwarded) || origin.address.isIn(rules.trustedProxies) || origin.address.isIn(rules.neverBlocked)
    }

    // MARK: Violations

    /// Counts that a request was bad.
    package func note(_ blame: Blame, from origin: Origin?) {
        let now = now()
        do {
            switch blame {
            case .nobody: break
            case .account(let user): _ = try store.countMisdeed(user, rules.violations, now.boot)
            case .address:
                guard let origin, rules.isEnabled, !isExempt(origin) else { return }
                let address = AddressPrefix(origin.address)
                guard let count = try store.countViolation(address, rules.violations, now.boot), count >= rules.threshold else { return }
                block(address, at: now)
            }
        } catch {
            logger.warning("a violation could not be counted", metadata: ["error": "\(error)"])
        }
    }

    private func block(_ address: AddressPrefix, at now: Moment) {
        let block = Block(address: address, reason: .violations, blockedAt: now.wall, until: now.wall.advanced(by: rules.blocksFor))
        let isNews = blocks.withLock { blocks in
            guard blocks.remaining(address, at: now.boot) == nil else { return false }
            blocks.add(block, at: now, longest: rules.blocksFor)
            return true
        }
        if isNews { save.yield(block) }
    }

    // MARK: Administrators

    package var listed: [BlockList.Entry] {
        let now = now().boot
        return blocks.withLock { $0.listed(at: now) }
    }

    /// Blocks of the last day that hit somebody with a valid token.
    package var mistakes: Int {
        let now = now().boot
        return blocks.withLock { $0.mistakes(at: now) }
    }

    /// Blocks an address because an administrator says so. In force when it is on record.
    ///
    /// - Throws: `Refusal.conflict` for an address that is never blocked.
    package func block(_ address: AddressPrefix, for duration: Duration, audit: AuditRecord) async throws -> Block {
        guard rules.isEnabled else { throw Refusal.conflict("Address blocking is off: MREG_FASTMCP_ENABLE_DDOS_PROTECTION is false.") }
        guard !isExempt(Origin(address: address.base, isForwarded: false)) else {
            throw Refusal.conflict("\(address) is never blocked: it is this machine, a trusted proxy, or on MREG_BLOCK_ALLOWLIST.")
        }
        let now = now()
        let block = Block(address: address, reason: .administrator, blockedAt: now.wall, until: now.wall.advanced(by: duration))
        try await store.save(block, audit)
        blocks.withLock { $0.add(block, at: now, longest: duration) }
        return block
    }

    /// Lifts a block, and forgets what was counted.
    ///
    /// - Throws: `Refusal.notFound` if there is none.
    package func lift(_ address: AddressPrefix, audit: AuditRecord) async throws {
        let wasStored = try await store.delete(address, audit)
        let entry = blocks.withLock { $0.remove(address) }
        guard wasStored || entry != nil else { throw Refusal.notFound("block of \(address)") }
        // One that was not stored yet is on record all the same.
        if !wasStored { try await self.audit.recordDurably(audit) }
        try store.forget(address)
    }

    // MARK: Keeping it

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { for await block in self.toSave { await self.store(block) } }
                group.addTask { while (try? await Task.sleep(for: Self.sweepInterval)) != nil { self.sweep() } }
            }
        }
        sweep()
    }

    private func store(_ block: Block) async {
        let record = AuditRecord(
            requestID: .random(), at: block.blockedAt, action: "address.block", target: "\(block.address)", reason: block.reason.rawValue,
            address: "\(block.address)")
        logger.notice("an address was blocked", metadata: ["address": "\(block.address)", "seconds": "\(rules.blocksFor.components.seconds)"])
        do {
            // Lifted while it waited, or an administrator set another: there is nothing to keep.
            guard blocks.withLock({ $0.block(of: block.address, at: now().boot) }) == block else { return }
            try await store.save(block, record)
        } catch {
            logger.error("a block could not be stored; it holds until the gateway stops", metadata: ["error": "\(error)"])
        }
    }

    /// Puts what was refused at the door on record, as sums.
    private func sweep() {
        let now = now()
        let refused = blocks.withLock { $0.sweep(at: now.boot) }.sorted { $0.unrecorded > $1.unrecorded }
        let rest = refused.dropFirst(Self.rowsPerSweep).reduce(0) { $0 + $1.unrecorded }
        for entry in refused.prefix(Self.rowsPerSweep) { record(entry.unrecorded, "\(entry.block.address)", now.wall) }
        if rest > 0 { record(rest, "", now.wall) }
    }

    private func record(_ count: Int, _ address: String, _ at: Timestamp) {
        audit.recordSoon(
            AuditRecord(
                requestID: .random(), at: at, action: "address.refuse", outcome: .refused, reason: "blocked", status: 403, address: address,
                weight: count))
    }
}

extension Timestamp {
    fileprivate func duration(since earlier: Timestamp) -> Duration {
        let (difference, isBeyond) = microseconds.subtractingReportingOverflow(earlier.microseconds)
        return .microseconds(isBeyond ? 0 : max(0, difference))
    }
}
