import Gateway
import MCP

/// How conversations with one server come about.
struct LinkMaking: Sendable {
    let server: ServerRecord
    let surroundings: UpstreamSurroundings
    let verdict: EraVerdict
    let errands: Errands
    let listenings: Listenings
    let strays: Strays
    let replicas: Replicas
    let diaries: Diaries
    let crashes: Crashes

    func link(for owner: Conversations.Owner, declaring capabilities: ClientCapabilities) -> Link {
        let surroundings = surroundings
        let hear: @Sendable (UpstreamNotice) -> Void = { [listenings] in listenings.take($0, from: owner) }
        let onOpen: @Sendable (Link.Opened) -> Void = { [listenings] in listenings.opened($0) }
        let onGap: @Sendable () -> Void = { [listenings, verdict] in listenings.missed(by: owner, announced: verdict.offer?.announced ?? []) }
        switch server.transport {
        case .http:
            let credential = credential(for: owner)
            let parts = Link.Parts(
                client: surroundings.client, verdict: verdict, credential: credential, errands: errands,
                board: { [strays] in Switchboard(user: owner.user, strays: strays, notice: hear) },
                transport: { [errands, replicas] board, avoided throws(UpstreamFailure) in
                    StreamableHTTP(
                        try Berth(replicas, for: owner.user, avoiding: avoided), connections: surroundings.connections, credential: credential,
                        board: board, bound: surroundings.chatter, errands: errands)
                },
                sse: { [errands] board, other throws(UpstreamFailure) in
                    guard let other = other as? StreamableHTTP else { throw .unreachable("it is reached in no other way") }
                    return HTTPWithSSE(
                        other.berth, connections: surroundings.connections, credential: credential, board: board, bound: surroundings.chatter,
                        errands: errands)
                }, hasOther: { [replicas] in replicas.hasOther(than: $0) }, ears: listenings.ears, onOpen: onOpen, onGap: onGap)
            return Link(declaring: capabilities, parts)
        case .stdio(let command):
            let restarts = Restarts()
            let parts = Link.Parts(
                client: surroundings.client, verdict: verdict, errands: errands,
                board: { [strays] in Switchboard(isShared: command.isShared, user: owner.user, strays: strays, notice: hear) },
                transport: { [server, diaries, crashes] board, _ throws(UpstreamFailure) in
                    try crashes.admit()
                    let sealed = try Self.sealed(command, of: server, surroundings)
                    try restarts.admit(after: crashes.wakes)
                    let process = StdioProcess(
                        command, environment: surroundings.environment, sealed: sealed,
                        diary: diaries.begin(of: owner.user, hiding: Diary.secrets(command.environment, sealed), at: surroundings.now().wall),
                        loop: surroundings.connections.loop, logger: surroundings.logger, board: board,
                        bound: surroundings.chatter
                    ) { end in
                        restarts.ended(isFault: end.isFlood)
                        crashes.ended(end)
                    }
                    crashes.started()
                    try surroundings.keeper.keep(process)
                    return process
                }, ears: listenings.ears, onOpen: onOpen, onGap: onGap)
            return Link(declaring: capabilities, parts)
        }
    }

    private static func sealed(
        _ command: StdioCommand, of server: ServerRecord, _ surroundings: UpstreamSurroundings
    ) throws(UpstreamFailure) -> [String: Secret<String>] {
        guard !command.sealedNames.isEmpty else { return [:] }
        guard let values = try? surroundings.sealedEnvironment(server.id), command.sealedNames.allSatisfy({ values[$0] != nil }) else {
            throw .unreachable(
                "the values of its sealed variables (\(command.sealedNames.joined(separator: ", "))) cannot be had; give them again: mreg server secret"
            )
        }
        return values.filter { command.sealedNames.contains($0.key) }
    }

    private func credential(for owner: Conversations.Owner) -> OwnCredential? {
        guard server.credential != .none else { return nil }
        return OwnCredential(server: server, user: server.credential.isPersonal ? owner.user : nil, credentials: surroundings.credentials)
    }
}
