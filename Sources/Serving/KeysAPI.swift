import Access
import Gateway
import Hummingbird
import MCP
import OAuth

/// `/api/v1/keys`: somebody's own API keys. A key is shown once, when it is made.
struct KeysAPI: Sendable {
    let people: PeopleQueries
    let policy: Policy
    let signedIn: SignedIn

    func addRoutes(to router: Router<GatewayContext>) {
        let keys = router.group("/api/v1/keys")
        keys.get { request, context in
            try await signedIn(request, context, action: "key.list") { principal in
                try policy.require(.manageOwnAccount, of: principal)
                let keys = try await people.keys(principal.user)
                return .json(["keys": .array(keys.map { Self.written($0, at: signedIn.now().wall) })])
            }
        }
        keys.post { request, context in
            try await signedIn(request, context, action: "key.create") { principal in
                let draft = try draft(try await request.wholeBody(), for: principal)
                return try await make(draft, replacing: nil, principal, context)
            }
        }
        keys.post(":id/rotate") { request, context in
            try await signedIn(request, context, action: "key.rotate") { principal in
                try policy.require(.manageOwnAccount, of: principal)
                let id = try Self.id(context)
                guard let old = try await people.keys(principal.user).first(where: { $0.id == id && $0.isGood(at: signedIn.now().wall) }) else {
                    throw Refusal.notFound("key \(id.rawValue)")
                }
                try policy.requireNoMore(old.scopes, old.reach, than: principal)
                let lifetime = Duration.microseconds(old.expiresAt.microseconds - old.createdAt.microseconds)
                let draft = APIKeyDraft(name: old.name, scopes: old.scopes, reach: old.reach, lifetime: lifetime)
                return try await make(draft, replacing: id, principal, context)
            }
        }
        keys.delete(":id") { request, context in
            try await signedIn(request, context, action: "key.revoke") { principal in
                try policy.require(.manageOwnAccount, of: principal)
                let id = try Self.id(context)
                let record = signedIn.record(context, principal, action: "key.revoke", target: "\(id.rawValue)", status: .noContent)
                try await people.revokeKey(id, principal.user, principal.tenant, record)
                return Response(status: .noContent)
            }
        }
    }

    private func draft(_ body: [UInt8], for principal: Principal) throws -> APIKeyDraft {
        try policy.require(.manageOwnAccount, of: principal)
        let members = try Members(body, known: ["name", "scopes", "servers", "tools", "expires_in_days"])
        guard let name = try members.string("name") else { throw Refusal.invalid("\"name\" is missing: what the key is for.") }
        let names = try members.strings("scopes", most: 10, longest: 64) ?? ["mcp:tools"]
        let scopes = Scopes(names: names)
        guard scopes.names.count == Set(names).count, !scopes.isEmpty else {
            throw Refusal.invalid("\"scopes\" are of \(Scopes.all.names.joined(separator: ", ")).")
        }
        let aliases = try members.strings("servers", most: 100, longest: 12)
        let tools = try members.strings("tools", most: 100, longest: 128)
        var reach = Reach.everything
        if aliases != nil || tools != nil {
            let servers = try (aliases ?? []).map { text in
                guard let alias = ServerAlias(text) else { throw Refusal.invalid("\"\(text)\" is no alias of a server.") }
                return alias
            }
            guard (tools ?? []).allSatisfy({ $0.contains("__") && $0.utf8.allSatisfy { (0x21...0x7E).contains($0) } }) else {
                throw Refusal.invalid("\"tools\" are names as tools/list shows them: alias, two underscores, the tool's own name.")
            }
            reach = .only(servers: Set(servers), tools: Set(tools ?? []))
        }
        let days = try members.integer("expires_in_days", in: 1...366)
        var lifetime = APIKeyDraft.usualLifetime
        if case .set(let days) = days { lifetime = .seconds(Int64(days) * 86_400) }
        try policy.requireNoMore(scopes, reach, than: principal)
        return APIKeyDraft(name: name, scopes: scopes, reach: reach, lifetime: lifetime)
    }

    private func make(_ draft: APIKeyDraft, replacing old: APIKeyID?, _ principal: Principal, _ context: GatewayContext) async throws -> Response {
        guard let user = try await people.user(principal.user) else { throw Refusal.unauthenticated(.unknown) }
        let record = signedIn.record(
            context, principal, action: old == nil ? "key.create" : "key.rotate", target: draft.name, status: .created)
        let (key, secret) = try await people.createKey(draft, user, old, record)
        var members = Self.members(key, at: record.at)
        members.insert(("key", .string(secret.revealed)), at: 1)
        return .json(.object(members), status: .created, headers: [.cacheControl: "no-store"])
    }

    private static func id(_ context: GatewayContext) throws(Refusal) -> APIKeyID {
        let text = context.parameters.get("id") ?? ""
        guard let id = Int64(text), id > 0 else { throw .notFound("key \(text.cut(20))") }
        return APIKeyID(id)
    }

    static func written(_ key: APIKey, at now: Timestamp) -> JSONText { .object(members(key, at: now)) }

    private static func members(_ key: APIKey, at now: Timestamp) -> [(String, JSONText?)] {
        let (servers, tools): (JSONText, JSONText) =
            switch key.reach {
            case .everything: (.null, .null)
            case .only(let servers, let tools): (.array(servers.sorted().map { .string($0.description) }), .array(tools.sorted().map { .string($0) }))
            }
        let status = key.revokedAt != nil ? "revoked" : now >= key.expiresAt ? "expired" : key.successor != nil ? "replaced" : "good"
        return [
            ("id", .number(key.id.rawValue)), ("name", .string(key.name)), ("hint", .string(key.hint + "…")), ("status", .string(status)),
            ("scopes", .array(key.scopes.names.map { .string($0) })), ("servers", servers), ("tools", tools),
            ("created_at", .string(key.createdAt.rfc3339)), ("expires_at", .string(key.expiresAt.rfc3339)),
            ("last_used_at", key.lastUsedAt.map { .string($0.rfc3339) } ?? .null),
            ("replaced_by", key.successor.map { .number($0.rawValue) } ?? .null),
        ]
    }
}
