import Gateway
import Hummingbird
import Identity
import MCP
import OAuth

/// Clients: those that the operator makes, and the end of any.
extension ControlAPI {
    private static let mostClients = 10_000
    private static let clientMembers: Set<String> = ["tenant", "name", "user", "scopes", "redirect_uris", "auth", "jwks", "jwks_uri"]

    func addClientRoutes(to router: Router<GatewayContext>) {
        router.get("/clients") { _, context in
            try await answering(context) {
                let clients = try await people.clients(Self.mostClients)
                var names: [UserID: String] = [:]
                for id in Set(clients.compactMap(\.user)) { names[id] = try await people.user(id)?.name }
                let written = clients.map { client -> JSONText in
                    .object(PeopleAPI.members(client) + [("acts_as", client.user.flatMap { names[$0] }.map { .string($0) } ?? .null)])
                }
                return .json(["clients": .array(written)])
            }
        }
        router.post("/clients") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: Self.clientMembers)
                let operatorUser = try await operatorUser(try members.string("tenant"), context)
                var user: User?
                if let name = try members.string("user") { user = try await actor(name, operatorUser.tenant) }
                let metadata = try Self.metadata(members, actsByItself: user != nil)
                let client = OperatorClient(metadata, user: user?.id, at: now().wall)
                try await people.storeClient(client.record, record(context, operatorUser, "client.create", "\(metadata.name) \(client.record.id)"))
                return .json(Self.written(client, metadata, user), status: .created)
            }
        }
        // An id can be longer than a path should be.
        router.post("/clients/revoke") { request, context in
            try await answering(context) {
                let (operatorUser, id, _) = try await asked(request, context)
                try await people.revokeClient(id, record(context, operatorUser, "client.revoke", id))
                return Response(status: .noContent)
            }
        }
        router.post("/clients/rotate") { request, context in
            try await answering(context) {
                let (operatorUser, id, isAtOnce) = try await asked(request, context)
                guard let known = try await people.client(id), known.kind == .operator else {
                    throw Refusal.notFound("client “\(id.cut(64))” of the operator's")
                }
                let client = try OperatorClient(renewing: known, overlap: isAtOnce ? .zero : OperatorClient.overlap, at: now().wall)
                try await people.storeClient(client.record, record(context, operatorUser, "client.rotate", "\(known.name) \(id)"))
                return .json(
                    .object([
                        ("client_id", .string(id)), ("client_secret", client.secret.map { .string($0.revealed) }), ("name", .string(known.name)),
                        ("former_secret_until", client.record.formerSecret.map { .string($0.goodUntil.rfc3339) } ?? .null),
                    ]))
            }
        }
    }

    private func asked(_ request: Request, _ context: GatewayContext) async throws -> (operatorUser: User, id: String, isAtOnce: Bool) {
        let members = try Members(try await request.wholeBody(), known: ["tenant", "client_id", "at_once"])
        guard let id = try members.string("client_id", longest: ClientID.longest) else { throw Refusal.invalid("“client_id” is missing.") }
        return (try await operatorUser(try members.string("tenant"), context), id, try members.bool("at_once") ?? false)
    }

    /// With redirect URIs it can ask users for what it needs, with a user it acts by itself; it does one of them at least.
    private static func metadata(_ members: Members, actsByItself: Bool) throws(Refusal) -> ClientMetadata {
        guard let name = try members.string("name", longest: ClientMetadata.longestName) else { throw .invalid("“name” is missing.") }
        let texts = try members.strings("redirect_uris", most: ClientMetadata.mostRedirectURIs, longest: RedirectURI.longest) ?? []
        guard actsByItself || !texts.isEmpty else {
            throw .invalid("Name the user that it acts as by itself, or a redirect URI at which users send it to what they allow, or both.")
        }
        let keys = try keys(members)
        let text = try members.string("auth") ?? (keys == nil ? ClientAuthentication.clientSecretBasic : .privateKeyJWT).rawValue
        guard let authentication = ClientAuthentication(rawValue: text) else {
            throw .invalid("“auth” is one of client_secret_basic, client_secret_post, private_key_jwt, none.")
        }
        do throws(OAuthError) {
            var uris: [RedirectURI] = []
            for text in texts { uris.append(try RedirectURI(text)) }
            return try ClientMetadata(
                name: name, redirectURIs: uris, applicationType: ClientMetadata.guessType(uris), authentication: authentication,
                grantTypes: (uris.isEmpty ? [] : [.authorizationCode, .refreshToken]) + (actsByItself ? [.clientCredentials] : []),
                scopes: ScopeList(try scopes(members)), keys: keys)
        } catch {
            throw .invalid(error.sentence)
        }
    }

    private static func scopes(_ members: Members) throws(OAuthError) -> [String] {
        do throws(Refusal) { return try KeyText.scopes(members)?.names ?? [] } catch { throw OAuthError(.invalidScope, error.sentence) }
    }

    private static func keys(_ members: Members) throws(Refusal) -> ClientKeys? {
        let set = try members.string("jwks", longest: ClientKeys.longestKeySet)
        let uri = try members.string("jwks_uri", longest: 512)
        guard set == nil || uri == nil else { throw .invalid("Its keys are in a file or at an address, not both.") }
        return set.map { .inline($0) } ?? uri.map { .published(at: $0) }
    }

    /// As RFC 7591, section 3.2.1 names what is registered; the secret is shown here and nowhere else.
    private static func written(_ client: OperatorClient, _ metadata: ClientMetadata, _ user: User?) -> JSONText {
        .object([
            ("client_id", .string(client.record.id)), ("client_secret", client.secret.map { .string($0.revealed) }), ("name", .string(metadata.name)),
            ("user", user.map { .string($0.name) }), ("scopes", .array(metadata.scopes.names.map { .string($0) })),
            ("redirect_uris", .array(metadata.redirectURIs.map { .string($0.text) })),
            ("grant_types", .array(metadata.grantTypes.map { .string($0.rawValue) })),
            ("token_endpoint_auth_method", .string(metadata.authentication.rawValue)),
        ])
    }
}
