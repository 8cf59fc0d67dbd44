import Access
import Gateway
import HTTPTypes
import Hummingbird
import Identity
import MCP
import OAuth

/// `/api/v1/connections`: the accounts that somebody has connected, or could. What servers are shown is never returned.
struct ConnectionsAPI: Sendable {
    let credentials: UpstreamCredentials
    let desk: ConnectDesk
    let registry: Registry
    let policy: Policy
    let signedIn: SignedIn
    /// A user is somebody else to a server from now on.
    let changed: @Sendable (UserID, ServerRecord) async -> Void

    private static let mostServers = 1000

    func addRoutes(to router: Router<GatewayContext>) {
        let connections = router.group("/api/v1/connections")
        connections.get { request, context in
            try await signedIn(request, context, action: "connection.list") { principal in
                try policy.require(.manageOwnAccount, of: principal)
                let records = try await credentials.connections(of: principal.user)
                let servers = try await registry.list(principal.tenant, ServerFilter(), nil, Self.mostServers)
                    .filter { $0.credential.isPersonal && principal.reach.includesAnything(of: $0.alias) }
                return .json(["connections": .array(try servers.map { try written($0, principal, records) })])
            }
        }
        connections.delete(":alias") { request, context in
            try await signedIn(request, context, action: "connection.delete") { principal in
                try policy.require(.manageOwnAccount, of: principal)
                let text = context.parameters.get("alias") ?? ""
                guard let alias = ServerAlias(text), principal.reach.includesAnything(of: alias),
                    let server = try await registry.named(alias, principal.tenant)
                else {
                    throw Refusal.notFound("server “\(text.cut(32))”")
                }
                var record = signedIn.record(context, principal, action: "connection.delete", target: alias.description, status: .noContent)
                record.server = server.id
                try await credentials.disconnect(principal.user, from: server, audit: record)
                await changed(principal.user, server)
                return Response(status: .noContent)
            }
        }
    }

    private func written(_ server: ServerRecord, _ principal: Principal, _ records: [ConnectionRecord]) throws -> JSONText {
        var (state, record) = try credentials.connection(of: principal.user, to: server, records)
        if state != .connected, desk.isUnderWay(principal.user, to: server.id) { state = .asked }
        return .object([
            ("server", .string(server.alias.description)), ("title", .string(server.title)), ("mode", .string(server.credential.mode)),
            ("state", .string(state.rawValue)), ("issuer", record.map { .string($0.issuer) } ?? .null),
            ("scope", record.map { .string($0.scope) } ?? .null), ("connected_at", record.map { .string($0.connectedAt.rfc3339) } ?? .null),
            ("expires_at", record?.expiresAt.map { .string($0.rfc3339) } ?? .null),
            ("last_error", record?.lastError.map { .string($0) } ?? .null),
            ("connect_url", .string(credentials.link(to: server, for: principal.user))),
        ])
    }
}
