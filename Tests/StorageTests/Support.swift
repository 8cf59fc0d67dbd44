import Foundation
import Gateway
import Proof
import Synchronization
import Testing

@testable import Storage

/// Lends a new folder and removes it again.
func withTemporaryFolder(_ body: (String) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "mreg-storage-\(UUID().uuidString)").path()
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(folder)
}

/// Lends a new, empty database.
func withDatabase(_ body: (Database) async throws -> Void) async throws {
    try await withTemporaryFolder { folder in
        let database = try Database(folder)
        try await body(database)
        try await database.close()
    }
}

let recordKey = RecordKey(Secret([UInt8](repeating: 7, count: RecordKey.length)))!

/// A wall clock that is moved by hand.
final class WallClock: Sendable {
    private let moment = Mutex(Timestamp(microseconds: 1_700_000_000_000_000))
    var now: Timestamp { moment.withLock { $0 } }
    func advance(by duration: Duration) { moment.withLock { $0 = $0.advanced(by: duration) } }
}

extension Database {
    convenience init(_ folder: String, pools: PoolPlan = PoolPlan(), clock: WallClock = WallClock()) throws {
        try self.init(path: folder + "/gateway.sqlite", key: recordKey, pools: pools) { clock.now }
    }
}

/// A tenant with one user, who owns servers.
struct Household {
    let tenant: TenantID
    let owner: UserID

    init(_ name: String, in database: Database) async throws {
        tenant = try await database.ensureTenant(name, audit: audit("tenant.create")).id
        owner = try await database.ensureUser("owner", role: .serverOwner, of: tenant, audit: audit("user.create")).id
    }
}

func audit(_ action: String, at microseconds: Int64 = 1_000_000, tenant: TenantID? = nil, outcome: AuditRecord.Outcome = .ok) -> AuditRecord {
    AuditRecord(requestID: RequestID(7), at: Timestamp(microseconds: microseconds), tenant: tenant, action: action, outcome: outcome)
}

/// A record that no transaction can hold: its status is outside what the table allows.
func impossibleAudit(at microseconds: Int64 = 1_000_000) -> AuditRecord {
    AuditRecord(requestID: RequestID(7), at: Timestamp(microseconds: microseconds), action: "impossible", status: 1000)
}

func draft(
    _ alias: String, _ transport: Transport = .http(endpoint: "https://example.com/mcp"), status: ServerRecord.Status = .active, tags: [String] = []
) throws -> ServerDraft {
    ServerDraft(alias: try #require(ServerAlias(alias)), title: "The \(alias) server", transport: transport, status: status, tags: tags)
}

extension ServerRecord {
    func changed(_ change: (inout Self) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }
}

extension Database {
    /// The actions of the audit trail, oldest first.
    func actions() async throws -> [String] {
        try await auditRecords(of: nil, since: Timestamp(microseconds: .min), limit: .max).reversed().map(\.action)
    }
}
