import Gateway
import Hummingbird
import Identity
import MCP

/// What a client reads before it has a token.
struct WellKnown: Sendable {
    let origin: @Sendable () -> Origin
    let keys: TokenKeys

    func addRoutes(to router: Router<GatewayContext>) {
        for resource in Resource.allCases {
            router.get(RouterPath(ProtectedResourceMetadata.path(resource))) { _, _ in document(resource) }
        }
        // The same for every alias that could be one, so that it tells nothing of which there are.
        router.get("/.well-known/oauth-protected-resource/servers/{alias}/mcp") { _, context in
            guard let alias = ServerAlias(context.parameters.get("alias") ?? "") else { throw HTTPError(.notFound) }
            return document(ProtectedResourceMetadata(of: alias, at: origin()))
        }
        // The root form serves the endpoint most clients mean.
        router.get("/.well-known/oauth-protected-resource") { _, _ in document(.mcp) }
        router.get("/oauth/jwks.json") { _, _ in
            let published = keys.published.map { key in JSONText.object(key.publicMembers.map { ($0.name, .string($0.value)) }) }
            return Self.publicDocument(["keys": .array(published)])
        }
    }

    private func document(_ resource: Resource) -> Response { document(ProtectedResourceMetadata(resource, at: origin())) }

    private func document(_ metadata: ProtectedResourceMetadata) -> Response {
        return Self.publicDocument([
            "resource": .string(metadata.resource), "authorization_servers": .array(metadata.authorizationServers.map { .string($0) }),
            "scopes_supported": .array(metadata.scopes.map { .string($0) }), "bearer_methods_supported": ["header"],
            "resource_name": .string(metadata.name),
        ])
    }

    private static func publicDocument(_ text: JSONText) -> Response {
        .json(text, headers: [.cacheControl: "public, max-age=300", .accessControlAllowOrigin: "*"])
    }
}
