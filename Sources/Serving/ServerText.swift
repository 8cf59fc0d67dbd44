import Gateway
import MCP
import OAuth

/// A server as the API writes and reads it.
enum ServerText {
    /// - Parameter showsPlaces: whether the reader may know where it is. A URL may hold what only its owner is to see.
    static func written(_ server: ServerRecord, _ condition: ServerCondition?, showsPlaces: Bool = true) -> JSONText {
        var members: [(String, JSONText?)] = [
            ("id", .number(server.id.rawValue)), ("alias", .string(server.alias.description)), ("title", .string(server.title)),
            ("description", server.description.map { .string($0) } ?? .null), ("public", .bool(server.isPublic)),
            ("transport", .string(server.transport.name)),
        ]
        switch server.transport {
        case .http where !showsPlaces: break
        case .http(let endpoint):
            members += [
                ("endpoint", .string(endpoint)), ("weight", .number(server.weight)), ("replicas", written(server, condition?.replicas ?? [])),
                ("strategy", .string(server.strategy.rawValue)),
            ]
        // Arguments and environment may hold what only the operator may see; they stay on the host.
        case .stdio(let command):
            members += [
                ("command", .string(command.path)), ("shared", .bool(command.isShared)),
                ("secret_environment", .array(command.sealedNames.map { .string($0) })),
            ]
        }
        members += [
            ("status", .string(server.status.rawValue)), ("era", .string(server.era.rawValue)),
            ("tags", .array(server.tags.map { .string($0) })), ("questions", .array(server.questions.names.map { .string($0) })),
            ("revision", condition?.revision.map { .string($0) } ?? .null),
            ("credential", written(server.credential)), ("health", .string(word(condition))),
            ("tools", condition?.toolCount.map { .number($0) } ?? .null),
            ("tools_waiting", condition.map { .number($0.waitingCount) } ?? .null),
            ("cut_lists", cuts(condition)), ("last_failure", condition?.lastFailure.map { .string($0) } ?? .null),
            ("owner_id", .number(server.owner.rawValue)),
            ("created_at", .string(server.createdAt.rfc3339)), ("updated_at", .string(server.updatedAt.rfc3339)),
        ]
        return .object(members)
    }

    private static func cuts(_ condition: ServerCondition?) -> JSONText { .array((condition?.cuts ?? []).map { .string($0) }) }

    private static func word(_ condition: ServerCondition?) -> String {
        switch (condition?.lastFailure, condition?.toolCount) {
        case (.some, _): condition?.isResting ?? false ? "resting" : "failing"
        case (nil, .some): "healthy"
        case (nil, nil): "unknown"
        }
    }

    /// All its endpoints, the first one first; of a server that is not active nothing is known but where they are.
    private static func written(_ server: ServerRecord, _ conditions: [EndpointCondition]) -> JSONText {
        if !conditions.isEmpty { return .array(conditions.map(written)) }
        let first = server.transport.httpEndpoint.map { [ServerReplica(endpoint: $0.description, weight: server.weight)] } ?? []
        return .array((first + server.replicas).map { ["endpoint": .string($0.endpoint), "weight": .number($0.weight), "state": .null] })
    }

    /// What somebody who looks after servers wants to know of one.
    static func health(_ server: ServerRecord, _ condition: ServerCondition?) -> JSONText {
        [
            "id": .number(server.id.rawValue), "alias": .string(server.alias.description), "transport": .string(server.transport.name),
            "status": .string(server.status.rawValue), "health": .string(word(condition)),
            "revision": condition?.revision.map { .string($0) } ?? .null,
            "tools": condition?.toolCount.map { .number($0) } ?? .null,
            "cut_lists": cuts(condition), "last_failure": condition?.lastFailure.map { .string($0) } ?? .null,
            "strategy": .string(server.strategy.rawValue),
            "replicas": written(server, condition?.replicas ?? []),
        ]
    }

    static func written(_ condition: EndpointCondition) -> JSONText {
        [
            "endpoint": .string(condition.endpoint), "weight": .number(condition.weight), "state": .string(condition.state),
            "faults_in_row": .number(condition.faultsInRow), "last_fault": condition.lastFault.map { .string($0) } ?? .null,
            "last_fault_at": condition.lastFaultAt.map { .string($0.rfc3339) } ?? .null,
            "opened_at": condition.openedAt.map { .string($0.rfc3339) } ?? .null, "under_way": .number(condition.underWay),
            "conversations": .number(condition.conversations),
        ]
    }

    static func written(_ output: ProcessOutput) -> JSONText {
        [
            "user_id": output.user.map { .number($0.rawValue) } ?? .null, "started_at": .string(output.startedAt.rfc3339),
            "stderr": .string(output.text),
        ]
    }

