import Foundation
import Gateway
import Testing

@testable import Pacing

struct FairQueueTests {
    static let start = BootInstant(nanoseconds: 1_000_000_000)
    static let later = start.advanced(by: .seconds(10))

    /// A queue whose tickets are numbered as they come.
    struct Counter {
        var queue: FairQueue
        var last: UInt64 = 0

        init(capacity: Int = 100, perUser: Int = 100) { queue = FairQueue(capacity: capacity, perUser: perUser) }

        @discardableResult
        mutating func add(
            _ user: Int64, of tenant: Int64 = 1, weight: Int = 1, until deadline: BootInstant = later, pace: Duration = .zero
        ) -> FairQueue.Arrival {
            last += 1
            let caller = FairQueue.Caller(UserID(user), of: TenantID(tenant), weight: weight)
            return queue.add(FairQueue.Ticket(last), of: caller, until: deadline, at: start, pace: pace)
        }

        /// The numbers of the next so many.
        mutating func served(_ count: Int) -> [UInt64] { (0..<count).compactMap { _ in queue.next(at: start).next?.number } }
    }

    // MARK: Order

    @Test func `a user's calls go in their order`() {
        var counter = Counter()
        for _ in 0..<5 { counter.add(1) }
        #expect(counter.served(6) == [1, 2, 3, 4, 5])
        #expect(counter.queue.isEmpty)
    }

    @Test func `the users of a tenant take turns`() {
        var counter = Counter()
        for _ in 0..<3 { counter.add(1) }
        for _ in 0..<3 { counter.add(2) }
        #expect(counter.served(6) == [1, 4, 2, 5, 3, 6])
    }

    @Test func `tenants take turns, however many users they have`() {
        var counter = Counter()
        for user: Int64 in 1...4 { counter.add(user, of: 1) }
        for _ in 0..<4 { counter.add(9, of: 2) }
        #expect(counter.served(8) == [1, 5, 2, 6, 3, 7, 4, 8])
    }

    @Test(arguments: [1, 2, 7, 500])
    func `a turn is as long as the weight, measured by the smallest that waits`(unit: Int) {
        var counter = Counter()
        for _ in 0..<4 { counter.add(1, of: 1, weight: unit) }
        for _ in 0..<4 { counter.add(2, of: 2, weight: 2 * unit) }
        #expect(counter.served(8) == [1, 5, 6, 2, 7, 8, 3, 4])
    }

    @Test func `who had nothing waiting goes before those who have, once`() {
        var counter = Counter()
        for _ in 0..<4 { counter.add(1, of: 1) }
        for _ in 0..<4 { counter.add(2, of: 2) }
        #expect(counter.served(2) == [1, 5])
        counter.add(3, of: 3)
        #expect(counter.served(1) == [9])
        // It emptied, and comes back at once: now it takes its turn after the others.
        counter.add(3, of: 3)
        #expect(counter.served(3) == [2, 6, 10])
    }

    @Test func `a newcomer among the users goes before their colleagues, once`() {
        var counter = Counter()
        for _ in 0..<4 { counter.add(1) }
        for _ in 0..<4 { counter.add(2) }
        #expect(counter.served(2) == [1, 5])
        counter.add(3)
        #expect(counter.served(1) == [9])
        counter.add(3)
        #expect(counter.served(3) == [2, 6, 10])
    }

    @Test func `a caller who keeps emptying and refilling starves nobody`() {
        var counter = Counter()
        for _ in 0..<50 { counter.add(1, of: 1) }
        counter.add(2, of: 2)
        var served: [UInt64] = []
        for _ in 0..<60 {
            let number = counter.served(1)[0]
            served.append(number)
            if number > 50 { counter.add(2, of: 2) }
        }
        #expect(served.filter { $0 <= 50 }.count >= 29)
    }

