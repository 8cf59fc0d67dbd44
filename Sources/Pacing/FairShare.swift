package import Gateway

/// Divides what a token bucket holds between tenants: weighted max-min over those that asked within the window.
///
/// Each of them has a part of the bucket, and takes from that. What flows in is given to the parts that are not full, in
/// proportion to weight; what a tenant does not use thus goes to those that do, and nobody gets more while another with
/// less still wants some. That is the fluid max-min share, exactly, and without waste: as long as anybody's part has
/// room, all that flows in is handed out. A full part holds `burst` minutes of the tenant's share.
///
/// A small reserve gives tenants that come back something to begin with while the others use up all that flows in. A value without a clock: how much there is to divide comes from the bucket. It takes O(log n) for a
/// request, O(n) when a tenant comes or goes.
package struct FairShare: Sendable {
    private struct Part {
        let tenant: TenantID
        var weight: Int64
        var capacity: Int64 = 0
        /// What it held when the flow stood at `mark`.
        var level: Int64 = 0
        var mark: Int64 = 0
        var isFull = false
        /// Did not ask for a while: what it holds counts as all that fits, so that others get what it does not call for.
        var isAway = false
        var lastAsked: BootInstant

        /// What it holds now, which may be a little beyond what fits until that is noticed.
        func held(at flow: Int64) -> Int64 { isFull ? capacity : level + (flow - mark) * weight }
        /// Where the flow stands when it is full.
        var fullAt: Int64 { mark + (capacity - level + weight - 1) / weight }
    }

    /// Seconds of its share that a tenant finds when it comes while the others use up everything.
    private static let welcome: Int64 = 2
    /// Of all that flows in.
    private static let reserveSeconds: Int64 = 10
    package static let mostTenants = 4096
    /// A tenant saves up for so many seconds after it asked, and until its share has made so many tokens.
    private static let savingSeconds: Int64 = 5
    private static let savingTokens: Int64 = 3
    /// What a full part holds at least.
    private static let least = 2 * TokenBucket.token
    /// Who asks without a token counts as one tenant.
    package static let strangers = TenantID(-1)

    package let limit: RateLimit
    private let window: Duration
    /// What the full parts of tenants hold together, in the bucket's own units.
    private let divisible: Int64
    /// What the full reserve holds. What the bucket has beyond both flows to whoever has room next.
    private let reserve: Int64
    /// The reserve first, then the tenants.
    private var parts: [Part]
    private var places: [TenantID: Int] = [:]
    /// Parts that are not full, by where the flow stands when they may be; one entry for each.
    private var filling = EarliestFirst()
    private var fillingWeight: Int64 = 0
    /// What every part that was never full has got so far for each unit of weight.
    private var flow: Int64 = 0
    /// What all parts hold together.
    private var held: Int64 = 0
    /// Of all tenants together.
    private var weights: Int64 = 0
    private var prunedAt: BootInstant

    /// - Parameters:
    ///   - limit: of the bucket that is divided.
    ///   - burst: minutes of its share that a tenant's part holds.
    ///   - window: how long a tenant counts after it asked.
    package init(of limit: RateLimit, burst: Double, window: Duration, at now: BootInstant) {
        self.limit = limit
        self.window = window
        let whole = limit.capacity * TokenBucket.token
        let bursts = Double(limit.perMinute) * min(max(burst, 0), 10) * Double(TokenBucket.token)
        reserve = min(whole / 4, Self.reserveSeconds * 1_000_000_000 * limit.perMinute)
        divisible = min(whole - reserve, Int64(min(bursts, Double(whole))))
        parts = [Part(tenant: TenantID(0), weight: 1, lastAsked: now)]
        prunedAt = now
        rebuild()
    }

    /// Tenants that asked within the window.
    package var tenants: Int { parts.count - 1 }

    /// Tokens that a tenant's full part holds; nil for one that does not count now.
    package func capacity(of tenant: TenantID) -> Int64? { places[tenant].map { parts[$0].capacity / TokenBucket.token } }

    // MARK: Asking

    /// How long until a tenant's part holds that many tokens, if nothing changes; nil if it does now.
    ///
    /// - Parameters:
    ///   - weight: 1 to 1000.
    ///   - total: what the bucket holds, in its own units.
    package mutating func wait(for tokens: Int64, of tenant: TenantID, weight: Int, total: Int64, at now: BootInstant) -> Duration? {
        guard let place = place(of: tenant, weight: Int64(min(max(weight, 1), 1000)), now) else { return nil }
        parts[place].lastAsked = now
        guard spare >= 0 else { return nil }
        settle(total)
        let missing = tokens * TokenBucket.token - parts[place].held(at: flow)
        guard missing > 0 else { return nil }
        let rise = (missing + parts[place].weight - 1) / parts[place].weight
        let nanoseconds = (Int128(rise) * Int128(fillingWeight) + Int128(limit.perMinute) - 1) / Int128(limit.perMinute)
        return .nanoseconds(Int64(min(nanoseconds, 3_600_000_000_000)))
    }

    /// Takes what `wait` found to be there, from a bucket that is taken from too.
    package mutating func take(_ tokens: Int64, of tenant: TenantID) {
        guard let place = places[tenant] else { return }
        // Of a bucket that is not divided a tenant may take more than its part holds.
        let has = parts[place].held(at: flow)
        let taken = min(tokens * TokenBucket.token, has)
        parts[place].level = has - taken
        parts[place].mark = flow
        held -= taken
        // A part that is filling keeps its place in the queue, which is now too early; that is noticed there.
        guard parts[place].isFull else { return }
        parts[place].isFull = false
        fillingWeight += parts[place].weight
        filling.insert(EarliestFirst.Entry(flow: parts[place].fullAt, place: place))
    }

    // MARK: Flowing

    /// Hands out what came in since the last time.
    private mutating func settle(_ total: Int64) {
        var inflow = total - held
        if inflow < 0 { return shrink(by: -inflow, total) }
        if flow > 1 << 60 { rebuild() }
        while inflow > 0, let next = filling.first {
            let untilFull = Int128(max(0, next.flow - flow)) * Int128(fillingWeight)
            guard untilFull <= Int128(inflow) else {
                let step = inflow / fillingWeight
                flow += step
                held += step * fillingWeight
                return
            }
            flow = max(flow, next.flow)
            held += Int64(untilFull)
            inflow -= Int64(untilFull)
            filling.removeFirst()
            let fullAt = parts[next.place].fullAt
            guard fullAt <= flow else {
                filling.insert(EarliestFirst.Entry(flow: fullAt, place: next.place))
                continue
            }
            let beyond = parts[next.place].held(at: flow) - parts[next.place].capacity
            held -= beyond
            inflow += beyond
            fillingWeight -= parts[next.place].weight
            parts[next.place].isFull = true
        }
    }

    /// The bucket holds less than was divided: its limit was lowered, or it was emptied by others. The reserve pays first.
    private mutating func shrink(by missing: Int64, _ total: Int64) {
        materialize()
        let paid = min(missing, parts[0].level)
        parts[0].level -= paid
        let rest = held - parts[0].level - paid
        if missing > paid, rest > 0 {
            let keeps = max(0, rest - (missing - paid))
            for place in parts.indices.dropFirst() {
                parts[place].level = Int64(Int128(parts[place].level) * Int128(keeps) / Int128(rest))
            }
        }
        rebuild()
    }

    // MARK: Coming and going

    /// Nil when there are too many tenants to divide between; then the bucket alone decides.
    private mutating func place(of tenant: TenantID, weight: Int64, _ now: BootInstant) -> Int? {
        prune(now)
        if let place = places[tenant] {
            if parts[place].isAway { comeBack(place) }
            guard parts[place].weight != weight else { return place }
            materialize()
            parts[place].weight = weight
            rebuild()
            return place
        }
        guard tenants < Self.mostTenants else { return nil }
        materialize()
        let place = parts.count
        places[tenant] = place
        parts.append(Part(tenant: tenant, weight: weight, lastAsked: now))
        rebuild()
        let share = Int128(Self.welcome * 1_000_000_000 * limit.perMinute) * Int128(weight) / Int128(weights)
        materialize()
        let gift = min(parts[0].level, parts[place].capacity, max(Self.least, Int64(share)))
        parts[0].level -= gift
        parts[place].level += gift
        rebuild()
        return place
    }

    /// The part takes up again what flows in.
    private mutating func comeBack(_ place: Int) {
        parts[place].isAway = false
        parts[place].level = parts[place].held(at: flow)
        parts[place].mark = flow
        parts[place].capacity = capacity(ofWeight: parts[place].weight)
        parts[place].isFull = parts[place].level >= parts[place].capacity
        guard !parts[place].isFull else { return }
        fillingWeight += parts[place].weight
        filling.insert(EarliestFirst.Entry(flow: parts[place].fullAt, place: place))
    }

    /// Lets go of those that did not ask for longer than the window; looked for once a second.
    private mutating func prune(_ now: BootInstant) {
        guard now > prunedAt.advanced(by: .seconds(1)) else { return }
        prunedAt = now
        let cutoff = now.advanced(by: .zero - window)
        var isNews = parts.dropFirst().contains { $0.lastAsked < cutoff }
        for place in parts.indices.dropFirst() where !parts[place].isAway && !parts[place].isFull {
            let tokens = Self.savingTokens * 60_000_000_000 / limit.perMinute
            let saving = max(Self.savingSeconds * 1_000_000_000, Int64(min(Int128(tokens) * Int128(weights) / Int128(parts[place].weight), 1 << 60)))
            guard now.nanoseconds - parts[place].lastAsked.nanoseconds > saving else { continue }
            parts[place].isAway = true
            isNews = true
        }
        guard isNews else { return }
        materialize()
        parts.removeAll { $0.tenant != TenantID(0) && $0.lastAsked < cutoff }
        places = Dictionary(uniqueKeysWithValues: parts.indices.dropFirst().map { (parts[$0].tenant, $0) })
        rebuild()
    }

    /// What is left of the bucket when everybody has the least that a part holds. Below nothing there is too little to
    /// divide: parts that never hold a token would keep each other from the bucket, so the bucket alone decides.
    private var spare: Int64 { divisible - Int64(tenants) * Self.least }

    private func capacity(ofWeight weight: Int64) -> Int64 {
        Self.least + Int64(Int128(max(0, spare)) * Int128(weight) / Int128(max(1, weights)))
    }

    /// Writes down what everybody holds, with the flow back at nothing.
    private mutating func materialize() {
        for place in parts.indices {
            parts[place].level = min(parts[place].held(at: flow), parts[place].capacity)
            parts[place].mark = 0
            parts[place].isFull = false
        }
        flow = 0
        held = parts.reduce(0) { $0 + $1.level }
    }

    /// Measures the parts anew. What no longer fits in one goes back, and flows to the others.
    private mutating func rebuild() {
        materialize()
        weights = parts.dropFirst().reduce(0) { $0 + $1.weight }
        parts[0].weight = max(1, weights / 9)
        for place in parts.indices.dropFirst() {
            let capacity = capacity(ofWeight: parts[place].weight)
            parts[place].capacity = parts[place].isAway ? min(parts[place].level, capacity) : capacity
        }
        parts[0].capacity = reserve
        filling = EarliestFirst()
        fillingWeight = 0
        held = 0
        for place in parts.indices {
            parts[place].level = min(parts[place].level, parts[place].capacity)
            parts[place].isFull = parts[place].level == parts[place].capacity
            held += parts[place].level
            guard !parts[place].isFull else { continue }
            fillingWeight += parts[place].weight
            filling.insert(EarliestFirst.Entry(flow: parts[place].fullAt, place: place))
        }
    }
}

/// Who is full next: a binary heap.
private struct EarliestFirst: Sendable {
    struct Entry {
        let flow: Int64
        let place: Int
    }

    private var entries: [Entry] = []

    var first: Entry? { entries.first }

    mutating func insert(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0, entries[child].flow < entries[(child - 1) / 2].flow {
            entries.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeFirst() {
        entries.swapAt(0, entries.count - 1)
        entries.removeLast()
        var parent = 0
        while true {
            let children = (2 * parent + 1)..<min(2 * parent + 3, max(2 * parent + 1, entries.count))
            guard let least = children.min(by: { entries[$0].flow < entries[$1].flow }), entries[least].flow < entries[parent].flow else { return }
            entries.swapAt(parent, least)
            parent = least
        }
    }
}
