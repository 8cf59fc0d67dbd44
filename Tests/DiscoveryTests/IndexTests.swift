import Gateway
import MCP
import Testing

@testable import Discovery

struct IndexTests {
    /// Three servers; `b` was changed once, `c` is gone.
    private var shelf: Shelf {
        var shelf = Shelf()
        shelf.follow([face("b", "Bee"), face("a", "Ant", description: "Carries LEAVES"), face("c", "Cat")], at: 10)
        shelf.follow([face("b", "Bumble-bee"), face("a", "Ant", description: "Carries LEAVES")], at: 20)
        return shelf
    }

    private func page(_ parameters: [(String, String)] = []) throws -> RegistryIndex.Page {
        shelf.index.page(try RegistryQuery(parameters.map { (name: $0.0, value: $0.1) }))
    }

    private func names(_ parameters: [(String, String)] = []) throws -> [String] {
        try page(parameters).entries.map { "\($0.alias) \($0.version)" }
    }

    @Test func `an entry is a server json with the gateway's endpoint and the registry's word on it`() throws {
        let entry = try json(try shelf.index.entry("latest", of: "com.example.mcp/b", includesDeleted: false).text)
        #expect(entry["server"]?["$schema"]?.string == "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json")
        #expect(entry["server"]?["name"]?.string == "com.example.mcp/b")
        #expect(entry["server"]?["version"]?.string == "1.0.1")
        #expect(entry["server"]?["title"]?.string == "Bumble-bee" && entry["server"]?["description"]?.string == "Bumble-bee")
        let remote = entry["server"]?["remotes"]?.elements.first
        #expect(remote?["type"]?.string == "streamable-http" && remote?["url"]?.string == "https://mcp.example.com/servers/b/mcp")
        let official = entry["_meta"]?["io.modelcontextprotocol.registry/official"]
        #expect(official?["status"]?.string == "active" && official?["isLatest"]?.bool == true)
        #expect(official?["publishedAt"]?.string == at(20).rfc3339 && official?["updatedAt"]?.string == at(20).rfc3339)
        #expect(entry["_meta"]?["com.example.mcp/gateway"]?["alias"]?.string == "b")
    }

    @Test func `lists go by name and then by version, and what is gone is shown to who asks for it`() throws {
        #expect(try names() == ["a 1.0.0", "b 1.0.0", "b 1.0.1"])
        #expect(try names([("version", "latest")]) == ["a 1.0.0", "b 1.0.1"])
        #expect(try names([("version", "1.0.0")]) == ["a 1.0.0", "b 1.0.0"])
        #expect(try names([("version", "9")]) == [])
        #expect(try names([("include_deleted", "true")]) == ["a 1.0.0", "b 1.0.0", "b 1.0.1", "c 1.0.0"])
    }

    @Test func `a search goes over names, titles and descriptions in any case`() throws {
        #expect(try names([("search", "BUMBLE")]) == ["b 1.0.1"])
        #expect(try names([("search", "leaves")]) == ["a 1.0.0"])
        #expect(try names([("search", "mcp/a")]) == ["a 1.0.0"])
        #expect(try names([("search", "cat")]) == [])
    }

    @Test func `a mirror that asks for what changed hears of new versions, of those they follow, and of what is gone`() throws {
        #expect(try names([("updated_since", at(11).rfc3339)]) == ["b 1.0.0", "b 1.0.1", "c 1.0.0"])
        #expect(try names([("updated_since", at(11).rfc3339), ("include_deleted", "false")]) == ["b 1.0.0", "b 1.0.1"])
        #expect(try names([("updated_since", at(21).rfc3339)]) == [])
        // A plus that was not escaped has become a blank.
        #expect(try names([("updated_since", "1970-01-01T02:00:11 02:00")]).count == 3)
    }

    @Test(arguments: [1, 2, 3, 100])
    func `pages hold everything once, whatever their length`(limit: Int) throws {
        var found: [String] = []
        var cursor = ""
        repeat {
            let page = try page([("limit", "\(limit)"), ("cursor", cursor)])
            #expect(page.entries.count <= limit)
            found += page.entries.map { "\($0.alias) \($0.version)" }
            cursor = page.next?.description ?? ""
            let text = try json(page.text)
            #expect(text["metadata"]?["nextCursor"]?.string ?? "" == cursor && text["metadata"]?["count"]?.integer == Int64(page.entries.count))
        } while !cursor.isEmpty
        #expect(try found == names())
    }

    @Test func `a cursor stays good though its entry is gone`() throws {
        #expect(try names([("cursor", "com.example.mcp/aa:1.0.7")]) == ["b 1.0.0", "b 1.0.1"])
        #expect(try names([("cursor", "com.example.mcp/b:1.0.0")]) == ["b 1.0.1"])
        #expect(try names([("cursor", "zz/z:1.0.0")]) == [])
    }

