import Gateway
import MCP
import OAuth

/// A server as the API writes and reads it.
enum ServerText {
    static func written(_ server: ServerRecord, _ condition: ServerCondition?) -> JSONText {
        let health: JSONText =
            switch (condition?.lastFailure, condition?.toolCount) {
            case (.some, _): "failing"
            case (nil, .some): "healthy"
            case (nil, nil): "unknown"
            }
        var members: [(String, JSONText?)] = [
            ("id", .number(server.id.rawValue)), ("alias", .string(server.alias.description)), ("title", .string(server.title)),
            ("description", server.description.map { .string($0) } ?? .null), ("public", .bool(server.isPublic)),
            ("transport", .string(server.transport.name)),
        ]
        switch server.transport {
        case .http(let endpoint): members.append(("endpoint", .string(endpoint)))
        // Arguments and environment may hold what only the operator may see; they stay on the host.
        case .stdio(let command): members += [("command", .string(command.path)), ("shared", .bool(command.isShared))]
        }
        members += [
            ("status", .string(server.status.rawValue)), ("era", .string(server.era.rawValue)),
            ("tags", .array(server.tags.map { .string($0) })), ("revision", condition?.revision.map { .string($0) } ?? .null),
            ("credential", written(server.credential)), ("health", health), ("tools", condition?.toolCount.map { .number($0) } ?? .null),
            ("tools_waiting", condition.map { .number($0.waitingCount) } ?? .null),
            ("last_failure", condition?.lastFailure.map { .string($0) } ?? .null), ("owner_id", .number(server.owner.rawValue)),
            ("created_at", .string(server.createdAt.rfc3339)), ("updated_at", .string(server.updatedAt.rfc3339)),
        ]
        return .object(members)
    }

    /// What may be told of it.
    static func written(_ credential: UpstreamCredential) -> JSONText {
        .object([("mode", .string(credential.mode))] + credential.members.map { ($0.name, .string($0.value)) })
    }

    private static let changeable: Set<String> = ["title", "description", "endpoint", "era", "status", "public", "tags", "credential"]

    /// A registration over HTTP.
    ///
    /// - Throws: `Refusal.invalid` naming the member and what it should be; `Refusal.forbidden` for a stdio server,
    ///   which would let a caller name a program to run.
    static func draft(_ body: [UInt8]) throws(Refusal) -> ServerDraft {
        let members = try Members(body, known: Self.changeable.union(["alias", "transport"]))
        let alias = try members.alias()
        switch try members.string("transport") ?? "http" {
        case "http": break
        case "stdio":
            throw .forbidden(needs: "the operator on the gateway's host: mreg server add \(alias) -- /absolute/path argument …")
        default: throw .invalid("\"transport\" is \"http\".")
        }
        guard let endpoint = try members.endpoint() else { throw .invalid("\"endpoint\" is missing: the server's absolute http or https URL.") }
        let transport = Transport.http(endpoint: endpoint.description)
        let credential = try members.credential(for: transport)
        return ServerDraft(
            alias: alias, title: try members.title() ?? alias.description, description: try members.description()?.value, transport: transport,
            status: try members.status() ?? .active, isPublic: try members.bool("public") ?? false, era: try members.era(over: transport) ?? .auto,
            tags: try members.tags() ?? [],
            credential: credential?.credential ?? .none, secret: credential?.secret)
    }

    /// A change over HTTP: what is not mentioned stays.
    ///
    /// - Returns: the record, and what a new credential keeps to itself.
    static func change(_ body: [UInt8], of server: ServerRecord) throws(Refusal) -> (ServerRecord, Secret<String>?) {
        let members = try Members(body, known: Self.changeable)
        var changed = server
        if let title = try members.title() { changed.title = title }
        if let description = try members.description() { changed.description = description.value }
        if let isPublic = try members.bool("public") { changed.isPublic = isPublic }
        if let era = try members.era(over: server.transport) { changed.era = era }
        if let status = try members.status() { changed.status = status }
        if let tags = try members.tags() { changed.tags = tags }
        if let endpoint = try members.endpoint() {
            guard case .http = server.transport else { throw .invalid("A stdio server has no \"endpoint\".") }
            changed.transport = .http(endpoint: endpoint.description)
        }
        let credential = try members.credential(for: changed.transport)
        if let credential { changed.credential = credential.credential }
        guard credential != nil || changed.credential.places(of: changed) == changed.credential.places(of: server) else {
            throw .invalid("What the server is shown was given for another place: give \"credential\" again with the new \"endpoint\".")
        }
        return (changed, credential?.secret)
    }
}
