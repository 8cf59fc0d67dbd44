import Access
import Gateway
import Identity
import MCP
import Synchronization
import Testing

@testable import Forwarding

private let ada = Principal(user: UserID(1), name: "ada", tenant: TenantID(1), role: .user)
private let bob = Principal(user: UserID(2), name: "bob", tenant: TenantID(1), role: .user)

struct EventLogTests {
    @Test func `a reader gets every event once and in order, and the end after them`() async {
        let log = EventLog()
        let reader = log.takeOver()
        for number in 1...3 { log.append(.number(number), isDroppable: true) }
        log.end()
        var seen: [String] = []
        var last = 0
        while case .event(let event) = await log.next(after: last, reader: reader, orSilenceAfter: .seconds(5)) {
            last = event.number
            seen.append(event.message?.description ?? "")
        }
        #expect(seen == ["1", "2", "3"])
    }

    @Test func `who comes back gets what it missed, and the former reader is let go`() async {
        let log = EventLog()
        let first = log.takeOver()
        for number in 1...3 { log.append(.number(number), isDroppable: false) }
        let second = log.takeOver()
        guard case .event(let next) = await log.next(after: 2, reader: second, orSilenceAfter: .seconds(5)) else { return #expect(Bool(false)) }
        #expect(next.message?.description == "3")
        guard case .end = await log.next(after: 0, reader: first, orSilenceAfter: .seconds(5)) else { return #expect(Bool(false)) }
    }

    @Test func `a reader that waits hears the next event, and silence when there is none`() async {
        let log = EventLog()
        let reader = log.takeOver()
        guard case .silence = await log.next(after: 0, reader: reader, orSilenceAfter: .milliseconds(1)) else { return #expect(Bool(false)) }
        async let waiting = log.next(after: 0, reader: reader, orSilenceAfter: .seconds(30))
        log.append("x", isDroppable: true)
        guard case .event = await waiting else { return #expect(Bool(false)) }
    }

    @Test func `when it is full progress goes first, and a question or an answer never`() async {
        let log = EventLog()
        log.append("question", isDroppable: false)
        for number in 0..<(EventLog.mostEvents * 3) { log.append(.number(number), isDroppable: true) }
        log.append("answer", isDroppable: false)
        log.end()
        let reader = log.takeOver()
        var seen: [String] = []
        var last = 0
        while case .event(let event) = await log.next(after: last, reader: reader, orSilenceAfter: .seconds(5)) {
            last = event.number
            seen.append(event.message?.description ?? "")
        }
        #expect(seen.count <= EventLog.mostEvents)
        #expect(seen.first == "\"question\"")
        #expect(seen.last == "\"answer\"")
    }

    @Test func `bytes are bounded as well`() {
        let log = EventLog()
        let long = JSONText.string(String(repeating: "x", count: 1 << 20))
        for _ in 0..<40 { log.append(long, isDroppable: true) }
        #expect(log.byteCount <= EventLog.mostDroppableBytes)
    }
}

struct StreamKeyTests {
    @Test(arguments: ["1", "\"a.b-c\"", "-7", "\"\u{1F388}\""])
    func `an event's id tells which request its stream answers`(id: String) throws {
        let request = try #require(MessageID(try JSON(parsing: Array(id.utf8))))
        let key = StreamKey(request: request, number: 12)
        let event = try #require(StreamKey.event("\(key.text)~s-e_a~l.34"))
        #expect(event.key == key.text)
        #expect(event.seal == "s-e_a~l")
        #expect(event.number == 34)
        #expect(event.request == request)
    }

    @Test(arguments: [
        "", ".", "x", "31-1", "31-1.", "31-1.x", "31-1.-2", "31.1", "\u{1F388}-1.1", "zz-1.1", "3-1.1", "7b7d-1.1", "6e756c6c-1.1",
        String(repeating: "3", count: 1100) + "-1.1", "~.1", "x~31-1.1",
    ])
    func `what is no id of an event is none`(id: String) { #expect(StreamKey.event(id) == nil) }

    @Test func `a session's own stream answers no request`() throws {
        let event = try #require(StreamKey.event("-3.9"))
        #expect(event.request == nil)
        #expect(event.number == 9)
    }
}

struct CarriedStateTests {
    private static let now = Timestamp(microseconds: 1_000_000_000)

    @Test func `a state is read back until its time is over`() throws {
        let bytes = CarriedState.passed(server: ServerID(7), replica: 3, state: "s\u{0}é").bytes(until: Self.now.advanced(by: .seconds(10)))
        guard case .passed(ServerID(7), 3, "s\u{0}é")? = CarriedState(bytes, at: Self.now) else { return #expect(Bool(false)) }
        #expect(CarriedState(bytes, at: Self.now.advanced(by: .seconds(10))) == nil)
        guard case .parked("name")? = CarriedState(CarriedState.parked("name").bytes(until: Self.now.advanced(by: .seconds(1))), at: Self.now) else {
            return #expect(Bool(false))
        }
    }

    @Test(arguments: ["", "{}", "[]", #"{"until":99999}"#, #"{"until":"9","parked":"x"}"#])
    func `what is no state is none`(text: String) { #expect(CarriedState(Array(text.utf8), at: Self.now) == nil) }
}

struct ChangesTests {
    private static let s = ServerAlias("s")!
    private static let t = ServerAlias("t")!

    @Test func `what changed is told once, to whom it concerns and who wants it`() async throws {
        let changes = Changes { _, _, _ in true }
        let all = Listener(Interest(lists: [.tools, .resources], resources: ["mcp.s+file:///x"]), principal: ada, only: nil)
        let one = Listener(Interest(lists: [.tools, .prompts], resources: ["file:///x"]), principal: ada, only: Self.t)
        for listener in [all, one] { try changes.add(listener) }
        changes.announce(
            [.list(.tools), .list(.tools), .list(.prompts), .list(.resourceTemplates), .resource("file:///x")], of: Self.s, in: TenantID(1))
        guard case .changes(let heard) = await all.next(orSilenceAfter: .seconds(5)) else { return #expect(Bool(false)) }
        #expect(heard == [.list(.tools), .list(.resources), .resource("mcp.s+file:///x")])
        guard case .silence = await one.next(orSilenceAfter: .milliseconds(1)) else { return #expect(Bool(false)) }
        changes.announce([.resource("file:///x")], of: Self.t, in: TenantID(1))
        guard case .changes([.resource("file:///x")]) = await one.next(orSilenceAfter: .seconds(5)) else { return #expect(Bool(false)) }
    }

    @Test func `of pages that were dealt with while nobody read, the last are told`() async throws {
        let listener = Listener(Interest(lists: []), principal: ada, only: nil)
        for number in 1...100 { listener.hear([.elicitation("e\(number)")]) }
        guard case .changes(let heard) = await listener.next(orSilenceAfter: .seconds(5)) else { return #expect(Bool(false)) }
        #expect(heard == (37...100).map { .elicitation("e\($0)") })
    }

    @Test func `nobody hears of another tenant, of a server hidden from them, or of another user's conversation`() async throws {
        let changes = Changes { principal, _, alias in principal.user == UserID(1) || alias != Self.s }
        let mine = Listener(Interest(lists: [.tools], resources: ["mcp.s+a:b"]), principal: ada, only: nil)
        let theirs = Listener(Interest(lists: [.tools], resources: ["mcp.s+a:b"]), principal: bob, only: nil)
        for listener in [mine, theirs] { try changes.add(listener) }
        changes.announce([.list(.tools)], of: Self.s, in: TenantID(2))
        changes.announce([.list(.tools)], of: Self.s, in: TenantID(1))
        changes.announce([.resource("a:b")], of: Self.s, in: TenantID(1), for: UserID(2))
        guard case .changes([.list(.tools)]) = await mine.next(orSilenceAfter: .seconds(5)) else { return #expect(Bool(false)) }
        guard case .silence = await theirs.next(orSilenceAfter: .milliseconds(1)) else { return #expect(Bool(false)) }
    }

    @Test func `a user has so many streams and no more, and leaving makes room`() throws {
        let changes = Changes { _, _, _ in true }
        let listeners = (0...Changes.mostPerUser).map { _ in Listener(Interest(), principal: ada, only: nil) }
        for listener in listeners.dropLast() { try changes.add(listener) }
        #expect(throws: Refusal.self) { try changes.add(listeners[Changes.mostPerUser]) }
        try changes.add(Listener(Interest(), principal: bob, only: nil))
        changes.remove(listeners[0])
        try changes.add(listeners[Changes.mostPerUser])
        changes.remove(listeners[0])
        #expect(changes.count == Changes.mostPerUser + 1)
    }
}

struct ClientSessionsTests {
    private final class Shelf: Sendable {
        let kept = Mutex<[String: ClientSessionRecord]>([:])
        var records: [ClientSessionRecord] { kept.withLock { Array($0.values) } }
        var store: ClientSessionStore {
            ClientSessionStore(
                save: { records in self.kept.withLock { kept in for record in records { kept[record.id] = record } } },
                delete: { ids in self.kept.withLock { kept in for id in ids { kept[id] = nil } } })
        }
    }

    private static let changes = Changes { _, _, _ in true }
    private static let now = Timestamp(microseconds: 1_000_000_000_000)

    private static func handshake() throws -> Incoming {
        let text =
            #"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}}"#
        guard case .request(let incoming) = try Reading(Message(parsing: Array(text.utf8)), headers: RoutingHeaders()) else { throw NotARequest() }
        return incoming
    }

    private struct NotARequest: Error {}

    @Test func `a session is there for its user on its endpoint, and for nobody else`() async throws {
        let shelf = Shelf()
        let sessions = ClientSessions(store: shelf.store, kept: [], changes: Self.changes) { Self.now }
        let session = try await sessions.open(Self.handshake(), of: ada, at: .mcp)
        #expect(session.revision == .june2025)
        #expect(session.capabilities.elicitsForms)
        #expect(sessions.find(session.id, of: ada, at: .mcp) === session)
        #expect(sessions.find(session.id, of: bob, at: .mcp) == nil)
        #expect(sessions.find(session.id, of: ada, at: .server(ServerAlias("s")!)) == nil)
        #expect(sessions.find("made up", of: ada, at: .mcp) == nil)
        await sessions.end(session)
        #expect(sessions.find(session.id, of: ada, at: .mcp) == nil)
        #expect(shelf.records.isEmpty)
    }

    @Test func `after a restart it goes on as if nothing had happened, for its user alone`() async throws {
        let shelf = Shelf()
        let before = ClientSessions(store: shelf.store, kept: [], changes: Self.changes) { Self.now }
        let session = try await before.open(Self.handshake(), of: ada, at: .mcp)
        try await before.change(session) {
            $0.logLevel = "error"; $0.subscriptions = ["mcp.s+a:b"]
        }
        let after = ClientSessions(store: shelf.store, kept: shelf.records, changes: Self.changes) { Self.now }
        #expect(after.find(session.id, of: bob, at: .mcp) == nil)
        let found = try #require(after.find(session.id, of: ada, at: .mcp))
        #expect(found.logLevel == .error)
        #expect(found.capabilities.elicitsForms)
        #expect(found.takeUnsubscribed() == ["mcp.s+a:b"])
        #expect(found.takeUnsubscribed().isEmpty)
    }

    @Test func `a session is for the key that opened it, or for its user's sign-ins, also after a restart`() async throws {
        func key(_ id: Int64) -> Principal { Principal(user: ada.user, name: ada.name, tenant: ada.tenant, role: ada.role, key: APIKeyID(id)) }
        let shelf = Shelf()
        let before = ClientSessions(store: shelf.store, kept: [], changes: Self.changes) { Self.now }
        let signedIn = try await before.open(Self.handshake(), of: ada, at: .mcp)
        let keys = try await before.open(Self.handshake(), of: key(1), at: .mcp)
        let after = ClientSessions(store: shelf.store, kept: shelf.records, changes: Self.changes) { Self.now }
        for sessions in [before, after] {
            for other in [key(1), key(2)] { #expect(sessions.find(signedIn.id, of: other, at: .mcp) == nil) }
            for other in [ada, key(2)] { #expect(sessions.find(keys.id, of: other, at: .mcp) == nil) }
            #expect(sessions.find(signedIn.id, of: ada, at: .mcp) != nil)
            #expect(sessions.find(keys.id, of: key(1), at: .mcp) != nil)
        }
    }

    @Test func `what was not used for a day is over`() async throws {
        let shelf = Shelf()
        let sessions = ClientSessions(store: shelf.store, kept: [], changes: Self.changes) { Self.now }
        let session = try await sessions.open(Self.handshake(), of: ada, at: .mcp)
        let kept = shelf.records
        let later = ClientSessions(store: shelf.store, kept: kept, changes: Self.changes) {
            Self.now.advanced(by: ClientSessions.keptIdle + .seconds(1))
        }
        #expect(later.find(session.id, of: ada, at: .mcp) == nil)
    }

    @Test func `a user who opens too many loses the oldest, and takes no room from others`() async throws {
        let shelf = Shelf()
        let clock = Mutex(Self.now)
        let sessions = ClientSessions(store: shelf.store, kept: [], changes: Self.changes) {
            clock.withLock { now in
                now = now.advanced(by: .seconds(1))
                return now
            }
        }
        let other = try await sessions.open(Self.handshake(), of: bob, at: .mcp)
        let first = try await sessions.open(Self.handshake(), of: ada, at: .mcp)
        for _ in 0..<ClientSessions.mostPerUser { _ = try await sessions.open(Self.handshake(), of: ada, at: .mcp) }
        #expect(sessions.find(first.id, of: ada, at: .mcp) == nil)
        #expect(sessions.find(other.id, of: bob, at: .mcp) != nil)
        #expect(sessions.count == ClientSessions.mostPerUser + 1)
        #expect(shelf.records.count == ClientSessions.mostPerUser + 1)
    }

    @Test func `who is signed out loses calls and streams, and keeps the session for when they are back`() async throws {
        let sessions = ClientSessions(store: Shelf().store, kept: [], changes: Self.changes) { Self.now }
        let session = try await sessions.open(Self.handshake(), of: ada, at: .mcp)
        let cancelled = Mutex(false)
        session.began(MessageID(5)) { cancelled.withLock { $0 = true } }
        let stream = session.openStream(for: MessageID(5))
        sessions.hush { $0.user == UserID(1) }
        #expect(cancelled.withLock { $0 })
        // Whoever still reads it is told what became of the call first.
        #expect(!stream.log.isForgotten)
        let again = try #require(sessions.find(session.id, of: ada, at: .mcp))
        #expect(again !== session)
    }

    @Test func `an answer goes to the question it answers, once, and one to nothing goes nowhere`() async throws {
        let sessions = ClientSessions(store: Shelf().store, kept: [], changes: Self.changes) { Self.now }
        let session = try await sessions.open(Self.handshake(), of: ada, at: .mcp)
        let heard = Mutex<[String]>([])
        let id = try #require(session.expect { result in heard.withLock { $0.append((try? result.get().text.description) ?? "refused") } })
        session.answer(MessageID(999), .success(try JSON(parsing: Array("{}".utf8))))
        for _ in 0..<2 { session.answer(id, .success(try JSON(parsing: Array(#"{"action":"accept"}"#.utf8)))) }
        #expect(heard.withLock { $0 } == [#"{"action":"accept"}"#])
    }

    @Test func `a store that fails opens no session`() async throws {
        struct Full: Error {}
        let sessions = ClientSessions(
            store: ClientSessionStore(save: { _ in throw Full() }, delete: { _ in }), kept: [], changes: Self.changes
        ) { Self.now }
        await #expect(throws: Refusal.self) { try await sessions.open(Self.handshake(), of: ada, at: .mcp) }
        #expect(sessions.count == 0)
    }
}
