package import Gateway
import Hummingbird
package import Pacing
package import Proof
package import Reports

/// What administrators and auditors ask of the record: live, the database; in a test, literals.
///
/// Who may ask, and of which tenant, is the API's to judge; here a tenant that is nil means all of them.
package struct AdminQueries: Sendable {
    package var pools: @Sendable () -> [PoolMetrics]
    package var tenant: @Sendable (_ name: String) async throws -> Tenant?
    /// The tenant of that name, made if there is none.
    package var makeTenant: @Sendable (_ name: String, AuditRecord) async throws -> Tenant
    package var user: @Sendable (UserID) async throws -> User?
    package var userNamed: @Sendable (_ name: String, TenantID) async throws -> User?
    package var userActivity: @Sendable (TenantID, _ since: Timestamp) async throws -> [UserActivity]
    package var rateLimitEvents: @Sendable (UserID, _ since: Timestamp, _ limit: Int) async throws -> [RateLimitEvent]
    /// What the user did wrong within the hour.
    package var misdeeds: @Sendable (UserID) throws -> Int64
    package var tenantAnalytics: @Sendable (TenantID?, _ since: Timestamp) async throws -> [TenantAnalytics]
    /// Latest first; `before` is the lowest row of the page before.
    package var auditRows: @Sendable (TenantID?, UserID?, _ since: Timestamp, _ before: Int64?, _ limit: Int) async throws -> [AuditRow]
    /// Latest first; `before` is the last activity of the page before.
    package var sessions: @Sendable (TenantID?, _ isActive: Bool, _ before: Timestamp?, _ limit: Int) async throws -> [ListedSession]
    /// Ends a session for good. The tenant is whose it must be.
    package var revokeSession: @Sendable (SessionID, TenantID?, AuditRecord) async throws -> Void
    /// Ends all sessions of a user and revokes their tokens; says how many sessions were active.
    package var signOut: @Sendable (UserID, TenantID?, AuditRecord) async throws -> Int
    package var dailyReport: @Sendable () async throws -> DailyReport
    package var weeklyReport: @Sendable () async throws -> WeeklyReport
    /// Does the housekeeping now; says what was done, in words.
    package var maintain: @Sendable (AuditRecord) async throws -> [String]
    /// Makes a copy and checks it.
    package var backUp: @Sendable (AuditRecord) async throws -> (path: String, bytes: Int, auditRows: Int)

    package init(
        pools: @escaping @Sendable () -> [PoolMetrics], tenant: @escaping @Sendable (_ name: String) async throws -> Tenant?,
        makeTenant: @escaping @Sendable (_ name: String, AuditRecord) async throws -> Tenant,
        user: @escaping @Sendable (UserID) async throws -> User?, userNamed: @escaping @Sendable (_ name: String, TenantID) async throws -> User?,
        userActivity: @escaping @Sendable (TenantID, _ since: Timestamp) async throws -> [UserActivity],
        rateLimitEvents: @escaping @Sendable (UserID, _ since: Timestamp, _ limit: Int) async throws -> [RateLimitEvent],
        misdeeds: @escaping @Sendable (UserID) throws -> Int64,
        tenantAnalytics: @escaping @Sendable (TenantID?, _ since: Timestamp) async throws -> [TenantAnalytics],
        auditRows: @escaping @Sendable (TenantID?, UserID?, _ since: Timestamp, _ before: Int64?, _ limit: Int) async throws -> [AuditRow],
        sessions: @escaping @Sendable (TenantID?, _ isActive: Bool, _ before: Timestamp?, _ limit: Int) async throws -> [ListedSession],
        revokeSession: @escaping @Sendable (SessionID, TenantID?, AuditRecord) async throws -> Void,
        signOut: @escaping @Sendable (UserID, TenantID?, AuditRecord) async throws -> Int,
        dailyReport: @escaping @Sendable () async throws -> DailyReport, weeklyReport: @escaping @Sendable () async throws -> WeeklyReport,
        maintain: @escaping @Sendable (AuditRecord) async throws -> [String],
        backUp: @escaping @Sendable (AuditRecord) async throws -> (path: String, bytes: Int, auditRows: Int)
    ) {
        self.pools = pools
        self.tenant = tenant
        self.makeTenant = makeTenant
        self.user = user
        self.userNamed = userNamed
        self.userActivity = userActivity
        self.rateLimitEvents = rateLimitEvents
        self.misdeeds = misdeeds
        self.tenantAnalytics = tenantAnalytics
        self.auditRows = auditRows
        self.sessions = sessions
        self.revokeSession = revokeSession
        self.signOut = signOut
        self.dailyReport = dailyReport
        self.weeklyReport = weeklyReport
        self.maintain = maintain
        self.backUp = backUp
    }
}

extension AdminQueries {
    /// The user that a part of a path names: by name, or by number.
    func user(_ part: String?, in tenant: TenantID) async throws -> User {
        try await user(called: part.flatMap { $0.removingURLPercentEncoding() } ?? "", in: tenant)
    }

    /// The user of that name, or of that number.
    func user(called name: String, in tenant: TenantID) async throws -> User {
        if let user = try await userNamed(name, tenant) { return user }
        if let id = Int64(name), let user = try await user(UserID(id)), user.tenant == tenant { return user }
        throw Refusal.notFound("user “\(name.cut(64))”")
    }
}
