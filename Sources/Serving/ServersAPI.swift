import Access
import Gateway
import HTTPTypes
import Hummingbird
import MCP

/// `/api/v1/servers`: the registry of the caller's tenant.
struct ServersAPI: Sendable {
    let registry: Registry
    let tools: ToolsDesk
    let policy: Policy
    let signedIn: SignedIn

    private static let pageLength = 100

    func addRoutes(to router: Router<GatewayContext>) {
        let servers = router.group("/api/v1/servers")
        addToolRoutes(to: servers)
        servers.get { request, context in
            try await signedIn(request, context, action: "server.list") { try await list(request, $0) }
        }
        servers.post { request, context in
            try await signedIn(request, context, action: "server.create") { try await create(request, context, $0) }
        }
        servers.get(":id") { request, context in
            try await signedIn(request, context, action: "server.get") { principal in
                let server = try await find(context, principal)
                return .json(written(server, to: principal))
            }
        }
        servers.patch(":id") { request, context in
            try await signedIn(request, context, action: "server.change") { try await change(request, context, $0) }
        }
        servers.delete(":id") { request, context in
            try await signedIn(request, context, action: "server.delete") { principal in
                let server = try await find(context, principal)
                try policy.requireWrite(server, by: principal)
                try await registry.delete(server, record(context, principal, "server.delete", server))
                return Response(status: .noContent)
            }
        }
        servers.post(":id/check") { request, context in
            try await signedIn(request, context, action: "server.check") { principal in
                let server = try await find(context, principal)
                try policy.requireWrite(server, by: principal)
                return .json(ServerText.written(server, await registry.check(server.id)))
            }
        }
    }

    private func list(_ request: Request, _ principal: Principal) async throws -> Response {
        try policy.require(.readServers, of: principal)
        let query = request.uri.queryParameters
        var filter = ServerFilter()
        if let text = query["status"] {
            guard let status = ServerRecord.Status(rawValue: String(text)) else { throw Refusal.invalid("“status” is active or disabled.") }
            filter.status = status
        }
        if let text = query["transport"] {
            guard ["http", "stdio"].contains(text) else { throw Refusal.invalid("“transport” is http or stdio.") }
            filter.transport = String(text)
        }
        filter.tag = query["tag"].map { String($0) }
        var after: ServerID?
        if let cursor = query["cursor"] {
            guard let id = Int64(cursor) else { throw Refusal.invalid("“cursor” is the next_cursor of the page before.") }
            after = ServerID(id)
        }
        var limit = Self.pageLength
        if let text = query["limit"] {
            guard let number = Int(text), (1...Self.pageLength).contains(number) else { throw Refusal.invalid("“limit” is 1 to \(Self.pageLength).") }
            limit = number
        }
        let page = try await registry.list(principal.tenant, filter, after, limit + 1)
        let servers = page.prefix(limit)
        // A page may hold less than was asked for; the cursor goes on behind what the credential is not for.
        let visible = servers.filter { principal.reach.includesAnything(of: $0.alias) }
        let next = page.count > limit ? servers.last.map { JSONText.string(String($0.id.rawValue)) } : nil
        return .json([
            "servers": .array(visible.map { written($0, to: principal) }), "next_cursor": next ?? .null,
        ])
    }

    private func written(_ server: ServerRecord, to principal: Principal) -> JSONText {
        let showsPlaces = (try? policy.requireToolsRead(server, by: principal)) != nil
        return ServerText.written(server, registry.condition(server.id), showsPlaces: showsPlaces)
    }

    private func create(_ request: Request, _ context: GatewayContext, _ principal: Principal) async throws -> Response {
        try policy.require(.writeOwnServers, of: principal)
        let draft = try ServerText.draft(try await request.wholeBody())
        try policy.requireCreate(draft.alias, by: principal)
        try await admit(draft.transport, draft.replicas)
        try admit(draft.credential, by: principal)
        let record = signedIn.record(context, principal, action: "server.create", target: draft.alias.description, status: .created)
        let server = try await registry.create(draft, principal.user, principal.tenant, record)
        return .json(
            ServerText.written(server, registry.condition(server.id)), status: .created,
            headers: [.location: "/api/v1/servers/\(server.id.rawValue)"])
    }

    private func change(_ request: Request, _ context: GatewayContext, _ principal: Principal) async throws -> Response {
        let server = try await find(context, principal)
        try policy.requireWrite(server, by: principal)
        let change = try ServerText.change(try await request.wholeBody(), of: server)
        let changed = change.server
        let isElsewhere = changed.transport != server.transport || changed.replicas != server.replicas
        if changed.credential != server.credential || isElsewhere { try admit(changed.credential, by: principal) }
        if isElsewhere { try await admit(changed.transport, changed.replicas) }
        let saved = try await registry.update(change, server.updatedAt, record(context, principal, "server.change", server))
        return .json(ServerText.written(saved, registry.condition(saved.id)))
    }

    private func admit(_ transport: Transport, _ replicas: [ServerReplica]) async throws(Refusal) {
        if let endpoint = transport.httpEndpoint { try await registry.admitEndpoint(endpoint) }
        for replica in replicas { if let endpoint = Endpoint(replica.endpoint) { try await registry.admitEndpoint(endpoint) } }
    }

    /// Whoever says where a server is gets what it is shown; of other people's accounts at the issuer that is for an admin alone.
    private func admit(_ credential: UpstreamCredential, by principal: Principal) throws(Refusal) {
        if case .onBehalfOf = credential { try policy.require(.writeAllServers, of: principal) }
    }

    /// The server a path names, if the caller may know of it.
    func find(_ context: GatewayContext, _ principal: Principal) async throws -> ServerRecord {
        let text = context.parameters.get("id") ?? ""
        guard let id = Int64(text), let server = try await registry.get(ServerID(id)) else { throw Refusal.notFound("server \(text.cut(20))") }
        try policy.requireRead(server, by: principal)
        return server
    }

    func record(_ context: GatewayContext, _ principal: Principal, _ action: String, _ server: ServerRecord) -> AuditRecord {
        // The row belongs to the tenant that was acted on, also when an admin of another one did it.
        var record = signedIn.record(context, principal, action: action, target: server.alias.description)
        record.tenant = server.tenant
        return record
    }
}
