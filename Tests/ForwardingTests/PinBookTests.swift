import Access
import Gateway
import Logging
import MCP
import Synchronization
import Testing
import Upstreams

@testable import Forwarding

struct PinBookTests {
    /// A record of pins without a file, which can refuse.
    private final class Record: Sendable {
        private let state = Mutex((pins: [ToolPin](), order: 0, isBroken: false))

        func setBroken(_ isBroken: Bool) { state.withLock { $0.isBroken = isBroken } }
        var order: Int { state.withLock { $0.order } }

        func write(_ listing: ToolListing) throws -> (pins: ToolPins, order: Int) {
            try state.withLock { state in
                if state.isBroken { throw Refusal.auditUnavailable }
                let known = ToolPins(state.pins)
                let news = known.news(in: listing)
                state.pins = listing.tools.map { tool in
                    ToolPin(tool.name, approved: news.isFirst ? tool.fingerprint : known[tool.name]?.approved, seen: tool.fingerprint)
                }
                state.order += 1
                return (ToolPins(state.pins), state.order)
            }
        }

        func book(_ policy: ToolChangePolicy, _ pins: [ServerID: ToolPins] = [:]) -> PinBook {
            PinBook(pins, policy: policy, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) { listing, _ in try self.write(listing) }
        }
    }

    private func tools(_ tools: KeyValuePairs<String, String>) throws -> [JSON] {
        try tools.map { name, text in
            let json: JSONText = ["name": .string(name), "description": .string(text), "inputSchema": ["type": "object"]]
            return try JSON(parsing: json.bytes)
        }
    }

    private func used(_ judged: PinBook.Judged) -> [String] { judged.used.compactMap { $0["name"]?.string } }

    @Test func `a changed tool is held under one policy and used under the other; the former definition is used under neither`() async throws {
        for policy in ToolChangePolicy.allCases {
            let (book, server) = (Record().book(policy), try upstream("s").server)
            let first = await book.note(try tools(["a": "1", "b": "1"]), of: server)
            #expect(used(book.judge(first.listing, of: server)) == ["a", "b"])
            let second = await book.note(try tools(["a": "2", "b": "1", "c": "1"]), of: server)
            let judged = book.judge(second.listing, of: server)
            #expect(used(judged) == (policy == .hold ? ["b"] : ["a", "b", "c"]))
            #expect(Set(judged.held.keys) == (policy == .hold ? ["s__a", "s__c"] : []))
            #expect(judged.used.allSatisfy { $0["name"]?.string != "a" || $0["description"]?.string == "2" })
        }
    }

    @Test func `what waits at one place of a server waits though another lists what was approved`() async throws {
        var server = try upstream("s").server
        server.replicas = [ServerReplica(endpoint: "https://second.example.test/mcp")]
        let book = Record().book(.hold)
        func used(_ text: String, at place: Int) async throws -> [String] {
            self.used(book.judge(await book.note(try tools(["a": text, "b": "1"]), of: server, at: place).listing, of: server))
        }
        #expect(try await used("1", at: 0) == ["a", "b"])
        #expect(try await used("2", at: 1) == ["b"])
        #expect(try await used("1", at: 0) == ["b"])
        #expect(book.pins(of: server.id).waiting.map(\.name) == ["a"])
        #expect(try await used("1", at: 1) == ["a", "b"], "it lists again what was approved")
        #expect(try await used("1", at: 0) == ["a", "b"])
    }

    @Test func `what cannot be written down is not used, whatever the policy`() async throws {
        for policy in ToolChangePolicy.allCases {
            let (record, server) = (Record(), try upstream("s").server)
            let book = record.book(policy)
            record.setBroken(true)
            let first = await book.note(try tools(["a": "1"]), of: server)
            #expect(first.failure?.contains("pinned") == true)
            #expect(used(book.judge(first.listing, of: server)).isEmpty)
            record.setBroken(false)
            _ = await book.note(try tools(["a": "1", "b": "1"]), of: server)
            record.setBroken(true)
            let later = await book.note(try tools(["a": "2", "b": "1", "c": "1"]), of: server)
            #expect(later.failure != nil)
            #expect(used(book.judge(later.listing, of: server)) == ["b"])
        }
    }

    @Test func `a listing that says nothing new is not written`() async throws {
        let (record, server) = (Record(), try upstream("s").server)
        let book = record.book(.hold)
        for _ in 0..<3 { _ = await book.note(try tools(["a": "1"]), of: server) }
        #expect(record.order == 1)
    }

    @Test func `the second tool of a name does not come in for the first, nor does one that no client could use`() async throws {
        let (book, server) = (Record().book(.hold), try upstream("s").server)
        _ = await book.note(try tools(["a": "1"]), of: server)
        for listed in [try tools(["a": "2", "a": "1"]), try tools(["a": "2", "": "1"])] {
            let noted = await book.note(listed, of: server)
            #expect(used(book.judge(noted.listing, of: server)).isEmpty)
        }
    }

    @Test func `what was committed late does not replace what was committed after it`() throws {
        let (book, server) = (Record().book(.hold), ServerID(1))
        let mark = ToolFingerprint(of: [1])
        book.change(ToolPins([ToolPin("a", approved: mark, seen: mark)]), of: server, order: 2)
        book.change(ToolPins(), of: server, order: 1)
        #expect(book.pins(of: server).count == 1)
        book.forget(server)
        #expect(book.pins(of: server).count == 0)
    }

    @Test func `pins that were there at the start judge the first listing after it`() async throws {
        let server = try upstream("s").server
        let definition = try #require(ToolDefinition(try tools(["a": "1"])[0]))
        let pins = ToolPins([ToolPin("a", approved: ToolFingerprint(of: definition.canonical), seen: ToolFingerprint(of: [9]), isIdempotent: true)])
        let record = Record()
        record.setBroken(true)
        let book = record.book(.hold, [server.id: pins])
        let good = book.judge(await book.note(try tools(["a": "1"]), of: server).listing, of: server)
        #expect(used(good) == ["a"])
        #expect(good.idempotent == [ExactName("a")])
        #expect(used(book.judge(await book.note(try tools(["a": "2"]), of: server).listing, of: server)).isEmpty)
    }
}
