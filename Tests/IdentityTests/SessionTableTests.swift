import Gateway
import Identity
import ServiceLifecycle
import Synchronization
import Testing

struct SessionTableTests {
    struct DiskFull: Error {}

    /// The rows that were written, and a clock that is moved by hand.
    final class House: Sendable {
        private let state = Mutex((now: Timestamp(microseconds: 1_000_000_000_000), rows: [SessionID: Session](), works: true))

        var now: Timestamp { state.withLock { $0.now } }
        func advance(by duration: Duration) { state.withLock { $0.now = $0.now.advanced(by: duration) } }
        func disk(works: Bool) { state.withLock { $0.works = works } }
        subscript(_ id: Int64) -> Session? { state.withLock { $0.rows[SessionID(id)] } }
        var count: Int { state.withLock { $0.rows.count } }

        func table(keepsActivities: Bool = true) -> SessionTable {
            SessionTable(timeout: .seconds(1800), sweepInterval: .seconds(300), keepsActivities: keepsActivities, now: { self.now }) { sessions in
                try self.state.withLock { state in
                    guard state.works else { throw DiskFull() }
                    for session in sessions {
                        var row = session
                        // As the database does: counters are added.
                        row.requests += state.rows[session.id]?.requests ?? 0
                        row.errors += state.rows[session.id]?.errors ?? 0
                        state.rows[session.id] = row
                    }
                }
            }
        }

        func note(_ table: SessionTable, session: Int64, user: Int64 = 1, action: String = "ping", isError: Bool = false) {
            let principal = Principal(user: UserID(user), name: "u", tenant: TenantID(1), role: .user, session: SessionID(session))
            table.note(principal, client: "client 1", era: "modern", action: action, target: "", isError: isError, at: now)
        }
    }

    @Test func `requests are counted once, however often they are written`() async throws {
        let house = House()
        let table = house.table()
        for _ in 0..<3 { house.note(table, session: 1) }
        try await table.flush()
        house.note(table, session: 1, isError: true)
        try await table.flush()
        try await table.flush()
        #expect(house[1]?.requests == 4)
        #expect(house[1]?.errors == 1)
        #expect(house[1]?.client == "client 1")
    }

    @Test func `what could not be written is written the next time`() async throws {
        let house = House()
        let table = house.table()
        house.note(table, session: 1)
        house.disk(works: false)
        await #expect(throws: DiskFull.self) { try await table.flush() }
        house.note(table, session: 1)
        house.disk(works: true)
        try await table.flush()
        #expect(house[1]?.requests == 2)
    }

    @Test func `the last ten activities are kept, latest first, or none`() async throws {
        let house = House()
        let (table, forgetful) = (house.table(), house.table(keepsActivities: false))
        for number in 1...15 { house.note(table, session: 1, action: "call \(number)") }
        house.note(forgetful, session: 2)
        try await table.flush()
        try await forgetful.flush()
        #expect(house[1]?.activities.map(\.action) == (6...15).reversed().map { "call \($0)" })
        #expect(house[2]?.activities == [])
    }

    @Test func `a session nobody used for half an hour falls idle, and comes back with its next request`() async throws {
        let house = House()
        let table = house.table()
        house.note(table, session: 1)
        house.advance(by: .seconds(1800))
        try await table.sweep()
        #expect(house[1]?.isActive == true)
        house.advance(by: .seconds(1))
        try await table.sweep()
        #expect(house[1]?.isActive == false)
        #expect(table.activeUsers == 0)
        house.note(table, session: 1)
        try await table.flush()
        #expect(house[1]?.isActive == true)
        #expect(house[1]?.requests == 2)
    }

    @Test func `users are counted once, with as many sessions as they have`() {
        let house = House()
        let table = house.table()
        for session in 1...5 as ClosedRange<Int64> { house.note(table, session: session, user: session % 2) }
        #expect(table.activeUsers == 2)
    }

    @Test func `a session that was ended elsewhere is not written as active again`() async throws {
        let house = House()
        let table = house.table()
        house.note(table, session: 1)
        house.note(table, session: 2, user: 2)
        house.note(table, session: 3, user: 2)
        table.forget(SessionID(1))
        table.forget(UserID(2))
        try await table.flush()
        #expect(house.count == 0)
    }

    @Test func `any number of sessions takes bounded space, and those that were written are not lost`() async throws {
        let house = House()
        let table = house.table()
        for session in 1...Int64(SessionTable.capacity) { house.note(table, session: session, user: session) }
        try await table.flush()
        for session in 1...2000 as ClosedRange<Int64> { house.note(table, session: Int64(SessionTable.capacity) + session, user: session) }
        try await table.flush()
        #expect(table.activeUsers <= SessionTable.capacity)
        #expect(house.count == SessionTable.capacity + 2000)
    }

    @Test func `a token without a session is in none`() async throws {
        let house = House()
        let table = house.table()
        house.note(table, session: 0)
        try await table.flush()
        #expect(house.count == 0)
    }

    @Test func `what is in memory is written when the gateway stops`() async throws {
        let house = House()
        let table = house.table()
        house.note(table, session: 1)
        let running = Task { try await table.run() }
        running.cancel()
        _ = await running.result
        #expect(house[1]?.requests == 1)
    }
}
