import Forwarding
package import Gateway
import HTTPTypes
import Hummingbird
import Identity
import MCP
import OAuth
package import Reports

/// What the operator can do on the host, through the control socket. Whoever reaches the socket owns the state
/// directory, so there is nobody else to ask; what is done is recorded under the tenant's user `operator`.
package struct ControlAPI: Sendable {
    package var registry: Registry
    package var queries: AdminQueries
    package var people: PeopleQueries
    package var pacing: PacingDesk
    package var rules: RulesDesk
    package var tools: ToolsDesk
    /// The tenant of that name and its operator; nil if there is no such tenant.
    package var operatorOf: @Sendable (_ tenant: String, AuditRecord) async throws -> User?
    /// The user of that name in a tenant, made with that role if there is none.
    package var ensureUser: @Sendable (_ name: String, Role, TenantID, AuditRecord) async throws -> User
    package var issueToken: @Sendable (User, AuditRecord) async throws -> Secret<String>
    package var callReport: @Sendable (_ since: Timestamp) async throws -> CallReport
    /// Signs tokens with a new key from now on.
    package var turnSigningKeys: @Sendable (AuditRecord) async throws -> SigningKeyTurn
    package var origin: @Sendable () -> Origin
    package var now: @Sendable () -> Moment

    package init(
        registry: Registry, queries: AdminQueries, people: PeopleQueries, pacing: PacingDesk, rules: RulesDesk, tools: ToolsDesk,
        operatorOf: @escaping @Sendable (_ tenant: String, AuditRecord) async throws -> User?,
        ensureUser: @escaping @Sendable (_ name: String, Role, TenantID, AuditRecord) async throws -> User,
        issueToken: @escaping @Sendable (User, AuditRecord) async throws -> Secret<String>,
        callReport: @escaping @Sendable (_ since: Timestamp) async throws -> CallReport,
        turnSigningKeys: @escaping @Sendable (AuditRecord) async throws -> SigningKeyTurn, origin: @escaping @Sendable () -> Origin,
        now: @escaping @Sendable () -> Moment
    ) {
        self.registry = registry
        self.queries = queries
        self.people = people
        self.pacing = pacing
        self.rules = rules
        self.tools = tools
        self.operatorOf = operatorOf
        self.ensureUser = ensureUser
        self.issueToken = issueToken
        self.callReport = callReport
        self.turnSigningKeys = turnSigningKeys
        self.origin = origin
        self.now = now
    }

    func addRoutes(to router: Router<GatewayContext>) {
        router.get("/servers") { request, context in
            try await answering(context) {
                let user = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let servers = try await registry.list(user.tenant, ServerFilter(), nil, 1000)
                return .json(["servers": .array(servers.map { ServerText.written($0, registry.condition($0.id)) })])
            }
        }
        router.post("/servers") { request, context in
            try await answering(context) {
                let body = try await request.wholeBody()
                let members = try Members(
                    body,
                    known: [
                        "tenant", "alias", "title", "description", "public", "path", "arguments", "environment", "shared", "endpoint", "era", "tags",
                        "credential", "weight", "replicas", "strategy", "questions", "secret_environment",
                    ])
                let user = try await operatorUser(try members.string("tenant"), context)
                let alias = try members.alias()
                let transport = try await transport(members)
                let replicas = try ServerText.replicas(members, beside: transport) ?? []
                for replica in replicas { if let endpoint = Endpoint(replica.endpoint) { try await registry.admitEndpoint(endpoint) } }
                let credential = try members.credential(for: transport)
                let draft = ServerDraft(
                    alias: alias, title: try members.title() ?? alias.description, description: try members.description()?.value,
                    transport: transport, weight: try ServerText.weight(members, beside: transport) ?? 1, replicas: replicas,
                    strategy: try members.strategy() ?? .roundRobin,
                    isPublic: try members.bool("public") ?? false, era: try members.era(over: transport) ?? .auto,
                    tags: try members.tags() ?? [], credential: credential?.credential ?? .none,
                    questions: try members.questions() ?? .everything, secret: credential?.secret,
                    sealedEnvironment: try members.sealedEnvironment())
                let server = try await registry.create(draft, user.id, user.tenant, record(context, user, "server.create", alias.description))
                return .json(ServerText.written(server, await registry.check(server.id)), status: .created)
            }
        }
        router.get("/servers/:alias/log") { request, context in
            try await answering(context) {
                let user = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let server = try await server(context, of: user.tenant)
                guard case .stdio = server.transport else {
                    throw Refusal.invalid("“\(server.alias)” is no program of this host's, so it has no log here.")
                }
                return .json(["processes": .array(registry.errorOutput(server.id).map(ServerText.written))])
            }
        }
        router.patch("/servers/:alias") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ["tenant", "description", "public", "secret_environment"])
                let user = try await operatorUser(try members.string("tenant"), context)
                var server = try await server(context, of: user.tenant)
                if let description = try members.description() { server.description = description.value }
                if let isPublic = try members.bool("public") { server.isPublic = isPublic }
                let sealed = try members.sealedChanges()
                try ServerText.seal(sealed, in: &server)
                let saved = try await registry.update(
                    ServerChange(server, sealedEnvironment: sealed), server.updatedAt,
                    record(context, user, "server.change", server.alias.description))
                return .json(ServerText.written(saved, registry.condition(saved.id)))
            }
        }
        router.post("/servers/:alias/check") { request, context in
            try await answering(context) {
                let user = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let server = try await server(context, of: user.tenant)
                return .json(ServerText.written(server, await registry.check(server.id)))
            }
        }
        router.delete("/servers/:alias") { request, context in
            try await answering(context) {
                let user = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let server = try await server(context, of: user.tenant)
                try await registry.delete(server, record(context, user, "server.delete", server.alias.description))
                return Response(status: .noContent)
            }
        }
        router.get("/origin") { _, _ in Response.json(["origin": .string(origin().description)]) }
        router.post("/tokens") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ["tenant", "user", "role"])
                guard let name = try members.string("user") else { throw Refusal.invalid("“user” is missing.") }
                let role: Role? = if let text = try members.string("role") { try Self.role(text) } else { nil }
                let operatorUser = try await operatorUser(try members.string("tenant"), context)
                let found = try await queries.userNamed(name, operatorUser.tenant)
                let user =
                    if let found, role == nil { found } else {
                        try await ensureUser(name, role ?? .user, operatorUser.tenant, record(context, operatorUser, "user.create", name))
                    }
                guard user.disabledAt == nil else { throw Refusal.conflict("The user “\(name)” is disabled: mreg user enable NAME.") }
                let token = try await issueToken(user, record(context, operatorUser, "token.issue", name))
                return .json([
                    "access_token": .string(token.revealed), "token_type": "Bearer",
                    "expires_in": .number(Authenticator.lifetime.components.seconds), "user": .string(user.name), "role": .string(user.role.rawValue),
                ])
            }
        }
        router.post("/tenants") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ["name"])
                guard let name = try members.string("name") else { throw Refusal.invalid("“name” is missing.") }
                let record = AuditRecord(requestID: context.requestID, at: now().wall, action: "tenant.create", target: name, address: "control")
                return .json(["name": .string(try await queries.makeTenant(name, record).name)], status: .created)
            }
        }
        addRecordRoutes(to: router)
        addPacingRoutes(to: router)
        addUserRoutes(to: router)
        addClientRoutes(to: router)
        addKeyRoutes(to: router)
        addRuleRoutes(to: router)
        addToolRoutes(to: router)
        router.get("/reports/calls") { request, context in
            try await answering(context) {
                let hours = request.uri.queryParameters["hours"].flatMap { Int($0) } ?? 24
                guard (1...2400).contains(hours) else { throw Refusal.invalid("“hours” is 1 to 2400.") }
                let report = try await callReport(now().wall.advanced(by: .seconds(-3600 * hours)))
                var names: [ServerID: String] = [:]
                for id in Set(report.lines.compactMap(\.server)) {
                    // What was removed has no name any more.
                    names[id] = try await registry.get(id)?.alias.description ?? "#\(id.rawValue)"
                }
                return .json(["lines": .array(report.lines.map { Self.written($0, of: $0.server.flatMap { names[$0] }) })])
            }
        }
    }

    private func addRecordRoutes(to router: Router<GatewayContext>) {
        router.get("/reports/daily") { _, context in
            try await answering(context) { .json(AdminText.written(try await queries.dailyReport())) }
        }
        router.get("/reports/weekly") { _, context in
            try await answering(context) { .json(AdminText.written(try await queries.weeklyReport())) }
        }
        router.get("/reports/pools") { _, _ in Response.json(AdminText.written(queries.pools())) }
        router.get("/sessions") { request, context in
            try await answering(context) {
                let user = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let listed = try await queries.sessions(user.tenant, true, nil, 1000)
                return .json(["sessions": .array(listed.map(AdminText.written))])
            }
        }
        router.post("/maintenance") { _, context in
            try await answering(context) {
                let user = try await operatorUser(nil, context)
                let done = try await queries.maintain(record(context, user, "maintenance.run", "asked for"))
                return .json(["done": .array(done.map { .string($0) })])
            }
        }
        router.post("/backups") { _, context in
            try await answering(context) {
                let user = try await operatorUser(nil, context)
                let copy = try await queries.backUp(record(context, user, "backup.create", ""))
                return .json(["path": .string(copy.path), "bytes": .number(copy.bytes), "audit_rows": .number(copy.auditRows)], status: .created)
            }
        }
        router.post("/sign-outs") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ["tenant", "user"])
                guard let name = try members.string("user") else { throw Refusal.invalid("“user” is missing.") }
                let operatorUser = try await operatorUser(try members.string("tenant"), context)
                guard let user = try await queries.userNamed(name, operatorUser.tenant) else { throw Refusal.notFound("user “\(name.cut(64))”") }
                let count = try await queries.signOut(user.id, user.tenant, record(context, operatorUser, "user.sign_out", name))
                return .json(["user": .string(name), "sessions_ended": .number(count)])
            }
        }
    }

    private func addPacingRoutes(to router: Router<GatewayContext>) {
        router.get("/limits") { request, context in
            try await answering(context) {
                let tenant = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context).tenant
                return .json(["limits": pacing.limits(of: tenant), "quotas": try pacing.quotas(of: tenant)])
            }
        }
        router.post("/limits") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: PacingDesk.limitNames.union(PacingDesk.quotaNames).union(["tenant"]))
                let user = try await operatorUser(try members.string("tenant"), context)
                let limits = try await pacing.changeLimits(of: user.tenant, members, audit: record(context, user, "limits.change", ""))
                guard members.has(PacingDesk.quotaNames) else { return .json(["limits": limits, "quotas": try pacing.quotas(of: user.tenant)]) }
                let quotas = try await pacing.changeQuotas(of: user.tenant, members, audit: record(context, user, "quotas.change", ""))
                return .json(["limits": limits, "quotas": quotas])
            }
        }
        router.get("/blocked-addresses") { _, _ in Response.json(pacing.blockList) }
        router.post("/blocked-addresses") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ["address", "seconds"])
                let user = try await operatorUser(nil, context)
                let address = try PacingDesk.address(try members.string("address"))
                let block = try await pacing.block(address, members, audit: record(context, user, "address.block", "\(address)"))
                return .json(block, status: .created)
            }
        }
        router.delete("/blocked-addresses/:address") { _, context in
            try await answering(context) {
                let user = try await operatorUser(nil, context)
                let address = try PacingDesk.address(context.parameters.get("address").map { String($0) })
                try await pacing.addresses.lift(address, audit: record(context, user, "address.lift", "\(address)"))
                return Response(status: .noContent)
            }
        }
        router.get("/reports/pacing") { _, _ in Response.json(pacing.performance(of: nil)) }
    }

    func answering(_ context: GatewayContext, _ body: () async throws -> Response) async throws -> Response {
        do { return try await body() } catch {
            guard let (refusal, details) = DetailedRefusal.found(in: error) else { throw error }
            return .problem(refusal, requestID: context.requestID, details: details)
        }
    }

    func operatorUser(_ tenant: String?, _ context: GatewayContext) async throws -> User {
        let tenant = tenant ?? Self.defaultTenant
        let record = AuditRecord(requestID: context.requestID, at: now().wall, action: "user.create", target: "operator", address: "control")
        guard let user = try await operatorOf(tenant, record) else { throw Refusal.notFound("tenant “\(tenant)”") }
        return user
    }

    private func server(_ context: GatewayContext, of tenant: TenantID) async throws -> ServerRecord {
        let text = context.parameters.get("alias") ?? ""
        guard let alias = ServerAlias(text), let server = try await registry.named(alias, tenant) else {
            throw Refusal.notFound("server “\(text.cut(32))”")
        }
        return server
    }

    /// The tenant a host has from its first start.
    package static let defaultTenant = "default"

    private func transport(_ members: Members) async throws -> Transport {
        if let endpoint = try members.endpoint() {
            try await registry.admitEndpoint(endpoint)
            return .http(endpoint: endpoint.description)
        }
        return .stdio(try members.stdioCommand())
    }

    func record(_ context: GatewayContext, _ user: User, _ action: String, _ target: String) -> AuditRecord {
        AuditRecord(
            requestID: context.requestID, at: now().wall, user: user.id, tenant: user.tenant, action: action, target: target, address: "control")
    }

    private static func written(_ line: CallReport.Line, of server: String?) -> JSONText {
        func milliseconds(_ share: Double) -> JSONText {
            line.latency.percentile(share).map { .number(Double($0.microseconds) / 1000) } ?? .null
        }
        return [
            "server": server.map { .string($0) } ?? .null, "action": .string(line.action), "target": .string(line.target),
            "count": .number(line.count),
            "outcomes": .object(
                AuditRecord.Outcome.allCases.compactMap { outcome in line.outcomes[outcome].map { (outcome.rawValue, .number($0)) } }),
            "p50_ms": milliseconds(0.5), "p95_ms": milliseconds(0.95), "p99_ms": milliseconds(0.99),
        ]
    }
}
