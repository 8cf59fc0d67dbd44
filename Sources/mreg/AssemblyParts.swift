import Audit
import Forwarding
import FoundationEssentials
import Gateway
import Glibc
import Identity
import NIOCore
import NIOPosix
import Proof
import ServiceLifecycle
import Storage
import Synchronization

/// The public origin, known for certain only once a port is bound.
final class SharedOrigin: Sendable {
    private let origin: Mutex<Origin>
    init(_ origin: Origin) { self.origin = Mutex(origin) }
    func withLock<Value: Sendable>(_ body: (inout Origin) -> Value) -> Value { origin.withLock { body(&$0) } }
}

/// The first to hear of a shutdown: `/health/ready` says so from then on, nothing new is asked of servers, and calls
/// that are not answered in time are given up early enough to be recorded as such.
final class Draining: Service {
    /// Of the 25 s that a shutdown may take.
    private static let patience = TimeAmount.seconds(18)

    private let flag = Atomic<Bool>(false)
    private let onBegin: @Sendable () -> Void
    private let onLate: @Sendable () -> Void

    init(onBegin: @escaping @Sendable () -> Void, onLate: @escaping @Sendable () -> Void) {
        self.onBegin = onBegin
        self.onLate = onLate
    }

    var value: Bool { flag.load(ordering: .relaxed) }

    func run() async throws {
        try await gracefulShutdown()
        flag.store(true, ordering: .relaxed)
        onBegin()
        // The doors wait for this to return, so the rest is left to a timer.
        MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: Self.patience) { [onLate] in onLate() }
    }
}

/// Closes the database, last of all, and then lets go of the state directory.
struct DatabaseService: Service {
    let database: Storage.Database
    let state: StateDirectory
    let mark: OpenMark

    func run() async throws {
        // Cancelled or asked: either way the file is left whole, so the closing is out of a cancellation's reach.
        try? await gracefulShutdown()
        try await Task { [database, state, mark] in
            try await database.close { mark.remove() }
            state.release()
        }.value
    }
}

/// Says, beside the database, that it is open: one that was not closed in order has a write-ahead log to be read.
struct OpenMark: Sendable {
    private let path: String
    private let database: String

    init(database: String) {
        self.database = database
        path = database + ".open"
    }

    /// - Throws: when the log is gone that the newest records are in.
    func check() throws {
        guard access(path, F_OK) == 0, access(database, F_OK) == 0, access(database + "-wal", F_OK) != 0 else { return }
        throw OperatorError(
            """
            \(database) was not closed in order, and its write-ahead log (\(database)-wal) is missing: the newest records were in it. Put it \
            back, or restore a backup (mreg restore --help). To go on without them, delete \(path).
            """)
    }

    func set() throws { try PrivateFile.write(Secret(""), to: path) }
    func remove() { unlink(path) }
}

/// The key that rows of the audit log are marked with, made with the database.
enum RecordKeyFile {
    static func path(in stateDirectory: String) -> String { stateDirectory + "/keys/record-key" }

    static func read(_ path: String) throws -> RecordKey? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        guard let bytes = Data(base64Encoded: String(text.prefix { $0 != "\n" })), let key = RecordKey(Secret([UInt8](bytes))) else {
            throw OperatorError("\(path) holds no record key (32 bytes in base64). Restore it from where you keep your keys.")
        }
        return key
    }

    /// - Parameter isNew: whether nothing was recorded yet; a later key could not vouch for what is there.
    static func readOrMake(in stateDirectory: String, isNew: Bool) throws -> RecordKey {
        let path = path(in: stateDirectory)
        if let key = try read(path) { return key }
        guard isNew else {
            throw OperatorError("\(path) is missing, and the audit log was written with it. Restore it from where you keep your keys.")
        }
        let bytes = RecordKey.randomBytes()
        try PrivateFile.write(Secret(Data(bytes.revealed).base64EncodedString() + "\n"), to: path)
        guard let key = RecordKey(bytes) else { preconditionFailure("a random key has the right length") }
        return key
    }
}

/// Users and their tokens, as the operator and evaluation make them.
struct People: Sendable {
    let database: Storage.Database
    let authenticator: Authenticator
    let audit: AuditTrail
    let now: @Sendable () -> Moment

    func record(_ action: String, _ target: String) -> AuditRecord {
        AuditRecord(requestID: .random(), at: now().wall, action: action, target: target, address: "control")
    }

    /// The user under whose name a tenant's operator acts.
    func operatorUser(of tenant: Tenant, _ audit: AuditRecord) async throws -> User {
        try await database.ensureUser("operator", role: .admin, of: tenant.id, audit: audit)
    }

    func ensure(_ name: String, _ role: Role, of tenant: TenantID, _ audit: AuditRecord) async throws -> User {
        let user = try await database.ensureUser(name, role: role, of: tenant, audit: audit)
        guard user.role == role else {
            throw Refusal.conflict("The user “\(name)” has the role \(user.role.rawValue) already.")
        }
        return user
    }

    /// A token for all resources, recorded before anybody sees it.
    func token(for user: User, _ audit: AuditRecord) async throws -> Secret<String> {
        let token = try await authenticator.issue(to: user, for: Resource.allCases, session: .random(), at: now().wall)
        var record = audit
        record.tenant = user.tenant
        if record.user == nil { record.user = user.id }
        try await database.append([record])
        return token
    }
}

enum PrivateFile {
    /// Writes a file that only its owner can read, whole or not at all.
    static func write(_ text: Secret<String>, to path: String) throws {
        let partial = path + ".partial"
        unlink(partial)
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw OperatorError("\(path) cannot be written: \(String(cString: strerror(errno))).") }
        defer { close(descriptor) }
        let bytes = Array(text.revealed.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0, rename(partial, path) == 0 else {
            throw OperatorError("\(path) cannot be written: \(String(cString: strerror(errno))).")
        }
        // A key whose name is lost with the power would take with it what it vouches for.
        try Files.sync(String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]))
    }
}

enum ResidentMemory {
    /// Of this process; 0 if the system does not say.
    static var bytes: Int {
        let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
        return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * sysconf(Int32(_SC_PAGESIZE))
    }
}
