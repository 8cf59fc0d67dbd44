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
                return .json(["keys": .array(keys.map { KeyText.written($0, at: signedIn.now().wall) })])
            }
        }
        keys.post { request, context in
            try await signedIn(request, context, action: "key.create") { principal in
                try policy.require(.manageOwnAccount, of: principal)
                let draft = try KeyText.draft(try Members(try await request.wholeBody(), known: KeyText.memberNames))
                try policy.requireNoMore(draft.scopes, draft.reach, perMinute: draft.perMinute, than: principal)
                return try await make(draft, replacing: nil, principal, context)
            }
        }
        keys.post(":id/rotate") { request, context in
            try await signedIn(request, context, action: "key.rotate") { principal in
                try policy.require(.manageOwnAccount, of: principal)
                let id = try Self.id(context)
                guard let old = try await people.keys(principal.user).first(where: { $0.id == id && $0.isGood(at: signedIn.now().wall) }) else {
                    throw Refusal.notFound("key \(id.rawValue) that is good")
                }
                try policy.requireNoMore(old.scopes, old.reach, perMinute: old.perMinute, than: principal)
                return try await make(APIKeyDraft(replacing: old), replacing: id, principal, context)
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

    private func make(_ draft: APIKeyDraft, replacing old: APIKeyID?, _ principal: Principal, _ context: GatewayContext) async throws -> Response {
        guard let user = try await people.user(principal.user) else { throw Refusal.unauthenticated(.unknown) }
        let record = signedIn.record(
            context, principal, action: old == nil ? "key.create" : "key.rotate", target: draft.name, status: .created)
        let (key, secret) = try await people.createKey(draft, user, old, record)
        return .json(KeyText.written(key, secret, at: record.at), status: .created, headers: [.cacheControl: "no-store"])
    }

    /// The key that a path names.
    static func id(_ context: GatewayContext) throws(Refusal) -> APIKeyID {
        let text = context.parameters.get("id") ?? ""
        guard let id = Int64(text), id > 0 else { throw .notFound("key \(text.cut(20))") }
        return APIKeyID(id)
    }
}
