import Testing

@testable import MCP

struct JSONTextTests {
    @Test(arguments: 0...0x7F as ClosedRange<UInt8>)
    func `every ASCII character in a string comes back as itself`(character: UInt8) throws {
        let value = "a" + String(UnicodeScalar(character)) + "z"
        #expect(try JSON(parsing: JSONText.string(value).bytes).string == value)
        #expect(JSONText.string(value).bytes.allSatisfy { $0 >= 0x20 })
    }

    @Test(arguments: ["", "é", "e\u{301}", "😀", "\u{2028}\u{2029}", "\u{FEFF}", "\u{10FFFF}", "\r\n", "\\u0041", "\"},{\"", "</script>", "\u{202E}x"])
    func `a string of any content comes back byte for byte and stays one string`(value: String) throws {
        let array = try JSON(parsing: JSONText.array([.string(value), 1]).bytes)
        #expect(array.elements.count == 2)
        #expect(array.elements[0].string.map { Array($0.utf8) } == Array(value.utf8))
    }

    @Test(
        arguments: [
            (JSONText.null, "null"), (.bool(true), "true"), (.bool(false), "false"), (.number(-7), "-7"),
            (.number(UInt64.max), "18446744073709551615"),
            (.number(0.5), "0.5"), (.number(Double.nan), "null"), (.number(-Double.infinity), "null"), (.string("a\"b"), #""a\"b""#),
            (.array([]), "[]"), (.array([1, "b", .null]), #"[1,"b",null]"#), (.object([]), "{}"),
            (.object([("a\n", 1), ("b", [:])]), #"{"a\n":1,"b":{}}"#),
            (["a": ["b": [true, "c", 2]]], #"{"a":{"b":[true,"c",2]}}"#),
        ] as [(JSONText, String)])
    func `a value is written in its shortest form`(text: JSONText, expected: String) {
        #expect(text.description == expected)
    }

    @Test(arguments: [Double(0.1), -0.0, 1e300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1e16, 123_456_789.125])
    func `a double comes back as itself`(value: Double) throws {
        #expect(try JSON(parsing: JSONText.number(value).bytes).double == value)
    }

    @Test func `a member without a value is left out, one that is null is not`() {
        #expect(JSONText.object([("a", nil), ("b", .null), ("c", nil), ("d", 1)]).description == #"{"b":null,"d":1}"#)
        #expect((["a": nil] as JSONText).description == "{}")
    }
}

struct JSONReplacingTests {
    static let original = #"{ "name":"t", "n": 1.00, "_meta":{"a":1}, "arguments":{ "big": 123456789012345678901234567890, "x":"\u0061" } }"#

    @Test(
        arguments: [
            ([("name", "u")], #"{"name":"u","n":1.00,"_meta":{"a":1},"arguments":{ "big": 123456789012345678901234567890, "x":"\u0061" }}"#),
            ([("n", nil), ("arguments", nil)], #"{"name":"t","_meta":{"a":1}}"#),
            (
                [("new", 1), ("name", nil), ("other", nil), ("last", [])],
                #"{"n":1.00,"_meta":{"a":1},"#
                    + #""arguments":{ "big": 123456789012345678901234567890, "x":"\u0061" },"new":1,"last":[]}"#
            ),
        ] as [([(String, JSONText?)], String)])
    func `changes are made and everything else keeps its place and its value's bytes`(changes: [(String, JSONText?)], expected: String) throws {
        #expect(try parsed(Self.original).replacing(changes).description == expected)
    }

    @Test func `a member is replaced however its name is spelt`() throws {
        #expect(try parsed(#"{"n\u0061me":"t"}"#).replacing([("name", "u")]).description == #"{"name":"u"}"#)
    }

    @Test func `a member whose name only looks the same is left alone`() throws {
        let object = try parsed("{\"e\u{301}\":1,\"\u{212A}\":2}")
        let changed = try JSON(parsing: object.replacing([("\u{E9}", 3), ("K", 4)]).bytes)
        #expect(changed.members.map(\.value.integer) == [1, 2, 3, 4])
    }

    @Test(arguments: ["[1]", "\"name\"", "null"])
    func `what is no object becomes the changes alone`(text: String) throws {
        #expect(try parsed(text).replacing([("a", 1), ("b", nil)]).description == #"{"a":1}"#)
    }
}
