import Access
import Audit
import Forwarding
import Gateway
import HTTPTypes
import Hummingbird
import MCP
import Proof
import Reports

/// `/api/v1/admin`: what the record says, and what administrators do to sessions and the store.
///
/// An auditor sees their own tenant. Only an admin sees another one, and that is itself put on record before the answer.
struct AdminAPI: Sendable {
    let queries: AdminQueries
    let registry: Registry
    let policy: Policy
    let signedIn: SignedIn

    private static let pageLength = 100
    private static let mostServers = 1000

    func addRoutes(to router: Router<GatewayContext>) {
        let admin = router.group("/api/v1/admin")
        read(admin, "connection-pool-metrics", []) { _, _ in AdminText.written(queries.pools()) }
        read(admin, "performance-report/daily", []) { _, _ in AdminText.written(try await queries.dailyReport()) }
        read(admin, "performance-report/weekly", []) { _, _ in AdminText.written(try await queries.weeklyReport()) }
        read(admin, "user-activity", ["hours", "tenant"]) { asked, _ in
            let (tenant, since) = (asked.tenant ?? asked.principal.tenant, try asked.since(hours: 1, most: 168))
            let users = try await queries.userActivity(tenant, since)
            return ["since": .string(since.rfc3339), "users": .array(users.map(AdminText.written))]
        }
        read(admin, "user-activity/:user", ["hours", "tenant"]) { asked, context in
            try await userActivity(asked, try await user(context, in: asked.tenant ?? asked.principal.tenant))
        }
        read(admin, "tenant-analytics", ["hours", "tenant"], isOfAll: true) { asked, _ in try await analytics(asked) }
        read(admin, "tenant-analytics/:tenant", ["hours"], isOfAll: true) { asked, _ in try await analytics(asked) }
        read(admin, "upstreams", ["tenant"]) { asked, _ in try await upstreams(asked) }
        read(admin, "audit", ["hours", "tenant", "user", "limit", "cursor"], isOfAll: true) { asked, _ in try await audit(asked) }
        read(admin, "sessions", ["active", "tenant", "limit", "cursor"], isOfAll: true) { asked, _ in try await sessions(asked) }

        admin.delete("sessions/:id") { request, context in
            try await signedIn(request, context, action: "session.revoke") { principal in
                try policy.require(.endSessions, of: principal)
                _ = try await Asked(request, context, principal, known: [], queries, signedIn.now().wall)
                let text = context.parameters.get("id") ?? ""
                guard let id = Int64(text), id > 0 else { throw Refusal.notFound("session \(text.cut(20))") }
                try await queries.revokeSession(
                    SessionID(id), nil, signedIn.record(context, principal, action: "session.revoke", target: text.cut(20), status: .noContent))
                return Response(status: .noContent)
            }
        }
        admin.post("users/:user/sign-out") { request, context in
            try await signedIn(request, context, action: "user.sign_out") { principal in
                try policy.require(.endSessions, of: principal)
                let asked = try await Asked(request, context, principal, known: ["tenant"], queries, signedIn.now().wall)
                let user = try await user(context, in: asked.tenant ?? principal.tenant)
                let count = try await queries.signOut(
                    user.id, user.tenant, signedIn.record(context, principal, action: "user.sign_out", target: user.name))
                return .json(["user": .string(user.name), "sessions_ended": .number(count)])
            }
        }
        admin.post("maintenance") { request, context in
            try await signedIn(request, context, action: "maintenance.run") { principal in
                try policy.require(.maintain, of: principal)
                _ = try await Asked(request, context, principal, known: [], queries, signedIn.now().wall)
                let done = try await queries.maintain(signedIn.record(context, principal, action: "maintenance.run", target: "asked for"))
                return .json(["done": .array(done.map { .string($0) })])
            }
        }
    }

