import Testing

@testable import MCP

struct ToolDefinitionTests {
    private static let plain = #"{"name":"add","description":"Adds.","inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#

    private func canonical(_ text: String) throws -> String {
        String(decoding: try #require(ToolDefinition(try parsed(text))).canonical, as: UTF8.self)
    }

    @Test func `a definition is the members that people and models decide by, in one form`() throws {
        #expect(
            try canonical(Self.plain)
                == #"{"description":"Adds.","inputSchema":{"properties":{"a":{"type":"number"}},"type":"object"},"name":"add"}"#)
        let other = #"""
            { "inputSchema": {"properties": {"a": {"type": "number"}}, "type": "object"}, "icons": [{"src": "https://x"}],
              "_meta": {"seen": 7}, "execution": {}, "x-own": 1, "description": "\u0041dds.", "name": "add" }
            """#
        #expect(try canonical(other) == canonical(Self.plain))
    }

    @Test(arguments: [
        #"{"name":"Add","description":"Adds.","inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#,
        #"{"name":"add","description":"Adds!","inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#,
        #"{"name":"add","inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#,
        #"{"name":"add","description":null,"inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#,
        #"{"name":"add","description":"Adds.","inputSchema":{"type":"object","properties":{"b":{"type":"number"}}}}"#,
        #"{"name":"add","description":"Adds.","inputSchema":{"type":"object","properties":{"a":{"type":"number","maximum":1}}}}"#,
        #"{"name":"add","title":"Add","description":"Adds.","inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#,
        #"{"name":"add","description":"Adds.","outputSchema":{},"inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#,
        #"{"name":"add","description":"Adds.","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object","properties":{"a":{"type":"number"}}}}"#,
    ])
    func `every other name, text, schema or annotation is another definition`(_ changed: String) throws {
        #expect(try canonical(changed) != canonical(Self.plain))
    }

    @Test(arguments: [
        "7", "[]", "{}", #"{"name":"","inputSchema":{"type":"object"}}"#, #"{"name":"x"}"#, #"{"name":"x","inputSchema":{"type":"array"}}"#,
        #"{"name":"a\u0000b","inputSchema":{"type":"object"}}"#, #"{"name":["x"],"inputSchema":{"type":"object"}}"#,
        #"{"name":"\#(String(repeating: "a", count: 513))","inputSchema":{"type":"object"}}"#,
    ])
    func `what no client could use has no definition`(_ text: String) throws {
        #expect(ToolDefinition(try parsed(text)) == nil)
    }

    @Test func `people read texts as they are, and schemas a value a line`() throws {
        let text = #"""
            {"name":"add","description":"Adds.\nBoth.","annotations":{},"inputSchema":{"type":"object","required":["a"],"properties":{"a":{"type":"number"}}}}
            """#
        #expect(
            ToolDefinition.lines(of: try canonical(text)) == [
                "name: add", "description:", "  Adds.", "  Both.", "annotations: {}", "inputSchema: {", #"  "properties": {"#, #"    "a": {"#,
                #"      "type": "number""#, "    }", "  },", #"  "required": ["#, #"    "a""#, "  ],", #"  "type": "object""#, "}",
            ])
        #expect(ToolDefinition.lines(of: "no definition") == [])
    }

    @Test func `what cannot be seen is shown, and a long text goes on in further lines`() throws {
        let hidden = "a\u{200B}b\u{202E}c\u{E0041}d\u{FEFF}e\u{A0}f\u{7}g\u{E000}"
        #expect(hidden.showingTheInvisible == "a\\u{200B}b\\u{202E}c\\u{E0041}d\\u{FEFF}e\\u{A0}f\\u{7}g\\u{E000}")
        #expect("Plain, häßlich, 漢字 and 😀".showingTheInvisible == "Plain, häßlich, 漢字 and 😀")
        let long = String(repeating: "x", count: 300) + "\u{200D}"
        let lines = ToolDefinition.lines(of: try canonical(#"{"name":"t","description":"\#(long)","inputSchema":{"type":"object"}}"#))
        #expect(lines.allSatisfy { $0.unicodeScalars.count <= 124 })
        #expect(lines.joined().filter { $0 == "x" }.count == 300)
        #expect(lines.joined().contains("\\u{200D}"))
    }
}
