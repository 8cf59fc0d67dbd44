import Access
import Gateway
import MCP
import Synchronization
import Testing

@testable import Forwarding

struct ListViewTests {
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
        let whole = try list(table, person(1), openRules)
        for principal in [person(1), person(2), person(3, .admin), person(1, reach: .only(servers: [ServerAlias("bee")!], tools: ["ant__t3"]))] {
            let expected = try whole.filter { name in
                let route = try #require(table.route(name))
                return rules.permits(principal, try #require(route.tool)).isAllowed
            }
            for era in [Revision.Era.legacy, .modern] { #expect(try list(table, principal, rules, in: era) == expected) }
        }
    }

    @Test func `a cursor that names what the caller does not see is good for nothing`() throws {
        let part = RouteTable.Part(upstream: try upstream("s"), tools: try (0..<250).map { try tool("t\($0)") })
        let other = RouteTable.Part(upstream: try upstream("other", id: 2), tools: [try tool("hidden")])
        let table = routeTable([part, other])
        let rules = ToolRules([rule(1, .allow, .everyone, .server(ServerAlias("s")!)), rule(2, .allow, .role(.admin), .everything)])
        let (mine, theirs) = (view(table, person(1), rules), view(table, person(2, .admin), rules))
        #expect(theirs.page(after: "other__hidden") != nil)
        #expect(mine.page(after: "other__hidden") == nil)
        #expect(try list(table, person(1), rules).count == 250)
        #expect(mine.mark == view(table, person(9), rules).mark)
        #expect(mine.mark != theirs.mark)
    }

    /// The mark is short, and a server chooses its names.
    @Test func `lists that only share a mark are not taken for one another`() {
        let write = { @Sendable (items: ArraySlice<JSONText>, next: String?) in
            ListPage(
                Answers(gateway: Implementation(name: "g", title: "G", version: "0"), instructions: ""), .tools, Array(items), next: next,
                in: .legacy, notice: nil)
        }
        let views = ListViews()
        let key = ListViews.Key(kind: .tools, era: .legacy, policy: openRules.policyClass(of: person(1)))
        views.keep(ListView([("hidden", "hidden")], missing: ["gone"], mark: 7, write: write), for: key)
        #expect(views.view(of: ["hidden"], missing: ["gone"], marked: 7, .tools, in: .legacy) != nil)
        for (keys, missing) in [(["shown"], ["gone"]), (["hidden"], []), ([], ["gone"]), (["hidden", "hidden"], ["gone"])] {
            #expect(views.view(of: keys, missing: missing, marked: 7, .tools, in: .legacy) == nil)
        }
    }

    @Test func `as many views are kept as there is room for, and one that was let go is written the same again`() throws {
        let table = routeTable([RouteTable.Part(upstream: try upstream("s"), tools: try (0..<120).map { try tool("t\($0)") })])
        let users = Int64(ListViews.most + 50)
        let rules = ToolRules(
            (1...users).map { rule($0, .deny, .user(UserID($0), name: "u\($0)"), .tool("t\($0 % 120)", of: ServerAlias("s")!)) } + openRules.all)
        let first = view(table, person(1), rules)
        for user in 2...users { _ = view(table, person(user), rules) }
        #expect(table.viewCount <= ListViews.most)
        let again = view(table, person(1), rules)
        #expect(again.mark == first.mark)
        #expect(again.page(after: nil)?.text(nextCursor: nil) == first.page(after: nil)?.text(nextCursor: nil))
    }

    @Test func `whoever may use nothing of a server does not hear that it cannot be asked`() throws {
        let here = RouteTable.Part(upstream: try upstream("here", id: 1), tools: [try tool("t")])
        let gone = RouteTable.Part(upstream: try upstream("gone", id: 2), tools: nil)
        let table = routeTable([here, gone])
        let rules = ToolRules([rule(1, .allow, .everyone, .server(ServerAlias("here")!)), rule(2, .allow, .role(.admin), .everything)])
        func told(_ principal: Principal) throws -> [String?]? {
            let view = table.view(.tools, for: principal, under: rules, in: .modern)
            let page = try JSON(parsing: try #require(view.page(after: nil)).text(nextCursor: nil).bytes)
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
                        let names = try list(table, person(Int64(reader)), seen)
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

private func view(_ table: RouteTable, _ principal: Principal, _ rules: ToolRules) -> ListView {
    table.view(.tools, for: principal, under: rules, in: .legacy)
}

/// All names of a list, page by page.
private func list(_ table: RouteTable, _ principal: Principal, _ rules: ToolRules, in era: Revision.Era = .legacy) throws -> [String] {
    let view = table.view(.tools, for: principal, under: rules, in: era)
    var all: [String] = []
    var key: String?
    repeat {
        let page = try #require(view.page(after: key))
        all += try names(page.text(nextCursor: nil))
        key = page.next
    } while key != nil
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
