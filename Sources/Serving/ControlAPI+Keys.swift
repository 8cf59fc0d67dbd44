package import Gateway
import Hummingbird
import MCP
import OAuth

/// What came of a turn of the keys that tokens are signed with.
package struct SigningKeyTurn: Sendable {
    package let signing: String
    package let former: String
    /// Until when the former is published, and what it signed is good at most.
    package let formerUntil: Timestamp

    package init(signing: String, former: String, formerUntil: Timestamp) {
        self.signing = signing
        self.former = former
        self.formerUntil = formerUntil
    }
}

/// API keys of users, and the keys that tokens are signed with. The operator may hand out any: what a key does, its user's role decides as well.
extension ControlAPI {
    func addKeyRoutes(to router: Router<GatewayContext>) {
        router.get("/keys") { request, context in
            try await answering(context) {
                let query = request.uri.queryParameters
                guard let name = query["user"].map({ String($0) }) else { throw Refusal.invalid("“user” is missing.") }
                let tenant = try await operatorUser(query["tenant"].map { String($0) }, context).tenant
                guard let user = try await queries.userNamed(name, tenant) else { throw Refusal.notFound("user “\(name.cut(64))”") }
                return .json(["keys": .array(try await people.keys(user.id).map { KeyText.written($0, at: now().wall) })])
            }
        }
        router.post("/keys") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: KeyText.memberNames.union(["tenant", "user"]))
                guard let name = try members.string("user") else { throw Refusal.invalid("“user” is missing.") }
                let draft = try KeyText.draft(members)
                let operatorUser = try await operatorUser(try members.string("tenant"), context)
                let user = try await actor(name, operatorUser.tenant)
                let (key, secret) = try await people.createKey(draft, user, nil, record(context, operatorUser, "key.create", draft.name))
                return .json(KeyText.written(key, secret, at: now().wall), status: .created)
            }
        }
        router.post("/keys/:id/rotate") { request, context in
            try await answering(context) {
                let operatorUser = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let id = try KeysAPI.id(context)
                guard let old = try await people.key(id), old.tenant == operatorUser.tenant, old.isGood(at: now().wall),
                    let user = try await people.user(old.user)
                else { throw Refusal.notFound("key \(id.rawValue) that is good") }
                let (key, secret) = try await people.createKey(
                    APIKeyDraft(replacing: old), user, id, record(context, operatorUser, "key.rotate", old.name))
                return .json(KeyText.written(key, secret, at: now().wall), status: .created)
            }
        }
        router.post("/signing-keys/rotate") { request, context in
            try await answering(context) {
                let operatorUser = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let turn = try await turnSigningKeys(record(context, operatorUser, "key.rotate_signing", ""))
                return .json([
                    "kid": .string(turn.signing), "former_kid": .string(turn.former), "former_until": .string(turn.formerUntil.rfc3339),
                ])
            }
        }
        router.delete("/keys/:id") { request, context in
            try await answering(context) {
                let operatorUser = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
                let id = try KeysAPI.id(context)
                try await people.revokeKey(id, nil, operatorUser.tenant, record(context, operatorUser, "key.revoke", "\(id.rawValue)"))
                return Response(status: .noContent)
            }
        }
    }
}
