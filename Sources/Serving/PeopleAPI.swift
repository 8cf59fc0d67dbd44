import Access
import Gateway
import Hummingbird
import MCP
import OAuth

/// `/api/v1/admin`: what administrators do about users, their keys, and clients.
struct PeopleAPI: Sendable {
    let people: PeopleQueries
    let queries: AdminQueries
    let policy: Policy
    let signedIn: SignedIn

    private static let mostClients = 1000

    func addRoutes(to router: Router<GatewayContext>) {
        let admin = router.group("/api/v1/admin")
        change(admin, "users/:user/roles", "user.role") { user, body, record in
            let members = try Members(body, known: ["role"])
            guard let text = try members.string("role"), let role = Role(rawValue: text), role != .anonymous else {
                throw Refusal.invalid("\"role\" is one of user, server_owner, admin, auditor.")
            }
            return try await people.setRole(role, user.id, record("\(user.name) \(role.rawValue)"))
        }
        change(admin, "users/:user/disable", "user.disable") { user, _, record in try await people.setDisabled(true, user.id, record(user.name)) }
        change(admin, "users/:user/enable", "user.enable") { user, _, record in try await people.setDisabled(false, user.id, record(user.name)) }
        admin.get("users/:user/keys") { request, context in
            try await signedIn(request, context, action: "key.list") { principal in
                try policy.require(.managePeople, of: principal)
                let (_, user) = try await asked(request, context, principal)
                let keys = try await people.keys(user.id)
                return .json(["keys": .array(keys.map { KeyText.written($0, at: signedIn.now().wall) })])
            }
        }
        admin.delete("keys/:id") { request, context in
            try await signedIn(request, context, action: "key.revoke") { principal in
                try policy.require(.managePeople, of: principal)
                let text = context.parameters.get("id") ?? ""
                guard let id = Int64(text), id > 0 else { throw Refusal.notFound("key \(text.cut(20))") }
                let record = signedIn.record(context, principal, action: "key.revoke", target: text.cut(20), status: .noContent)
                try await people.revokeKey(APIKeyID(id), nil, nil, record)
                return Response(status: .noContent)
            }
        }
        admin.get("clients") { request, context in
            try await signedIn(request, context, action: "client.list") { principal in
                try policy.require(.managePeople, of: principal)
                return .json(["clients": .array(try await people.clients(Self.mostClients).map { .object(Self.members($0)) })])
            }
        }
        // An id can be longer than a path should be.
        admin.post("clients/revoke") { request, context in
            try await signedIn(request, context, action: "client.revoke") { principal in
                try policy.require(.managePeople, of: principal)
                let members = try Members(try await request.wholeBody(), known: ["client_id"])
                guard let id = try members.string("client_id", longest: 2048) else { throw Refusal.invalid("\"client_id\" is missing.") }
                try await people.revokeClient(id, signedIn.record(context, principal, action: "client.revoke", target: id.cut(128)))
                return Response(status: .noContent)
            }
        }
    }

    private func change(
        _ admin: RouterGroup<GatewayContext>, _ path: String, _ action: String,
        _ body: @escaping @Sendable (User, [UInt8], (String) -> AuditRecord) async throws -> User
    ) {
        admin.post(RouterPath(path)) { request, context in
            try await signedIn(request, context, action: action) { principal in
                try policy.require(.managePeople, of: principal)
                let (_, user) = try await asked(request, context, principal)
                let changed = try await body(user, try await request.wholeBody()) { target in
                    signedIn.record(context, principal, action: action, target: target)
                }
                return .json([
                    "user": .string(changed.name), "id": .number(changed.id.rawValue), "role": .string(changed.role.rawValue),
                    "disabled_at": changed.disabledAt.map { .string($0.rfc3339) } ?? .null,
                ])
            }
        }
    }

    /// The user a path names, in the tenant that the query may name.
    private func asked(_ request: Request, _ context: GatewayContext, _ principal: Principal) async throws -> (Asked, User) {
        let asked = try await Asked(request, context, principal, known: ["tenant"], queries, signedIn.now().wall)
        return (asked, try await queries.user(context.parameters.get("user"), in: asked.tenant ?? principal.tenant))
    }

    static func members(_ client: ClientRecord) -> [(String, JSONText?)] {
        [
            ("client_id", .string(client.id)), ("name", .string(client.name)), ("kind", .string(client.kind.rawValue)),
            ("created_at", .string(client.createdAt.rfc3339)), ("last_used_at", .string(client.lastUsedAt.rfc3339)),
        ]
    }
}
