import Gateway
import Testing

@testable import Sealing

struct KeyRingTests {
    static let base64 = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

    @Test(arguments: [
        hexadecimal(1), hexadecimal(1).uppercased(), base64, hexadecimal(1) + "\n", "\n \n\t\n# a comment\n#\(hexadecimal(9))\n\(base64)\n\n",
    ])
    func `a key stands in hexadecimal digits or base64, among comments and blank lines`(text: String) throws {
        let ring = try KeyRing(text: Secret(text))
        #expect(ring.current.id == key(1).id)
        #expect(ring.older.isEmpty)
    }

    @Test func `the first key is the current one, the others open`() throws {
        let ring = try KeyRing(text: Secret("# newest\n\(hexadecimal(3))\n\n\(hexadecimal(1))\n# oldest\n\(hexadecimal(2))"))
        #expect(ring.current.id == key(3).id)
        #expect(ring.older.map(\.id) == [key(1).id, key(2).id])
        #expect(ring.key(key(2).id)?.id == key(2).id)
        #expect(ring.key(key(4).id) == nil)
    }

    @Test(
        arguments: [
            ("", "there is no key in it"),
            ("\n\n# only a comment\n", "there is no key in it"),
            ("canary", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            ("# one\ncanary", "line 2 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (hexadecimal(1) + "\n" + hexadecimal(2).dropLast(), "line 2 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (hexadecimal(1) + "0", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (hexadecimal(1) + " ", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (" " + hexadecimal(1), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (hexadecimal(1) + "\r\n", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            ("\r\n" + hexadecimal(1), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (hexadecimal(1) + " # mine", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (" # comment", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            ("key=" + hexadecimal(1), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            ("0x" + hexadecimal(1).dropLast(2), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (String(repeating: "g", count: 64), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (String(repeating: "\u{FF11}", count: 64), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            ("\u{FEFF}" + hexadecimal(1), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (hexadecimal(1) + "\0", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (String(base64.dropLast()), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (String(base64.dropLast(2)) + "B=", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (String(base64.dropLast(2)) + "==", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (" " + base64.dropLast(2) + "=", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (base64.replacing("Q", with: "_"), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (base64.dropLast(2) + "A\n", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (String(repeating: "A", count: 44), "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            ("-----BEGIN PRIVATE KEY-----", "line 1 is neither 64 hexadecimal digits nor 32 bytes in base64"),
            (String(repeating: "0", count: 64), "line 1 is a placeholder, not a key"),
            (String(repeating: "A", count: 43) + "=", "line 1 is a placeholder, not a key"),
            (hexadecimal(2) + "\n\n" + String(repeating: "ab", count: 32), "line 3 is a placeholder, not a key"),
            (hexadecimal(1) + "\n" + hexadecimal(2) + "\n" + base64, "line 3 repeats the key of line 1"),
            ((1...17).map { hexadecimal($0) }.joined(separator: "\n"), "there are more than 16 keys"),
        ] as [(String, String)])
    func `any other content is an error that names the line and repeats nothing of it`(text: String, sentence: String) {
        let error = #expect(throws: KeyRing.Unreadable.self) { _ = try KeyRing(text: Secret(text)) }
        #expect(error?.description == sentence)
    }

    @Test func `a new ring has one key that nobody has had before`() throws {
        let (one, other) = (try KeyRing.generate(), try KeyRing.generate())
        #expect(one.older.isEmpty)
        #expect(one.current.id != other.current.id)
        #expect(one.text.revealed.utf8.count == 65)
    }

    @Test func `a text says all there is to know of a ring`() throws {
        let keys = ring(3, 1, 2)
        #expect(try KeyRing(text: keys.text).keys.map(\.id) == keys.keys.map(\.id))
        #expect(keys.text.revealed == [3, 1, 2].map { hexadecimal($0) + "\n" }.joined())
    }

    @Test func `one more key goes in front and seals from then on`() throws {
        let rotated = try ring(1).adding(key(2))
        #expect(rotated.keys.map(\.id) == [key(2).id, key(1).id])
        #expect(throws: KeyRing.Unreadable.self) { _ = try rotated.adding(key(1)) }
        let full = try (2...16).reduce(ring(1)) { try $0.adding(key($1)) }
        #expect(throws: KeyRing.Unreadable.self) { _ = try full.adding(key(17)) }
    }

    @Test(arguments: [0, 1, 31, 33, 64])
    func `a key has 32 bytes`(count: Int) {
        var noise = Noise(state: 1)
        #expect(SealingKey(Secret(noise.bytes(count))) == nil)
    }

    @Test func `an id is that of the same key always, and no part of it`() {
        #expect(key(1).id == key(1).id)
        #expect(Set((0...255).map { key($0).id }).count == 256)
        #expect(key(1).id.description.utf8.count == 16)
        #expect(!hexadecimal(1).contains(key(1).id.description))
        #expect(SealingKey.ID(0xAB).description == "00000000000000ab")
        // HMAC-SHA256 of "mreg sealing key" under the bytes 1 to 32: an id in an old value must mean the same for ever.
        #expect(key(1).id.description == "f13412ee46fd831c")
    }

    @Test func `a key never prints`() {
        let keys = ring(1)
        var dumped = "\(keys) \(String(reflecting: keys)) \(keys.current)"
        dump(keys, to: &dumped)
        #expect(!dumped.contains(hexadecimal(1)) && !dumped.contains(KeyRingTests.base64))
        #expect(dumped.contains("redacted"))
    }
}
