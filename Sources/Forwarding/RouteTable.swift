import Gateway
import MCP
import Upstreams

/// Where an exposed tool name leads.
struct Route: Sendable {
    let upstream: Upstream
    /// The tool's name on its server.
    let tool: String
}

/// A tenant's servers as its users see them: the merged lists, already written out, and the way to each tool.
///
/// An immutable snapshot, made anew when anything about it changes: a request sees one from end to end.
struct RouteTable: Sendable {
    /// One server's part: what it listed, in its own words; nil if it could not be asked yet.
    struct Part {
        let upstream: Upstream
        let tools: [JSON]?
    }

    /// Pages hold this many tools.
    static let pageLength = 100

    private let routes: [String: Route]
    private let pages: [Revision.Era: [JSONText]]
    private let mark: String
    /// Aliases of servers whose tools are not known yet, or not any more.
    let missing: [String]
    /// How many tools were left out because they had no usable name or schema, or a name another tool had.
    let unusable: Int

    /// - Parameters:
    ///   - parts: the tenant's active servers, in any order.
    ///   - originKey: the operator's own `_meta` key.
    ///   - mark: a different text for every table of a tenant, so that a cursor of another one is noticed.
    init(_ parts: [Part], answers: Answers, originKey: String, mark: String) {
        var routes: [String: Route] = [:]
        var legacy: [JSONText] = []
        var modern: [JSONText] = []
        var unusable = 0
        for part in parts.sorted(by: { $0.upstream.server.alias < $1.upstream.server.alias }) {
            let alias = part.upstream.server.alias
            for tool in part.tools ?? [] {
                let name = tool["name"]?.string ?? ""
                let exposed = ToolName.exposed(name, of: alias)
                guard !name.isEmpty, tool["inputSchema"]?["type"]?.string == "object", routes[exposed] == nil else {
                    unusable += 1
                    continue
                }
                routes[exposed] = Route(upstream: part.upstream, tool: name)
                legacy.append(Answers.tool(tool, as: exposed, of: alias, originKey: originKey, in: .legacy))
                modern.append(Answers.tool(tool, as: exposed, of: alias, originKey: originKey, in: .modern))
            }
        }
        self.routes = routes
        self.mark = mark
        self.unusable = unusable
        missing = parts.filter { $0.tools == nil }.map(\.upstream.server.alias.description).sorted()
        let notice = missing.isEmpty ? nil : (originKey, ["unavailable": .array(missing.map { .string($0) })] as JSONText)
        pages = [
            .legacy: Self.pages(of: legacy, mark) { answers.tools($0, nextCursor: $1, in: .legacy, notice: notice) },
            .modern: Self.pages(of: modern, mark) { answers.tools($0, nextCursor: $1, in: .modern, notice: notice) },
        ]
    }

    func route(_ exposed: String) -> Route? {
        // Exposed names are ASCII. Strings compare by what they mean, so another spelling would find its look-alike.
        exposed.utf8.allSatisfy { $0 < 0x80 } ? routes[exposed] : nil
    }

    /// A page of the merged list as a finished result; nil if the cursor is not one of this table's.
    func tools(after cursor: String?, in era: Revision.Era) -> JSONText? {
        guard let cursor else { return pages[era]?.first }
        guard cursor.hasPrefix(mark + "."), let page = Int(cursor.dropFirst(mark.count + 1)) else { return nil }
        guard let pages = pages[era], pages.indices.contains(page) else { return nil }
        return pages[page]
    }

    private static func pages(of tools: [JSONText], _ mark: String, _ write: ([JSONText], String?) -> JSONText) -> [JSONText] {
        let starts = tools.isEmpty ? [0] : Array(stride(from: 0, to: tools.count, by: pageLength))
        return starts.enumerated().map { number, start in
            let end = min(start + pageLength, tools.count)
            return write(Array(tools[start..<end]), end < tools.count ? "\(mark).\(number + 1)" : nil)
        }
    }
}
