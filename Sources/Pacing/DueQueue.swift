package import Gateway

/// What is due when, the earliest first; each key once. Setting, removing and taking cost a logarithm.
package struct DueQueue<Key: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let key: Key
        let dueAt: BootInstant
        /// Equals come in the order in which they were set.
        let number: UInt64

        func isBefore(_ other: Self) -> Bool { (dueAt, number) < (other.dueAt, other.number) }
    }

    /// A heap: no entry is before the one at half its index.
    private var entries: [Entry] = []
    private var places: [Key: Int] = [:]
    private var changes: UInt64 = 0

    package init() {}

    package var count: Int { entries.count }
    package var isEmpty: Bool { entries.isEmpty }
    /// When the first one is due.
    package var earliest: BootInstant? { entries.first?.dueAt }

    package subscript(key: Key) -> BootInstant? { places[key].map { entries[$0].dueAt } }

    /// Makes a key due at a time, and no longer at another.
    package mutating func set(_ key: Key, dueAt: BootInstant) {
        changes += 1
        let entry = Entry(key: key, dueAt: dueAt, number: changes)
        let place = places[key] ?? entries.count
        if place == entries.count { entries.append(entry) } else { entries[place] = entry }
        places[key] = place
        settle(place)
    }

    package mutating func remove(_ key: Key) {
        guard let place = places.removeValue(forKey: key) else { return }
        let last = entries.removeLast()
        guard place < entries.count else { return }
        entries[place] = last
        places[last.key] = place
        settle(place)
    }

    /// Takes out what is due first, if it is by now.
    package mutating func take(at now: BootInstant) -> Key? {
        guard let first = entries.first, first.dueAt <= now else { return nil }
        remove(first.key)
        return first.key
    }

    private mutating func settle(_ start: Int) {
        var place = start
        while place > 0, entries[place].isBefore(entries[(place - 1) / 2]) {
            swap(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
        while let child = earlierChild(of: place), entries[child].isBefore(entries[place]) {
            swap(place, child)
            place = child
        }
    }

    private func earlierChild(of place: Int) -> Int? {
        let (left, right) = (2 * place + 1, 2 * place + 2)
        guard right < entries.count else { return left < entries.count ? left : nil }
        return entries[right].isBefore(entries[left]) ? right : left
    }

    private mutating func swap(_ one: Int, _ other: Int) {
        entries.swapAt(one, other)
        places[entries[one].key] = one
        places[entries[other].key] = other
    }
}
