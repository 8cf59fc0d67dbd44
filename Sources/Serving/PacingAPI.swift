import Access
import Audit
import Gateway
import HTTPTypes
import Hummingbird
import MCP

/// `/api/v1/admin`: limits, quotas, blocked addresses, and how fairly all of it works.
struct PacingAPI: Sendable {
    let desk: PacingDesk
    let queries: AdminQueries
    let policy: Policy
    let signedIn: SignedIn

    func addRoutes(to router: Router<GatewayContext>) {
        let admin = router.group("/api/v1/admin")
        read(admin, "tenant-limits/:tenant", "limits.read") { desk.limits(of: try $0.requiredTenant) }
        read(admin, "quotas/:tenant", "quotas.read") { try desk.quotas(of: try $0.requiredTenant) }
        read(admin, "tenant-fairness/:tenant", "report.tenant_fairness") { desk.fairness(of: try $0.requiredTenant) }
        read(admin, "blocked-addresses", "addresses.read") { _ in desk.blockList }
        // An auditor sees the lines of their own tenant alone.
        read(admin, "rate-limiting-performance", "report.rate_limiting_performance") {
            desk.performance(of: $0.principal.role == .admin ? nil : $0.principal.tenant)
        }
        write(admin, .post, "tenant-limits/:tenant", "limits.change") { asked, body, record in
            let members = try Members(body, known: PacingDesk.limitNames)
            return .json(try await desk.changeLimits(of: try asked.requiredTenant, members, audit: record(asked.tenantName ?? "")))
        }
        write(admin, .put, "quotas/:tenant", "quotas.change") { asked, body, record in
            let members = try Members(body, known: PacingDesk.quotaNames)
            return .json(try await desk.changeQuotas(of: try asked.requiredTenant, members, audit: record(asked.tenantName ?? "")))
        }
        write(admin, .post, "tenants", "tenant.create") { _, body, record in
            guard let name = try Members(body, known: ["name"]).string("name") else { throw Refusal.invalid("“name” is missing.") }
            return .json(["name": .string(try await queries.makeTenant(name, record(name)).name)], status: .created)
        }
        write(admin, .post, "blocked-addresses/:address", "address.block") { asked, body, record in
            let address = try PacingDesk.address(asked.address)
            let members = body.isEmpty ? nil : try Members(body, known: ["seconds"])
            return .json(try await desk.block(address, members, audit: record("\(address)")), status: .created)
        }
        write(admin, .delete, "blocked-addresses/:address", "address.lift") { asked, _, record in
            let address = try PacingDesk.address(asked.address)
            try await desk.addresses.lift(address, audit: record("\(address)"))
            return Response(status: .noContent)
        }
    }

    private func read(
        _ admin: RouterGroup<GatewayContext>, _ path: String, _ action: String, _ body: @escaping @Sendable (Asked) async throws -> JSONText
    ) {
        admin.get(RouterPath(path)) { request, context in
            try await signedIn(request, context, action: action) { principal in
                try policy.require(.readReports, of: principal)
                let asked = try await Asked(request, context, principal, known: [], queries, signedIn.now().wall)
                let answer = try await body(asked)
                if let tenant = asked.tenant, tenant != principal.tenant {
                    var record = signedIn.record(context, principal, action: action, target: asked.tenantName ?? "")
                    record.tenant = tenant
                    try await signedIn.audit.recordDurably(record)
                }
                return .json(answer)
            }
        }
    }

    /// - Parameter body: gets what makes the row that goes into the same transaction as the change.
    private func write(
        _ admin: RouterGroup<GatewayContext>, _ method: HTTPRequest.Method, _ path: String, _ action: String,
        _ body: @escaping @Sendable (Asked, [UInt8], (_ target: String) -> AuditRecord) async throws -> Response
    ) {
        admin.on(RouterPath(path), method: method) { request, context in
            try await signedIn(request, context, action: action) { principal in
                try policy.require(.setLimits, of: principal)
                let asked = try await Asked(request, context, principal, known: [], queries, signedIn.now().wall)
                return try await body(asked, try await request.wholeBody()) { target in
                    var record = signedIn.record(context, principal, action: action, target: target)
                    record.tenant = asked.tenant ?? principal.tenant
                    return record
                }
            }
        }
    }
}

extension Asked {
    fileprivate var requiredTenant: TenantID {
        get throws(Refusal) {
            guard let tenant else { throw .notFound("tenant without a name") }
            return tenant
        }
    }
}
