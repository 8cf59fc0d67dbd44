import Access
import Gateway
import MCP
import Upstreams

/// Where an exposed name leads.
struct Route: Sendable {
    let upstream: Upstream
    /// As the server knows it.
    let name: String
    /// Nil for what is no tool.
    let tool: Tool?
    /// Which of the tool's arguments are repeated in headers.
    var parameters = ParameterHeaders.none
}

/// What one endpoint shows of a tenant's servers: the lists, and the way to each entry. The endpoint of all servers shows
/// every entry under its server's alias, the endpoint of one server shows its entries as they are. Whoever may not use
/// everything sees a view of it.
///
/// An immutable snapshot, made anew when anything about it changes: a request sees one from end to end.
struct RouteTable: Sendable {
    /// One server's part: what it listed, in its own words; nil if it could not be asked yet.
    struct Part {
        let upstream: Upstream
        let lists: [ListKind: [JSON]]?
    }

    /// An entry, and what the lists say of it.
    private struct Listed: Sendable {
        let key: String
        let alias: ServerAlias
        let tool: Tool?
        let legacy: JSONText
        let modern: JSONText
    }

    private var routes: [ListKind: [String: Route]] = [:]
    private var listed: [ListKind: [Listed]] = [:]
    /// Templates of what clients could fetch themselves, which carry no alias.
    private var templates: [(template: URITemplate, route: Route)] = []
    /// Whose the URIs are that carry no alias: the server's that was registered first. Who comes later takes nothing over.
    private var claims: [String: ServerID] = [:]
    private var servers: [ServerAlias: Upstream] = [:]
    /// The one server of an endpoint that has one.
    private let only: Upstream?
    private let unasked: [ServerAlias]
    private let answers: Answers
    private let originKey: String
    private let views = ListViews()
    /// How many tools and prompts were left out because they had no usable name or schema, or a name another one had.
    private(set) var unusable = 0

    /// Aliases of servers whose lists are not known yet, or not any more.
    var missing: [String] { unasked.map(\.description) }

    /// - Parameters:
    ///   - parts: the endpoint's active servers, in any order.
    ///   - isAggregate: whether it is the endpoint of all servers.
    ///   - originKey: the operator's own `_meta` key.
    init(_ parts: [Part], isAggregate: Bool = true, answers: Answers, originKey: String) {
        self.answers = answers
        self.originKey = originKey
        only = isAggregate ? nil : parts.first?.upstream
        unasked = parts.filter { $0.lists == nil }.map(\.upstream.server.alias).sorted()
        if isAggregate { claims = Self.claims(parts) }
        for part in parts.sorted(by: { $0.upstream.server.alias < $1.upstream.server.alias }) {
            servers[part.upstream.server.alias] = part.upstream
            for kind in ListKind.allCases {
                for item in part.lists?[kind] ?? [] {
                    add(item, kind, of: part.upstream, isAggregate ? .prefixed(part.upstream.server.alias) : .verbatim)
                }
            }
        }
        templates.sort { $0.route.upstream.server.id < $1.route.upstream.server.id }
    }

    private static func claims(_ parts: [Part]) -> [String: ServerID] {
        var claims: [String: ServerID] = [:]
        for part in parts {
            for kind in [ListKind.resources, .resourceTemplates] {
                for uri in (part.lists?[kind] ?? []).compactMap({ $0[kind.key]?.string }) where ResourceURI.isFetchable(uri) {
                    claims[uri] = min(claims[uri] ?? part.upstream.server.id, part.upstream.server.id)
                }
            }
        }
        return claims
    }

