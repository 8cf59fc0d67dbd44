package import Gateway
package import MCP

/// Everything that is public, written out: an immutable snapshot, made anew when anything about it changes.
package struct RegistryIndex: Sendable {
    package let namespace: Namespace
    private let origin: Origin
    private let home: TenantID
    /// By name, then by version, oldest first.
    private let entries: [RegistryEntry]
    /// Where a name's versions stand among the entries.
    private let places: [String: Range<Int>]
    /// The newest version of the server that an endpoint's card is about.
    private let cards: [ServerAlias: RegistryEntry]

    package struct Page: Sendable {
        package let entries: [RegistryEntry]
        package let next: RegistryQuery.Cursor?

        package var text: JSONText {
            [
                "servers": .array(entries.map(\.text)),
                "metadata": ["nextCursor": next.map { .string($0.description) }, "count": .number(entries.count)],
            ]
        }
    }

    /// - Parameters:
    ///   - published: each server once.
    ///   - origin: what was published under a public URL of another host is not in this gateway's namespace, and left out.
    ///   - home: the tenant that the host began with. If several tenants have a public server of one alias, the card of their
    ///     common endpoint is about that tenant's, else about that of the tenant with the lowest number.
    package init(_ published: [PublishedServer], origin: Origin, home: TenantID) {
        let namespace = Namespace(of: origin)
        self.namespace = namespace
        self.origin = origin
        self.home = home
        var entries: [RegistryEntry] = []
        for server in published {
            let versions = server.versions.filter { Origin($0.origin).map { Namespace(of: $0) } == namespace }
            let name = namespace.name(of: server.alias, in: server.tenant, home: home)
            for (place, version) in versions.enumerated() {
                let follower = place + 1 < versions.count ? versions[place + 1] : nil
                entries.append(RegistryEntry(version, of: server, follower: follower, name: name, metaKey: namespace.metaKey))
            }
        }
        entries.sort { ($0.name, $0.number) < ($1.name, $1.number) }
        var places: [String: Range<Int>] = [:]
        for (place, entry) in entries.enumerated() { places[entry.name] = (places[entry.name]?.lowerBound ?? place)..<(place + 1) }
        self.entries = entries
        self.places = places
        cards = Dictionary(entries.filter { $0.isListed && $0.isLatest }.map { ($0.alias, $0) }) { first, second in
            func rank(_ entry: RegistryEntry) -> (Int, TenantID) { (entry.tenant == home ? 0 : 1, entry.tenant) }
            return rank(first) < rank(second) ? first : second
        }
    }

    package func page(_ query: RegistryQuery) -> Page {
        var found: [RegistryEntry] = []
        for entry in entries[start(after: query.cursor)...] where query.includes(entry) {
            guard found.count < query.limit else {
                return Page(entries: found, next: found.last.map { RegistryQuery.Cursor(name: $0.name, number: $0.number) })
            }
            found.append(entry)
        }
        return Page(entries: found, next: nil)
    }

    /// The place of the first entry behind a cursor.
    private func start(after cursor: RegistryQuery.Cursor?) -> Int {
        guard let cursor else { return 0 }
        var range = entries.startIndex..<entries.endIndex
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            let isBehind = (entries[middle].name, entries[middle].number) > (cursor.name, cursor.number)
            range = isBehind ? range.lowerBound..<middle : (middle + 1)..<range.upperBound
        }
        return range.lowerBound
    }

    /// Every version of a server, newest first.
    package func versions(of name: String, includesDeleted: Bool) throws(RegistryFault) -> Page {
        let found = places[name].map { entries[$0] } ?? []
        guard let any = found.first, any.isListed || includesDeleted else { throw .unknown("There is no server \(name.cut(200)) in this registry.") }
        return Page(entries: found.reversed(), next: nil)
    }

    /// - Parameter version: `latest`, or exactly.
    package func entry(_ version: String, of name: String, includesDeleted: Bool) throws(RegistryFault) -> RegistryEntry {
        let versions = try versions(of: name, includesDeleted: includesDeleted).entries
        let found = version == "latest" ? versions.first : versions.first { $0.version == version }
        guard let found else { throw .unknown("The server \(name) has no version \(version.cut(64)).") }
        return found
    }
}

extension RegistryIndex {
    // MARK: Cards

    /// The card of the endpoint that shows every server (SEP-2127).
    package func gatewayCard(_ gateway: Implementation) -> JSONText {
        card(
            name: namespace.gateway, title: gateway.title, description: "The MCP servers of a team behind one endpoint, for those who sign in.",
            version: gateway.version, endpoint: "\(origin)/mcp")
    }

    /// The card of a public server; nil if there is none of that alias.
    package func card(of alias: ServerAlias) -> JSONText? {
        cards[alias].map { card(name: $0.name, title: $0.title, description: $0.description, version: $0.version, endpoint: $0.endpoint) }
    }

    private func card(name: String, title: String, description: String, version: String, endpoint: String) -> JSONText {
        let revisions = Revision.allCases.sorted(by: >).map { JSONText.string($0.rawValue) }
        return [
            "$schema": "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json", "name": .string(name), "title": .string(title),
            "description": .string(description), "version": .string(version),
            "remotes": [["type": "streamable-http", "url": .string(endpoint), "supportedProtocolVersions": .array(revisions)]],
        ]
    }

    /// Where the cards are.
    package func aiCatalog(_ gateway: Implementation) -> JSONText {
        func entry(_ name: String, _ title: String, _ description: String, _ version: String, _ endpoint: String) -> JSONText {
            [
                "identifier": .string("urn:air:\(origin.name):server:\(name)"), "type": "application/mcp-server-card+json",
                "displayName": .string(title), "description": .string(description), "version": .string(version),
                "url": .string(endpoint + "/server-card"),
            ]
        }
        var entries = [
            entry("mcp-registry-gateway", gateway.title, "The MCP servers of a team behind one endpoint.", gateway.version, "\(origin)/mcp")
        ]
        entries += cards.values.sorted { $0.alias < $1.alias }.map {
            entry($0.alias.description, $0.title, $0.description, $0.version, $0.endpoint)
        }
        return ["specVersion": "1.0", "host": ["displayName": .string(gateway.title)], "entries": .array(entries)]
    }
}
