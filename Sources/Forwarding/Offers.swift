package import Access
package import Gateway
import MCP

/// A tool, as somebody who may use it is told of it outside MCP.
package struct OfferedTool: Hashable, Sendable {
    /// As `tools/list` of the aggregated endpoint shows it.
    package let name: String
    package let server: String
    package let title: String?
    package let description: String?

    package init(name: String, server: String, title: String?, description: String?) {
        self.name = name
        self.server = server
        self.title = title
        self.description = description
    }
}

/// The same of a resource.
package struct OfferedResource: Hashable, Sendable {
    package let uri: String
    package let server: String
    package let name: String
    package let title: String?
    package let description: String?
    package let mimeType: String?

    package init(uri: String, server: String, name: String, title: String?, description: String?, mimeType: String?) {
        self.uri = uri
        self.server = server
        self.name = name
        self.title = title
        self.description = description
        self.mimeType = mimeType
    }
}

extension Catalogue {
    /// The tools that the principal may use, by name; those of servers that cannot be asked are left out. Waits, within bounds,
    /// for servers that were never asked.
    ///
    /// - Parameter rules: those of the principal's tenant.
    package func tools(offeredTo principal: Principal, under rules: ToolRules) async -> [OfferedTool] {
        if table(of: principal.tenant).isCold { await warm(principal.tenant) }
        let view = table(of: principal.tenant).table.view(for: principal, under: rules)
        let pages = (view.pages[.modern] ?? []).compactMap { try? JSON(parsing: $0.bytes, limits: JSON.Limits(nodes: 2_000_000)) }
        let offered = pages.flatMap { $0["tools"]?.elements ?? [] }.compactMap { tool -> OfferedTool? in
            guard let name = tool["name"]?.string, let server = ToolName.alias(in: name) else { return nil }
            return OfferedTool(
                name: name, server: server, title: tool["title"]?.string ?? tool["annotations"]?["title"]?.string,
                description: tool["description"]?.string)
        }
        return offered.sorted { $0.name < $1.name }
    }
}