    private mutating func add(_ item: JSON, _ kind: ListKind, of upstream: Upstream, _ naming: Naming) {
        let alias = upstream.server.alias
        let own = item[kind.key]?.string ?? ""
        let prefixed =
            switch kind {
            case .tools, .prompts: ToolName.exposed(own, of: alias)
            case .resources: claims[own] == upstream.server.id ? own : ResourceURI.carrying(alias, own)
            // One that stands for hosts that it does not name is not followed to them.
            case .resourceTemplates:
                claims[own] == upstream.server.id && ResourceURI.namesHost(own) ? own : ResourceURI.carrying(alias, own)
            }
        let exposed = naming == .verbatim ? own : prefixed
        // A tool with headers that nobody could send right is none, where there are such headers (C-4).
        let read = kind == .tools ? ParameterHeaders(schema: item["inputSchema"]) : ParameterHeaders.none
        let parameters = read ?? (upstream.takesParameterHeaders ? nil : ParameterHeaders.none)
        let isUsable = kind != .tools || item["inputSchema"]?["type"]?.string == "object"
        guard !own.isEmpty, isUsable, let parameters, routes[kind]?[exposed] == nil else {
            unusable += 1
            return
        }
        let tool = kind == .tools ? Tool(own, of: alias, exposedAs: prefixed) : nil
        let route = Route(upstream: upstream, name: own, tool: tool, parameters: parameters)
        routes[kind, default: [:]][exposed] = route
        if kind == .resourceTemplates && exposed == own, let template = URITemplate(own) { templates.append((template, route)) }
        listed[kind, default: []].append(
            Listed(
                key: exposed, alias: alias, tool: tool, legacy: ListItem.text(item, kind, as: exposed, naming, originKey: originKey, in: .legacy),
                modern: ListItem.text(item, kind, as: exposed, naming, originKey: originKey, in: .modern)))
    }

    // MARK: Ways

    /// The way to a tool or a prompt.
    func route(_ exposed: String, _ kind: ListKind = .tools) -> Route? {
        if only == nil {
            // Exposed names are ASCII. Strings compare by what they mean, so another spelling would find its look-alike.
            return exposed.utf8.allSatisfy { $0 < 0x80 } ? routes[kind]?[exposed] : nil
        }
        guard let route = routes[kind]?[exposed], route.name.utf8.elementsEqual(exposed.utf8) else { return nil }
        return route
    }

    /// The way to a resource or a template: to the server whose alias it carries, which may have more than it lists; to the
    /// only server there is; else to the first registered one whose lists have it.
    func route(resource exposed: String) -> Route? {
        if let only { return Route(upstream: only, name: exposed, tool: nil) }
        if let (alias, uri) = ResourceURI.resolved(exposed) { return servers[alias].map { Route(upstream: $0, name: uri, tool: nil) } }
        guard ResourceURI.isFetchable(exposed) else { return nil }
        if let template = routes[.resourceTemplates]?[exposed] { return template }
        let listed = routes[.resources]?[exposed]
        // Of several the server that was registered first.
        guard let match = templates.first(where: { $0.template.matches(exposed) })?.route.upstream,
            listed.map({ match.server.id < $0.upstream.server.id }) ?? true
        else { return listed }
        return Route(upstream: match, name: exposed, tool: nil)
    }

    // MARK: Lists

    /// A list with what the principal may use, and nothing that tells of the rest.
    ///
    /// - Parameter rules: those of the table's tenant.
    func view(_ kind: ListKind, for principal: Principal, under rules: ToolRules, in era: Revision.Era) -> ListView {
        let key = ListViews.Key(kind: kind, era: era, policy: rules.policyClass(of: principal))
        if let view = views.find(key) { return view }
        var allowed: [ServerAlias: Bool] = [:]
        func mayUse(_ item: Listed) -> Bool {
            if let tool = item.tool { return rules.permits(principal, tool).isAllowed }
            if let known = allowed[item.alias] { return known }
            let answer = rules.permits(principal, besidesTools: item.alias)
            allowed[item.alias] = answer
            return answer
        }
        let chosen = (listed[kind] ?? []).filter(mayUse)
        let missing = unasked.filter { rules.showsAnything(of: $0, to: principal) }.map(\.description)
        let keys = chosen.map(\.key)
        let mark = Self.hash(keys, missing)
        if let view = views.view(of: keys, missing: missing, marked: mark, kind, in: era) {
            views.keep(view, for: key)
            return view
        }
        let notice = missing.isEmpty ? nil : (originKey, ["unavailable": .array(missing.map { .string($0) })] as JSONText)
        let view = ListView(chosen.map { ($0.key, era == .legacy ? $0.legacy : $0.modern) }, missing: missing, mark: mark) { [answers] items, next in
            ListPage(answers, kind, Array(items), next: next, in: era, notice: notice)
        }
        views.keep(view, for: key)
        return view
    }

    /// How many views are held at the moment.
    var viewCount: Int { views.count }

    /// FNV-1a of a choice. It tells one choice from another within a table; it protects nothing.
    private static func hash(_ chosen: [String], _ missing: [String]) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ text: String) {
            for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            hash = (hash ^ 0xFF) &* 0x100_0000_01B3
        }
        chosen.forEach(add)
        add("")
        missing.forEach(add)
        return hash
    }
}
