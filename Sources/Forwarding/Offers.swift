package import Access
package import Gateway
import MCP
import Upstreams

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
        await entries(.tools, offeredTo: principal, under: rules).compactMap { tool -> OfferedTool? in
            guard let name = tool["name"]?.string, let server = ToolName.alias(in: name) else { return nil }
            return OfferedTool(
                name: name, server: server, title: tool["title"]?.string ?? tool["annotations"]?["title"]?.string,
                description: tool["description"]?.string)
        }.sorted { $0.name < $1.name }
    }

    /// The same of resources, by URI.
    package func resources(offeredTo principal: Principal, under rules: ToolRules) async -> [OfferedResource] {
        await entries(.resources, offeredTo: principal, under: rules).compactMap { resource -> OfferedResource? in
            let table = table(of: principal.tenant).table
            guard let uri = resource["uri"]?.string, let route = table.route(resource: uri) else { return nil }
            return OfferedResource(
                uri: uri, server: route.upstream.alias, name: resource["name"]?.string ?? uri, title: resource["title"]?.string,
                description: resource["description"]?.string, mimeType: resource["mimeType"]?.string)
        }.sorted { $0.uri < $1.uri }
    }

    private func entries(_ kind: ListKind, offeredTo principal: Principal, under rules: ToolRules) async -> [JSON] {
        if table(of: principal.tenant).isCold { await warm(principal.tenant) }
        let view = table(of: principal.tenant).table.view(kind, for: principal, under: rules, in: .modern)
        return view.items.compactMap { try? JSON(parsing: $0.bytes) }
    }
}
