import Discovery
import Gateway
import Hummingbird
import MCP

/// Server cards (SEP-2127), each beside the endpoint it is about, and the catalogue that says where they are. They are hints for
/// who looks around; clients are not to trust them, and nothing here stands in for signing in.
struct CardsAPI: Sendable {
    let servers: PublicServers
    let gateway: Implementation

    private static let cardType = "application/mcp-server-card+json"
    private static let freshFor = 300

    func addRoutes(to router: Router<GatewayContext>) {
        router.get("/mcp/server-card") { request, context in
            answer(request, context, Self.cardType) { $0.gatewayCard(gateway) }
        }
        router.get("/servers/{alias}/mcp/server-card") { request, context in
            answer(request, context, Self.cardType) { ServerAlias(context.parameters.get("alias") ?? "").flatMap($0.card) }
        }
        router.get("/.well-known/ai-catalog.json") { request, context in
            answer(request, context, "application/ai-catalog+json") { $0.aiCatalog(gateway) }
        }
    }

    private func answer(_ request: Request, _ context: GatewayContext, _ type: String, _ find: (RegistryIndex) -> JSONText?) -> Response {
        guard let index = servers.index else {
            return .problem(.overloaded("The gateway is starting.", retryAfter: .seconds(1)), requestID: context.requestID)
        }
        // A server that is not public is not there at all.
        guard let text = find(index) else {
            // Clients ask for cards wherever there is an endpoint.
            context.conduct.blame = .nobody
            return .problem(.notFound("public server of that alias"), requestID: context.requestID)
        }
        return PublicDocument.answer(request, text, type: type, for: Self.freshFor)
    }
}
