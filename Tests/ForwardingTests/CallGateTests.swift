import Gateway
import Synchronization
import Testing

@testable import Forwarding

@Suite(.timeLimit(.minutes(1)))
struct CallGateTests {
    /// A clock that is set by hand.
    final class Clock: Sendable {
        private let nanoseconds = Atomic<Int64>(1_000_000_000)
        var now: BootInstant { BootInstant(nanoseconds: nanoseconds.load(ordering: .relaxed)) }
        func advance(by duration: Duration) { nanoseconds.add(duration.nanoseconds, ordering: .relaxed) }
    }

    static let files = ServerID(1)
    let clock = Clock()

    func gate(perServer: Int = 1, perUser: Int = 0, capacity: Int = 100, longestWait: Duration = .seconds(10)) -> CallGate {
        CallGate(perServer: perServer, perUser: perUser, capacity: capacity, longestWait: longestWait, now: { [clock] in clock.now })
    }

    static func principal(_ user: Int64, of tenant: Int64 = 1) -> Principal {
        Principal(user: UserID(user), name: "user-\(user)", tenant: TenantID(tenant), role: .user)
    }

    func enter(_ gate: CallGate, _ user: Int64 = 1, of tenant: Int64 = 1, to server: ServerID = files) async throws(Refusal) -> CallGate.Pass {
        try await gate.enter(server, named: "files", Self.principal(user, of: tenant), weight: 1, at: clock.now)
    }

    /// Starts a call, and comes back once it waits.
    func waiter(_ gate: CallGate, _ user: Int64 = 1, of tenant: Int64 = 1) async -> Task<CallGate.Pass, any Error> {
        let before = Self.waiting(gate)
        let task = Task { try await enter(gate, user, of: tenant) }
        while Self.waiting(gate) == before { await Task.yield() }
        return task
    }

    static func waiting(_ gate: CallGate) -> Int { gate.figures().servers[files]?.waiting ?? 0 }
    static func inFlight(_ gate: CallGate) -> Int { gate.figures().servers[files]?.inFlight ?? 0 }

    static func limit(_ body: () async throws -> CallGate.Pass) async -> Throttle.Limit? {
        do {
            _ = try await body()
            return nil
        } catch Refusal.throttled(let throttle) {
            return throttle.limit
        } catch {
            return nil
        }
    }

    @Test func `a call that finds a place gets it, and gives it back`() async throws {
        let gate = gate(perServer: 2)
        let first = try await enter(gate)
        let second = try await enter(gate)
        #expect(Self.inFlight(gate) == 2)
        first.leave()
        #expect(Self.inFlight(gate) == 1)
        second.leave()
        #expect(gate.figures() == CallGate.Figures())
    }

    @Test func `servers have places of their own`() async throws {
        let gate = gate()
        let first = try await enter(gate)
        let second = try await enter(gate, to: ServerID(2))
        #expect(gate.figures().servers.count == 2)
        first.leave()
        second.leave()
    }

    @Test func `a call that leaves twice frees one place`() async throws {
        let gate = gate(perServer: 2)
        let first = try await enter(gate)
        let second = try await enter(gate)
        first.leave()
        first.leave()
        #expect(Self.inFlight(gate) == 1)
        second.leave()
    }

    @Test func `a pass that nobody holds any more frees its place`() async throws {
        let gate = gate()
        _ = try await enter(gate)
        #expect(gate.figures() == CallGate.Figures())
    }

    @Test func `whoever waits gets the place that becomes free`() async throws {
        let gate = gate()
        let first = try await enter(gate)
        let waiter = await waiter(gate, 2)
        clock.advance(by: .seconds(3))
        first.leave()
        let second = try await waiter.value
        #expect(Self.inFlight(gate) == 1)
        #expect(gate.figures().longestWait == .seconds(3))
        second.leave()
        #expect(gate.figures().servers.isEmpty)
    }

