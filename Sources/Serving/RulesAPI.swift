import Access
import Audit
import Gateway
import Hummingbird
import MCP

/// `/api/v1/admin/tool-rules` and `/api/v1/admin/explain`: who may use which tools, and why.
///
/// An administrator reads and writes all of it, an auditor reads it, and an owner of servers reads and writes what is about those.
struct RulesAPI: Sendable {
    let desk: RulesDesk
    let registry: Registry
    let queries: AdminQueries
    let policy: Policy
    let signedIn: SignedIn

    func addRoutes(to router: Router<GatewayContext>) {
        let admin = router.group("/api/v1/admin")
        for path: RouterPath in ["tool-rules", "tool-rules/:tenant"] {
            admin.get(path) { request, context in
                try await answering(request, context, "tool_rule.list", known: []) { asked, tenant in .json(try await list(asked, tenant)) }
            }
            admin.post(path) { request, context in
                try await answering(request, context, "tool_rule.create", known: []) { asked, tenant in
                    .json(try await add(try await request.wholeBody(), asked, tenant, context), status: .created)
                }
            }
        }
        admin.delete("tool-rules/:tenant/:id") { request, context in
            try await answering(request, context, "tool_rule.delete", known: []) { asked, tenant in
                try await remove(asked, tenant, context)
                return Response(status: .noContent)
            }
        }
        admin.get("explain") { request, context in
            try await answering(request, context, "tool_rule.explain", known: ["user", "tool", "tenant"]) { asked, tenant in
                .json(try await explain(asked, tenant))
            }
        }
    }

    /// - Parameter body: gets the tenant it is about. What an admin is told of another one is on record before the answer leaves;
    ///   what is changed there has a row of its own.
    private func answering(
        _ request: Request, _ context: GatewayContext, _ action: String, known: Set<String>,
        _ body: (Asked, TenantID) async throws -> Response
    ) async throws -> Response {
        try await signedIn(request, context, action: action) { principal in
            // Whoever may do neither learns nothing, not even which parameters there are.
            if (try? policy.require(.readReports, of: principal)) == nil { try policy.require(.manageToolRules, of: principal) }
            let asked = try await Asked(request, context, principal, known: known, queries, signedIn.now().wall)
            let tenant = asked.tenant ?? principal.tenant
            let response = try await body(asked, tenant)
            if request.method == .get, tenant != principal.tenant {
                var record = signedIn.record(context, principal, action: action, target: asked.tenantName ?? "")
                record.tenant = tenant
                try await signedIn.audit.recordDurably(record)
            }
            return response
        }
    }

    private func list(_ asked: Asked, _ tenant: TenantID) async throws -> JSONText {
        let rules = try await desk.rules(tenant).all
        if (try? policy.require(.readReports, of: asked.principal)) != nil { return RulesDesk.written(rules) }
        // Those about every server decide about an owner's too.
        var owned: Set<ServerAlias> = []
        for alias in Set(rules.compactMap(\.statement.object.server)) {
            if try await registry.named(alias, tenant)?.owner == asked.principal.user { owned.insert(alias) }
        }
        return RulesDesk.written(rules.filter { $0.statement.object.server.map(owned.contains) ?? true })
    }

    private func add(_ body: [UInt8], _ asked: Asked, _ tenant: TenantID, _ context: GatewayContext) async throws -> JSONText {
        try policy.require(.manageToolRules, of: asked.principal)
        let members = try Members(body, known: RulesDesk.names)
        // Before anybody is looked up: an owner is not told by the way who there is.
        let alias = try members.string("server").flatMap { ServerAlias($0) }
        let server = if let alias { try await registry.named(alias, tenant) } else { ServerRecord?.none }
        try policy.requireRuleChange(about: server, called: alias, by: asked.principal)
        let statement = try await desk.statement(members) { try await queries.user(called: $0, in: tenant) }
        return RulesDesk.written(try await desk.add(statement, tenant, record(asked, tenant, context, "tool_rule.create", .created)))
    }

    private func remove(_ asked: Asked, _ tenant: TenantID, _ context: GatewayContext) async throws {
        let principal = asked.principal
        try policy.require(.manageToolRules, of: principal)
        let id = try RulesDesk.id(context.parameters.get("id"))
        let rule = try await desk.rules(tenant).all.first { $0.id == id }
        guard let rule else { throw Refusal.notFound("rule \(id.rawValue)") }
        let alias = rule.statement.object.server
        let server = if let alias { try await registry.named(alias, tenant) } else { ServerRecord?.none }
        try policy.requireRuleChange(about: server, called: alias, by: principal)
        // A rule never changes what it says, so what was looked at is what goes.
        try await desk.remove(id, tenant, record(asked, tenant, context, "tool_rule.delete", .noContent))
    }

    private func explain(_ asked: Asked, _ tenant: TenantID) async throws -> JSONText {
        guard let tool = asked.query["tool"] else { throw Refusal.invalid("“tool” is missing: a name as tools/list shows it.") }
        guard let name = asked.query["user"] else { throw Refusal.invalid("“user” is missing.") }
        if (try? policy.require(.readReports, of: asked.principal)) == nil {
            let alias = ToolName.alias(in: tool).flatMap { ServerAlias($0) }
            let server = if let alias { try await registry.named(alias, tenant) } else { ServerRecord?.none }
            try policy.requireRuleChange(about: server, called: alias, by: asked.principal)
        }
        return RulesDesk.written(try await desk.explain(try await queries.user(called: name, in: tenant), tool))
    }

    private func record(_ asked: Asked, _ tenant: TenantID, _ context: GatewayContext, _ action: String, _ status: HTTPResponse.Status) -> AuditRecord
    {
        var record = signedIn.record(context, asked.principal, action: action, target: "", status: status)
        record.tenant = tenant
        return record
    }
}

extension ControlAPI {
    func addRuleRoutes(to router: Router<GatewayContext>) {
        router.get("/tool-rules") { request, context in
            try await answering(context) {
                let user = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                return .json(RulesDesk.written(try await rules.rules(user.tenant).all))
            }
        }
        router.post("/tool-rules") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: RulesDesk.names.union(["tenant"]))
                let user = try await operatorUser(try members.string("tenant"), context)
                let statement = try await rules.statement(members) { try await queries.user(called: $0, in: user.tenant) }
                let rule = try await rules.add(statement, user.tenant, record(context, user, "tool_rule.create", ""))
                return .json(RulesDesk.written(rule), status: .created)
            }
        }
        router.delete("/tool-rules/:id") { request, context in
            try await answering(context) {
                let user = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let id = try RulesDesk.id(context.parameters.get("id"))
                try await rules.remove(id, user.tenant, record(context, user, "tool_rule.delete", ""))
                return Response(status: .noContent)
            }
        }
        router.get("/explain") { request, context in
            try await answering(context) {
                let query = request.uri.queryParameters
                let operatorUser = try await operatorUser(query["tenant"].map { String($0) }, context)
                guard let tool = query["tool"], let name = query["user"] else { throw Refusal.invalid("“user” and “tool” are to be named.") }
                let user = try await queries.user(called: String(name), in: operatorUser.tenant)
                return .json(RulesDesk.written(try await rules.explain(user, String(tool))))
            }
        }
    }
}
