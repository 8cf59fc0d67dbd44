import Gateway
import Testing

@testable import MCP

struct ToolNameTests {
    static let hostile = [
        "", ".", "a.b", "files/read", "a b", "é", "e\u{301}", "日本語", "😀", "a\nb", "a\0b", "\"", "..", "<b>", "\u{202E}x",
        String(repeating: "x", count: 39),
        String(repeating: "x", count: 200), String(repeating: "😀", count: 20),
    ]

    @Test(arguments: [
        ("search", "web", "web__search"), ("Search-2_x", "a", "a__Search-2_x"), ("a__b", "s", "s__a__b"), ("_x", "s", "s___x"),
        (String(repeating: "x", count: 38), "tracking", "tracking__" + String(repeating: "x", count: 38)),
    ])
    func `a name that fits is shown behind its server's alias`(name: String, alias: ServerAlias, exposed: String) {
        #expect(ToolName.exposed(name, of: alias) == exposed)
    }

    @Test(arguments: hostile, ["a", "tracking", "abcdefghijkl"] as [ServerAlias])
    func `every name fits what model APIs take, and keeps its server's alias`(name: String, alias: ServerAlias) {
        let exposed = ToolName.exposed(name, of: alias)
        #expect(exposed.hasPrefix("\(alias)__"))
        #expect(exposed.utf8.count <= 48)
        #expect(exposed.wholeMatch(of: /[a-zA-Z0-9_-]+/) != nil)
        #expect(exposed == ToolName.exposed(name, of: alias))
    }

    @Test func `names that are cut stay apart and readable`() {
        let exposed = Self.hostile.map { ToolName.exposed($0, of: "s") }
        #expect(Set(exposed).count == Self.hostile.count)
        #expect(ToolName.exposed("files/read", of: "s").hasPrefix("s__files_read-"))
        let long = String(repeating: "x", count: 60)
        #expect(ToolName.exposed(long + "1", of: "s") != ToolName.exposed(long + "2", of: "s"))
    }

    @Test func `a cut name is the same in every process and every version`() {
        #expect(ToolName.exposed("a.b", of: "s") == "s__a_b-vzsxhr")
        #expect(ToolName.exposed("", of: "s") == "s__-b6pb5h")
    }

    /// An alias holds no underscore, so it ends where the first underscore stands.
    @Test(arguments: [("b__c", "a", "c", "a"), ("_b", "a", "b", "a"), ("x", "ab", "x", "a"), ("-x", "a", "x", "a")])
    func `tools of two servers, or two tools of one, have two names`(name: String, alias: ServerAlias, otherName: String, otherAlias: ServerAlias) {
        #expect(ToolName.exposed(name, of: alias) != ToolName.exposed(otherName, of: otherAlias))
    }
}