    @Test func `a user has so many calls at once, those that wait among them`() async throws {
        let gate = gate(perServer: 1, perUser: 2)
        let first = try await enter(gate)
        let waiter = await waiter(gate)
        await #expect(throws: Refusal.throttled(Throttle(.inFlight, of: "user-1", retryAfter: .seconds(1)))) { _ = try await enter(gate) }
        let elsewhere = try await enter(gate, 2, to: ServerID(2))
        first.leave()
        let second = try await waiter.value
        second.leave()
        elsewhere.leave()
        #expect(gate.figures().refusedByUser == 1)
        #expect(gate.figures().users == 0)
        try await enter(gate).leave()
    }

    @Test func `a limit of nothing is none`() async throws {
        let gate = gate(perServer: 0, perUser: 0)
        var passes: [CallGate.Pass] = []
        for _ in 0..<100 { passes.append(try await enter(gate)) }
        #expect(Self.inFlight(gate) == 100)
        passes = []
        #expect(gate.figures() == CallGate.Figures())
    }

    @Test func `a call that gave way is refused by the queue`() async throws {
        let gate = gate(capacity: 2)
        let first = try await enter(gate)
        let older = await waiter(gate, 1)
        let newer = await waiter(gate, 1)
        let colleague = Task { try await enter(gate, 2) }
        #expect(await Self.limit { try await newer.value } == .queue)
        #expect(Self.waiting(gate) == 2)
        // The queue is full of callers with one call each, so there is nobody to give way.
        #expect(await Self.limit { try await enter(gate, 3) } == .queue)
        first.leave()
        try await older.value.leave()
        try await colleague.value.leave()
        #expect(gate.figures().refusedByQueue == 2)
        #expect(gate.figures().servers.isEmpty)
    }

    @Test func `a call that would not be served in time is refused at once, with the wait to be expected`() async throws {
        let gate = gate(perServer: 2, longestWait: .seconds(10))
        // The first call tells how long one takes.
        let first = try await enter(gate)
        var held = [try await enter(gate)]
        clock.advance(by: .seconds(16))
        first.leave()
        held.append(try await enter(gate))
        let waiters = [await waiter(gate), await waiter(gate)]
        await #expect(throws: Refusal.throttled(Throttle(.queue, of: "files", retryAfter: .seconds(16)))) { _ = try await enter(gate) }
        held = []
        for waiter in waiters { try await waiter.value.leave() }
    }

    @Test func `a call whose time is up is refused when a place becomes free too late`() async throws {
        let gate = gate()
        let first = try await enter(gate)
        let waiter = await waiter(gate, 2)
        clock.advance(by: .seconds(10))
        first.leave()
        #expect(await Self.limit { try await waiter.value } == .queue)
        #expect(gate.figures().servers.isEmpty)
        #expect(gate.figures().longestWait == .seconds(10))
    }

    @Test func `a call whose time is up is refused though no place becomes free`() async throws {
        let gate = gate()
        let first = try await enter(gate)
        let waiter = await waiter(gate, 2)
        #expect(gate.dismissExpired() == .seconds(10))
        clock.advance(by: .seconds(10))
        #expect(gate.dismissExpired() == nil)
        #expect(await Self.limit { try await waiter.value } == .queue)
        #expect(Self.inFlight(gate) == 1)
        first.leave()
    }

    @Test func `the gate itself sees to deadlines`() async throws {
        let start = ContinuousClock().now
        let now = { @Sendable in BootInstant(nanoseconds: (ContinuousClock().now - start).nanoseconds) }
        let gate = CallGate(perServer: 1, perUser: 0, capacity: 10, longestWait: .milliseconds(5), now: now)
        let first = try await gate.enter(Self.files, named: "files", Self.principal(1), weight: 1, at: now())
        for _ in 0..<3 {
            let limit = await Self.limit { try await gate.enter(Self.files, named: "files", Self.principal(2), weight: 1, at: now()) }
            #expect(limit == .queue)
        }
        first.leave()
    }

