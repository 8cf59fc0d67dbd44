import Audit
import Forwarding
import FoundationEssentials
import Gateway
import Identity
import Logging
import Pacing
import ServiceLifecycle
import Serving
import Storage
import Synchronization

extension Settings {
    /// The limits as the corridor takes them.
    var pacingPlan: PacingPlan {
        var plan = PacingPlan()
        plan.perRole = [.admin: limits.admin, .serverOwner: limits.serverOwner, .user: limits.user]
        plan.strangers = limits.anonymous
        plan.tenantMultiplier = limits.tenantMultiplier
        plan.global = limits.global
        plan.burst = limits.burstFactor
        plan.window = PacingPlan.Fairness(window: fairness.window, burst: fairness.burstAllowance)
        plan.dividesGlobal = fairness.isEnabled
        plan.windowSlides = fairness.slidesWindow
        return plan
    }

    var addressRules: Serving.AddressGuard.Rules {
        Serving.AddressGuard.Rules(
            isEnabled: addressGuard.isEnabled, threshold: addressGuard.threshold, blocksFor: addressGuard.blocksFor,
            neverBlocked: addressGuard.neverBlocked, trustedProxies: listener.trustedProxies)
    }
}

extension Assembly {
    /// The hot state of this boot; what was lost of it comes from the last checkpoint.
    static func hotState(
        _ path: String, _ settings: Settings, _ database: Storage.Database, _ now: @Sendable () -> Moment
    ) async throws -> HotState {
        let hotState = try HotState(
            path: path, mapSize: settings.hotState.bucketsMapBytes,
            bootID: try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8),
            share: settings.pacingPlan.share(at: now().boot))
        if !hotState.isRestored { try hotState.restore(try await database.buckets(at: now().wall), at: now()) }
        return hotState
    }

    static func addressGuard(
        _ settings: Settings, _ hotState: HotState, _ database: Storage.Database, _ audit: AuditTrail, _ logger: Logger,
        _ now: @escaping @Sendable () -> Moment
    ) async throws -> AddressGuard {
        AddressGuard(
            rules: settings.addressRules, blocks: try await database.blocks(at: now().wall),
            store: AddressGuard.Store(
                countViolation: { try hotState.countViolation(of: $0, in: $1, at: $2) },
                countMisdeed: { try hotState.countMisdeed(of: $0, in: $1, at: $2) }, forget: { try hotState.forgetViolations(of: $0) },
                save: { try await database.storeBlock($0, audit: $1) }, delete: { try await database.deleteBlock(of: $0, audit: $1) }),
            audit: audit, logger: logger, now: now)
    }

    static func admission(
        _ settings: Settings, _ hotState: HotState, _ sessions: SessionTable, _ terms: [TenantID: TenantTerms],
        _ now: @escaping @Sendable () -> Moment
    ) -> Admission {
        let most = settings.sessions.maximumUsers
        return Admission(
            plan: settings.pacingPlan, terms: terms, clock: { now().boot },
            // Whoever looks after the gateway finds a way in when it is full.
            seat: { $0.role == .admin ? nil : sessions.seat($0.user, of: most, at: $1) }, judge: { try hotState.admit($0, at: $1) })
    }
}

/// Looks after the hot state: its file four times a second, what is over, and a checkpoint of what matters every half minute and
/// at the end.
final class HotStateKeeper: Service {
    private let hotState: HotState
    private let database: Storage.Database
    private let now: @Sendable () -> Moment
    private let logger: Logger
    private let onTruncation: @Sendable () -> Void
    private let place = Mutex<[UInt8]>([])

    /// Where the next checkpoint begins.
    private var goesOn: [UInt8] {
        get { place.withLock { $0 } }
        set { place.withLock { $0 = newValue } }
    }

    private static let tick = Duration.milliseconds(250)
    private static let ticksPerCheckpoint = 120
    /// Entries that are looked at while callers wait.
    private static let piece = 256
    static let mostRows = 20_000

    /// - Parameter onTruncation: the file was cut off, so that looking into it would end the process.
    init(
        _ hotState: HotState, _ database: Storage.Database, logger: Logger, now: @escaping @Sendable () -> Moment,
        onTruncation: @escaping @Sendable () -> Void
    ) {
        self.hotState = hotState
        self.database = database
        self.now = now
        self.logger = logger
        self.onTruncation = onTruncation
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var stored: [String: BucketRow] = [:]
            var ticks = 0
            while (try? await Task.sleep(for: Self.tick)) != nil {
                ticks += 1
                self.look()
                if ticks % Self.ticksPerCheckpoint == 0 { await self.checkpoint(&stored) }
            }
        }
        // A task of its own, so that what is left is also written when this one is cancelled.
        await Task {
            var stored: [String: BucketRow] = [:]
            await self.checkpoint(&stored)
        }.value
    }

    private func look() {
        do {
            switch try hotState.mend() {
            case .sound: try hotState.sweep(Self.piece, at: now().boot)
            case .mended: logger.warning("the hot state's file was gone; it was written anew from memory")
            case .truncated: onTruncation()
            }
        } catch {
            logger.error("the hot state cannot be looked after", metadata: ["error": "\(error)"])
        }
    }

    /// Stores what has changed since the last time.
    private func checkpoint(_ stored: inout [String: BucketRow]) async {
        do {
            var rows: [BucketRow] = []
            var next: [UInt8]? = goesOn
            while let start = next, rows.count < Self.mostRows {
                let piece = try hotState.checkpoint(from: start, count: Self.piece, at: now())
                rows += piece.rows
                next = piece.next
                await Task.yield()
            }
            // What does not fit in one is the next one's.
            goesOn = next ?? []
            try await database.storeBuckets(rows.filter { !$0.isLike(stored[$0.key]) }, at: now().wall)
            stored = Dictionary(rows.map { ($0.key, $0) }) { $1 }
        } catch {
            logger.error("the hot state could not be checkpointed; it is tried again", metadata: ["error": "\(error)"])
        }
    }
}

extension BucketRow {
    /// Whether it says what the other said, but for the second at which it ends.
    fileprivate func isLike(_ other: BucketRow?) -> Bool {
        guard let other, level == other.level else { return false }
        return abs(expiresAt.microseconds - other.expiresAt.microseconds) < 1_000_000
    }
}