    @Test func `a weight that changes holds from then on`() {
        var counter = Counter()
        for _ in 0..<30 { counter.add(1, of: 1, weight: 1) }
        for _ in 0..<30 { counter.add(2, of: 2, weight: 1) }
        counter.add(2, of: 2, weight: 3)
        _ = counter.served(4)
        #expect(counter.served(20).filter { $0 <= 30 }.count == 5)
    }

    // MARK: Bounds

    @Test func `a user has no more places than their own`() {
        var counter = Counter(capacity: 10, perUser: 2)
        #expect(counter.add(1) == .waits(displaced: nil))
        #expect(counter.add(1) == .waits(displaced: nil))
        #expect(counter.add(1) == .refused(.user))
        #expect(counter.add(2) == .waits(displaced: nil))
    }

    @Test func `a full queue takes the newest call of whoever has most, for a colleague who has fewer`() {
        var counter = Counter(capacity: 4)
        for _ in 0..<4 { counter.add(1) }
        #expect(counter.add(1) == .refused(.full))
        #expect(counter.add(2) == .waits(displaced: FairQueue.Ticket(4)))
        #expect(counter.add(2) == .waits(displaced: FairQueue.Ticket(3)))
        #expect(counter.add(2) == .refused(.full), "they would only change places")
        #expect(counter.served(4) == [1, 6, 2, 7])
    }

