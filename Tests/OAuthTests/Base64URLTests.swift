import Testing

@testable import OAuth

struct Base64URLTests {
    @Test(arguments: [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy")])
    func `the examples of RFC 4648 hold, without their padding`(_ text: String, _ encoded: String) {
        #expect(Base64URL.encode(text.utf8) == encoded)
        #expect(Base64URL.decode(encoded.utf8) == Array(text.utf8))
    }

    @Test func `bytes come back as they went, in one spelling`() {
        var random = SplitMix(seed: 3)
        for _ in 0..<2_000 {
            let bytes = random.bytes(upTo: 70)
            #expect(Base64URL.decode(Base64URL.encode(bytes).utf8) == bytes)
        }
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8")
    }

    @Test(arguments: ["Z", "Zh", "Zm9", "Zg==", "Zg=", "Z g", "Zg\n", "+/8", "Zm9vY", "Z\u{e4}"])
    func `what would not be written so is not read`(_ text: String) {
        #expect(Base64URL.decode(text.utf8) == nil)
    }
}
