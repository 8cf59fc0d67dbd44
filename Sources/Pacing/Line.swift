/// Keys in a row: they join at its end and leave from anywhere, each at the same small cost.
struct Line<Key: Hashable & Sendable>: Sendable {
    private struct Neighbours {
        var before: Key?
        var after: Key?
    }

    private var neighbours: [Key: Neighbours] = [:]
    private(set) var first: Key?
    private(set) var last: Key?

    var isEmpty: Bool { first == nil }
    var count: Int { neighbours.count }

    /// The key must not stand in the row already.
    mutating func append(_ key: Key) {
        neighbours[key] = Neighbours(before: last)
        if let last { neighbours[last]?.after = key } else { first = key }
        last = key
    }

    mutating func remove(_ key: Key) {
        guard let gone = neighbours.removeValue(forKey: key) else { return }
        if let before = gone.before { neighbours[before]?.after = gone.after } else { first = gone.after }
        if let after = gone.after { neighbours[after]?.before = gone.before } else { last = gone.before }
    }
}

/// Who has most of something that is counted one by one.
struct Ranking<Key: Hashable & Sendable>: Sendable {
    /// Those who have one, those who have two, and so on; the last level is never empty.
    private var levels: [Line<Key>] = []

    /// Of several with the same count, whoever has had it longest.
    var first: Key? { levels.last?.first }
    /// What the first has.
    var most: Int { levels.count }

    /// The counts differ by one.
    mutating func move(_ key: Key, from old: Int, to new: Int) {
        if old > 0 { levels[old - 1].remove(key) }
        if new > levels.count { levels.append(Line()) }
        if new > 0 { levels[new - 1].append(key) }
        while let last = levels.last, last.isEmpty { levels.removeLast() }
    }
}
