package import Gateway

/// Who was active in an hour: exactly, with the second each was last seen, up to `exactLimit` users; beyond that as a
/// HyperLogLog of 2,048 registers, whose count is off by 2.3 % (one standard deviation).
package struct UserSketch: Hashable, Sendable {
    package static let exactLimit = 512
    package static let standardError = 0.023

    /// Seconds into the hour by user. A user's number is folded to 32 bits; two of the same fold count as one.
    private var lastSeen: [UInt32: UInt16] = [:]
    /// Nil while the sketch is exact.
    private var registers: Registers?

    package init() {}

    package var isExact: Bool { registers == nil }
    package var isEmpty: Bool { lastSeen.isEmpty && registers == nil }
    package var count: Int { registers?.estimate ?? lastSeen.count }

    /// - Parameter second: into the hour, 0 to 3,599.
    package mutating func insert(_ user: UserID, second: Int) {
        insert(Self.fold(user), UInt16(clamping: second))
    }

    private mutating func insert(_ user: UInt32, _ second: UInt16) {
        if registers != nil {
            registers?.insert(user)
        } else {
            lastSeen[user] = max(second, lastSeen[user] ?? 0)
            if lastSeen.count > Self.exactLimit { becomeInexact() }
        }
    }

    package mutating func merge(_ other: UserSketch) {
        if let theirs = other.registers {
            becomeInexact()
            registers?.merge(theirs)
        } else {
            for (user, second) in other.lastSeen { insert(user, second) }
        }
    }

    private mutating func becomeInexact() {
        guard registers == nil else { return }
        var made = Registers()
        for user in lastSeen.keys { made.insert(user) }
        registers = made
        lastSeen = [:]
    }

    static func fold(_ user: UserID) -> UInt32 { UInt32(truncatingIfNeeded: user.rawValue) ^ UInt32(truncatingIfNeeded: user.rawValue >> 32) }

    // MARK: Stored form

    /// A byte 0, then 6 bytes a user (number and second, little-endian), ascending; or a byte 1 and the registers.
    package var bytes: [UInt8] {
        if let registers { return [1] + registers.values }
        var bytes: [UInt8] = [0]
        bytes.reserveCapacity(1 + 6 * lastSeen.count)
        for (user, second) in lastSeen.sorted(by: { $0.key < $1.key }) {
            for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: user >> shift)) }
            bytes.append(UInt8(second & 0xFF))
            bytes.append(UInt8(second >> 8))
        }
        return bytes
    }

    /// Nil for bytes that are not in the stored form.
    package init?(bytes: UnsafeRawBufferPointer) {
        switch bytes.first {
        case 0 where (bytes.count - 1) % 6 == 0:
            UserUnion.forEach(in: bytes) { user, second in lastSeen[user] = second }
        case 1 where bytes.count == Registers.count + 1:
            registers = Registers(values: Array(bytes.dropFirst()))
        default: return nil
        }
    }
}

/// The users of several hours together, read from stored sketches without building them.
package struct UserUnion: Sendable {
    /// Open addressing; 0 is an empty slot, so users are kept plus one.
    private var slots = [UInt64](repeating: 0, count: 256)
    private var exact = 0
    private var registers: Registers?

    package init() {}

    package var isExact: Bool { registers == nil }

    package var count: Int {
        guard var all = registers else { return exact }
        for slot in slots where slot != 0 { all.insert(UInt32(truncatingIfNeeded: slot - 1)) }
        return all.estimate
    }

    /// - Parameter since: a second into the sketch's hour; users last seen before it are left out, if the sketch tells.
    package mutating func add(_ bytes: UnsafeRawBufferPointer, since: Int = 0) {
        if bytes.first == 1, bytes.count == Registers.count + 1 {
            var theirs = registers ?? Registers()
            theirs.merge(Registers(values: Array(bytes.dropFirst())))
            registers = theirs
        } else {
            Self.forEach(in: bytes) { user, second in
                if second >= since { insert(user) }
            }
        }
    }

    private mutating func insert(_ user: UInt32) {
        if exact * 2 >= slots.count { grow() }
        if Self.place(UInt64(user) + 1, in: &slots) { exact += 1 }
    }

    private mutating func grow() {
        var larger = [UInt64](repeating: 0, count: slots.count * 4)
        for slot in slots where slot != 0 { _ = Self.place(slot, in: &larger) }
        slots = larger
    }

    private static func place(_ value: UInt64, in slots: inout [UInt64]) -> Bool {
        var index = Int(truncatingIfNeeded: (value &* 0x9E37_79B9_7F4A_7C15) >> 32) & (slots.count - 1)
        while slots[index] != 0 {
            if slots[index] == value { return false }
            index = (index + 1) & (slots.count - 1)
        }
        slots[index] = value
        return true
    }

    static func forEach(in bytes: UnsafeRawBufferPointer, _ body: (UInt32, UInt16) -> Void) {
        guard bytes.first == 0 else { return }
        var offset = 1
        while offset + 6 <= bytes.count {
            body(
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)),
                UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self)))
            offset += 6
        }
    }
}

/// HyperLogLog's registers (Flajolet and others, 2007), with linear counting while many are empty.
private struct Registers: Hashable, Sendable {
    static let count = 2048
    private static let indexBits = 11
    private(set) var values: [UInt8]

    init(values: [UInt8] = [UInt8](repeating: 0, count: count)) { self.values = values }

    mutating func insert(_ user: UInt32) {
        // The finalizer of splitmix64: users are numbered one after the other, and registers want them spread.
        var hash = UInt64(user) &+ 0x9E37_79B9_7F4A_7C15
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        hash ^= hash >> 31
        let index = Int(hash >> (64 - UInt64(Self.indexBits)))
        values[index] = max(values[index], UInt8((hash << UInt64(Self.indexBits)).leadingZeroBitCount + 1))
    }

    mutating func merge(_ other: Registers) {
        for index in values.indices { values[index] = max(values[index], other.values[index]) }
    }

    var estimate: Int {
        let registers = Double(Self.count)
        let sum = values.reduce(0.0) { $0 + 1 / Double(UInt64(1) << UInt64(min($1, 63))) }
        let raw = 0.7213 / (1 + 1.079 / registers) * registers * registers / sum
        let empty = values.count { $0 == 0 }
        return Int((raw <= 2.5 * registers && empty > 0 ? registers * Self.logarithm(registers / Double(empty)) : raw).rounded())
    }

    /// The natural logarithm of 1 to 2,048; this room imports no mathematics.
    private static func logarithm(_ value: Double) -> Double {
        let exponent = Double(value.exponent)
        let ratio = (value.significand - 1) / (value.significand + 1)
        var (term, sum) = (ratio, 0.0)
        for odd in stride(from: 1.0, through: 31, by: 2) {
            sum += term / odd
            term *= ratio * ratio
        }
        return 2 * sum + exponent * 0.693_147_180_559_945_3
    }
}
