import Testing

@testable import OAuth

struct FormURLEncodedTests {
    @Test func `pairs come in their order, decoded`() throws {
        let pairs = try FormURLEncoded.pairs("a=1&b=x+y%20z&a=%C3%A9&c&&=d&e=f=g".utf8)
        #expect(pairs.map(\.name) == ["a", "b", "a", "c", "", "e"])
        #expect(pairs.map(\.value) == ["1", "x y z", "é", "", "d", "f=g"])
        #expect(try FormURLEncoded.pairs("".utf8).isEmpty)
    }

    @Test(arguments: ["a=%", "a=%4", "a=%zz", "%=1", "a=%C3", "a=%C0%80", "a=%ED%A0%80", "a=%FF", "a=%u0041", "a=%+1", "a=%-1"])
    func `broken escapes and what is not UTF-8 are refused`(_ text: String) {
        let error = #expect(throws: OAuthError.self) { try FormURLEncoded.pairs(text.utf8) }
        #expect(error?.code == .invalidRequest)
    }

    @Test func `bytes that are not UTF-8 are refused also unescaped`() {
        #expect(throws: OAuthError.self) { try FormURLEncoded.pairs([0x61, 0x3D, 0xFF]) }
    }

    @Test func `there are at most 100 pairs in 32 KiB`() throws {
        #expect(try FormURLEncoded.pairs(String(repeating: "a=b&", count: 100).utf8).count == 100)
        #expect(throws: OAuthError.self) { try FormURLEncoded.pairs(String(repeating: "a=b&", count: 101).utf8) }
        _ = try FormURLEncoded.pairs([UInt8](repeating: 0x61, count: FormURLEncoded.longest))
        #expect(throws: OAuthError.self) { try FormURLEncoded.pairs([UInt8](repeating: 0x61, count: FormURLEncoded.longest + 1)) }
    }

    @Test func `what is encoded is decoded to the same`() throws {
        var random = SplitMix(seed: 5)
        for _ in 0..<1_000 {
            let pairs = (0..<3).map { _ in
                (name: String(decoding: random.bytes(upTo: 9), as: UTF8.self) + "n", value: String(decoding: random.bytes(upTo: 9), as: UTF8.self))
            }
            let read = try FormURLEncoded.pairs(FormURLEncoded.encode(pairs).utf8)
            #expect(read.elementsEqual(pairs) { $0 == $1 })
        }
        #expect(FormURLEncoded.encode("a b&c=é~%") == "a%20b%26c%3D%C3%A9~%25")
    }

    @Test func `a parameter without a value is as good as left out`() throws {
        let parameters = Parameters([("a", ""), ("a", "1"), ("b", "")])
        #expect(try parameters.one("a") == "1")
        #expect(try parameters.one("b") == nil)
        #expect(!parameters.has("b"))
    }

    @Test func `whatever bytes come, nothing traps`() {
        var random = SplitMix(seed: 13)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in
                Bool.random(using: &random)
                    ? UInt8.random(in: .min ... .max, using: &random) : Array("%&=+aF0".utf8).randomElement(using: &random) ?? 0
            }
            _ = try? FormURLEncoded.pairs(bytes)
        }
    }
}
