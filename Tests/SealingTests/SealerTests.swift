import Dispatch
import Gateway
import Synchronization
import Testing

@testable import Sealing

struct SealerTests {
    let sealer = Sealer(ring(1))
    let binding = Binding(kind: "user", owner: "7", place: "refresh_token:7").bytes
    let secret = Array("a refresh token".utf8)

    @Test(arguments: [0, 1, 15, 16, 17, 4096, Sealer.mostBytes])
    func `what was sealed opens as it was, and is longer by the overhead`(count: Int) throws {
        var noise = Noise(state: 1)
        let plain = noise.bytes(count)
        let sealed = try sealer.seal(plain, bound: binding)
        #expect(sealed.count == count + Sealer.overhead)
        #expect(try sealer.open(sealed, bound: binding) == plain)
        #expect(Sealer.keyID(of: sealed) == sealer.ring.current.id)
    }

    @Test func `what is longer than the bound is not sealed`() {
        let long = [UInt8](repeating: 0, count: Sealer.mostBytes + 1)
        #expect(throws: SealingFailure.tooLong) { _ = try sealer.seal(long, bound: []) }
        #expect(throws: SealingFailure.tooLong) { _ = try sealer.seal([], bound: long) }
    }

    @Test func `what another implementation of AES-256-GCM sealed opens, today and with every later version`() throws {
        // Made with the Python package cryptography: key 1…32, nonce 0…11, data = version ‖ key id ‖ binding.
        let hexadecimal = "01f13412ee46fd831c000102030405060708090a0b101073f2aeaf0478670bc62e0ffd99bff78ff423a84341f24c1565e89b3e61"
        let digits = hexadecimal.compactMap(\.hexDigitValue)
        let sealed = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        #expect(try sealer.open(sealed, bound: binding) == secret)
    }

    @Test func `a value opens for its owner and its place only`() throws {
        let sealed = try sealer.seal(secret, bound: binding)
        let others = [
            Binding(kind: "user", owner: "8", place: "refresh_token:7"), Binding(kind: "user", owner: "7", place: "access_token:7"),
            Binding(kind: "tenant", owner: "7", place: "refresh_token:7"), Binding(kind: "user", owner: "7", place: "refresh_token:7", detail: [0]),
        ]
        for other in others.map(\.bytes) + [[], Array(binding.dropLast()), binding + [0]] {
            #expect(throws: SealingFailure.notAuthentic) { _ = try sealer.open(sealed, bound: other) }
        }
    }

    @Test func `no bit can be flipped`() throws {
        let sealed = try sealer.seal(secret, bound: binding)
        for index in sealed.indices {
            for bit in 0..<8 {
                var changed = sealed
                changed[index] ^= 1 << bit
                let failure = #expect(throws: SealingFailure.self) { _ = try sealer.open(changed, bound: binding) }
                switch index {
                case 0: #expect(failure == .malformed)
                case 1..<9: #expect(failure == .unknownKey(SealingKey.ID(changed[1..<9])))
                default: #expect(failure == .notAuthentic)
                }
            }
        }
    }