    /// - Parameter isOfAll: whether an admin who names no tenant gets the rows of all.
    private func read(
        _ admin: RouterGroup<GatewayContext>, _ path: String, _ known: Set<String>, isOfAll: Bool = false,
        _ body: @escaping @Sendable (Asked, GatewayContext) async throws -> JSONText
    ) {
        let action = "report." + path.split(separator: "/").prefix { !$0.hasPrefix(":") }.joined(separator: ".").replacing("-", with: "_")
        admin.get(RouterPath(path)) { request, context in
            try await signedIn(request, context, action: action) { principal in
                try policy.require(.readReports, of: principal)
                let asked = try await Asked(request, context, principal, known: known, queries, signedIn.now().wall)
                let answer = try await body(asked, context)
                // Before the answer leaves; what was not found was not seen.
                if let tenant = asked.tenant, tenant != principal.tenant {
                    // The row stands in the tenant that was looked into.
                    var record = signedIn.record(context, principal, action: action, target: asked.tenantName ?? "")
                    record.tenant = tenant
                    try await signedIn.audit.recordDurably(record)
                } else if isOfAll, asked.reach == nil {
                    try await signedIn.audit.recordDurably(signedIn.record(context, principal, action: action, target: "all tenants"))
                }
                return .json(answer)
            }
        }
    }

    private func user(_ context: GatewayContext, in tenant: TenantID) async throws -> User {
        try await queries.user(context.parameters.get("user"), in: tenant)
    }

    private func userActivity(_ asked: Asked, _ user: User) async throws -> JSONText {
        let since = try asked.since(hours: 24, most: 8760)
        let rows = try await queries.auditRows(user.tenant, user.id, since, nil, 50)
        let activity = try await queries.userActivity(user.tenant, since).first { $0.user == user.id }
        let events = try await queries.rateLimitEvents(user.id, since, 50)
        return [
            "user_id": .string(user.name), "id": .number(user.id.rawValue), "role": .string(user.role.rawValue), "since": .string(since.rfc3339),
            "requests": .number(activity?.requests ?? 0), "active_sessions": .number(activity?.activeSessions ?? 0),
            "last_activity": activity.map { .string($0.lastActivity.rfc3339) } ?? .null, "latest": .array(rows.map(AdminText.written)),
            "bad_requests_last_hour": .number(try queries.misdeeds(user.id)), "rate_limit_events": .array(events.map(AdminText.written)),
        ]
    }

    private func analytics(_ asked: Asked) async throws -> JSONText {
        let since = try asked.since(hours: 24, most: 2160)
        let tenants = try await queries.tenantAnalytics(asked.reach, since)
        return ["since": .string(since.rfc3339), "until": .string(asked.now.rfc3339), "tenants": .array(tenants.map(AdminText.written))]
    }

    /// How a tenant's servers are doing, and each of their endpoints.
    private func upstreams(_ asked: Asked) async throws -> JSONText {
        let servers = try await registry.list(asked.tenant ?? asked.principal.tenant, ServerFilter(), nil, Self.mostServers)
        return ["servers": .array(servers.map { ServerText.health($0, registry.condition($0.id)) })]
    }

    private func audit(_ asked: Asked) async throws -> JSONText {
        var user: UserID?
        if let name = asked.query["user"] {
            guard let found = try await queries.userNamed(name, asked.reach ?? asked.principal.tenant) else {
                throw Refusal.notFound("user “\(name.cut(64))”")
            }
            user = found.id
        }
        let limit = try asked.limit(Self.pageLength)
        let rows = try await queries.auditRows(asked.reach, user, try asked.since(hours: 24, most: 87_600), try asked.cursor(), limit + 1)
        return [
            "rows": .array(rows.prefix(limit).map(AdminText.written)),
            "next_cursor": rows.count > limit ? rows.prefix(limit).last.map { .string(String($0.id)) } ?? .null : .null,
        ]
    }

