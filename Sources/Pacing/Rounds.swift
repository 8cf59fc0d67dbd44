/// Whose turn it is: deficit round robin by weight, and whoever had nothing waiting first.
///
/// It is what FQ-CoDel (RFC 8290) does with flows. A newcomer's first turn comes before those of the regulars; then it goes
/// to the end of their round and stays there until a turn of its own finds nothing waiting, so that emptying and
/// refilling gains nobody a second first turn.
struct Rounds<Key: Hashable & Sendable>: Sendable {
    private struct Member {
        var weight: Int
        /// What is left of its turn; a call costs `cost`.
        var credit: Int
        var waiting = 0
        /// Stands among the newcomers.
        var isNew = true
    }

    private var members: [Key: Member] = [:]
    private var newcomers = Line<Key>()
    private var regulars = Line<Key>()
    private var ranking = Ranking<Key>()
    /// How many members have a weight.
    private var weights: [Int: Int] = [:]
    /// The smallest weight: every turn then pays for at least one call, and a turn is no longer than it must be.
    private var cost = Int.max

    /// Of all members; some of them may have nothing waiting.
    private(set) var totalWeight = 0

    var count: Int { members.count }
    /// Who has most calls waiting, and how many.
    var longest: Key? { ranking.first }
    var most: Int { ranking.most }

    func waiting(_ key: Key) -> Int { members[key]?.waiting ?? 0 }

    /// One more call of the key's waits; the weight, at least 1, holds for all of them.
    mutating func join(_ key: Key, weight: Int) {
        var member = members[key] ?? enlist(key, weight)
        if member.weight != weight {
            weigh(weight, 1)
            weigh(member.weight, -1)
            member.weight = weight
        }
        ranking.move(key, from: member.waiting, to: member.waiting + 1)
        member.waiting += 1
        members[key] = member
    }

    /// One call of the key's waits no longer.
    mutating func leave(_ key: Key) {
        guard let member = members[key], member.waiting > 0 else { return }
        members[key]?.waiting -= 1
        ranking.move(key, from: member.waiting, to: member.waiting - 1)
        // Who left before their first turn owes nothing, and would be remembered in vain.
        if member.waiting == 1, member.isNew, member.credit >= member.weight { drop(key) }
    }

    /// Whose call is next, charged to them; the caller lets one of their calls leave. Nil if nothing waits.
    mutating func turn() -> Key? {
        while let key = newcomers.first ?? regulars.first, let member = members[key] {
            if member.waiting == 0, !member.isNew {
                drop(key)
            } else if member.waiting > 0, member.credit >= cost {
                members[key]?.credit -= cost
                return key
            } else {
                if member.waiting > 0 { members[key]?.credit += member.weight }
                moveToEnd(key)
            }
        }
        return nil
    }

    private mutating func enlist(_ key: Key, _ weight: Int) -> Member {
        newcomers.append(key)
        weigh(weight, 1)
        return Member(weight: weight, credit: weight)
    }

    private mutating func moveToEnd(_ key: Key) {
        if members[key]?.isNew == true { newcomers.remove(key) } else { regulars.remove(key) }
        members[key]?.isNew = false
        regulars.append(key)
    }

    private mutating func drop(_ key: Key) {
        guard let member = members.removeValue(forKey: key) else { return }
        if member.isNew { newcomers.remove(key) } else { regulars.remove(key) }
        weigh(member.weight, -1)
    }

    /// One member more, or one less, of this weight.
    private mutating func weigh(_ weight: Int, _ change: Int) {
        totalWeight += weight * change
        let left = weights[weight, default: 0] + change
        weights[weight] = left == 0 ? nil : left
        if change > 0 { cost = min(cost, weight) } else if left == 0, weight == cost { cost = weights.keys.min() ?? .max }
    }
}
