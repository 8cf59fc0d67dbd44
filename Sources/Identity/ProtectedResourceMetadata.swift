package import Gateway

/// What a client is told of a resource before it has a token (RFC 9728).
package struct ProtectedResourceMetadata: Hashable, Sendable {
    package let resource: String
    package let authorizationServers: [String]
    package let name: String
    package let scopes: [String]

    package init(_ resource: Resource, at origin: Origin) {
        self.resource = resource.uri(at: origin)
        authorizationServers = [origin.description]
        scopes = resource.scopes.names
        switch resource {
        case .mcp: name = "MCP Registry Gateway"
        case .api: name = "MCP Registry Gateway administration"
        }
    }

    /// Of the endpoint of one server.
    package init(of server: ServerAlias, at origin: Origin) {
        resource = "\(origin)/servers/\(server)/mcp"
        authorizationServers = [origin.description]
        scopes = Resource.mcp.scopes.names
        name = "\(server) behind MCP Registry Gateway"
    }

    /// Where the document of a resource is served: the well-known part goes before the path.
    package static func path(_ resource: Resource) -> String { "/.well-known/oauth-protected-resource" + resource.path }
}

/// The `WWW-Authenticate` value of a 401 or 403 (RFC 6750, section 3; RFC 9728, section 5.1).
package struct Challenge: Hashable, Sendable, CustomStringConvertible {
    package let description: String

    /// - Parameter refusal: an error is named only to a caller who presented something.
    package init(_ refusal: Refusal, for resource: Resource, at origin: Origin) {
        var parts = ["resource_metadata=\"\(origin)\(ProtectedResourceMetadata.path(resource))\""]
        let scopes = if case .insufficientScope(let scopes) = refusal { scopes } else { resource.scopes }
        switch refusal {
        case .unauthenticated(.missing): parts += ["scope=\"\(scopes.names.joined(separator: " "))\""]
        // No other token would help.
        case .forbidden: break
        case .insufficientScope:
            parts += [
                "error=\"insufficient_scope\"", "scope=\"\(scopes.names.joined(separator: " "))\"", "error_description=\"\(refusal.sentence)\"",
            ]
        default:
            parts += ["scope=\"\(scopes.names.joined(separator: " "))\""]
            parts += ["error=\"invalid_token\"", "error_description=\"\(refusal.sentence)\""]
        }
        description = "Bearer " + parts.joined(separator: ", ")
    }
}
