package import Gateway
package import MCP

/// One version of a server as the registry API shows it: its `server.json` (schema 2025-12-11), and what the registry
/// says of it.
package struct RegistryEntry: Hashable, Sendable {
    package let name: String
    package let number: Int
    package let alias: ServerAlias
    package let tenant: TenantID
    package let title: String
    package let description: String
    /// The gateway's own endpoint for the server; where the gateway reaches it is nobody's business.
    package let endpoint: String
    package let isListed: Bool
    package let isLatest: Bool
    package let publishedAt: Timestamp
    /// When anything was last said differently of it.
    package let updatedAt: Timestamp
    /// `server` and `_meta`, written out.
    package let text: JSONText

    /// Semantic versioning: what an owner changes of a public server is its description, which breaks nobody.
    package var version: String { Self.version(number) }

    static func version(_ number: Int) -> String { "1.0.\(number)" }

    /// The number of a version; nil for what is none of ours.
    static func number(ofVersion text: some StringProtocol) -> Int? {
        guard text.hasPrefix("1.0."), let number = Int(text.dropFirst(4)), number >= 0, version(number) == text else { return nil }
        return number
    }

    static let schema = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"

    init(_ version: PublishedVersion, of server: PublishedServer, follower: PublishedVersion?, name: String, metaKey: String) {
        self.name = name
        number = version.number
        alias = server.alias
        tenant = server.tenant
        title = version.title
        description = version.description
        endpoint = "\(version.origin)/servers/\(server.alias)/mcp"
        isListed = server.isListed
        isLatest = follower == nil
        publishedAt = version.publishedAt
        updatedAt = max(server.statusChangedAt, follower?.publishedAt ?? version.publishedAt)
        let serverJSON: JSONText = [
            "$schema": .string(Self.schema), "name": .string(name), "title": .string(title), "description": .string(description),
            "version": .string(Self.version(version.number)), "remotes": [["type": "streamable-http", "url": .string(endpoint)]],
        ]
        let official: JSONText = [
            "status": isListed ? "active" : "deleted", "statusMessage": isListed ? nil : "Its owner does not offer it to everybody any more.",
            "statusChangedAt": .string(server.statusChangedAt.rfc3339), "publishedAt": .string(publishedAt.rfc3339),
            "updatedAt": .string(updatedAt.rfc3339), "isLatest": .bool(isLatest),
        ]
        let own: JSONText = ["alias": .string(server.alias.description)]
        text = ["server": serverJSON, "_meta": .object([("io.modelcontextprotocol.registry/official", official), (metaKey, own)])]
    }
}
