import Testing

@testable import Gateway

struct ServerAliasTests {
    @Test(arguments: ["a", "0", "demo", "a-b", "a-b-c", "9to5", "abcdefghijkl", "123456789012"])
    func `a short lower-case name is an alias`(text: String) throws {
        #expect(try #require(ServerAlias(text)).description == text)
    }

    @Test(arguments: [
        "", "-", "-a", "a-", "a--b", "--", "A", "aB", "a_b", "a__b", "a.b", "a/b", "..", "a b", " a", "a ", "a\n", "a\0", "\0", "é", "e\u{301}", "а",
        "a٣", "ａ", "a%2Fb", "a\u{200D}b", "abcdefghijklm", "😀", "a-\u{301}b",
    ])
    func `anything that a path or a tool name could mistake is not`(text: String) {
        #expect(ServerAlias(text) == nil)
    }

    @Test func `aliases sort as text`() {
        let sorted = ["b", "a-b", "a", "0", "ab"].compactMap { ServerAlias($0) }.sorted()
        #expect(sorted.map(\.description) == ["0", "a", "a-b", "ab", "b"])
    }
}
