package import Gateway

/// Who waits in front of one saturated server, and who is next. A value: no clock, no lock, nobody is woken.
///
/// Tenants take turns by weight, within a tenant its users, and a user's calls go in their order; whoever had nothing
/// waiting gets a first turn before those with a backlog (`Rounds`). All of it costs the same however many wait, save
/// deadlines, which cost a logarithm.
package struct FairQueue: Sendable {
    /// Names a waiting call. The caller numbers them, and gives no number twice.
    package struct Ticket: Hashable, Sendable {
        package let number: UInt64
        package init(_ number: UInt64) { self.number = number }
    }

    /// Whose call it is.
    package struct Caller: Hashable, Sendable {
        package let user: UserID
        package let tenant: TenantID
        /// The tenant's part of the service, 1 to 1000; the one told last holds.
        package let weight: Int

        package init(_ user: UserID, of tenant: TenantID, weight: Int = 1) {
            self.user = user
            self.tenant = tenant
            self.weight = min(max(1, weight), 1000)
        }
    }

    package enum Arrival: Hashable, Sendable {
        /// It waits; the call displaced for it does so no longer.
        case waits(displaced: Ticket?)
        case refused(Obstacle)
    }

    package enum Obstacle: Hashable, Sendable {
        /// The user has as many calls waiting as one may have.
        case user
        /// Everything is full, and nobody has so much that they would have to give way.
        case full
        /// It would not be served before its deadline, but only after about this wait.
        case late(Duration)
    }

    package struct Turn: Hashable, Sendable {
        /// Whom to serve; nil if nobody is left.
        package let next: Ticket?
        /// Whose deadline had passed; none of them waits any longer.
        package let expired: [Ticket]
    }

    private struct Place: Sendable {
        let user: UserID
        let tenant: TenantID
    }

    private struct Tenant: Sendable {
        var rounds = Rounds<UserID>()
        var lines: [UserID: Line<Ticket>] = [:]
    }

    /// Calls that may wait, of all callers and of one user; at least 1.
    package let capacity: Int
    package let perUser: Int

    private var places: [Ticket: Place] = [:]
    /// Those that have a call waiting.
    private var tenants: [TenantID: Tenant] = [:]
    private var rounds = Rounds<TenantID>()
    private var deadlines = Deadlines()

    package init(capacity: Int, perUser: Int) {
        self.capacity = max(1, capacity)
        self.perUser = max(1, perUser)
    }

    package var count: Int { places.count }
    package var isEmpty: Bool { places.isEmpty }
    /// When the first of those who wait has waited long enough.
    package var earliestDeadline: BootInstant? { deadlines.earliest }

    package func waiting(of user: UserID, in tenant: TenantID) -> Int { tenants[tenant]?.rounds.waiting(user) ?? 0 }

    /// Lets a call wait, or refuses it at once. Let the expired ones go first (`expire`): until then they take up room.
    ///
    /// - Parameter pace: the time from one served call to the next, by experience; zero if there is none yet.
    package mutating func add(_ ticket: Ticket, of caller: Caller, until deadline: BootInstant, at now: BootInstant, pace: Duration) -> Arrival {
        guard waiting(of: caller.user, in: caller.tenant) < perUser else { return .refused(.user) }
        let wait = pace * ahead(of: caller)
        guard now < deadline, wait < .nanoseconds(deadline.nanoseconds - now.nanoseconds) else { return .refused(.late(wait)) }
        var displaced: Ticket?
        if count >= capacity {
            displaced = newestOfLongest(before: caller)
            guard let displaced else { return .refused(.full) }
            remove(displaced)
        }
        places[ticket] = Place(user: caller.user, tenant: caller.tenant)
        rounds.join(caller.tenant, weight: caller.weight)
        tenants[caller.tenant, default: Tenant()].rounds.join(caller.user, weight: 1)
        tenants[caller.tenant]?.lines[caller.user, default: Line()].append(ticket)
        deadlines.add(ticket, at: deadline)
        return .waits(displaced: displaced)
    }

    /// Takes out whoever is to be served now; never one whose deadline has passed.
    package mutating func next(at now: BootInstant) -> Turn {
        let expired = expire(at: now)
        guard let tenant = rounds.turn(), let user = tenants[tenant]?.rounds.turn(), let ticket = tenants[tenant]?.lines[user]?.first else {
            return Turn(next: nil, expired: expired)
        }
        remove(ticket)
        return Turn(next: ticket, expired: expired)
    }

    /// Takes out all whose deadline has passed.
    package mutating func expire(at now: BootInstant) -> [Ticket] {
        var expired: [Ticket] = []
        while let ticket = deadlines.passed(at: now) {
            expired.append(ticket)
            remove(ticket)
        }
        return expired
    }

    /// - Returns: false if it did not wait.
    @discardableResult
    package mutating func remove(_ ticket: Ticket) -> Bool {
        guard let place = places.removeValue(forKey: ticket) else { return false }
        guard !places.isEmpty else {
            self = FairQueue(capacity: capacity, perUser: perUser)
            return true
        }
        tenants[place.tenant]?.lines[place.user]?.remove(ticket)
        if tenants[place.tenant]?.lines[place.user]?.isEmpty == true { tenants[place.tenant]?.lines[place.user] = nil }
        tenants[place.tenant]?.rounds.leave(place.user)
        rounds.leave(place.tenant)
        if rounds.waiting(place.tenant) == 0 { tenants[place.tenant] = nil }
        deadlines.forget(waiting: places)
        return true
    }

    /// How many calls go before the next one of a caller, give or take a round, and supposing that nobody's run out.
    ///
    /// Before it go the user's own, and with each of them a round of their tenant's users; each of the tenant's turns takes
    /// a round of the tenants. Where some have less waiting than that, what waits in all is the bound. A tenant with
    /// nothing waiting comes first.
    private func ahead(of caller: Caller) -> Int {
        guard let tenant = tenants[caller.tenant] else { return 0 }
        let inTenant = min(rounds.waiting(caller.tenant), tenant.rounds.waiting(caller.user) * tenant.rounds.count)
        return min(count, (inTenant + 1) * rounds.totalWeight / caller.weight - 1)
    }

    /// Who gives way to a caller when all is full: the newest call of whichever user has most, of the tenant that has most.
    ///
    /// It must be one call more than the caller's tenant, or user, would then have: otherwise two callers would
    /// push each other out in turn. So nobody loses a place who has no more of them than the others.
    private func newestOfLongest(before caller: Caller) -> Ticket? {
        let isTenantShorter = rounds.waiting(caller.tenant) + 1 < rounds.most
        guard let id = isTenantShorter ? rounds.longest : caller.tenant, let tenant = tenants[id], let user = tenant.rounds.longest else {
            return nil
        }
        guard isTenantShorter || tenant.rounds.waiting(caller.user) + 1 < tenant.rounds.most else { return nil }
        return tenant.lines[user]?.last
    }
}

