import Testing

@testable import OAuth

struct ScopesTests {
    @Test func `scopes are a set in one order`() throws {
        #expect(try ScopeList(parsing: "registry:read mcp:tools mcp:tools").description == "mcp:tools registry:read")
        #expect(try ScopeList(parsing: "").isEmpty)
        #expect(try ScopeList(parsing: "mcp:tools admin").narrowed(to: ["mcp:tools", "email"]) == ["mcp:tools"])
        #expect(ScopeList(["a", "b"]).union(["c", "a"]) == ["a", "b", "c"])
        #expect(ScopeList(["a"]).isSubset(of: ["a", "b"]))
        #expect(!ScopeList(["c"]).isSubset(of: ["a", "b"]))
    }

    @Test(arguments: [" ", " a", "a ", "a  b", "a\tb", "a\nb", "a\"b", "a\\b", "\u{e4}", "a\u{0}", "\u{7F}", "a\u{A0}b"])
    func `a scope of other characters is refused`(_ text: String) {
        let error = #expect(throws: OAuthError.self) { try ScopeList(parsing: text) }
        #expect(error?.code == .invalidScope)
    }

    @Test func `there are at most 20 in at most 1 KiB`() throws {
        let twenty = (1...20).map(String.init).joined(separator: " ")
        #expect(try ScopeList(parsing: twenty).names.count == 20)
        #expect(throws: OAuthError.self) { try ScopeList(parsing: twenty + " 21") }
        #expect(try ScopeList(parsing: String(repeating: "a", count: 1024)).names.count == 1)
        #expect(throws: OAuthError.self) { try ScopeList(parsing: String(repeating: "a", count: 1025)) }
    }
}
