import Gateway
import Hummingbird
import MCP
import OAuth

/// Users: who there is, what they are, and what they may do no longer.
extension ControlAPI {
    private static let usersInPage = 1000

    func addUserRoutes(to router: Router<GatewayContext>) {
        router.get("/users") { request, context in
            try await answering(context) {
                let query = request.uri.queryParameters
                let tenant = try await operatorUser(query["tenant"].map { String($0) }, context).tenant
                let profiles = try await people.profiles(tenant, query["after"].map { String($0) } ?? "", Self.usersInPage)
                let next = profiles.count == Self.usersInPage ? profiles.last?.user.name : nil
                return .json(["users": .array(profiles.map { .object(Self.members($0)) }), "next": next.map { .string($0) } ?? .null])
            }
        }
        router.post("/users") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ["tenant", "name", "role"])
                guard let name = try members.string("name") else { throw Refusal.invalid("“name” is missing.") }
                let role = try Self.role(try members.string("role") ?? "user")
                let operatorUser = try await operatorUser(try members.string("tenant"), context)
                guard try await queries.userNamed(name, operatorUser.tenant) == nil else {
                    throw Refusal.conflict("There is a user “\(name)” already: mreg user show.")
                }
                let user = try await ensureUser(name, role, operatorUser.tenant, record(context, operatorUser, "user.create", name))
                return .json(["user": .string(user.name), "id": .number(user.id.rawValue), "role": .string(user.role.rawValue)], status: .created)
            }
        }
        router.get("/users/:user") { request, context in
            try await answering(context) {
                let (_, user) = try await named(request, context)
                guard let profile = try await people.profile(user.id) else { throw Refusal.notFound("user “\(user.name)”") }
                let moment = now().wall
                let clients = try await people.allowedClients(user.id, moment)
                let keys = try await people.keys(user.id).count { $0.isGood(at: moment) }
                return .json(.object(Self.members(profile) + [("keys", .number(keys)), ("clients", .array(clients.map(Self.written)))]))
            }
        }
        router.post("/users/:user/role") { request, context in
            try await answering(context) {
                let members = try Members(try await request.wholeBody(), known: ["role"])
                guard let text = try members.string("role") else { throw Refusal.invalid("“role” is missing.") }
                let role = try Self.role(text)
                let (operatorUser, user) = try await named(request, context)
                let record = record(context, operatorUser, "user.role", "\(user.name) \(role.rawValue)")
                return .json(Self.written(try await people.setRole(role, user.id, record)))
            }
        }
        for (path, isDisabled) in [("disable", true), ("enable", false)] {
            router.post(RouterPath("/users/:user/\(path)")) { request, context in
                try await answering(context) {
                    let (operatorUser, user) = try await named(request, context)
                    return .json(
                        Self.written(try await people.setDisabled(isDisabled, user.id, record(context, operatorUser, "user.\(path)", user.name))))
                }
            }
        }
    }

    /// The user that a path names, in the tenant that the query names, and who acts on them.
    private func named(_ request: Request, _ context: GatewayContext) async throws -> (operatorUser: User, user: User) {
        let operatorUser = try await operatorUser(request.uri.queryParameters["tenant"].map { String($0) }, context)
        return (operatorUser, try await queries.user(context.parameters.get("user"), in: operatorUser.tenant))
    }

    /// The user of that name, who must be there, and must not be disabled: something is to be made that acts as them.
    func actor(_ name: String, _ tenant: TenantID) async throws -> User {
        guard let user = try await queries.userNamed(name, tenant) else {
            throw Refusal.invalid(
                "There is no user “\(name.cut(64))”. People are users from their first sign-in; make one for a program: mreg user add NAME.")
        }
        guard user.disabledAt == nil else { throw Refusal.conflict("The user “\(name.cut(64))” is disabled: mreg user enable NAME.") }
        return user
    }

    static func role(_ text: String) throws(Refusal) -> Role {
        guard let role = Role(rawValue: text), role != .anonymous else { throw .invalid("“role” is one of user, server_owner, admin, auditor.") }
        return role
    }

    private static func written(_ user: User) -> JSONText { .object(members(user)) }

    private static func members(_ user: User) -> [(String, JSONText?)] {
        [
            ("user", .string(user.name)), ("id", .number(user.id.rawValue)), ("role", .string(user.role.rawValue)),
            ("disabled_at", user.disabledAt.map { .string($0.rfc3339) } ?? .null),
        ]
    }

    private static func members(_ profile: UserProfile) -> [(String, JSONText?)] {
        let identity = profile.identity.map { identity -> JSONText in
            ["issuer": .string(identity.issuer), "subject": .string(identity.subject), "display_name": .string(identity.displayName)]
        }
        return members(profile.user) + [
            ("role_from", .string(profile.roleSource.rawValue)), ("identity", identity ?? .null), ("created_at", .string(profile.createdAt.rfc3339)),
            ("signed_in_at", profile.signedInAt.map { .string($0.rfc3339) } ?? .null),
        ]
    }

    private static func written(_ client: AllowedClient) -> JSONText {
        [
            "client_id": .string(client.id), "name": .string(client.name), "since": .string(client.since.rfc3339),
            "last_at": .string(client.lastAt.rfc3339), "sign_ins": .number(client.signIns),
        ]
    }
}
