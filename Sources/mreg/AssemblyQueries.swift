import Audit
import Forwarding
import FoundationEssentials
import Gateway
import Glibc
import Identity
import Pacing
import Proof
import Reports
import Serving
import Storage

extension Assembly {
    /// What the admin API asks, answered from the record and from what is in memory.
    static func queries(
        _ database: Storage.Database, _ hotState: HotState, _ authenticator: Authenticator, _ admission: Admission, _ sessions: SessionTable,
        _ running: RunningCalls, _ housekeeping: Housekeeping, _ settings: Settings, forgetTokens: @escaping @Sendable (UserID) throws -> Void,
        _ now: @escaping @Sendable () -> Moment
    ) -> AdminQueries {
        let reports = RecordReports(database: database, settings: settings) { now().wall }
        return AdminQueries(
            pools: { database.pools }, tenant: { try await database.tenant(named: $0) },
            makeTenant: { name, audit in
                let tenant = try await database.ensureTenant(name, audit: audit)
                // One that was there keeps the terms it has.
                if admission.isNew(tenant.id) { admission.change(TenantTerms(name: tenant.name), of: tenant.id) }
                return tenant
            }, user: { try await database.user($0) },
            userNamed: { try await database.user(named: $0, of: $1) },
            userActivity: { tenant, since in
                try await sessions.flush()
                return try await database.userActivity(of: tenant, since: since)
            },
            rateLimitEvents: { try await database.rateLimitEvents(of: $0, since: $1, limit: $2) },
            misdeeds: { try hotState.misdeeds(of: $0, in: settings.addressRules.violations, at: now().boot) },
            tenantAnalytics: { try await database.tenantAnalytics(of: $0, since: $1) },
            auditRows: { try await database.auditRows(of: $0, user: $1, since: $2, before: $3, limit: $4) },
            sessions: { tenant, isActive, before, limit in
                try await sessions.flush()
                return try await database.sessions(of: tenant, isActive: isActive, before: before, limit: limit)
            },
            revokeSession: { id, tenant, audit in
                try await sessions.flush()
                _ = try await database.revokeSession(id, of: tenant, audit: audit)
                authenticator.end(id, at: audit.at)
                running.end { $0.session == id }
                sessions.forget(id)
            },
            signOut: { user, tenant, audit in
                try await sessions.flush()
                let (_, count) = try await database.signOut(user, of: tenant, audit: audit)
                authenticator.forget(user)
                running.end { $0.user == user }
                sessions.forget(user)
                try forgetTokens(user)
                return count
            },
            dailyReport: { try await reports.daily() }, weeklyReport: { try await reports.weekly() },
            maintain: { try await housekeeping.maintain($0) },
            backUp: { audit in
                let copy = try await housekeeping.backUp(audit)
                return (copy.path, copy.bytes, copy.auditRows)
            })
    }
}

extension Settings.Pools {
    /// The same as the database takes it.
    var plan: PoolPlan {
        func pool(_ pool: Pool) -> PoolPlan.Pool { PoolPlan.Pool(ceiling: pool.size, timeout: min(pool.timeout, connectionTimeout)) }
        var plan = PoolPlan()
        plan.authentication = pool(authentication)
        plan.read = pool(read)
        plan.write = pool(write)
        plan.analytics = PoolPlan.Pool(ceiling: analytics.size, timeout: min(analytics.timeout, connectionTimeout * 2))
        plan.handles = handles
        plan.isAdaptive = isAdaptive && isScalingEnabled
        plan.growthFactor = scalingFactor
        plan.threshold = utilizationThreshold
        return plan
    }
}

extension Settings.Audit.Durability {
    var durability: Durability {
        switch self {
        case .batched: .batched
        case .answered: .answered
        case .strict: .strict
        }
    }
}
