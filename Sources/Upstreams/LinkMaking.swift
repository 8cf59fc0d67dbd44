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

    func link(for owner: Conversations.Owner, declaring capabilities: ClientCapabilities) -> Link {
        let surroundings = surroundings
        let hear: @Sendable (UpstreamNotice) -> Void = { [listenings] in listenings.take($0, from: owner) }
        let onOpen: @Sendable (Link.Opened) -> Void = { [listenings] in listenings.opened($0) }
        let onGap: @Sendable () -> Void = { [listenings, verdict] in listenings.missed(by: owner, announced: verdict.offer?.announced ?? []) }
        switch server.transport {
        case .http(let text):
            let credential = credential(for: owner)
            let endpoint: @Sendable () throws(UpstreamFailure) -> Endpoint = { () throws(UpstreamFailure) in
                guard let endpoint = Endpoint(text) else { throw .unreachable("its URL is not usable") }
                return endpoint
            }
            let parts = Link.Parts(
                client: surroundings.client, verdict: verdict, credential: credential, errands: errands,
                board: { [strays] in Switchboard(user: owner.user, strays: strays, notice: hear) },
                transport: { [errands] board throws(UpstreamFailure) in
                    StreamableHTTP(
                        endpoint: try endpoint(), connections: surroundings.connections, credential: credential, board: board, errands: errands)
                },
                sse: { [errands] board throws(UpstreamFailure) in
                    HTTPWithSSE(
                        endpoint: try endpoint(), connections: surroundings.connections, credential: credential, board: board, errands: errands)
                }, ears: listenings.ears, onOpen: onOpen, onGap: onGap)
            return Link(declaring: capabilities, parts)
        case .stdio(let command):
            let restarts = Restarts()
            let parts = Link.Parts(
                client: surroundings.client, verdict: verdict, errands: errands,
                board: { [strays] in Switchboard(isShared: command.isShared, user: owner.user, strays: strays, notice: hear) },
                transport: { board throws(UpstreamFailure) in
                    try restarts.admit()
                    let process = StdioProcess(
                        command, environment: surroundings.environment, loop: surroundings.connections.loop, logger: surroundings.logger, board: board
                    ) { restarts.ended() }
                    try surroundings.keeper.keep(process)
                    return process
                }, ears: listenings.ears, onOpen: onOpen, onGap: onGap)
            return Link(declaring: capabilities, parts)
        }
    }

    private func credential(for owner: Conversations.Owner) -> OwnCredential? {
        guard server.credential != .none else { return nil }
        return OwnCredential(server: server, user: server.credential.isPersonal ? owner.user : nil, credentials: surroundings.credentials)
    }
}
