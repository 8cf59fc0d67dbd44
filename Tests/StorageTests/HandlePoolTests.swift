import Gateway
import Pacing
import Synchronization
import Testing

@testable import Storage

@Suite(.timeLimit(.minutes(1)))
struct HandlePoolTests {
    struct Broken: Error {}

    final class Handles: Sendable {
        let opened = Atomic<Int>(0)
        let closed = Atomic<Int>(0)
        let inUse = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let order = Mutex<[Int]>([])

        func pool(
            minimum: Int = 1, ceiling: Int = 4, timeout: Duration = .seconds(30), budget: HandleBudget? = HandleBudget(limit: 10),
            isAdaptive: Bool = true
        ) -> HandlePool<Int> {
            HandlePool(
                name: "read", sizing: PoolSizing(minimum: minimum, ceiling: ceiling), isAdaptive: isAdaptive, timeout: timeout, budget: budget,
                isBroken: { $0 is Broken }, open: { self.opened.add(1, ordering: .relaxed).newValue },
                close: { _ in self.closed.add(1, ordering: .relaxed) })
        }
    }

    /// Holds a handle until it is let go.
    final class Borrower: Sendable {
        private let go: AsyncStream<Void>.Continuation
        let task: Task<Int, any Error>

        init(_ pool: HandlePool<Int>) async {
            let (stream, go) = AsyncStream<Void>.makeStream()
            let (got, announce) = AsyncStream<Void>.makeStream()
            self.go = go
            task = Task {
                try await pool.withHandle { handle in
                    announce.finish()
                    for await _ in stream {}
                    return handle
                }
            }
            for await _ in got {}
        }

        func letGo() async throws {
            go.finish()
            _ = try await task.value
        }
    }

    /// Runs until somebody waits.
    static func untilWaiting(_ pool: HandlePool<Int>, _ count: Int = 1) async {
        while pool.metrics.waiting < count { await Task.yield() }
    }

    @Test func `a handle that came back is lent again`() async throws {
        let handles = Handles()
        let pool = handles.pool()
        for _ in 0..<10 { try await pool.withHandle { _ in } }
        #expect(handles.opened.load(ordering: .relaxed) == 1)
        #expect(pool.metrics.efficiency == 0.9)
        #expect(pool.metrics.idle == 1)
    }

    @Test func `it grows while handles are wanted, up to its ceiling, and no further`() async throws {
        let pool = Handles().pool()
        var borrowers: [Borrower] = []
        for _ in 0..<4 { borrowers.append(await Borrower(pool)) }
        #expect(pool.metrics.size == 4)
        #expect(pool.metrics.grown > 0)
        let waiting = Task { try await pool.withHandle { $0 } }
        await Self.untilWaiting(pool)
        try await borrowers.removeFirst().letGo()
        _ = try await waiting.value
        for borrower in borrowers { try await borrower.letGo() }
        #expect(pool.metrics.size == 4)
    }

    @Test func `all pools together stay within the budget`() async throws {
        let handles = Handles()
        let budget = HandleBudget(limit: 3)
        let (one, other) = (handles.pool(budget: budget), handles.pool(budget: budget))
        var borrowers: [Borrower] = []
        for _ in 0..<2 { borrowers.append(await Borrower(one)) }
        borrowers.append(await Borrower(other))
        #expect(budget.room == 0)
        let waiting = Task { try await other.withHandle { $0 } }
        await Self.untilWaiting(other)
        #expect(handles.opened.load(ordering: .relaxed) == 3)
        waiting.cancel()
        for borrower in borrowers { try await borrower.letGo() }
    }

    @Test func `it shrinks when it was quiet for long, and gives the budget back`() async throws {
        let handles = Handles()
        let budget = HandleBudget(limit: 10)
        let pool = handles.pool(budget: budget)
        var borrowers: [Borrower] = []
        for _ in 0..<4 { borrowers.append(await Borrower(pool)) }
        for borrower in borrowers { try await borrower.letGo() }
        for _ in 0..<20 { pool.sample() }
        #expect(pool.metrics.size == 1)
        #expect(pool.metrics.shrunk > 0)
        #expect(handles.closed.load(ordering: .relaxed) == 3)
        #expect(budget.room == 9)
    }