    @Test func `a tenant of many users locks no other out`() {
        var counter = Counter(capacity: 6)
        for user: Int64 in 1...6 { counter.add(user, of: 1) }
        for displaced in 0..<3 { #expect(counter.add(10, of: 2) != .refused(.full), "\(displaced)") }
        #expect(counter.add(10, of: 2) == .refused(.full))
        #expect(counter.add(7, of: 1) == .refused(.full))
        #expect(counter.queue.waiting(of: UserID(10), in: TenantID(2)) == 3)
    }

    // MARK: Deadlines

    @Test func `nobody is served whose deadline has passed`() {
        var counter = Counter()
        counter.add(1, until: Self.start.advanced(by: .seconds(1)))
        counter.add(1, until: Self.start.advanced(by: .seconds(3)))
        counter.add(2, until: Self.start.advanced(by: .seconds(2)))
        #expect(counter.queue.earliestDeadline == Self.start.advanced(by: .seconds(1)))
        let turn = counter.queue.next(at: Self.start.advanced(by: .seconds(2)))
        #expect(turn == FairQueue.Turn(next: FairQueue.Ticket(2), expired: [FairQueue.Ticket(1), FairQueue.Ticket(3)]))
        #expect(counter.queue.isEmpty)
        #expect(counter.queue.earliestDeadline == nil)
    }

    @Test func `who could not be served in time is refused at once`() {
        var counter = Counter()
        let pace = Duration.seconds(1)
        for _ in 0..<10 { #expect(counter.add(1, pace: pace) == .waits(displaced: nil)) }
        #expect(counter.add(1, pace: pace) == .refused(.late(.seconds(10))))
        #expect(counter.add(2, pace: pace) == .waits(displaced: nil), "a colleague comes first, and so in time")
        #expect(counter.add(3, of: 2, pace: pace) == .waits(displaced: nil))
        #expect(counter.add(4, until: Self.start) == .refused(.late(.zero)))
    }

    @Test func `no pace is too slow to reckon with`() {
        var counter = Counter()
        counter.add(1)
        #expect(counter.add(1, until: BootInstant(nanoseconds: .max), pace: .seconds(Int64.max / 4)) != .waits(displaced: nil))
    }

    // MARK: Against a model

    /// All that waits, in a list.
    struct Model {
        struct Entry: Hashable {
            let ticket: FairQueue.Ticket
            let user: Int64
            let tenant: Int64
            let deadline: BootInstant
        }

        var waiting: [Entry] = []

        func count(of user: Int64) -> Int { waiting.count { $0.user == user } }
        func count(in tenant: Int64) -> Int { waiting.count { $0.tenant == tenant } }

        mutating func take(_ ticket: FairQueue.Ticket) -> Entry? {
            waiting.firstIndex { $0.ticket == ticket }.map { waiting.remove(at: $0) }
        }

        func isOldest(_ entry: Entry) -> Bool { waiting.first { $0.user == entry.user } == entry }
        func isNewest(_ entry: Entry) -> Bool { waiting.last { $0.user == entry.user } == entry }
        func expired(at now: BootInstant) -> Set<FairQueue.Ticket> { Set(waiting.filter { $0.deadline <= now }.map(\.ticket)) }
    }

    /// A queue and its model, led through the same steps.
    struct Pair {
        var queue: FairQueue
        var model = Model()
        var numbers: PoolSizingTests.Numbers
        var now = FairQueueTests.start
        var last: UInt64 = 0
        /// What differed, if anything.
        var faults: [String] = []

        init(seed: UInt64) {
            numbers = .init(state: seed)
            queue = FairQueue(capacity: .random(in: 1...30, using: &numbers), perUser: .random(in: 1...12, using: &numbers))
        }

        mutating func step() {
            switch Int.random(in: 0..<10, using: &numbers) {
            case 0..<5: add()
            case 5..<8: serve()
            case 8: remove()
            default: now = now.advanced(by: .milliseconds(.random(in: 0...400, using: &numbers)))
            }
            check(queue.count == model.waiting.count, "count")
            check(queue.count <= queue.capacity, "capacity")
            check(queue.earliestDeadline == model.waiting.map(\.deadline).min(), "earliest deadline")
        }

        mutating func add() {
            last += 1
            let user = Int64.random(in: 0..<8, using: &numbers)
            let entry = Model.Entry(
                ticket: FairQueue.Ticket(last), user: user, tenant: user / 3,
                deadline: now.advanced(by: .milliseconds(.random(in: -50...2000, using: &numbers))))
            let caller = FairQueue.Caller(UserID(user), of: TenantID(user / 3), weight: [1, 2, 5, 1000][Int.random(in: 0..<4, using: &numbers)])
            let isFull = model.waiting.count == queue.capacity
            switch queue.add(entry.ticket, of: caller, until: entry.deadline, at: now, pace: .zero) {
            case .waits(let displaced):
                check(entry.deadline > now && model.count(of: user) < queue.perUser && (displaced != nil) == isFull, "admitted")
                if let displaced { give(way: displaced, to: entry) }
                model.waiting.append(entry)
            case .refused(.late): check(entry.deadline <= now, "late")
            case .refused(.user): check(model.count(of: user) == queue.perUser, "user")
            case .refused(.full):
                check(isFull, "full")
                let rivals = model.waiting.filter { $0.tenant == entry.tenant }
                check(!rivals.contains { model.count(of: $0.user) > model.count(of: user) + 1 }, "a colleague had more")
                check(!model.waiting.contains { model.count(in: $0.tenant) > model.count(in: entry.tenant) + 1 }, "a tenant had more")
            }
        }

        mutating func give(way displaced: FairQueue.Ticket, to entry: Model.Entry) {
            let victim = model.waiting.first { $0.ticket == displaced }
            check(victim.map(model.isNewest) == true, "the newest gives way")
            check(
                victim.map {
                    $0.tenant == entry.tenant
                        ? model.count(of: $0.user) > model.count(of: entry.user) + 1
                        : model.count(in: $0.tenant) > model.count(in: entry.tenant) + 1
                } == true, "who has more gives way")
            _ = model.take(displaced)
        }

        mutating func serve() {
            let due = model.expired(at: now)
            let turn = queue.next(at: now)
            check(Set(turn.expired) == due && turn.expired.count == due.count, "expired")
            for ticket in turn.expired { _ = model.take(ticket) }
            check((turn.next == nil) == model.waiting.isEmpty, "somebody is next")
            guard let next = turn.next else { return }
            let entry = model.waiting.first { $0.ticket == next }
            check(entry.map(model.isOldest) == true, "in their order")
            _ = model.take(next)
        }

        mutating func remove() {
            let ticket = FairQueue.Ticket(.random(in: 1...max(1, last), using: &numbers))
            check(queue.remove(ticket) == (model.take(ticket) != nil), "removed")
        }

        mutating func check(_ holds: Bool, _ what: String) {
            if !holds { faults.append(what) }
        }
    }

    @Test func `nothing is lost, nothing is served twice, no bound is passed, whatever happens`() {
        for seed: UInt64 in 0..<2000 {
            var pair = Pair(seed: seed)
            for _ in 0..<80 { pair.step() }
            while !pair.queue.isEmpty { pair.serve() }
            pair.check(pair.model.waiting.isEmpty, "drained")
            #expect(pair.faults.isEmpty, "seed \(seed)")
        }
    }

    @Test func `nobody waits longer than a round, once the newcomers are through`() {
        var numbers = PoolSizingTests.Numbers(state: 5)
        for _ in 0..<50 {
            var counter = Counter(capacity: 1000, perUser: 50)
            let tenants = Int64.random(in: 2...8, using: &numbers)
            for _ in 0..<300 { counter.add(.random(in: 0..<tenants * 2, using: &numbers) / 2, of: 0) }
            for tenant in 1...tenants { for _ in 0..<40 { counter.add(100 + tenant, of: tenant) } }
            var lastServed: [UserID: Int] = [:]
            var longest = 0
            for turn in 0..<300 {
                guard let number = counter.served(1).first, number > 300 else { continue }
                let user = UserID(100 + Int64(number - 301) / 40)
                longest = max(longest, turn - lastServed[user, default: turn])
                lastServed[user] = turn
            }
            #expect(longest <= Int(tenants) + 1)
        }
    }

    @Test func `an empty queue keeps nothing`() {
        var queue = FairQueue(capacity: 1000, perUser: 10)
        for number: UInt64 in 0..<1000 {
            let caller = FairQueue.Caller(UserID(Int64(number)), of: TenantID(Int64(number % 50)), weight: 3)
            _ = queue.add(FairQueue.Ticket(number), of: caller, until: Self.later, at: Self.start, pace: .zero)
        }
        for number: UInt64 in 0..<500 { queue.remove(FairQueue.Ticket(number)) }
        for _ in 0..<500 { _ = queue.next(at: Self.start) }
        #expect(String(reflecting: queue) == String(reflecting: FairQueue(capacity: 1000, perUser: 10)))
    }
}

/// A server with sixteen places behind a fair queue, in virtual time.
struct Simulation {
    /// Calls at random moments, so many a second on average (Poisson).
    struct Flow {
        let user: Int64
        var tenant: Int64
        var weight = 1
        let perSecond: Double
        /// In seconds.
        var active: [Range<Double>] = [0 ..< .infinity]
    }

    struct Call {
        let flow: Int
        let came: Int64
        let service: Int64
    }

    /// Of one flow.
    struct Outcome {
        var sojourns: [Int64] = []
        var granted = 0.0
        /// Its weighted max-min share of what was served, second by second.
        var ideal = 0.0
    }

    enum Service: CaseIterable { case constant, exponential }

    static let places = 16
    /// A tenth of a second: the server serves 160 calls a second.
    static let meanService = 100_000_000.0

    let flows: [Flow]
    var waitingCapacity = 1000
    var longestWait = Duration.seconds(10)

    // MARK: What comes

    static func calls(_ flows: [Flow], _ service: Service, seconds: Double, seed: UInt64) -> [Call] {
        var calls: [Call] = []
        for (index, flow) in flows.enumerated() {
            // Each flow has numbers of its own, so that it sends the same whoever else sends.
            var numbers = PoolSizingTests.Numbers(state: seed &* 1_000_003 &+ UInt64(flow.user))
            func exponential() -> Double { -log(1 - Double.random(in: 0..<1, using: &numbers)) }
            var now = exponential() / flow.perSecond
            while now < seconds {
                let took = service == .constant ? 1 : exponential()
                if flow.active.contains(where: { $0.contains(now) }) {
                    calls.append(Call(flow: index, came: Int64(now * 1e9), service: Int64(took * meanService)))
                }
                now += exponential() / flow.perSecond
            }
        }
        return calls.sorted { $0.came < $1.came }
    }

    // MARK: What becomes of it

    /// The state of a run.
    struct Run {
        let flows: [Flow]
        let longestWait: Duration
        var queue: FairQueue
        /// When each place is free.
        var free: [Int64]
        var waiting: [FairQueue.Ticket: Call] = [:]
        var outcomes: [Outcome]
        /// What each flow could have had served in this second, and had.
        var demand: [Double]
        var served: [Double]

        mutating func arrive(_ call: Call, _ number: Int) {
            demand[call.flow] += 1
            if let place = free.firstIndex(where: { $0 <= call.came }) { return serve(call, on: place, at: call.came) }
            let flow = flows[call.flow]
            let now = BootInstant(nanoseconds: call.came)
            let arrival = queue.add(
                FairQueue.Ticket(UInt64(number)), of: .init(UserID(flow.user), of: TenantID(flow.tenant), weight: flow.weight),
                until: now.advanced(by: longestWait), at: now, pace: .nanoseconds(Int(meanService) / places))
            guard case .waits(let displaced) = arrival else { return }
            waiting[FairQueue.Ticket(UInt64(number))] = call
            if let displaced { waiting[displaced] = nil }
        }

        /// Serves whoever waits, as places become free until then.
        mutating func advance(to end: Int64) {
            while !queue.isEmpty, let place = free.indices.min(by: { free[$0] < free[$1] }), free[place] <= end {
                let turn = queue.next(at: BootInstant(nanoseconds: free[place]))
                for ticket in turn.expired { waiting[ticket] = nil }
                if let next = turn.next, let call = waiting.removeValue(forKey: next) { serve(call, on: place, at: free[place]) }
            }
        }

        mutating func serve(_ call: Call, on place: Int, at now: Int64) {
            free[place] = now + call.service
            served[call.flow] += 1
            outcomes[call.flow].sojourns.append(now + call.service - call.came)
        }

        /// Ends a second: what waits is demanded again in the next.
        mutating func close() {
            let ideal = maxMin(of: served.reduce(0, +), demand, flows.map { Double($0.weight) })
            for flow in flows.indices {
                outcomes[flow].granted += served[flow]
                outcomes[flow].ideal += ideal[flow]
                demand[flow] = 0
                served[flow] = 0
            }
            for call in waiting.values { demand[call.flow] += 1 }
        }
    }

    func run(_ service: Service, seconds: Double = 100, seed: UInt64 = 1) -> [Outcome] {
        let none = [Double](repeating: 0, count: flows.count)
        var run = Run(
            flows: flows, longestWait: longestWait, queue: FairQueue(capacity: waitingCapacity, perUser: waitingCapacity),
            // Busy from the start, and evenly spread: places that always serve in step become free in step, and whoever comes
            // in between waits for all of them, in whatever order they are served.
            free: (0..<Self.places).map { Int64(Double($0 + 1) * Self.meanService) / Int64(Self.places) },
            outcomes: .init(repeating: Outcome(), count: flows.count), demand: none, served: none)
        var second: Int64 = 1
        for (number, call) in Self.calls(flows, service, seconds: seconds, seed: seed).enumerated() {
            while call.came >= second * 1_000_000_000 {
                run.advance(to: second * 1_000_000_000)
                run.close()
                second += 1
            }
            run.advance(to: call.came)
            run.arrive(call, number)
        }
        run.close()
        return run.outcomes
    }

    // MARK: How it is judged

    /// Shares of a capacity in proportion to weight, none larger than what is demanded.
    static func maxMin(of capacity: Double, _ demand: [Double], _ weights: [Double]) -> [Double] {
        var shares = demand
        var left = capacity
        var weight = weights.reduce(0, +)
        for index in demand.indices.sorted(by: { demand[$0] / weights[$0] < demand[$1] / weights[$1] }) {
            shares[index] = min(demand[index], left * weights[index] / weight)
            left -= shares[index]
            weight -= weights[index]
        }
        return shares
    }

    /// Jain's index of what was granted over what was due: 1 if all got the same part of it.
    static func jain(_ outcomes: [Outcome]) -> Double {
        let parts = outcomes.filter { $0.ideal > 0 }.map { $0.granted / $0.ideal }
        let sum = parts.reduce(0, +)
        return sum * sum / (Double(parts.count) * parts.reduce(0) { $0 + $1 * $1 })
    }

    static func p95(_ outcomes: some Sequence<Outcome>) -> Double {
        let sojourns = outcomes.flatMap(\.sojourns).sorted()
        return Double(sojourns[sojourns.count * 95 / 100])
    }
}

struct FairSharingTests {
    typealias Flow = Simulation.Flow

    @Test(arguments: Simulation.Service.allCases)
    func `a tenant that sends a thousand times as much does not slow the others`(service: Simulation.Service) {
        let honest = (1...9).map { Flow(user: $0, tenant: $0, perSecond: 0.5) }
        let alone = Simulation(flows: honest).run(service)
        let shared = Simulation(flows: honest + [Flow(user: 10, tenant: 10, perSecond: 500)]).run(service)
        #expect(Simulation.p95(shared.prefix(9)) <= 1.2 * Simulation.p95(alone))
        #expect(Simulation.jain(shared) >= 0.99)
        for (one, other) in zip(shared, alone) { #expect(one.sojourns.count == other.sojourns.count) }
    }

    @Test(arguments: Simulation.Service.allCases)
    func `a runaway user does not slow their colleagues`(service: Simulation.Service) {
        let honest = (1...9).map { Flow(user: $0, tenant: 1, perSecond: 0.5) }
        let alone = Simulation(flows: honest).run(service)
        let shared = Simulation(flows: honest + [Flow(user: 10, tenant: 1, perSecond: 500)]).run(service)
        #expect(Simulation.p95(shared.prefix(9)) <= 1.2 * Simulation.p95(alone))
        #expect(Simulation.jain(shared) >= 0.99)
    }

    @Test(arguments: Simulation.Service.allCases)
    func `tenants with a backlog are served by weight`(service: Simulation.Service) {
        let weights = [1, 2, 4]
        let flows = weights.enumerated().map { Flow(user: Int64($0), tenant: Int64($0), weight: $1, perSecond: 300) }
        let outcomes = Simulation(flows: flows).run(service, seconds: 60)
        #expect(Simulation.jain(outcomes) >= 0.99)
        for (outcome, weight) in zip(outcomes, weights) {
            #expect(abs(outcome.granted / outcomes[0].granted - Double(weight)) < 0.05 * Double(weight))
        }
    }

    @Test(arguments: Simulation.Service.allCases)
    func `tenants that come and go get their share while they are there`(service: Simulation.Service) {
        let flows = (0..<10).map { index in
            let period = Double(4 + index)
            let active = stride(from: Double(index), to: 100, by: 2 * period).map { $0..<($0 + period) }
            return Flow(user: Int64(index), tenant: Int64(index), weight: 1 + index % 3, perSecond: 80, active: active)
        }
        let outcomes = Simulation(flows: flows).run(service)
        #expect(Simulation.jain(outcomes) >= 0.99)
    }

    @Test(arguments: Simulation.Service.allCases)
    func `a thousand tenants share as ten do`(service: Simulation.Service) {
        let flows = (0..<1000).map { Flow(user: $0, tenant: $0, weight: 1 + Int($0) % 4, perSecond: 1) }
        let outcomes = Simulation(flows: flows, waitingCapacity: 10_000, longestWait: .seconds(1000)).run(service, seconds: 100)
        #expect(Simulation.jain(outcomes) >= 0.99)
    }
}
