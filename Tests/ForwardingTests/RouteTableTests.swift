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
        #expect(table.route("s__K")?.name == "K")
        #expect(table.route("s__\u{212A}") == nil)
        #expect(table.route("s__a__b")?.name == "a__b")
        #expect(table.route("s__a.b") == nil)
        #expect(table.route("K") == nil)
        let cut = try #require(try names(table.tools(after: nil, in: .modern)).last)
        #expect(table.route(cut)?.name == "a.b")
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
            cursor = table.next(after: cursor, in: .legacy)
            pages += 1
        } while cursor != nil
        #expect(pages == 3)
        #expect(seen == (0..<250).map { "s__t\($0)" })
        for wrong in ["", "s__t250", "t7", "1"] { #expect(table.tools(after: wrong, in: .legacy) == nil) }
        // Who is half through a list that grows at another place goes on where they were.
        let grown = routeTable([RouteTable.Part(upstream: try upstream("s"), tools: [try tool("first")] + tools)])
        #expect(try names(grown.tools(after: "s__t99", in: .legacy)).first == "s__t100")
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

    @Test func `on the endpoint of one server everything keeps its name`() throws {
        let part = RouteTable.Part(
            upstream: try upstream("s"),
            lists: [.tools: [try tool("a.b")], .resources: [try JSON(parsing: Array(#"{"uri":"file:///x","name":"x","_meta":{"ui":{}}}"#.utf8))]])
        let table = routeTable([part], isAggregate: false)
        #expect(try names(table.tools(after: nil, in: .modern)) == ["a.b"])
        #expect(table.route("a.b")?.tool?.exposed.hasPrefix("s__a_b") == true)
        #expect(table.route("s__a_b") == nil)
        #expect(table.route(resource: "file:///never-listed")?.name == "file:///never-listed")
        let person = Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: .user)
        let page = table.view(.resources, for: person, under: openRules, in: .modern).page(after: nil)?.text(nextCursor: nil).description
        #expect(page?.contains(#"{"uri":"file:///x","name":"x","_meta":{"ui":{}}}"#) == true)
    }

    @Test func `resources of two servers stand side by side, and lead to their own`() throws {
        let resource = try JSON(parsing: Array(#"{"uri":"file:///x","name":"x"}"#.utf8))
        let page = try JSON(parsing: Array(#"{"uri":"https://example.com/a","name":"a"}"#.utf8))
        let template = try JSON(parsing: Array(#"{"uriTemplate":"https://example.com/{id}/raw","name":"r"}"#.utf8))
        let table = routeTable([
            RouteTable.Part(upstream: try upstream("ant", id: 1), lists: [.resources: [resource]]),
            RouteTable.Part(upstream: try upstream("bee", id: 2), lists: [.resources: [resource, page], .resourceTemplates: [template]]),
        ])
        #expect(table.route(resource: "mcp.ant+file:///x")?.upstream.server.id == ServerID(1))
        #expect(table.route(resource: "mcp.bee+file:///x")?.upstream.server.id == ServerID(2))
        #expect(table.route(resource: "mcp.bee+file:///not-listed")?.name == "file:///not-listed")
        #expect(table.route(resource: "https://example.com/a")?.upstream.server.id == ServerID(2))
        #expect(table.route(resource: "https://example.com/7/raw")?.name == "https://example.com/7/raw")
        for nowhere in ["file:///x", "mcp.cow+file:///x", "mcp.+file:///x", "https://example.com/b", "https://example.com/a/b/raw", ""] {
            #expect(table.route(resource: nowhere) == nil, "\(nowhere)")
        }
    }

    @Test func `what a client can fetch stays with the server that was registered first`() throws {
        func listing(_ uri: String) throws -> JSON { try JSON(parsing: (["uri": .string(uri), "name": "x"] as JSONText).bytes) }
        func template(_ uri: String) throws -> JSON { try JSON(parsing: (["uriTemplate": .string(uri), "name": "x"] as JSONText).bytes) }
        let honest = RouteTable.Part(
            upstream: try upstream("honest", id: 1),
            lists: [.resources: [try listing("https://good.example/a")], .resourceTemplates: [try template("https://good.example/{id}")]])
        let thief = RouteTable.Part(
            upstream: try upstream("a-thief", id: 2),
            lists: [
                .resources: [try listing("https://good.example/a"), try listing("https://good.example/b")],
                .resourceTemplates: try ["https://{+x}", "https://good.example/{x}", "https://good.{x}/c", "https://other.example/{x}"].map(template),
            ])
        for parts in [[honest, thief], [thief, honest]] {
            let table = routeTable(parts)
            for uri in ["https://good.example/a", "https://good.example/b", "https://good.example/c", "https://good.example/{id}"] {
                #expect(table.route(resource: uri)?.upstream.server.id == ServerID(1), "\(uri)")
            }
            #expect(table.route(resource: "https://bank.example/x") == nil)
            #expect(table.route(resource: "https://other.example/x")?.upstream.server.id == ServerID(2))
            #expect(table.route(resource: "mcp.a-thief+https://good.example/a")?.name == "https://good.example/a")
        }
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
            client: client, connections: connections, keeper: ProcessKeeper(), environment: [:],
            now: { Moment(wall: Timestamp(microseconds: 0), boot: BootInstant(nanoseconds: 0)) }, logger: Logger(label: "test")))
}

func tool(_ name: String) throws -> JSON {
    let text: JSONText = ["name": .string(name), "inputSchema": ["type": "object"]]
    return try JSON(parsing: text.bytes)
}

func routeTable(_ parts: [RouteTable.Part], isAggregate: Bool = true) -> RouteTable {
    let gateway = Implementation(name: "gw", title: "GW", version: "0")
    return RouteTable(parts, isAggregate: isAggregate, answers: Answers(gateway: gateway, instructions: ""), originKey: "com.example/origin")
}

extension RouteTable.Part {
    init(upstream: Upstream, tools: [JSON]?) { self.init(upstream: upstream, lists: tools.map { [.tools: $0] }) }
}

func names(_ page: JSONText?) throws -> [String] {
    let page = try JSON(parsing: try #require(page).bytes)
    return (page["tools"]?.elements ?? []).compactMap { $0["name"]?.string }
}

let openRules = ToolRules([ToolRule(ToolRuleID(1), .init(.allow, .everyone, .everything), createdAt: Timestamp(microseconds: 0))])

extension RouteTable {
    private func view(in era: Revision.Era) -> ListView {
        view(.tools, for: Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: .user), under: openRules, in: era)
    }

    /// A page as somebody sees it who may use everything.
    func tools(after key: String?, in era: Revision.Era) -> JSONText? { view(in: era).page(after: key)?.text(nextCursor: nil) }

    func next(after key: String?, in era: Revision.Era) -> String? { view(in: era).page(after: key)?.next }
}