    /// What may be told of it.
    static func written(_ credential: UpstreamCredential) -> JSONText {
        .object([("mode", .string(credential.mode))] + credential.members.map { ($0.name, .string($0.value)) })
    }

    private static let changeable: Set<String> = [
        "title", "description", "endpoint", "era", "status", "public", "tags", "credential", "weight", "replicas", "strategy", "questions",
    ]

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
            weight: try weight(members, beside: transport) ?? 1, replicas: try replicas(members, beside: transport) ?? [],
            strategy: try members.strategy() ?? .roundRobin,
            status: try members.status() ?? .active, isPublic: try members.bool("public") ?? false, era: try members.era(over: transport) ?? .auto,
            tags: try members.tags() ?? [],
            credential: credential?.credential ?? .none, questions: try members.questions() ?? .everything, secret: credential?.secret)
    }

    static func weight(_ members: Members, beside transport: Transport) throws(Refusal) -> Int? {
        guard let weight = try members.weight() else { return nil }
        guard case .http = transport else { throw .invalid("A stdio server has no \"weight\".") }
        return weight
    }

    static func replicas(_ members: Members, beside transport: Transport) throws(Refusal) -> [ServerReplica]? {
        guard let replicas = try members.replicas() else { return nil }
        try check(replicas, beside: transport)
        return replicas
    }

    private static func check(_ replicas: [ServerReplica], beside transport: Transport) throws(Refusal) {
        guard !replicas.isEmpty else { return }
        guard let first = transport.httpEndpoint else { throw .invalid("A stdio server has no \"replicas\".") }
        guard Set(replicas.map(\.endpoint) + [first.description]).count == replicas.count + 1 else {
            throw .invalid("Each of the server's endpoints is named once.")
        }
    }

    /// A change over HTTP: what is not mentioned stays.
    ///
    /// - Throws: `Refusal.invalid` naming the member and what it should be; `Refusal.forbidden` for a variable that the operator did
    ///   not name: some of them have a program run others.
    static func change(_ body: [UInt8], of server: ServerRecord) throws(Refusal) -> ServerChange {
        let members = try Members(body, known: Self.changeable.union(["secret_environment"]))
        var changed = server
        if let title = try members.title() { changed.title = title }
        if let description = try members.description() { changed.description = description.value }
        if let isPublic = try members.bool("public") { changed.isPublic = isPublic }
        if let era = try members.era(over: server.transport) { changed.era = era }
        if let status = try members.status() { changed.status = status }
        if let tags = try members.tags() { changed.tags = tags }
        if let questions = try members.questions() { changed.questions = questions }
        if let endpoint = try members.endpoint() {
            guard case .http = server.transport else { throw .invalid("A stdio server has no \"endpoint\".") }
            changed.transport = .http(endpoint: endpoint.description)
        }
        let sealed = try members.sealedChanges()
        let held = changed.transport.sealedNames
        let added = sealed.filter { $0.value != nil && !held.contains($0.key) }.keys.min()
        if case .stdio = changed.transport, let stranger = added {
            throw .forbidden(
                needs: "the operator on the gateway's host, to name a variable: mreg server secret \(server.alias) \(stranger.cut(64))=FILE")
        }
        try seal(sealed, in: &changed)
        if let weight = try weight(members, beside: changed.transport) { changed.weight = weight }
        if let replicas = try replicas(members, beside: changed.transport) { changed.replicas = replicas }
        if let strategy = try members.strategy() { changed.strategy = strategy }
        try check(changed.replicas, beside: changed.transport)
        let credential = try members.credential(for: changed.transport)
        if let credential { changed.credential = credential.credential }
        guard credential != nil || changed.credential.places(of: changed) == changed.credential.places(of: server) else {
            throw .invalid(
                "What the server is shown was given for another place: give \"credential\" again with the new \"endpoint\" or \"replicas\".")
        }
        return ServerChange(changed, secret: credential?.secret, sealedEnvironment: sealed)
    }

    /// Has a program have other sealed variables.
    static func seal(_ changes: [String: Secret<String>?], in server: inout ServerRecord) throws(Refusal) {
        guard !changes.isEmpty else { return }
        guard case .stdio(let command) = server.transport else { throw .invalid("Only a program has a \"secret_environment\".") }
        if let twice = changes.keys.first(where: { command.environment[$0] != nil }) {
            throw .invalid("The variable \(twice.cut(64)) is there already.")
        }
        var names = Set(command.sealedNames)
        for (name, value) in changes {
            if value != nil {
                names.insert(name)
            } else if names.remove(name) == nil {
                throw .invalid("There is no sealed variable \(name.cut(64)).")
            }
        }
        guard names.count <= StdioCommand.mostSealed else { throw .invalid("A program has at most \(StdioCommand.mostSealed) sealed variables.") }
        server.transport = .stdio(command.sealing(names))
    }
}
