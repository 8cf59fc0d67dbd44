import Access
package import Forwarding
package import Gateway
import Hummingbird
import MCP

/// What a caller may use of what servers offer: live, the catalogue and the rule book together; in a test, literals.
package struct DiscoveryDesk: Sendable {
    /// In the order of their names.
    package var tools: @Sendable (Principal) async throws -> [OfferedTool]
    package var resources: @Sendable (Principal) async throws -> [OfferedResource]

    package init(
        tools: @escaping @Sendable (Principal) async throws -> [OfferedTool],
        resources: @escaping @Sendable (Principal) async throws -> [OfferedResource]
    ) {
        self.tools = tools
        self.resources = resources
    }
}

/// `/api/v1/discovery`: the same that MCP's lists show, for programs that do not speak it.
struct DiscoveryAPI: Sendable {
    let desk: DiscoveryDesk
    let policy: Policy
    let signedIn: SignedIn

    private static let pageLength = 100
    private static let longestName = 512
    private static let longestURI = 2048

    func addRoutes(to router: Router<GatewayContext>) {
        router.get("/api/v1/discovery/tools") { request, context in
            try await answering(request, context, "discovery.tools") { principal in
                let wanted = try names(request, "tools")
                let found = try await desk.tools(principal).filter { wanted?.contains($0.name) ?? true }
                return try page(request, found, "tools", longest: Self.longestName, by: \.name) { tool in
                    [
                        "name": .string(tool.name), "server": .string(tool.server), "title": tool.title.map { .string($0) } ?? .null,
                        "description": tool.description.map { .string($0) } ?? .null,
                    ]
                }
            }
        }
        router.get("/api/v1/discovery/resources") { request, context in
            try await answering(request, context, "discovery.resources") { principal in
                try page(request, try await desk.resources(principal), "resources", longest: Self.longestURI, by: \.uri) { resource in
                    [
                        "uri": .string(resource.uri), "server": .string(resource.server), "name": .string(resource.name),
                        "title": resource.title.map { .string($0) } ?? .null, "description": resource.description.map { .string($0) } ?? .null,
                        "mime_type": resource.mimeType.map { .string($0) } ?? .null,
                    ]
                }
            }
        }
    }

    private func answering(
        _ request: Request, _ context: GatewayContext, _ action: String, _ body: (Principal) async throws -> JSONText
    ) async throws -> Response {
        try await signedIn(request, context, action: action) { principal in
            try policy.require(.useTools, of: principal)
            return .json(try await body(principal))
        }
    }

    /// Names separated by commas; nil if none are asked for.
    private func names(_ request: Request, _ parameter: String) throws(Refusal) -> Set<String>? {
        guard let text = request.uri.queryParameters[Substring(parameter)], !text.isEmpty else { return nil }
        let names = text.split(separator: ",").map { String($0) }
        guard names.count <= Self.pageLength, names.allSatisfy({ $0.utf8.count <= Self.longestName }) else {
            throw .invalid("“\(parameter)” is at most \(Self.pageLength) names separated by commas.")
        }
        return Set(names)
    }

    /// - Parameter key: what the list is in order of; the last one of a page is the cursor of the next.
    private func page<Item>(
        _ request: Request, _ items: [Item], _ name: String, longest: Int, by key: (Item) -> String, _ written: (Item) -> JSONText
    ) throws(Refusal) -> JSONText {
        let query = request.uri.queryParameters
        var limit = Self.pageLength
        if let text = query["limit"] {
            guard let number = Int(text), (1...Self.pageLength).contains(number) else { throw .invalid("“limit” is 1 to \(Self.pageLength).") }
            limit = number
        }
        let after = query["cursor"].map { String($0) } ?? ""
        guard after.utf8.count <= longest else { throw .invalid("“cursor” is the next_cursor of the page before.") }
        let rest = items.drop { !after.isEmpty && key($0) <= after }
        let shown = rest.prefix(limit)
        let next = shown.count < rest.count ? shown.last.map { JSONText.string(key($0)) } : nil
        return .object([(name, .array(shown.map(written))), ("next_cursor", next ?? .null)])
    }
}
