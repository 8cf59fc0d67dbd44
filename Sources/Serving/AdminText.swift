import Gateway
import MCP
import Pacing
import Proof
import Reports

/// How what is reported is written.
enum AdminText {
    static func written(_ figure: Figure) -> JSONText {
        [
            "value": number(figure.value), "unit": .string(figure.unit), "window": .string(figure.window), "formula": .string(figure.formula),
            "target": figure.target.map { .string($0) } ?? .null, "met": figure.isMet.map { .bool($0) } ?? .null,
            "note": figure.note.map { .string($0) } ?? .null,
        ]
    }

    private static func group(_ figures: [Figure]) -> JSONText { .object(figures.map { ($0.name, written($0)) }) }

    static func number(_ value: Double?) -> JSONText {
        guard let value else { return .null }
        return value == value.rounded() && abs(value) < 1e15 ? .number(Int64(value)) : .number((value * 1e6).rounded() / 1e6)
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func milliseconds(_ duration: Duration?) -> JSONText { number(duration.map { Double($0.microseconds) / 1000 }) }

    static func written(_ report: DailyReport) -> JSONText {
        .object(
            [
                ("total_requests", .number(report.requests)), ("avg_response_time", written(report.averageResponseTime)),
                ("authentication_success_rate", written(report.authenticationSuccessRate)),
                ("concurrent_user_peak", written(report.concurrentUserPeak)), ("resource_utilization", group(report.resourceUtilization)),
                ("error_rate", written(report.errorRate)),
            ] + report.percentiles.map { ($0.name, written($0)) })
    }

    static func written(_ report: WeeklyReport) -> JSONText {
        let opportunities = report.optimizationOpportunities.map { found -> JSONText in
            ["rule": .string(found.rule), "evidence": .string(found.evidence), "setting": .string(found.setting)]
        }
        return [
            "performance_improvement": group(report.performanceImprovement), "capacity_growth": group(report.capacityGrowth),
            "optimization_opportunities": .array(opportunities),
            "optimization_note": opportunities.isEmpty ? "no rule fired" : nil, "infrastructure_scaling": group(report.infrastructureScaling),
        ]
    }

    /// The targets are the performance guide's.
    static func written(_ pools: [PoolMetrics]) -> JSONText {
        let written = pools.map { pool -> JSONText in
            let latency = pool.latency.average.map { Double($0.microseconds) / 1000 }
            let wait = pool.wait.average.map { Double($0.microseconds) / 1000 }
            return [
                "name": .string(pool.name), "kind": pool.isSlots ? "slots" : "handles",
                "note": pool.isSlots ? "Its connections are slots in the queue of the one writer, which commits in groups." : nil,
                "pool_utilization": number(pool.utilization), "avg_connection_latency": number(latency), "connection_wait_time": number(wait),
                "pool_efficiency": number(pool.efficiency), "longest_wait": milliseconds(pool.wait.longest), "size": .number(pool.size),
                "minimum": .number(pool.minimum), "maximum": .number(pool.ceiling), "timeout_seconds": number(pool.timeout / .seconds(1)),
                "in_use": .number(pool.inUse), "peak_in_use": .number(pool.peakInUse), "idle": .number(pool.idle), "waiters": .number(pool.waiting),
                "leases": .number(pool.leases), "timeouts": .number(pool.timeouts), "cancelled": .number(pool.cancelled),
                "grown": .number(pool.grown), "shrunk": .number(pool.shrunk), "opened": .number(pool.opened), "replaced": .number(pool.replaced),
                "targets_met": [
                    "pool_utilization": .bool(pool.utilization < 0.8), "avg_connection_latency": latency.map { .bool($0 < 50) } ?? .null,
                    "connection_wait_time": wait.map { .bool($0 < 10) } ?? .null, "pool_efficiency": pool.efficiency.map { .bool($0 > 0.9) } ?? .null,
                ],
            ]
        }
        let handles = pools.filter { !$0.isSlots }
        return [
            "pools": .array(written),
            "total": [
                "size": .number(handles.reduce(0) { $0 + $1.size }), "in_use": .number(handles.reduce(0) { $0 + $1.inUse }),
                "waiters": .number(pools.reduce(0) { $0 + $1.waiting }), "timeouts": .number(pools.reduce(0) { $0 + $1.timeouts }),
            ],
            "targets": [
                "pool_utilization": "below 0.8", "avg_connection_latency": "below 50 ms", "connection_wait_time": "below 10 ms",
                "pool_efficiency": "above 0.9: the share of leases that found a handle open",
            ],
        ]
    }

    static func written(_ user: UserActivity) -> JSONText {
        [
            "user_id": .string(user.name), "id": .number(user.user.rawValue), "active_sessions": .number(user.activeSessions),
            "requests": .number(user.requests), "last_activity": .string(user.lastActivity.rfc3339),
        ]
    }

    static func written(_ event: RateLimitEvent) -> JSONText {
        ["at": .string(event.at.rfc3339), "limit": .string(event.limit), "refusals": .number(event.refusals)]
    }

    static func written(_ tenant: TenantAnalytics) -> JSONText {
        [
            "tenant_id": .string(tenant.name), "unique_users": .number(tenant.uniqueUsers), "unique_users_exact": .bool(tenant.isExact),
            "unique_users_error": tenant.isExact ? nil : "± 2.3 %", "total_requests": .number(tenant.requests),
            "avg_response_time": number(tenant.averageMilliseconds),
        ]
    }

    static func written(_ row: AuditRow) -> JSONText {
        let record = row.record
        return [
            "id": .number(row.id), "at": .string(record.at.rfc3339), "user_id": record.user.map { .number($0.rawValue) } ?? .null,
            "tenant_id": record.tenant.map { .number($0.rawValue) } ?? .null, "server_id": record.server.map { .number($0.rawValue) } ?? .null,
            "action": .string(record.action), "target": .string(record.target), "outcome": .string(record.outcome.rawValue),
            "reason": .string(record.reason), "status": .number(record.status), "response_time_ms": milliseconds(record.responseTime),
            "address": .string(record.address), "request_id": .string(record.requestID.description), "count": .number(record.weight),
            "mac": .string(hex(row.mac)),
        ]
    }

    static func written(_ listed: ListedSession) -> JSONText {
        let session = listed.session
        return [
            "id": .string(String(session.id.rawValue)), "user_id": .string(listed.userName), "tenant": .number(session.tenant.rawValue),
            "client": .string(session.client), "era": .string(session.era), "is_active": .bool(session.isActive),
            "started_at": .string(session.startedAt.rfc3339), "last_activity": .string(session.lastActivity.rfc3339),
            "revoked_at": listed.revokedAt.map { .string($0.rfc3339) } ?? .null, "requests": .number(session.requests),
            "errors": .number(session.errors),
            "activities": .array(
                session.activities.map { ["at": .string($0.at.rfc3339), "action": .string($0.action), "target": .string($0.target)] }),
        ]
    }
}