extension FairQueue {
    /// A heap of deadlines, the earliest first. Those of calls that are gone stay until they come up, or are too many.
    private struct Deadlines: Sendable {
        private struct Entry: Sendable {
            let deadline: BootInstant
            let ticket: Ticket
        }

        /// No entry is later than the two at twice its index and one or two more; the first belongs to a call that waits.
        private var entries: [Entry] = []

        var earliest: BootInstant? { entries.first?.deadline }

        func passed(at now: BootInstant) -> Ticket? {
            guard let first = entries.first, first.deadline <= now else { return nil }
            return first.ticket
        }

        mutating func add(_ ticket: Ticket, at deadline: BootInstant) {
            entries.append(Entry(deadline: deadline, ticket: ticket))
            var index = entries.count - 1
            while index > 0, entries[index].deadline < entries[(index - 1) / 2].deadline {
                entries.swapAt(index, (index - 1) / 2)
                index = (index - 1) / 2
            }
        }

        /// Drops what stands at the top, or makes up most of the heap, and waits no longer.
        mutating func forget(waiting places: [Ticket: Place]) {
            while let first = entries.first, places[first.ticket] == nil { removeFirst() }
            guard entries.count > 2 * places.count + 16 else { return }
            entries.removeAll { places[$0.ticket] == nil }
            // What is sorted is a heap.
            entries.sort { $0.deadline < $1.deadline }
        }

        private mutating func removeFirst() {
            entries.swapAt(0, entries.count - 1)
            entries.removeLast()
            var index = 0
            while let child = earlierChild(of: index), entries[child].deadline < entries[index].deadline {
                entries.swapAt(index, child)
                index = child
            }
        }

        private func earlierChild(of index: Int) -> Int? {
            let (left, right) = (2 * index + 1, 2 * index + 2)
            guard right < entries.count else { return left < entries.count ? left : nil }
            return entries[right].deadline < entries[left].deadline ? right : left
        }
    }
}
