package import Gateway
package import MCP

package enum UpstreamNotice: Sendable {
    case listChanged(ListKind)
    case resourceUpdated(uri: String, user: UserID?)
    case elicitationComplete(id: String)
}

extension Upstream {
    package func list(_ kind: ListKind) async throws -> [JSON] { kind == .tools ? try await tools() : [] }
    package func offer() async throws -> ServerOffer {
        var offer = ServerOffer()
        offer.kinds = [.tools]
        return offer
    }
    package var knownOffer: ServerOffer? { nil }
    package func listen(_ isWanted: Bool) async {}
    package func subscribe(_ uri: String, for principal: Principal) async throws {}
    package func unsubscribe(_ uri: String, for principal: Principal) async {}
}

extension UpstreamCall {
    package func answer(_ id: MessageID, _ result: Result<JSONText, ProtocolError>) async {}
}
