import Gateway
import Hummingbird
import Identity
import MCP

/// What a client reads before it has a token.
struct WellKnown: Sendable {
    let origin: @Sendable () -> Origin
    let keys: TokenKeys

    func addRoutes(to router: Router<GatewayContext>) {
        for resource in [Resource.mcp, .api] {
            router.get(RouterPath(ProtectedResourceMetadata.path(resource))) { _, _ in document(resource) }
        }
        // The same for every alias there can be, so that it tells nothing of those there are.
        router.get("/.well-known/oauth-protected-resource/servers/:alias/mcp") { _, context -> Response in
            guard let alias = context.parameters.get("alias").flatMap({ ServerAlias($0) }) else {
                return .problem(.notFound, code: "not_found", "That is no server's alias.", requestID: context.requestID)
            }
            return document(.server(alias))
        }
        // The root form serves the endpoint most clients mean.
        router.get("/.well-known/oauth-protected-resource") { _, _ in document(.mcp) }
        router.get("/oauth/jwks.json") { _, _ in
            let published = keys.published.map { key in JSONText.object(key.publicMembers.map { ($0.name, .string($0.value)) }) }
            return Self.publicDocument(["keys": .array(published)])
        }
    }

    private func document(_ resource: Resource) -> Response {
        let metadata = ProtectedResourceMetadata(resource, at: origin())
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
