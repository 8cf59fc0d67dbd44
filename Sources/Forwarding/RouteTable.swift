import Access
import Gateway
import MCP
import Upstreams

/// Where an exposed tool name leads.
struct Route: Sendable {
    let upstream: Upstream
    let tool: Tool
}

/// A tenant's servers as its users see them: the merged lists, already written out, and the way to each tool. Whoever may not
/// use all of them sees a view of it.
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

    /// A tool and what the lists say of it.
    private struct Listed: Sendable {
        let tool: Tool
        let legacy: JSONText
        let modern: JSONText
    }

    private let routes: [String: Route]
    private let listed: [Listed]
    private let mark: String
    private let write: @Sendable (_ tools: ArraySlice<JSONText>, _ nextCursor: String?, _ missing: [String], Revision.Era) -> JSONText
    /// For those who may use everything.
    private let whole: TableView
    private let views = TableViews()
    private let unasked: [ServerAlias]
    /// Aliases of servers whose tools are not known yet, or not any more.
    var missing: [String] { unasked.map(\.description) }
    /// How many tools were left out because they had no usable name or schema, or a name another tool had.
    let unusable: Int

    /// - Parameters:
    ///   - parts: the tenant's active servers, in any order.
    ///   - originKey: the operator's own `_meta` key.
    ///   - mark: a different text for every table of a tenant, so that a cursor of another one is noticed.
    init(_ parts: [Part], answers: Answers, originKey: String, mark: String) {
        var routes: [String: Route] = [:]
        var listed: [Listed] = []
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
                let reference = Tool(name, of: alias, exposedAs: exposed)
                routes[exposed] = Route(upstream: part.upstream, tool: reference)
                listed.append(
                    Listed(
                        tool: reference, legacy: Answers.tool(tool, as: exposed, of: alias, originKey: originKey, in: .legacy),
                        modern: Answers.tool(tool, as: exposed, of: alias, originKey: originKey, in: .modern)))
            }
        }
        self.routes = routes
        self.listed = listed
        self.mark = mark
        self.unusable = unusable
        unasked = parts.filter { $0.tools == nil }.map(\.upstream.server.alias).sorted()
        write = { tools, cursor, missing, era in
            let notice = missing.isEmpty ? nil : (originKey, ["unavailable": .array(missing.map { .string($0) })] as JSONText)
            return answers.tools(Array(tools), nextCursor: cursor, in: era, notice: notice)
        }
        whole = Self.view(listed, mark, unasked.map(\.description), write)
    }

    func route(_ exposed: String) -> Route? {
        // Exposed names are ASCII. Strings compare by what they mean, so another spelling would find its look-alike.
        exposed.utf8.allSatisfy { $0 < 0x80 } ? routes[exposed] : nil
    }

    /// The table with what the principal may use, and nothing that tells of the rest.
    ///
    /// - Parameter rules: those of the table's tenant.
    func view(for principal: Principal, under rules: ToolRules) -> TableView {
        let key = rules.policyClass(of: principal)
        if let view = views.find(key) { return view }
        let chosen = listed.indices.filter { rules.permits(principal, listed[$0].tool).isAllowed }
        let missing = unasked.filter { rules.showsAnything(of: $0, to: principal) }.map(\.description)
        guard chosen.count < listed.count || missing.count < unasked.count else {
            views.keep(whole, for: key, bytes: 0)
            return whole
        }
        // A client that is half through its list can go on after its view was let go, for the mark tells nothing but the choice.
        let mark = "\(mark)-\(Self.hash(chosen, missing))"
        let view = views.view(marked: mark) ?? Self.view(chosen.map { listed[$0] }, mark, missing, write)
        views.keep(view, for: key, bytes: view.byteCount)
        return view
    }

    /// How many classes have a view at the moment.
    var viewCount: Int { views.count }

    private static func view(
        _ tools: [Listed], _ mark: String, _ missing: [String],
        _ write: (ArraySlice<JSONText>, String?, [String], Revision.Era) -> JSONText
    ) -> TableView {
        let starts = tools.isEmpty ? [0] : Array(stride(from: 0, to: tools.count, by: pageLength))
        func pages(_ texts: [JSONText], _ era: Revision.Era) -> [JSONText] {
            starts.enumerated().map { number, start in
                let end = min(start + pageLength, texts.count)
                return write(texts[start..<end], end < texts.count ? "\(mark).\(number + 1)" : nil, missing, era)
            }
        }
        return TableView(mark: mark, pages: [.legacy: pages(tools.map(\.legacy), .legacy), .modern: pages(tools.map(\.modern), .modern)])
    }

    /// FNV-1a of a choice. It tells a choice's cursors from another's; it protects nothing, for a cursor finds a page of the
    /// caller's own view or none.
    private static func hash(_ chosen: [Int], _ missing: [String]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for index in chosen { withUnsafeBytes(of: UInt32(truncatingIfNeeded: index).littleEndian) { $0.forEach(add) } }
        for alias in missing { ("/" + alias).utf8.forEach(add) }
        return String(hash, radix: 36)
    }
}
