import MCP

extension Link.Opened {
    /// Beside every message of the handshake era.
    var headers: [(String, String)] { headers(method: "", name: nil) }

    func headers(method: String, name: String?) -> [(String, String)] {
        revision.era == .modern ? ModernRequest.headers(method: method, name: name) : Self.headers(revision, session)
    }

    static func headers(_ revision: Revision, _ session: String?) -> [(String, String)] {
        guard revision.era == .legacy else { return [] }
        return [("MCP-Protocol-Version", revision.rawValue)] + (session.map { [("Mcp-Session-Id", $0)] } ?? [])
    }

    func close() {
        ear.close()
        transport.close()
    }

    /// Asks something in the gateway's own name.
    func ask(_ method: String, _ params: [(String, JSONText?)], as client: Implementation, patience: Exchange.Patience = .handshake) async throws
        -> Result<JSON, ProtocolError>
    {
        let exchange = transport.exchange(patience: patience)
        try await send(method, params, as: client, on: exchange)
        return try await exchange.response()
    }

    /// - Parameters:
    ///   - avoided: replicas it does not go to if there is another.
    ///   - preferred: the replica it goes to if that may be asked.
    func send(
        _ method: String, _ params: [(String, JSONText?)], as client: Implementation, on exchange: Exchange, avoiding avoided: Set<Int> = [],
        preferring preferred: Int? = nil
    ) async throws {
        let meta = revision.era == .modern ? JSONText.object(ModernRequest.envelope(client: client)) : nil
        let body = Message.request(id: MessageID(exchange.id), method: method, params: .object(params + [("_meta", meta)]))
        let outbound = Outbound(body: body, headers: headers(method: method, name: nil), avoiding: avoided, preferred: preferred)
        try await transport.send(outbound, on: exchange, onSession: nil)
    }
}
