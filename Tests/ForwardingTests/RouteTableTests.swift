import Access
import Gateway
import Logging
import MCP
import NIOPosix
import Testing
import Upstreams

@testable import Forwarding

struct RouteTableTests {
    @Test func `tools stand by alias, then as their server listed them`() throws {
        let zoo = RouteTable.Part(upstream: try upstream("zoo", id: 1), tools: [try tool("b"), try tool("a")])
        let ant = RouteTable.Part(upstream: try upstream("ant", id: 2), tools: [try tool("z")])
        for parts in [[zoo, ant], [ant, zoo]] {
            #expect(try names(routeTable(parts).tools(after: nil, in: .legacy)) == ["ant__z", "zoo__b", "zoo__a"])
        }
    }

    @Test func `a tool is found by its exact exposed name and by nothing that looks like it`() throws {
        let table = routeTable([RouteTable.Part(upstream: try upstream("s"), tools: [try tool("K"), try tool("a__b"), try tool("a.b")])])
        #expect(table.route("s__K")?.tool.name == "K")
        #expect(table.route("s__\u{212A}") == nil)
        #expect(table.route("s__a__b")?.tool.name == "a__b")
        #expect(table.route("s__a.b") == nil)
        #expect(table.route("K") == nil)
        let cut = try #require(try names(table.tools(after: nil, in: .modern)).last)
        #expect(table.route(cut)?.tool.name == "a.b")
    }

    @Test func `what has no usable name or schema, or a name that is taken, is left out and counted`() throws {
        let odd = [#"{"name":""}"#, #"{"inputSchema":{"type":"object"}}"#, #"{"name":"x"}"#, #"{"name":"x","inputSchema":{"type":"array"}}"#, "7"]
        let tools = try odd.map { try JSON(parsing: Array($0.utf8)) } + [try tool("t"), try tool("t")]
        let table = routeTable([RouteTable.Part(upstream: try upstream("s"), tools: tools)])
        #expect(try names(table.tools(after: nil, in: .legacy)) == ["s__t"])
        #expect(table.unusable == 6)
    }

    @Test func `a long list comes in pages of a hundred, and a cursor is good for its own list only`() throws {
        let tools = try (0..<250).map { try tool("t\($0)") }
        let part = RouteTable.Part(upstream: try upstream("s"), tools: tools)
        let table = routeTable([part])
        var seen: [String] = []
        var cursor: String?
        var pages = 0
        repeat {
            let page = table.tools(after: cursor, in: .legacy)
            seen += try names(page)
            cursor = try JSON(parsing: try #require(page).bytes)["nextCursor"]?.string
            pages += 1
        } while cursor != nil
        #expect(pages == 3)
        #expect(seen == (0..<250).map { "s__t\($0)" })
        #expect(routeTable([part], mark: "n").tools(after: "m.1", in: .legacy) == nil)
        for wrong in ["", "m", "m.", "m.3", "m.-1", "m.x", "1"] { #expect(table.tools(after: wrong, in: .legacy) == nil) }
    }

    @Test func `a server that could not be asked is named, and does not fail the list`() throws {
        let here = RouteTable.Part(upstream: try upstream("here", id: 1), tools: [try tool("t")])
        let gone = RouteTable.Part(upstream: try upstream("gone", id: 2), tools: nil)
        let table = routeTable([here, gone])
        #expect(table.missing == ["gone"])
        let page = try JSON(parsing: try #require(table.tools(after: nil, in: .modern)).bytes)
        #expect(page["tools"]?.elements.count == 1)
        #expect(page["_meta"]?["com.example/origin"]?["unavailable"]?.elements.map(\.string) == ["gone"])
    }

    @Test func `a list of nothing is a list`() throws {
        #expect(try names(routeTable([]).tools(after: nil, in: .legacy)).isEmpty)
    }
}

// MARK: Props

func upstream(_ alias: String, id: Int64 = 1) throws -> Upstream {
    let server = ServerRecord(
        id: ServerID(id), tenant: TenantID(1), owner: UserID(1), alias: try #require(ServerAlias(alias)), title: alias,
        transport: .http(endpoint: "http://127.0.0.1:1/mcp"), status: .active, era: .auto, tags: [],
        createdAt: Timestamp(microseconds: 0), updatedAt: Timestamp(microseconds: 0))
    let connections = try HTTPConnections(group: MultiThreadedEventLoopGroup.singleton, egress: EgressPolicy())
    let client = Implementation(name: "test", title: "Test", version: "0")
    return Upstream(
        server,
        surroundings: UpstreamSurroundings(
            client: client, connections: connections, keeper: ProcessKeeper(), environment: [:], logger: Logger(label: "test")))
}

func tool(_ name: String) throws -> JSON {
    let text: JSONText = ["name": .string(name), "inputSchema": ["type": "object"]]
    return try JSON(parsing: text.bytes)
}

func routeTable(_ parts: [RouteTable.Part], mark: String = "m") -> RouteTable {
    let gateway = Implementation(name: "gw", title: "GW", version: "0")
    return RouteTable(parts, answers: Answers(gateway: gateway, instructions: ""), originKey: "com.example/origin", mark: mark)
}

func names(_ page: JSONText?) throws -> [String] {
    let page = try JSON(parsing: try #require(page).bytes)
    return (page["tools"]?.elements ?? []).compactMap { $0["name"]?.string }
}

let openRules = ToolRules([ToolRule(ToolRuleID(1), .init(.allow, .everyone, .everything), createdAt: Timestamp(microseconds: 0))])

extension RouteTable {
    /// A page as somebody sees it who may use everything.
    func tools(after cursor: String?, in era: Revision.Era) -> JSONText? {
        view(for: Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: .user), under: openRules).tools(after: cursor, in: era)
    }
}