    @Test func `without a longest wait nobody waits`() async throws {
        let gate = gate(longestWait: .zero)
        let first = try await enter(gate)
        #expect(await Self.limit { try await enter(gate) } == .queue)
        first.leave()
        #expect(gate.figures().servers.isEmpty)
    }

    @Test func `a caller who goes away as they wait takes nothing along`() async throws {
        let gate = gate(perUser: 2)
        let first = try await enter(gate)
        let gone = await waiter(gate, 2)
        let stays = await waiter(gate, 3)
        gone.cancel()
        await #expect(throws: Refusal.overloaded("The caller went away.")) { _ = try await gone.value }
        #expect(Self.waiting(gate) == 1)
        first.leave()
        try await stays.value.leave()
        #expect(gate.figures().servers.isEmpty)
        #expect(gate.figures().users == 0)
    }

    @Test func `a caller who had gone before does not wait`() async throws {
        let gate = gate()
        let first = try await enter(gate)
        let gone = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await enter(gate, 2)
        }
        gone.cancel()
        await #expect(throws: Refusal.overloaded("The caller went away.")) { _ = try await gone.value }
        first.leave()
        #expect(gate.figures().servers.isEmpty)
    }

    @Test func `a gate that is let go of ends with its last call`() async throws {
        weak var remembered: CallGate?
        do {
            let gate = gate()
            remembered = gate
            let first = try await enter(gate)
            let waiter = await waiter(gate, 2)
            first.leave()
            try await waiter.value.leave()
        }
        while remembered != nil { await Task.yield() }
    }

    /// What became of many calls.
    final class Tally: Sendable {
        struct Counts {
            var inside = 0
            var most = 0
            var served = 0
            var refusals: [Refusal] = []
        }

        private let state = Mutex(Counts())
        var counts: Counts { state.withLock { $0 } }

        func enter() {
            state.withLock { counts in
                counts.inside += 1
                counts.most = max(counts.most, counts.inside)
            }
        }

        func leave() {
            state.withLock { counts in
                counts.inside -= 1
                counts.served += 1
            }
        }

        func refuse(_ refusal: Refusal) { state.withLock { $0.refusals.append(refusal) } }
    }

    @Test func `under many calls at once the bound holds, and everybody is served or refused`() async throws {
        let gate = gate(perServer: 4, perUser: 40, capacity: 150)
        let tally = Tally()
        await withTaskGroup { group in
            for number in 0..<2000 {
                group.addTask {
                    do throws(Refusal) {
                        let pass = try await enter(gate, Int64(number % 37), of: Int64(number % 5))
                        tally.enter()
                        for _ in 0..<number % 7 { await Task.yield() }
                        tally.leave()
                        // Some leave, some are let go of, some both.
                        if number % 3 > 0 { pass.leave() }
                    } catch {
                        tally.refuse(error)
                    }
                }
            }
        }
        let end = tally.counts
        #expect(end.most <= 4)
        #expect(end.served >= 4)
        #expect(end.served + end.refusals.count == 2000)
        #expect(end.refusals.allSatisfy { if case .throttled = $0 { true } else { false } })
        #expect(gate.figures().servers.isEmpty)
        #expect(gate.figures().users == 0)
    }

    @Test func `cancelling at any moment loses no place`() async throws {
        let gate = gate(perServer: 2, perUser: 10)
        for round in 0..<300 {
            let tasks = (0..<8).map { number in
                Task {
                    let pass = try await enter(gate, Int64(number))
                    for _ in 0..<number { await Task.yield() }
                    pass.leave()
                }
            }
            for _ in 0..<round % 5 { await Task.yield() }
            for task in tasks.dropFirst(round % 3) { task.cancel() }
            for task in tasks { _ = await task.result }
            #expect(gate.figures().servers.isEmpty)
            #expect(gate.figures().users == 0)
        }
    }
}
