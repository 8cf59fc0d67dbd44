import Access
import GRDB
import Gateway
import Testing

@testable import Storage

struct ToolPinRecordsTests {
    @Test func `the first listing is approved, what differs later waits, and each is on record`() async throws {
        try await withServer { database, server in
            let first = try await database.note(["a": "1", "b": "1"], of: server)
            #expect(first.pins.waiting.isEmpty)
            #expect(try await states(database, server) == ["a": .approved, "b": .approved])
            // The same again is no news, and leaves no row.
            _ = try await database.note(["b": "1", "a": "1"], of: server)

            let second = try await database.note(["a": "2", "c": "1"], of: server)
            #expect(second.order > first.order)
            #expect(second.pins.waiting.map(\.name) == ["a", "c"])
            #expect(try await states(database, server) == ["a": .changed, "b": .gone, "c": .new])
            let changed = try #require(try await database.pinnedTool("a", of: server.id))
            #expect((changed.approvedDefinition, changed.seenDefinition) == ("1", "2"))
            #expect(changed.changedAt > changed.firstSeen)
            let new = try #require(try await database.pinnedTool("c", of: server.id))
            #expect((new.approvedDefinition, new.seenDefinition) == (nil, "1"))

            // Back to what it was: nothing waits of it. What comes back changed is held, what comes back as it was is not.
            _ = try await database.note(["a": "1", "b": "2"], of: server)
            #expect(try await states(database, server) == ["a": .approved, "b": .changed, "c": .gone])
            #expect(try await database.pinnedTool("a", of: server.id)?.seenDefinition == "1")
            _ = try await database.note(["a": "1", "b": "1", "c": "1"], of: server)
            #expect(try await states(database, server) == ["a": .approved, "b": .approved, "c": .new])
            #expect(try await database.actions().filter { $0.hasPrefix("tool.") } == ["tool.pin", "tool.change", "tool.change", "tool.change"])
        }
    }

    @Test func `a server that listed nothing was not seen yet`() async throws {
        try await withServer { database, server in
            _ = try await database.note([:], of: server)
            #expect(try await database.note(["a": "1"], of: server).pins.waiting.isEmpty)
            _ = try await database.note([:], of: server)
            #expect(try await database.note(["a": "1", "b": "1"], of: server).pins.waiting.map(\.name) == ["b"])
        }
    }

