import FoundationEssentials
import Gateway
import Glibc
import Identity
import Logging
import Proof
import ServiceLifecycle
import Storage
import Synchronization

/// What is done again and again: seals and sums every few seconds, a sample a minute, a signed head an hour, and once a
/// day retention, tidying and a copy.
final class Housekeeping: Service {
    private let database: Storage.Database
    private let key: SigningKey
    private let stateDirectory: String
    private let retention: Retention
    private let sessions: SessionTable
    /// What keys and stored tokens need, once a minute.
    private let identity: @Sendable () async throws -> Void
    private let now: @Sendable () -> Timestamp
    private let logger: Logger
    /// What runs at the moment, of what takes long: one of each at most.
    private let running = Mutex<Set<String>>([])

    private static let settling = Duration.seconds(5)
    private static let minute = 12
    private static let hour = 720

    init(
        database: Storage.Database, key: SigningKey, stateDirectory: String, retention: Retention, sessions: SessionTable,
        identity: @escaping @Sendable () async throws -> Void, now: @escaping @Sendable () -> Timestamp, logger: Logger
    ) {
        self.database = database
        self.key = key
        self.stateDirectory = stateDirectory
        self.retention = retention
        self.sessions = sessions
        self.identity = identity
        self.now = now
        self.logger = logger
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var processor = ProcessorShare()
            var round = 0
            while (try? await Task.sleep(for: Self.settling)) != nil {
                round += 1
                await self.attempt("settling") { try await self.database.settle() }
                if round % Self.minute == 0 { await self.attempt("keeping keys and tokens") { try await self.identity() } }
                if round % Self.minute == 0 {
                    let share = processor.next()
                    await self.attempt("sampling") {
                        try await self.database.sampleUsage(
                            activeUsers: self.sessions.activeUsers, cpuShare: share, memoryBytes: ResidentMemory.bytes)
                    }
                }
                if round % Self.hour == 1 { await self.attempt("signing the head of the record") { try await self.signHead() } }
                if round % Self.minute == 0, self.isDailyWorkDue {
                    await self.attempt("daily maintenance") {
                        let done = try await self.maintain(self.record("maintenance.run", "scheduled"))
                        let copy = try await self.backUp(self.record("backup.create", "scheduled"))
                        self.logger.info(
                            "daily maintenance is done",
                            metadata: ["done": "\(done.joined(separator: "; "))", "backup": "\(copy.path)", "backup.bytes": "\(copy.bytes)"])
                    }
                }
            }
        }
    }

    private func attempt(_ what: String, _ body: () async throws -> Void) async {
        do { try await body() } catch is CancellationError {} catch {
            logger.error("\(what) failed; it is tried again", metadata: ["error": "\(error)"])
        }
    }

    private func record(_ action: String, _ target: String) -> AuditRecord {
        AuditRecord(requestID: .random(), at: now(), action: action, target: target, address: "schedule")
    }

    // MARK: Maintenance

    private func alone<Value: Sendable>(_ what: String, _ body: () async throws -> Value) async throws -> Value {
        guard running.withLock({ $0.insert(what).inserted }) else { throw Refusal.conflict("A \(what) is under way; wait for it to end.") }
        defer { running.withLock { _ = $0.remove(what) } }
        return try await body()
    }

    /// - Returns: what was done, in words.
    /// - Throws: `Refusal.conflict` while it is done already.
    func maintain(_ audit: AuditRecord) async throws -> [String] { try await alone("maintenance run") { try await maintainNow(audit) } }

    private func maintainNow(_ audit: AuditRecord) async throws -> [String] {
        try await database.append([audit])
        var done: [String] = []
        let rows = try await database.retain(retention, audit: audit)
        if rows > 0 { done.append("\(rows) audit rows dropped") }
        done += try await database.expire(retention).map { "\($0.rows) rows of \($0.table) dropped" }
        done += try await database.tidy()
        return done
    }

    // MARK: Backups

    private var folder: String { stateDirectory + "/backups" }

    private var backups: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted() }

    private var isDailyWorkDue: Bool {
        let yesterday = BackupRotation.name(at: now().advanced(by: .seconds(-86_400)))
        return !backups.contains { $0 > yesterday && $0.hasSuffix(".sqlite") }
    }

    /// Makes a copy, checks it, and deletes those that are not kept any longer.
    ///
    /// - Throws: `Refusal.conflict` while one is made.
    func backUp(_ audit: AuditRecord) async throws -> Backup { try await alone("backup") { try await backUpNow(audit) } }

    private func backUpNow(_ audit: AuditRecord) async throws -> Backup {
        // Of a process that was killed while it copied.
        for name in backups where name.hasSuffix(".partial") { try? FileManager.default.removeItem(atPath: "\(folder)/\(name)") }
        var audit = audit
        let name = BackupRotation.name(at: now())
        audit.target = name
        try await database.append([audit])
        let copy = try await database.backUp(to: "\(folder)/\(name)")
        for name in BackupRotation.surplus(backups) { try? FileManager.default.removeItem(atPath: "\(folder)/\(name)") }
        return copy
    }

    // MARK: The head of the record

    /// Signs where the chain stands, in the database and in a file beside it; the log says so too.
    func signHead() async throws {
        let head = try await database.sealedHead()
        guard head.seal > 0 else { return }
        let moment = now()
        let line = AuditHead.text(seal: head.seal, hash: head.hash, at: moment)
        let signature = try key.signature(of: Array(line.utf8))
        try await database.storeHead(
            AuditVerifier.Head(seal: head.seal, hash: head.hash, signedAt: moment, keyID: key.id, signature: signature))
        try AuditHead.append("\(line) \(key.id) \(Data(signature).base64EncodedString())\n", to: stateDirectory + "/audit-heads")
        logger.info("the record was signed", metadata: ["audit.seal": "\(head.seal)", "audit.hash": "\(AuditHead.hex(head.hash))"])
    }
}

/// How a signed seal is written down.
enum AuditHead {
    /// What is signed.
    static func text(seal: Int64, hash: [UInt8], at moment: Timestamp) -> String {
        "mreg-audit-head/1 \(seal) \(hex(hash)) \(moment.microseconds)"
    }

    static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func append(_ line: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw OperatorError("\(path) cannot be opened: \(String(cString: strerror(errno))).") }
        defer { close(descriptor) }
        let bytes = Array(line.utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0 else {
            throw OperatorError("\(path) cannot be written: \(String(cString: strerror(errno))).")
        }
    }
}

/// The share of all processors that this process used since it was last asked.
private struct ProcessorShare {
    private var last = (used: Self.used, at: ContinuousClock.now)

    mutating func next() -> Double {
        let (used, at) = (Self.used, ContinuousClock.now)
        defer { last = (used, at) }
        let elapsed = (at - last.at) / .seconds(1) * Double(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        return elapsed > 0 ? min(1, max(0, (used - last.used) / elapsed)) : 0
    }

    /// Seconds of processor time since the start.
    private static var used: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1_000_000 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