    @Test(arguments: [
        ("limit", "0"), ("limit", "101"), ("limit", "-1"), ("limit", "ten"), ("limit", "1.5"), ("cursor", "x"), ("cursor", "a/b"),
        ("cursor", "a/b:1.0"), ("cursor", "a/b:1.0.-1"), ("cursor", "a/b:1.0.01"), ("cursor", "a b/c:1.0.0"), ("updated_since", "yesterday"),
        ("updated_since", "2026-02-30T00:00:00Z"), ("include_deleted", "yes"), ("search", "a\u{0}b"), ("search", String(repeating: "a", count: 511)),
        ("version", String(repeating: "1", count: 600)),
    ])
    func `a parameter that is wrong is named`(name: String, value: String) {
        let fault = #expect(throws: RegistryFault.self) { try RegistryQuery([(name: name, value: value)]) }
        #expect(fault?.sentence.contains("\"\(name)\"") == true)
        guard case .badRequest? = fault else { return #expect(Bool(false)) }
    }

    @Test func `a parameter that is there twice is refused, an empty one is none, a strange one is ignored`() throws {
        #expect(throws: RegistryFault.badRequest("\"limit\" is there more than once.")) {
            try RegistryQuery([(name: "limit", value: "1"), (name: "limit", value: "2")])
        }
        #expect(try RegistryQuery([(name: "cursor", value: ""), (name: "search", value: ""), (name: "sort", value: "x")]) == RegistryQuery())
    }

    @Test func `versions come newest first, and what there is not is said so`() throws {
        let index = shelf.index
        #expect(try index.versions(of: "com.example.mcp/b", includesDeleted: false).entries.map(\.version) == ["1.0.1", "1.0.0"])
        #expect(try index.entry("1.0.0", of: "com.example.mcp/b", includesDeleted: false).title == "Bee")
        for (version, name) in [("1.0.2", "com.example.mcp/b"), ("latest", "com.example.mcp/c"), ("latest", "other/b"), ("", "com.example.mcp/b")] {
            let fault = #expect(throws: RegistryFault.self) { try index.entry(version, of: name, includesDeleted: false) }
            guard case .unknown? = fault else { return #expect(Bool(false)) }
        }
        let gone = try json(try index.entry("latest", of: "com.example.mcp/c", includesDeleted: true).text)
        #expect(gone["_meta"]?["io.modelcontextprotocol.registry/official"]?["status"]?.string == "deleted")
    }

    @Test func `a gateway that moved to another host publishes there from then on`() throws {
        var shelf = shelf
        shelf.origin = Origin("https://tools.example.org")!
        shelf.follow([face("b", "Bumble-bee")], at: 30)
        let entries = shelf.index.page(try RegistryQuery()).entries
        #expect(entries.map(\.name) == ["org.example.tools/b"] && entries.map(\.version) == ["1.0.2"])
        #expect(entries.allSatisfy { $0.endpoint == "https://tools.example.org/servers/b/mcp" })
    }

    // MARK: Cards

    @Test func `a card says where and in which revisions, and nothing of tools`() throws {
        let card = try json(try #require(shelf.index.card(of: alias("b"))))
        #expect(card["$schema"]?.string == "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json")
        #expect(card["name"]?.string == "com.example.mcp/b" && card["version"]?.string == "1.0.1")
        let remote = card["remotes"]?.elements.first
        #expect(remote?["url"]?.string == "https://mcp.example.com/servers/b/mcp")
        #expect(remote?["supportedProtocolVersions"]?.elements.first?.string == "2026-07-28")
        #expect(shelf.index.card(of: alias("c")) == nil)
    }

    @Test func `of several tenants' servers at one endpoint, the card is about the host's own, else the oldest tenant's`() {
        var shelf = Shelf()
        shelf.follow([face("x", of: TenantID(3)), face("x", of: away), face("y", of: home), face("y", of: away)], at: 1)
        #expect(shelf.index.card(of: alias("x"))?.description.contains("com.example.mcp/x.t2") == true)
        #expect(shelf.index.card(of: alias("y"))?.description.contains(#""com.example.mcp/y""#) == true)
    }

    @Test func `the catalogue names each endpoint once`() throws {
        var shelf = shelf
        shelf.follow([face("b"), face("b", of: away)], at: 30)
        let entries = try json(shelf.index.aiCatalog(Implementation(name: "g", title: "Gateway", version: "1")))["entries"]?.elements ?? []
        #expect(
            entries.map { $0["url"]?.string } == ["https://mcp.example.com/mcp/server-card", "https://mcp.example.com/servers/b/mcp/server-card"])
        #expect(
            entries.map { $0["identifier"]?.string } == ["urn:air:mcp.example.com:server:mcp-registry-gateway", "urn:air:mcp.example.com:server:b"])
        #expect(entries.allSatisfy { $0["type"]?.string == "application/mcp-server-card+json" })
    }
}
