import Testing

@testable import MCP

struct HeaderValueTests {
    @Test(arguments: [
        ("search", "search"), ("a b", "a b"), ("~!@#$%^&*()", "~!@#$%^&*()"), ("", "=?base64??="), (" a", "=?base64?IGE=?="),
        ("a ", "=?base64?YSA=?="),
        ("é", "=?base64?w6k=?="), ("a\nb", "=?base64?YQpi?="), ("a\r\nX: y", "=?base64?YQ0KWDogeQ==?="), ("\0", "=?base64?AA==?="),
        ("\u{7F}", "=?base64?fw==?="), ("=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="), ("=?base64?", "=?base64?PT9iYXNlNjQ/?="), ("a?=", "a?="),
    ])
    func `a value is written plainly or encoded, and read back`(value: String, header: String) {
        #expect(HeaderValue.encoded(value) == header)
        #expect(HeaderValue.decoded(header).map { Array($0.utf8) } == Array(value.utf8))
    }

    @Test(arguments: 0..<0x80 as Range<UInt8>)
    func `nothing a header may not carry is ever written into one`(character: UInt8) {
        let value = "a" + String(UnicodeScalar(character)) + "b"
        #expect(HeaderValue.encoded(value).utf8.allSatisfy { (0x20...0x7E).contains($0) })
        #expect(HeaderValue.decoded(HeaderValue.encoded(value)) == value)
    }

    @Test(arguments: [
        "=?base64?", "=?base64?=", "=?base64?YQ==", "=?base64?YQ==?", "=?base64?YQ?=", "=?base64?YQ=?=", "=?base64?Y?=", "=?base64?Y Q==?=",
        "=?base64?YQ==\n?=",
        "=?base64?_-8=?=", "=?base64?YQ==?=?=", "=?base64?/w==?=", "=?base64?wIA=?=", "=?base64?7aCA?=", "=?base64?é?=", "a\nb", "a\r", "a\0",
        "\u{7F}", "é",
    ])
    func `a value that pretends to be encoded, or holds what a header may not, is none`(header: String) {
        #expect(HeaderValue.decoded(header) == nil)
    }
}