    @Test func `exactly what was seen is approved, by whom is known, and each has a row with its hash`() async throws {
        try await withServer { database, server in
            _ = try await database.note(["a": "1", "b": "1"], of: server)
            _ = try await database.note(["a": "2", "b": "1", "c": "1"], of: server)
            let record = AuditRecord(
                requestID: RequestID(7), at: Timestamp(microseconds: 9_000_000), user: server.owner, tenant: server.tenant, action: "tool.approve")
            await #expect(throws: ToolPins.Disapproval.differs("a", now: mark("2"))) {
                try await database.approveTools(.tools([.init("c", mark("1")), .init("a", mark("1"))]), of: server, audit: record)
            }
            #expect(try await states(database, server) == ["a": .changed, "b": .approved, "c": .new])

            let done = try await database.approveTools(
                .tools([.init("a", mark("2"), isIdempotent: true), .init("c", mark("1"))]), of: server, audit: record)
            #expect(done.approved.map(\.name) == ["a", "c"])
            #expect(done.pins.waiting.isEmpty)
            let approved = try #require(try await database.pinnedTool("a", of: server.id))
            #expect((approved.approvedBy, approved.approvedDefinition, approved.seenDefinition) == ("owner", "2", "2"))
            #expect(approved.pin.isIdempotent)
            #expect(approved.approvedAt == record.at)
            #expect(try await database.pinnedTool("b", of: server.id)?.approvedBy == nil)
            let rows = try await database.auditRecords(of: nil, since: Timestamp(microseconds: .min), limit: .max).filter {
                $0.action == "tool.approve"
            }
            #expect(Set(rows.map(\.target)) == ["weather: \(mark("2")) a", "weather: \(mark("1")) c"])
            #expect(rows.allSatisfy { $0.server == server.id })
            // The mark goes with the definition it was said of.
            _ = try await database.note(["a": "3", "b": "1", "c": "1"], of: server)
            let pins = try #require(try await database.allToolPins()[server.id])
            _ = try await database.approveTools(.all(mark: pins.waitingMark), of: server, audit: record)
            #expect(try await database.pinnedTool("a", of: server.id)?.pin.isIdempotent == false)
        }
    }

    @Test func `pins and their record are written together or not at all`() async throws {
        try await withServer { database, server in
            _ = try await database.note(["a": "1"], of: server)
            await #expect(throws: (any Error).self) {
                try await database.noteTools(listing(["a": "2"]), of: server.id, at: Timestamp(microseconds: 5)) { _ in impossibleAudit() }
            }
            #expect(try await states(database, server) == ["a": .approved])
            _ = try await database.note(["a": "2"], of: server)
            await #expect(throws: (any Error).self) {
                try await database.approveTools(.tools([.init("a", mark("2"))]), of: server, audit: impossibleAudit())
            }
            #expect(try await states(database, server) == ["a": .changed])
        }
    }

    @Test func `pins are there when the file is opened again, and what was held still is`() async throws {
        try await withTemporaryFolder { folder in
            var database = try Storage.Database(folder)
            let home = try await Household("home", in: database)
            let server = try await database.createServer(draft("weather"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            _ = try await database.note(["caf\u{E9}": "1", "cafe\u{301}": "1"], of: server)
            _ = try await database.note(["caf\u{E9}": "2", "cafe\u{301}": "1"], of: server)
            try await database.close()
            database = try Storage.Database(folder)
            let pins = try #require(try await database.allToolPins()[server.id])
            #expect(pins.count == 2)
            #expect(pins.waiting.map { Array($0.name.utf8) } == [Array("caf\u{E9}".utf8)])
            #expect(pins["caf\u{E9}"]?.approved == mark("1"))
            try await database.close()
        }
    }

    @Test func `a server that goes takes its pins along, and one that is gone gets none`() async throws {
        try await withServer { database, server in
            _ = try await database.note(["a": "1"], of: server)
            try await database.deleteServer(server.id, audit: audit("server.delete"))
            #expect(try await database.allToolPins().isEmpty)
            await #expect(throws: Refusal.notFound("server \(server.id.rawValue)")) { try await database.note(["a": "1"], of: server) }
        }
    }

    @Test func `a server has so many pins; of more, what went first is forgotten, and new when it comes back`() async throws {
        try await withServer { database, server in
            var early = ToolListing()
            for number in 0..<3 { early.add("early\(number)", [1]) }
            _ = try await database.note(early, of: server)
            var many = ToolListing()
            for number in 0..<ToolListing.most { many.add("t\(number)", [1]) }
            let pins = try await database.note(many, of: server).pins
            #expect(pins.count == ToolListing.most)
            #expect(pins["early0"] == nil)
            let back = try await database.note(early, of: server).pins
            #expect(back.count == ToolListing.most)
            #expect(back.waiting.map(\.name) == ["early0", "early1", "early2"])
        }
    }

    @Test func `a page holds the tools that are wanted, by name, and goes on after the last`() async throws {
        try await withServer { database, server in
            _ = try await database.note(["b": "1", "a": "1", "C": "1"], of: server)
            _ = try await database.note(["b": "2", "a": "1", "C": "1", "d": "1"], of: server)
            func page(_ states: Set<ToolPin.State>, after: String = "", _ limit: Int = 10) async throws -> [String] {
                try await database.pinnedTools(of: server.id, states: states, after: after, limit: limit).map(\.pin.name)
            }
            #expect(try await page(Set(ToolPin.State.allCases)) == ["C", "a", "b", "d"])
            #expect(try await page(Set(ToolPin.State.allCases), after: "a", 1) == ["b"])
            #expect(try await page([.changed, .new]) == ["b", "d"])
            #expect(try await page([]) == [])
            #expect(try await database.pinnedTool("x", of: server.id) == nil)
        }
    }

    @Test func `the schema takes no pin that contradicts itself`() async throws {
        try await withServer { database, server in
            let hash = "x'\(String(repeating: "ab", count: 32))'"
            for columns in [
                "('', \(hash), \(hash), 'approved', 0, 1)", "('t', NULL, \(hash), 'approved', 0, NULL)", "('t', \(hash), \(hash), 'changed', 0, 1)",
                "('t', \(hash), \(hash), 'new', 0, 1)", "('t', NULL, \(hash), 'new', 1, NULL)", "('t', NULL, x'ab', 'new', 0, NULL)",
                "('t', NULL, \(hash), 'trusted', 0, NULL)", "('t', \(hash), \(hash), 'approved', 0, NULL)",
            ] {
                await #expect(throws: (any Error).self, "\(columns)") {
                    try await database.write { db, _ in
                        let (names, values) = ("name, sha256, seen_sha256, state, idempotent, approved_at", columns.dropFirst())
                        try db.execute(
                            sql:
                                "INSERT INTO server_tools (server_id, first_seen, changed_at, \(names)) VALUES (\(server.id.rawValue), 1, 1, \(values)"
                        )
                    }
                }
            }
        }
    }

    // MARK: Props

    private func withServer(_ body: (Storage.Database, ServerRecord) async throws -> Void) async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let server = try await database.createServer(draft("weather"), owner: home.owner, tenant: home.tenant, audit: audit("server.create"))
            try await body(database, server)
        }
    }

    private func states(_ database: Storage.Database, _ server: ServerRecord) async throws -> [String: ToolPin.State] {
        let tools = try await database.pinnedTools(of: server.id, states: Set(ToolPin.State.allCases), after: "", limit: 100)
        return Dictionary(uniqueKeysWithValues: tools.map { ($0.pin.name, $0.pin.state) })
    }
}

private func mark(_ text: String) -> ToolFingerprint { ToolFingerprint(of: Array(text.utf8)) }

private func listing(_ tools: KeyValuePairs<String, String>) -> ToolListing {
    var listing = ToolListing()
    for (name, text) in tools { listing.add(name, Array(text.utf8)) }
    return listing
}

private let clock = WallClock()

extension Storage.Database {
    fileprivate func note(_ tools: KeyValuePairs<String, String>, of server: ServerRecord) async throws -> (pins: ToolPins, order: Int) {
        try await note(listing(tools), of: server)
    }

    fileprivate func note(_ listing: ToolListing, of server: ServerRecord) async throws -> (pins: ToolPins, order: Int) {
        clock.advance(by: .seconds(1))
        return try await noteTools(listing, of: server.id, at: clock.now) { audit($0.isFirst ? "tool.pin" : "tool.change") }
    }
}