    private func sessions(_ asked: Asked) async throws -> JSONText {
        let limit = try asked.limit(Self.pageLength)
        guard ["true", "false", nil].contains(asked.query["active"]) else { throw Refusal.invalid("“active” is true or false.") }
        let before = try asked.cursor().map { Timestamp(microseconds: $0) }
        let listed = try await queries.sessions(asked.reach, asked.query["active"] != "false", before, limit + 1)
        return [
            "sessions": .array(listed.prefix(limit).map(AdminText.written)),
            "next_cursor": listed.count > limit
                ? listed.prefix(limit).last.map { .string(String($0.session.lastActivity.microseconds)) } ?? .null : .null,
        ]
    }
}

/// A question to a report: who asks, and its parameters, checked.
struct Asked: Sendable {
    let principal: Principal
    let query: [String: String]
    /// The tenant that was named, by parameter or in the path.
    let tenant: TenantID?
    let tenantName: String?
    /// The address a path names, as it stands there.
    let address: String?
    let now: Timestamp

    /// Whose rows may be shown: nil for everybody's, which only an admin gets who names neither a tenant nor a user.
    var reach: TenantID? { tenant ?? (principal.role == .admin && query["user"] == nil ? nil : principal.tenant) }

    init(
        _ request: Request, _ context: GatewayContext, _ principal: Principal, known: Set<String>, _ queries: AdminQueries, _ now: Timestamp
    ) async throws {
        self.principal = principal
        self.now = now
        address = context.parameters.get("address").map { String($0) }
        var query: [String: String] = [:]
        for (name, value) in request.uri.queryParameters {
            guard known.contains(String(name)) else {
                let names = known.isEmpty ? "none" : known.sorted().joined(separator: ", ")
                throw Refusal.invalid("The parameter “\(String(name).cut(64))” is not known here; known are: \(names).")
            }
            guard query.updateValue(String(value), forKey: String(name)) == nil else { throw Refusal.invalid("“\(name)” is there more than once.") }
        }
        self.query = query
        tenantName = try query["tenant"] ?? Self.tenantInPath(context)
        guard let tenantName else {
            tenant = nil
            return
        }
        let found = try await queries.tenant(tenantName)
        // Whoever may not look into another tenant is not told either whether there is one.
        guard principal.role == .admin || found?.id == principal.tenant else {
            throw Refusal.forbidden(needs: "the role admin to name another tenant than your own")
        }
        guard let found else { throw Refusal.notFound("tenant “\(tenantName.cut(64))”") }
        tenant = found.id
    }

    /// Nil only for a path without a tenant in it: one that cannot be read must not pass for none.
    private static func tenantInPath(_ context: GatewayContext) throws(Refusal) -> String? {
        guard let text = context.parameters.get("tenant") else { return nil }
        guard let name = text.removingURLPercentEncoding() else { throw .notFound("tenant “\(text.cut(64))”") }
        return name
    }

    func since(hours standard: Int, most: Int) throws(Refusal) -> Timestamp {
        var hours = standard
        if let text = query["hours"] {
            guard let number = Int(text), (1...most).contains(number) else { throw .invalid("“hours” is 1 to \(most).") }
            hours = number
        }
        return now.advanced(by: .seconds(-3600 * hours))
    }

    func limit(_ most: Int) throws(Refusal) -> Int {
        guard let text = query["limit"] else { return most }
        guard let number = Int(text), (1...most).contains(number) else { throw .invalid("“limit” is 1 to \(most).") }
        return number
    }

    func cursor() throws(Refusal) -> Int64? {
        guard let text = query["cursor"] else { return nil }
        guard let number = Int64(text), number > 0 else { throw .invalid("“cursor” is the next_cursor of the page before.") }
        return number
    }
}

extension String {
    /// Nil for what is not percent-encoded UTF-8 (RFC 3986).
    func removingURLPercentEncoding() -> String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst()?.hexDigit, let low = rest.popFirst()?.hexDigit else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension UInt8 {
    fileprivate var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