    @Test func `nothing opens that was cut or prolonged`() throws {
        let sealed = try sealer.seal(secret, bound: binding)
        for count in sealed.indices {
            let failure = #expect(throws: SealingFailure.self) { _ = try sealer.open(Array(sealed.prefix(count)), bound: binding) }
            #expect(failure == (count < Sealer.overhead ? .malformed : .notAuthentic))
        }
        for start in 1..<sealed.count {
            #expect(throws: SealingFailure.self) { _ = try sealer.open(Array(sealed.dropFirst(start)), bound: binding) }
        }
        #expect(throws: SealingFailure.notAuthentic) { _ = try sealer.open(sealed + [0], bound: binding) }
        #expect(throws: SealingFailure.malformed) {
            _ = try sealer.open(sealed + [UInt8](repeating: 0, count: Sealer.mostBytes), bound: binding)
        }
    }

    @Test(arguments: 0..<64)
    func `random bytes open never, and harm nobody`(seed: UInt64) throws {
        var noise = Noise(state: seed)
        for count in 0..<200 {
            var bytes = noise.bytes(count)
            #expect(throws: SealingFailure.self) { _ = try sealer.open(bytes, bound: binding) }
            // Past the first checks, so that OpenSSL sees them.
            let header = [1] + sealer.ring.current.id.bytes
            bytes.replaceSubrange(0..<min(9, count), with: header.prefix(min(9, count)))
            #expect(throws: SealingFailure.self) { _ = try sealer.open(bytes, bound: noise.bytes(count)) }
        }
    }

    @Test func `pieces of two values make no third`() throws {
        let (one, other) = (try sealer.seal(secret, bound: binding), try sealer.seal(secret, bound: binding))
        for cut in 9..<one.count where Array(one[cut...]) != Array(other[cut...]) {
            let mixed = Array(one[..<cut] + other[cut...])
            if mixed != one && mixed != other { #expect(throws: SealingFailure.notAuthentic) { _ = try sealer.open(mixed, bound: binding) } }
        }
    }

    @Test func `older keys open, and the current one seals`() throws {
        let old = try sealer.seal(secret, bound: binding)
        let rotated = Sealer(ring(2, 1))
        #expect(try rotated.open(old, bound: binding) == secret)
        #expect(Sealer.keyID(of: try rotated.seal(secret, bound: binding)) == key(2).id)
        let without = Sealer(ring(2))
        #expect(throws: SealingFailure.unknownKey(key(1).id)) { _ = try without.open(old, bound: binding) }
        #expect(SealingFailure.unknownKey(key(1).id).description.contains(key(1).id.description))
    }

    @Test func `a value that names another key than its own does not open`() throws {
        let both = Sealer(ring(1, 2))
        var sealed = try both.seal(secret, bound: binding)
        sealed.replaceSubrange(1..<9, with: key(2).id.bytes)
        #expect(throws: SealingFailure.notAuthentic) { _ = try both.open(sealed, bound: binding) }
    }

    @Test func `of a hundred thousand nonces no two are equal, whoever seals`() throws {
        let nonces = Mutex<Set<[UInt8]>>([])
        DispatchQueue.concurrentPerform(iterations: 4) { _ in
            let mine = (0..<25_000).compactMap { _ in try? Array(sealer.seal([], bound: [])[9..<21]) }
            nonces.withLock { $0.formUnion(mine) }
        }
        #expect(nonces.withLock { $0.count } == 100_000)
        #expect(sealer.uses == 100_000)
    }

    @Test func `many threads seal and open at the same time`() throws {
        let wrong = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var noise = Noise(state: UInt64(thread))
            for count in 0..<500 {
                let plain = noise.bytes(count)
                let binding = noise.bytes(20)
                guard let sealed = try? sealer.seal(plain, bound: binding), (try? sealer.open(sealed, bound: binding)) == plain else {
                    wrong.add(1, ordering: .relaxed)
                    continue
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    @Test func `a key that sealed as often as it may seals no more, and still opens`() throws {
        let sealed = try sealer.seal(secret, bound: binding)
        #expect(sealer.uses == 1)
        sealer.countUses(atLeast: Sealer.mostUses - 1)
        _ = try sealer.seal(secret, bound: binding)
        for _ in 0..<3 { #expect(throws: SealingFailure.worn(key(1).id)) { _ = try sealer.seal(secret, bound: binding) } }
        #expect(sealer.uses == Sealer.mostUses)
        #expect(try sealer.open(sealed, bound: binding) == secret)
        sealer.countUses(atLeast: 5)
        #expect(sealer.uses == Sealer.mostUses)
    }
}

struct BindingTests {
    @Test func `no two bindings have the same bytes`() {
        let parts = ["", "a", "b", "ab", "a\0", "\0a", "aaaaaaaa", "\0\0\0\0\0\0\0\u{1}a", "é"]
        var seen: Set<[UInt8]> = []
        for kind in parts {
            for owner in parts {
                for place in parts {
                    for detail in parts { seen.insert(Binding(kind: kind, owner: owner, place: place, detail: Array(detail.utf8)).bytes) }
                }
            }
        }
        #expect(seen.count == parts.count * parts.count * parts.count * parts.count)
    }
}

struct ComparisonTests {
    @Test(
        arguments: [
            ([], [], true), ([1], [1], true), ([1], [], false), ([], [1], false), ([1, 2, 3], [1, 2, 3], true), ([1, 2, 3], [1, 2, 4], false),
            ([0, 2, 3], [1, 2, 3], false), ([1, 2], [1, 2, 0], false),
        ] as [([UInt8], [UInt8], Bool)])
    func `bytes are equal when all of them are`(left: [UInt8], right: [UInt8], expected: Bool) {
        #expect(isEqual(left, right) == expected)
        #expect(Secret(left).isEqual(to: Secret(right)) == expected)
    }

    @Test func `texts are compared by their bytes`() {
        #expect(Secret("é").isEqual(to: Secret("\u{E9}")))
        #expect(!Secret("e\u{301}").isEqual(to: Secret("\u{E9}")))
    }

    @Test func `a digest is that of SHA-256`() {
        let abc: [UInt8] = [
            0xBA, 0x78, 0x16, 0xBF, 0x8F, 0x01, 0xCF, 0xEA, 0x41, 0x41, 0x40, 0xDE, 0x5D, 0xAE, 0x22, 0x23, 0xB0, 0x03, 0x61, 0xA3, 0x96, 0x17, 0x7A,
            0x9C, 0xB4, 0x10, 0xFF, 0x61, 0xF2, 0x00, 0x15, 0xAD,
        ]
        #expect(digest(of: Array("abc".utf8)) == abc)
        #expect(digest(of: []).prefix(4) == [0xE3, 0xB0, 0xC4, 0x42])
    }

    @Test func `what is wiped holds nothing`() {
        var bytes = Array("secret".utf8)
        wipe(&bytes)
        #expect(bytes == [0, 0, 0, 0, 0, 0])
        var none: [UInt8] = []
        wipe(&none)
        #expect(none.isEmpty)
    }
}
