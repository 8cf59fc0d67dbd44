import Access
import Gateway
import MCP
import Synchronization
import Testing

@testable import Forwarding

struct TableViewTests {
    @Test(arguments: 0..<12)
    func `a list holds exactly what the rules allow, in the order of the whole`(seed: Int) throws {
        var random = Linear(state: UInt64(seed))
        let names = (0..<230).map { "t\($0)" }
        let parts = try ["ant", "bee", "cow"].enumerated().map { index, alias in
            RouteTable.Part(upstream: try upstream(alias, id: Int64(index + 1)), tools: try names.prefix(80 + seed * 10).map(tool))
        }
        let table = routeTable(parts)
        let rules = ToolRules(
            (1...30).map { number in
                let server = ServerAlias(["ant", "bee", "cow"].randomElement(using: &random)!)!
                let subjects: [ToolRule.Subject] = [.everyone, .role(.user), .user(UserID(2), name: "bob")]
                let objects: [ToolRule.Object] = [.everything, .server(server), .tool(names.randomElement(using: &random)!, of: server)]
                return ToolRule(
                    ToolRuleID(Int64(number)),
                    .init(
                        Bool.random(using: &random) ? .allow : .deny, subjects.randomElement(using: &random)!, objects.randomElement(using: &random)!),
                    createdAt: Timestamp(microseconds: 0))
            }, version: 1)
        let whole = try list(table.view(for: person(1), under: openRules))
        for principal in [person(1), person(2), person(3, .admin), person(1, reach: .only(servers: [ServerAlias("bee")!], tools: ["ant__t3"]))] {
            let expected = try whole.filter { name in
                let route = try #require(table.route(name))
                return rules.permits(principal, route.tool).isAllowed
            }
            for era in [Revision.Era.legacy, .modern] { #expect(try list(table.view(for: principal, under: rules), in: era) == expected) }
        }
    }

    @Test func `a cursor is good for the class that it was given to, and for no other`() throws {
        let part = RouteTable.Part(upstream: try upstream("s"), tools: try (0..<250).map { try tool("t\($0)") })
        let other = RouteTable.Part(upstream: try upstream("other", id: 2), tools: [try tool("hidden")])
        let table = routeTable([part, other])
        let rules = ToolRules([rule(1, .allow, .everyone, .server(ServerAlias("s")!)), rule(2, .allow, .role(.admin), .everything)])
        let (mine, theirs) = (table.view(for: person(1), under: rules), table.view(for: person(2, .admin), under: rules))
        let (myCursor, theirCursor) = (try #require(try next(mine)), try #require(try next(theirs)))
        #expect(myCursor != theirCursor)
        #expect(mine.tools(after: theirCursor, in: .legacy) == nil)
        #expect(theirs.tools(after: myCursor, in: .legacy) == nil)
        #expect(try list(mine).count == 250)
        // The class of everybody else with the same tools has the same pages, and none of the others'.
        #expect(try next(table.view(for: person(9), under: rules)) == myCursor)
        // Rules that changed nothing for a class leave it its cursors; others do not.
        let same = ToolRules(rules.all + [rule(3, .deny, .role(.admin), .server(ServerAlias("s")!))], version: 2)
        #expect(table.view(for: person(1), under: same).tools(after: myCursor, in: .legacy) != nil)
        let fewer = ToolRules(rules.all + [rule(3, .deny, .everyone, .tool("t7", of: ServerAlias("s")!))], version: 3)
        #expect(table.view(for: person(1), under: fewer).tools(after: myCursor, in: .legacy) == nil)
        for wrong in ["", ".1", "\(mine.mark)", "\(mine.mark).3", "\(mine.mark).-1", "m.1"] { #expect(mine.tools(after: wrong, in: .legacy) == nil) }
    }

    @Test func `as many classes are kept as there is room for, and one that was let go gets the same pages again`() throws {
        let table = routeTable([RouteTable.Part(upstream: try upstream("s"), tools: try (0..<120).map { try tool("t\($0)") })])
        let rules = ToolRules(
            (1...200 as ClosedRange<Int64>).map { rule($0, .deny, .user(UserID($0), name: "u\($0)"), .tool("t\($0 % 120)", of: ServerAlias("s")!)) }
                + openRules.all)
        let first = table.view(for: person(1), under: rules)
        for user in 2...200 as ClosedRange<Int64> { _ = table.view(for: person(user), under: rules) }
        #expect(table.viewCount == TableViews.mostClasses)
        let again = table.view(for: person(1), under: rules)
        #expect(again.mark == first.mark)
        #expect(again.pages == first.pages)
    }

    @Test func `a view that is larger than all may be is written each time, and pushes nobody out`() throws {
        let views = TableViews()
        let key = ToolRules([], version: 1).policyClass(of: person(1))
        views.keep(TableView(mark: "a", pages: [:]), for: key, bytes: TableViews.mostBytes)
        views.keep(TableView(mark: "b", pages: [:]), for: ToolRules([], version: 2).policyClass(of: person(1)), bytes: TableViews.mostBytes + 1)
        #expect(views.find(key)?.mark == "a")
        views.keep(TableView(mark: "c", pages: [:]), for: ToolRules([], version: 3).policyClass(of: person(1)), bytes: 1)
        #expect(views.find(key) == nil)
        #expect(views.count == 1)
    }

    @Test func `whoever may use nothing of a server does not hear that it cannot be asked`() throws {
        let here = RouteTable.Part(upstream: try upstream("here", id: 1), tools: [try tool("t")])
        let gone = RouteTable.Part(upstream: try upstream("gone", id: 2), tools: nil)
        let table = routeTable([here, gone])
        let rules = ToolRules([rule(1, .allow, .everyone, .server(ServerAlias("here")!)), rule(2, .allow, .role(.admin), .everything)])
        func told(_ principal: Principal) throws -> [String?]? {
            let page = try JSON(parsing: try #require(table.view(for: principal, under: rules).tools(after: nil, in: .modern)).bytes)
            return page["_meta"]?["com.example/origin"]?["unavailable"]?.elements.map(\.string)
        }
        #expect(try told(person(1)) == nil)
        #expect(try told(person(2, .admin)) == ["gone"])
    }

    // MARK: The book

    @Test func `rules that arrive late are left out`() async throws {
        let tenant = TenantID(1)
        let book = RuleBook([tenant: openRules.all]) { _ in [] }
        book.change([], of: tenant, order: 7)
        book.change(openRules.all, of: tenant, order: 5)
        #expect(book.known(of: tenant)?.all.isEmpty == true)
    }

    @Test func `a tenant made later begins with what the record says of it, and nothing is decided before`() async throws {
        let book = RuleBook([:]) { _ in openRules.all }
        #expect(book.known(of: TenantID(3)) == nil)
        #expect(try await book.rules(of: TenantID(3)).all.count == 1)
        #expect(book.known(of: TenantID(3))?.all.count == 1)
        #expect(book.known(of: TenantID(4)) == nil)
    }

    @Test func `while rules are swapped every list is of one version, and none is of an older one than the last`() async throws {
        let tenant = TenantID(1)
        let table = routeTable([RouteTable.Part(upstream: try upstream("s"), tools: try (0..<40).map { try tool("t\($0)") })])
        let book = RuleBook([tenant: []]) { _ in [] }
        // Version n allows the tools t0 to t(n mod 40 − 1).
        @Sendable func rules(_ version: Int) -> [ToolRule] {
            (0..<version % 40).map { rule(Int64($0 + 1), .allow, .everyone, .tool("t\($0)", of: ServerAlias("s")!)) }
        }
        let swaps = 400
        let flag = Flag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reader in 1...4 {
                group.addTask {
                    var last = 0
                    while !flag.isUp {
                        let seen = try #require(book.known(of: tenant))
                        #expect(seen.version >= last)
                        last = seen.version
                        let names = try list(table.view(for: person(Int64(reader)), under: seen))
                        #expect(names == (0..<seen.version % 40).map { "s__t\($0)" })
                        await Task.yield()
                    }
                }
            }
            for version in 1...swaps {
                book.change(rules(version), of: tenant, order: version)
                // What was committed earlier and arrives now changes nothing.
                book.change([], of: tenant, order: version - 1)
                if version % 10 == 0 { await Task.yield() }
            }
            flag.raise()
            try await group.waitForAll()
        }
        #expect(book.known(of: tenant)?.version == swaps)
    }
}

private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isUp: Bool { value.load(ordering: .relaxed) }
    func raise() { value.store(true, ordering: .relaxed) }
}

private func person(_ user: Int64, _ role: Role = .user, reach: Reach = .everything) -> Principal {
    Principal(user: UserID(user), name: "u\(user)", tenant: TenantID(1), role: role, reach: reach)
}

private func rule(_ id: Int64, _ effect: ToolRule.Effect, _ subject: ToolRule.Subject, _ object: ToolRule.Object) -> ToolRule {
    ToolRule(ToolRuleID(id), .init(effect, subject, object), createdAt: Timestamp(microseconds: 0))
}

private func next(_ view: TableView) throws -> String? {
    try JSON(parsing: try #require(view.tools(after: nil, in: .legacy)).bytes)["nextCursor"]?.string
}

/// All names of a view, page by page.
private func list(_ view: TableView, in era: Revision.Era = .legacy) throws -> [String] {
    var all: [String] = []
    var cursor: String?
    repeat {
        let page = try JSON(parsing: try #require(view.tools(after: cursor, in: era)).bytes)
        all += (page["tools"]?.elements ?? []).compactMap { $0["name"]?.string }
        cursor = page["nextCursor"]?.string
    } while cursor != nil
    return all
}

/// Numbers that are the same in every run (Knuth's linear congruence; the high bits are the good ones).
private struct Linear: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        func step() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 32
        }
        return step() << 32 | step()
    }
}