    @Test func `after a peak it keeps for five minutes what the peak needed`() async throws {
        let pool = Handles().pool(minimum: 1, ceiling: 20, budget: HandleBudget(limit: 30))
        var borrowers: [Borrower] = []
        for _ in 0..<6 { borrowers.append(await Borrower(pool)) }
        while pool.metrics.size < 13 { borrowers.append(await Borrower(pool)) }
        for borrower in borrowers.dropFirst(6) { try await borrower.letGo() }
        for _ in 0..<6 { pool.sample() }
        for borrower in borrowers.prefix(6) { try await borrower.letGo() }
        pool.sample()
        for _ in 0..<4 {
            #expect(pool.metrics.size >= 6)
            pool.sample()
        }
        for _ in 0..<20 { pool.sample() }
        #expect(pool.metrics.size == 1)
    }

    @Test(arguments: [4, 5, 10, 50]) func `pools that do not change their size share what there is, and none is left without`(handles: Int)
        async throws
    {
        try await withTemporaryFolder { folder in
            var plan = PoolPlan()
            plan.isAdaptive = false
            plan.handles = 1...handles
            let database = try Database(folder, pools: plan)
            for pool in database.pools where !pool.isSlots { #expect(pool.size >= 1, "\(pool.name)") }
            #expect(database.pools.filter { !$0.isSlots }.map(\.size).reduce(0, +) <= max(3, handles - 1))
            try await database.probe()
            try await database.close()
        }
    }

    @Test func `who waits too long is told so`() async throws {
        let pool = Handles().pool(ceiling: 1, timeout: .milliseconds(1))
        let borrower = await Borrower(pool)
        let error = await #expect(throws: Refusal.self) { _ = try await pool.withHandle { $0 } }
        #expect(error?.code == "overloaded")
        #expect(error?.sentence.contains("MREG_POOL_READ_SIZE") == true)
        #expect(pool.metrics.timeouts == 1)
        #expect(pool.metrics.waiting == 0)
        try await borrower.letGo()
    }

    @Test func `who is gone leaves the queue, and the handle goes to the next`() async throws {
        let pool = Handles().pool(ceiling: 1)
        let borrower = await Borrower(pool)
        let gone = Task { try await pool.withHandle { $0 } }
        await Self.untilWaiting(pool)
        let next = Task { try await pool.withHandle { $0 } }
        await Self.untilWaiting(pool, 2)
        gone.cancel()
        await #expect(throws: CancellationError.self) { _ = try await gone.value }
        try await borrower.letGo()
        #expect(try await next.value == 1)
        #expect(pool.metrics.cancelled == 1)
    }

    @Test func `a broken handle is replaced`() async throws {
        let handles = Handles()
        let pool = handles.pool(ceiling: 1)
        await #expect(throws: Broken.self) { try await pool.withHandle { _ in throw Broken() } }
        #expect(handles.closed.load(ordering: .relaxed) == 1)
        #expect(try await pool.withHandle { $0 } == 2)
        #expect(pool.metrics.replaced == 1)
    }

    @Test func `waiters are served in their order`() async throws {
        let handles = Handles()
        let pool = handles.pool(ceiling: 1)
        let borrower = await Borrower(pool)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 1...20 {
                group.addTask { try await pool.withHandle { _ in handles.order.withLock { $0.append(number) } } }
                await Self.untilWaiting(pool, number)
            }
            try await borrower.letGo()
            try await group.waitForAll()
        }
        #expect(handles.order.withLock { $0 } == Array(1...20))
    }

    @Test func `under any traffic no more are lent than there are, and none is lost`() async throws {
        let handles = Handles()
        let pool = handles.pool(ceiling: 3)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<400 {
                group.addTask {
                    let task = Task {
                        try await pool.withHandle { _ in
                            _ = handles.most.max(handles.inUse.add(1, ordering: .relaxed).newValue, ordering: .relaxed)
                            await Task.yield()
                            handles.inUse.subtract(1, ordering: .relaxed)
                            if number % 7 == 0 { throw Broken() }
                        }
                    }
                    if number % 5 == 0 { task.cancel() }
                    _ = await task.result
                }
            }
        }
        #expect(handles.most.load(ordering: .relaxed) <= 3)
        let metrics = pool.metrics
        #expect(metrics.inUse == 0)
        #expect(metrics.waiting == 0)
        pool.shutDown()
        #expect(handles.opened.load(ordering: .relaxed) == handles.closed.load(ordering: .relaxed))
    }
}
