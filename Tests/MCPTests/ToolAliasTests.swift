import Gateway
import Testing

@testable import MCP

struct ToolAliasTests {
    @Test(
        arguments: ["", "x", "_x", "__x", "a__b__c", "files/read", "é", "a\0b", String(repeating: "x", count: 200)],
        ["a", "web-2", "abcdefghijkl"] as [ServerAlias])
    func `an exposed name leads back to its server's alias`(name: String, alias: ServerAlias) {
        #expect(ToolName.alias(in: ToolName.exposed(name, of: alias)) == alias.description)
    }

    @Test(arguments: ["", "a", "a_", "a_b", "a_b__c", "_", "a-b", "a/b"])
    func `a name without the separator after the alias leads to none`(name: String) {
        #expect(ToolName.alias(in: name) == nil)
    }

    /// It need not be a server's: nobody has such an alias.
    @Test(arguments: [("__x", ""), ("a__", "a"), ("A b\0__x", "A b\0"), ("é__x", "é")])
    func `what stands before the separator is not judged`(name: String, alias: String) {
        #expect(ToolName.alias(in: name) == alias)
    }
}
