import Testing

@testable import MCP

/// What is JSON to us: exactly what a strict reader upstream would take, or less.
struct JSONTests {
    @Test(arguments: [
        ("{}", JSON.Kind.object), ("[]", .array), ("\"\"", .string), ("0", .number), ("true", .true), ("false", .false), ("null", .null),
        (" \t\r\n{ \n} \r\t", .object), ("[ ]", .array), (#"{"":{"":[]}}"#, .object), ("[[],{},\"\",0,null]", .array),
    ])
    func `every kind of value is a document`(text: String, kind: JSON.Kind) throws {
        #expect(try parsed(text).kind == kind)
    }

    @Test(arguments: [
        "", " ", " \t\r\n", "\0", "{", "}", "[", "]", "\"", ",", ":", "{]", "[}", "[\"a\"", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
        "{} {}", "{}{}", "1 2", "null,", "[]]", "{}}", "[1]2", "{}\0",
        "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", #"{"a":1,}"#, #"{,"a":1}"#, "{,}", #"{"a":1 "b":2}"#, #"{"a":1,,"b":2}"#, #"["a":1]"#,
        #"{"a"}"#, #"{"a" 1}"#, #"{"a"::1}"#, #"{"a":}"#, "{1:2}", "{a:1}", "{'a':1}", "['a']", "{null:1}", #"{["a"]:1}"#,
        "tru", "truee", "True", "TRUE", "nul", "nulll", "None", "undefined", "fals", "t", "f", "n", "[truefalse]",
        "// c\n1", "1 // c", "/* c */1", "[1,/* c */2]", "# c\n1", "[1]#", "<!-- -->1",
        "\u{0B}1", "\u{0C}1", "\u{A0}1", "\u{2028}1", "[1\u{85}]", "{\u{3000}}",
    ])
    func `what the grammar does not allow is refused`(text: String) throws {
        let error = #expect(throws: JSONError.self) { try parsed(text) }
        #expect(error?.reason == .syntax)
        #expect(StrictJSON.read(Array(text.utf8)) == nil)
    }

    @Test func `an error says where the text stops being JSON`() {
        #expect(throws: JSONError(.syntax, at: 8)) { try parsed(#"{"a":1, }"#) }
        #expect(throws: JSONError(.repeatedName, at: 7)) { try parsed(#"{"a":1,"a":2}"#) }
        #expect(throws: JSONError(.encoding, at: 2)) { try JSON(parsing: Array("[\"".utf8) + [0xFF] + Array("\"]".utf8)) }
        #expect(throws: JSONError(.surrogate, at: 3)) { try parsed(#"["x\ud800"]"#) }
        #expect(throws: JSONError(.number, at: 1)) { try parsed("[1e400]") }
    }

    @Test func `no beginning of a document is a document`() {
        let whole = Array(#"{"a":[1.5e+3,"x\u00e9\ud83d\ude00é",{"b":null}],"c":[true,false]}"#.utf8)
        let accepted = whole.indices.filter { (try? JSON(parsing: Array(whole[..<$0]))) != nil }
        #expect(accepted == [])
    }

    @Test(arguments: [[0xEF, 0xBB, 0xBF], [0x20, 0xEF, 0xBB, 0xBF], [0xFE, 0xFF], [0xFF, 0xFE], [0xEF, 0xBB], [0x2B, 0x2F, 0x76]] as [[UInt8]])
    func `a byte order mark is no part of JSON`(mark: [UInt8]) {
        #expect(throws: JSONError.self) { try JSON(parsing: mark + Array("{}".utf8)) }
    }

    @Test(arguments: [true, false])
    func `JSON in UTF-16 is refused`(bigEndian: Bool) {
        let bytes = Array("{}".utf8).flatMap { (byte: UInt8) -> [UInt8] in bigEndian ? [0, byte] : [byte, 0] }
        #expect(throws: JSONError.self) { try JSON(parsing: bytes) }
    }
}

struct JSONNumberTests {
    @Test(arguments: [
        "0", "-0", "1", "-1", "10", "123456789012345678901234567890", "0.5", "-0.0", "1.5", "1e5", "1E+5", "1e-5", "1.0e0", "-0e-0", "0e99999999",
        "1e308", "1e-400", "1.7976931348623157e308", "1.797693134862315807e308", String(repeating: "9", count: 308),
        "1" + String(repeating: "0", count: 400) + "e-200", "0." + String(repeating: "0", count: 400) + "1e400",
    ])
    func `a number in JSON's form that a Double can hold is accepted`(text: String) throws {
        let number = try parsed(text)
        #expect(number.double?.isFinite == true)
        #expect(number.text.description == text)
        #expect(StrictJSON.isNumber(text))
    }

    @Test(arguments: [
        "01", "-01", "00", "+1", ".5", "-.5", "1.", "-1.", "1.e5", "-", "--1", "+-1", "1e", "1e+", "1e-", "1e+-1", "1e1.5", "e1", "0x10", "0b1",
        "1_000", "1,000", "NaN", "nan", "-NaN", "Infinity", "-Infinity", "inf", "1f", "1d", "１", "٣", "½", "1 000",
    ])
    func `a number in another form is refused`(text: String) {
        let error = #expect(throws: JSONError.self) { try parsed(text) }
        #expect(error?.reason == .syntax)
        #expect(throws: JSONError.self) { try parsed("[\(text)]") }
    }

    @Test(arguments: [
        "1e400", "-1e400", "1e309", "1e99999999999999999999999", "1.7976931348623159e308", "1" + String(repeating: "0", count: 309),
        "2" + String(repeating: "0", count: 308), "-2" + String(repeating: "0", count: 308) + ".0", "0.001e312",
    ])
    func `a number that one reader takes for infinity and the next for an error is refused`(text: String) {
        #expect(throws: JSONError(.number, at: 0)) { try parsed(text) }
        #expect(!StrictJSON.isNumber(text))
    }

    @Test(arguments: [
        ("0", 0), ("-0", 0), ("9223372036854775807", Int64.max), ("-9223372036854775808", .min), ("9223372036854775808", nil), ("1.0", nil),
        ("1e2", nil), ("\"1\"", nil), ("true", nil),
    ])
    func `an integer is one that was written as one and fits`(text: String, integer: Int64?) throws {
        #expect(try parsed(text).integer == integer)
    }

    @Test(arguments: [("1e2", 100), ("-0.5", -0.5), ("1e-400", 0), ("\"1\"", nil), ("null", nil)])
    func `a double is the value of any number`(text: String, double: Double?) throws {
        #expect(try parsed(text).double == double)
    }
}

struct JSONStringTests {
    @Test(arguments: [
        (#""""#, ""), (#""a""#, "a"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0000""#, "\0"), (#""\u00e9\u00E9""#, "éé"),
        (#""\ud83d\ude00""#, "😀"), (#""\uD800\uDC00\uDBFF\uDFFF""#, "\u{10000}\u{10FFFF}"), (#""\ud7ff\ue000\uffff""#, "\u{D7FF}\u{E000}\u{FFFF}"),
        (#""\\u0041""#, "\\u0041"), (#""\u005c\u0022""#, "\\\""), ("\"\u{7F}\u{80}\u{2028}é😀\u{FFFE}\"", "\u{7F}\u{80}\u{2028}é😀\u{FFFE}"),
    ])
    func `a string is read with its escapes`(text: String, value: String) throws {
        let string = try #require(try parsed(text).string)
        #expect(Array(string.utf8) == Array(value.utf8))
    }

    @Test(arguments: [
        #"\"#, #"\a"#, #"\'"#, #"\0"#, #"\x41"#, #"\U0041"#, #"\u"#, #"\u1"#, #"\u12"#, #"\u123"#, #"\u12G4"#, #"\u+041"#, #"\u 041"#, #"\u{41}"#,
        #"\u００41"#, #"\ud83d\u"#, #"\ud83d\ude0"#, "\\\n", "\\é",
    ])
    func `an escape JSON does not know is refused`(inner: String) {
        let error = #expect(throws: JSONError.self) { try parsed("\"\(inner)\"") }
        #expect(error?.reason == .syntax)
    }

    @Test(arguments: [
        #"\ud800"#, #"\udbff"#, #"\udc00"#, #"\uDFFF"#, #"\ud800x"#, #"\ud800\n"#, #"\ud800\\udc00"#, #"\ud800\u0041"#, #"\ud800\ud800"#,
        #"\udc00\ud800"#, #"\ud83d\ude00\ude00"#, #"\ud83d \ude00"#,
    ])
    func `half a surrogate pair is refused, in a value and in a name`(inner: String) {
        for text in ["\"\(inner)\"", "{\"\(inner)\":1}"] {
            let error = #expect(throws: JSONError.self) { try parsed(text) }
            #expect(error?.reason == .surrogate)
        }
    }

    @Test(arguments: 0..<0x20 as Range<UInt8>)
    func `a bare control character in a string is refused`(control: UInt8) {
        #expect(throws: JSONError(.syntax, at: 1)) { try JSON(parsing: [0x22, control, 0x22]) }
    }
}

struct JSONEncodingTests {
    @Test(
        arguments: [
            ("a continuation byte alone", [0x80]), ("the last continuation byte alone", [0xBF]), ("overlong NUL", [0xC0, 0x80]),
            ("overlong quotation mark", [0xC0, 0xA2]), ("overlong U+007F", [0xC1, 0xBF]), ("overlong in three", [0xE0, 0x80, 0x80]),
            ("overlong U+07FF", [0xE0, 0x9F, 0xBF]), ("overlong in four", [0xF0, 0x80, 0x80, 0x80]), ("overlong U+FFFF", [0xF0, 0x8F, 0xBF, 0xBF]),
            ("the first surrogate", [0xED, 0xA0, 0x80]), ("the last surrogate", [0xED, 0xBF, 0xBF]),
            ("a pair of surrogates", [0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]), ("U+110000", [0xF4, 0x90, 0x80, 0x80]),
            ("U+140000", [0xF5, 0x80, 0x80, 0x80]),
            ("five bytes", [0xF8, 0x88, 0x80, 0x80, 0x80]), ("six bytes", [0xFC, 0x84, 0x80, 0x80, 0x80, 0x80]), ("FE", [0xFE]), ("FF", [0xFF]),
            ("one of two", [0xC3]), ("one of three", [0xE2]), ("two of three", [0xE2, 0x82]), ("one of four", [0xF0]),
            ("three of four", [0xF0, 0x9F, 0x98]),
            ("a letter where a continuation belongs", [0xC3, 0x41]), ("a letter as the third byte", [0xE2, 0x82, 0x41]),
            ("Latin-1", [0xE9, 0x74, 0xE9]),
        ] as [(String, [UInt8])])
    func `bytes that are not UTF-8 are refused in a value, in a name and where the text ends`(fault: String, bytes: [UInt8]) {
        let texts = [[0x22] + bytes + [0x22], Array("{\"a".utf8) + bytes + Array("\":1}".utf8), [0x22] + bytes]
        for text in texts {
            let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
            #expect(error?.reason == .encoding, "\(fault)")
        }
        #expect(throws: JSONError.self) { try JSON(parsing: bytes) }
        #expect(throws: JSONError.self) { try JSON(parsing: Array("[]".utf8) + bytes) }
    }

    @Test(arguments: [
        "\u{80}", "\u{7FF}", "\u{800}", "\u{FFF}", "\u{CFFF}", "\u{D7FF}", "\u{E000}", "\u{FFFD}", "\u{FFFF}", "\u{10000}", "\u{10FFFF}",
    ])
    func `the first and the last scalar of every length are accepted`(scalar: String) throws {
        #expect(try parsed("\"\(scalar)\"").string == scalar)
    }

    /// Every lead byte with every pair of bytes at which a range of table 3-7 begins or ends.
    @Test(arguments: 0x80...0xFF as ClosedRange<UInt8>)
    func `UTF-8 is what the standard library says it is`(lead: UInt8) {
        let edges: [UInt8] = [0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
        var disputed: [[UInt8]] = []
        for second in edges {
            for third in edges {
                for fourth in edges {
                    let text = [0x22, lead, second, third, fourth, 0x22]
                    let isAccepted = (try? JSON(parsing: text)) != nil
                    if isAccepted != (String(validating: text, as: UTF8.self) != nil) { disputed.append(text) }
                }
            }
        }
        #expect(disputed == [])
    }
}

struct JSONNameTests {
    /// Two spellings of one name.
    static let spellings = [
        ("a", "a"), ("a", #"\u0061"#), (#"\u0061"#, "a"), (#"\u0061"#, #"\u0061"#), ("", ""), ("/", #"\/"#), (#"\n"#, #"\u000a"#),
        (#"\u00e9"#, #"\u00E9"#), ("é", #"\u00e9"#), ("😀", #"\ud83d\ude00"#), (#"\""#, #"\u0022"#), (#"\\"#, #"\u005c"#),
        ("method", #"m\u0065thod"#),
    ]

    @Test(arguments: spellings, [0, 1, 10, 11, 12, 13, 40])
    func `a name that comes twice is refused, however it is spelt and however many stand between`(names: (String, String), between: Int) {
        let others = (0..<between).map { "\"other\($0)\":\($0)," }.joined()
        for text in ["{\"\(names.0)\":1,\(others)\"\(names.1)\":2}", "{\(others)\"\(names.0)\":1,\"\(names.1)\":2}"] {
            let error = #expect(throws: JSONError.self) { try parsed(text) }
            #expect(error?.reason == .repeatedName)
            #expect(StrictJSON.read(Array(text.utf8)) == nil)
        }
    }

    @Test(arguments: [1, 2, 7, 63])
    func `a name that comes twice is refused at every depth`(depth: Int) {
        let inside = #"{"a":1,"b":2,"\u0061":3}"#
        let inArrays = String(repeating: "[", count: depth) + inside + String(repeating: "]", count: depth)
        let inObjects = String(repeating: #"{"a":"#, count: depth) + inside + String(repeating: "}", count: depth)
        for text in [inArrays, inObjects] {
            let error = #expect(throws: JSONError.self) { try parsed(text) }
            #expect(error?.reason == .repeatedName)
        }
    }

    @Test(arguments: [
        #"{"a":1,"A":2}"#, #"{"a":1,"a ":2}"#, #"{"a":1,"a\u0000":2}"#, #"{"\\u0061":1,"a":2}"#, #"{"a":{"a":{"a":1}}}"#, #"[{"a":1},{"a":2}]"#,
        #"{"a":[{"a":1}],"b":{"a":1}}"#, "{\"\u{E9}\":1,\"e\u{301}\":2}", "{\"K\":1,\"\u{212A}\":2}", #"{"\ud83d\ude00":1,"\ud83d\ude01":2}"#,
    ])
    func `names that differ in a byte, or stand in different objects, are different names`(text: String) throws {
        #expect(try parsed(text).text.description == text)
    }

    @Test func `a member is found by its bytes, whatever its spelling and its neighbours`() throws {
        let object = try parsed("{\"\u{E9}\":1,\"e\u{301}\":2,\"K\":3,\"\u{212A}\":4,\"\\u0062\":5,\"\":6,\"nested\":{\"b\":7}}")
        let found = ["\u{E9}", "e\u{301}", "K", "\u{212A}", "b", "", "a", "nestedb"].map { object[$0]?.integer }
        #expect(found == [1, 2, 3, 4, 5, 6, nil, nil])
        #expect(object["nested"]?["b"]?.integer == 7)
    }
}

struct JSONLimitTests {
    static func nested(_ depth: Int, _ form: String) -> String {
        let (opening, middle, closing) = form == "array" ? ("[", "1", "]") : ("{\"a\":", "1", "}")
        return String(repeating: opening, count: depth) + middle + String(repeating: closing, count: depth)
    }

    @Test(arguments: ["array", "object"])
    func `64 levels are accepted and 65 are not`(form: String) throws {
        #expect(try parsed(Self.nested(64, form)).kind == (form == "array" ? .array : .object))
        let error = #expect(throws: JSONError.self) { try parsed(Self.nested(65, form)) }
        #expect(error?.reason == .tooDeep)
    }

    @Test func `levels are counted where they are open, not where they were closed`() throws {
        let sixtyFour = Self.nested(64, "array")
        #expect(try parsed("[" + Self.nested(63, "array") + "," + Self.nested(63, "object") + "]").elements.count == 2)
        #expect(throws: JSONError.self) { try parsed("[[]," + sixtyFour + "]") }
    }

    @Test(arguments: [
        ("[1,2,3,4]", true), ("[1,2,3,4,5]", false), (#"{"a":1,"b":2}"#, true), (#"{"a":1,"b":[]}"#, true), (#"{"a":1,"b":[1]}"#, false),
    ])
    func `every value counts toward the limit, and so does every name`(text: String, isAccepted: Bool) throws {
        let limits = JSON.Limits(nodes: 5)
        if isAccepted {
            #expect(try parsed(text, limits: limits).document.nodes.count == 5)
        } else {
            let error = #expect(throws: JSONError.self) { try parsed(text, limits: limits) }
            #expect(error?.reason == .tooMany)
        }
    }

    @Test(
        arguments: [
            ("", "[", 200_000, .tooDeep), ("", #"{"a":"#, 200_000, .tooDeep), ("[", "0,", 1_000_000, .tooMany), ("[", "[],", 1_000_000, .tooMany),
            ("", "7", 1_000_000, .number), ("1e", "7", 1_000_000, .number), ("", " ", 1_000_000, .syntax), ("\"", "a", 1_000_000, .syntax),
            ("\"", #"\u0061"#, 1_000_000, .syntax), ("[", " ", 1_000_000, .syntax),
        ] as [(String, String, Int, JSONError.Reason)])
    func `a huge defective document is refused, not worked on`(beginning: String, piece: String, count: Int, reason: JSONError.Reason) {
        let error = #expect(throws: JSONError.self) { try parsed(beginning + String(repeating: piece, count: count)) }
        #expect(error?.reason == reason)
    }

    @Test func `a huge sound document is read`() throws {
        let names = (0..<90_000).map { "\"name\($0)\":0" }
        let object = try parsed("{" + names.joined(separator: ",") + "}")
        #expect(object.members.count == 90_000)
        #expect(object["name89999"]?.integer == 0)
        #expect(throws: JSONError.self) { try parsed("{" + (names + ["\"name0\":1"]).joined(separator: ",") + "}") }

        let string = String(repeating: #"a\u0061é"#, count: 100_000)
        #expect(try parsed("[\"\(string)\"]").elements.first?.string?.utf8.count == 400_000)
        let digits = "0." + String(repeating: "3", count: 1_000_000) + "e-1"
        #expect(try parsed(digits).double == 0.033333333333333333)
    }
}

struct JSONAccessTests {
    @Test func `what was parsed keeps its bytes`() throws {
        let object = try parsed(#"{ "big": 12345678901234567890.10 , "list":[ 1, "\u0061" ],"o":{"z":1, "a":2} }"#)
        #expect(object["big"]?.text.description == "12345678901234567890.10")
        #expect(object["list"]?.text.description == #"[ 1, "\u0061" ]"#)
        #expect(object["o"]?.text.description == #"{"z":1, "a":2}"#)
        #expect(try parsed(" [] \n").text.description == "[]")
    }

    @Test func `members and elements come in the order they were written`() throws {
        let object = try parsed(#"{"b":[1,[2,3],4],"a":{"c":5},"\u0063":6}"#)
        #expect(object.members.map(\.name) == ["b", "a", "c"])
        #expect(object.members.map(\.value.text.description) == ["[1,[2,3],4]", #"{"c":5}"#, "6"])
        #expect(object["b"]?.elements.map(\.text.description) == ["1", "[2,3]", "4"])
    }

    @Test(arguments: ["{}", "[]", "\"a\"", "1", "true", "false", "null"])
    func `a value answers only for its own kind`(text: String) throws {
        let value = try parsed(text)
        #expect((value.string != nil) == (value.kind == .string))
        #expect((value.integer != nil) == (value.kind == .number))
        #expect((value.double != nil) == (value.kind == .number))
        #expect((value.bool != nil) == (value.kind == .true || value.kind == .false))
        #expect(value.isNull == (value.kind == .null))
        #expect(value.isObject == (value.kind == .object))
        #expect(value["a"] == nil)
        #expect(value.members.isEmpty)
        #expect(value.elements.isEmpty)
    }

    @Test func `an element of an array is not found as if it were a member`() throws {
        #expect(try parsed(#"["a",1]"#)["a"] == nil)
        #expect(try parsed(#"{"x":"a","y":1}"#)["a"] == nil)
    }

    @Test(arguments: [("true", true), ("false", false)])
    func `true is true and false is false`(text: String, value: Bool) throws {
        #expect(try parsed(text).bool == value)
    }
}

/// The parser against `StrictJSON`, on texts made from sound and defective ones by a seeded generator.
struct JSONDifferentialTests {
    static let seeds = [
        #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"s__t","arguments":{"q":"é\u00e9\ud83d\ude00","n":[1,-0.5e+3,null]}}}"#,
        #"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13}"#,
        #"[[[[[[{"a":[{"a":{}}]}]]]]]]"#, #" [ true , false , null , "" , 0 ] "#, #""\"\\\/\b\f\n\r\t\u0000""#,
        "[1e308,1.7976931348623157e308,-0,0.1,1E-5]",
        "{\"\u{E9}\":\"\u{10FFFF}\",\"e\u{301}\":\"\u{D7FF}\u{E000}\"}", JSONLimitTests.nested(62, "array"), JSONLimitTests.nested(62, "object"),
    ].map { Array($0.utf8) }

    static let pieces =
        [
            "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "0", "1", "-", "+", ".", "e", "E9", "e400", "00", "true", "null", "/**/", "\u{FEFF}",
            "\0", "\u{1F}",
            "\"a\":1,", "\"\\u0061\":1,", "\"b\":{},", ",\"a\":1", "[1],", "{\"a\":0}", "\\u0061", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\n",
            "\\x", "é", "[[", "]]",
            "1e309", "99999999999999999999", "0.5", ",1", "\"x\",",
        ].map { Array($0.utf8) } + [[0x80], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0xFF]]

    static let values = [
        "\"a\"", #""\u0061""#, #""b""#, #""\u00e9\n""#, #""\ud83d\ude00""#, "\"\"", "\"m\"", "0", "-1.5e3", "1e400", "null", "[]", "{}",
        " [ 1 , 2 ] ",
        #"{"a":1,"b":[{}]}"#,
    ].map { Array($0.utf8) }

    static func mutated(_ text: [UInt8], by generator: inout SeededGenerator) -> [UInt8] {
        var text = text
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
            // Half the time a whole value, or a name, gives way to a sound one; else the text is cut wherever.
            if Bool.random(using: &generator), let node = (try? JSON(parsing: text))?.document.nodes.randomElement(using: &generator) {
                text.replaceSubrange(Int(node.start)..<Int(node.end), with: values.randomElement(using: &generator)!)
                continue
            }
            let start = Int.random(in: 0...text.count, using: &generator)
            let end = min(text.count, start + Int.random(in: 0...4, using: &generator))
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: text.insert(contentsOf: pieces.randomElement(using: &generator)!, at: start)
            case 1: text.replaceSubrange(start..<end, with: pieces.randomElement(using: &generator)!)
            case 2: text.removeSubrange(start..<end)
            case 3: text.insert(contentsOf: text[start..<end], at: start)
            case 4: if start < text.count { text[start] ^= 1 << UInt8.random(in: 0..<8, using: &generator) }
            default: text.replaceSubrange(start..<end, with: seeds.randomElement(using: &generator)!)
            }
        }
        return text
    }

    @Test(arguments: 0..<20)
    func `a thousand mutations are accepted and understood as a second strict reader does`(seed: Int) throws {
        var generator = SeededGenerator(seed: seed)
        var accepted = 0
        for _ in 0..<1000 {
            let text = Self.mutated(Self.seeds.randomElement(using: &generator)!, by: &generator)
            let json = try? JSON(parsing: text)
            let expected = StrictJSON.read(text)
            try #require(json.map { $0.strict } == expected, "\(String(decoding: text, as: UTF8.self)) \(text)")
            guard let json else { continue }
            accepted += 1
            try #require(json.isRoundTripped, "\(String(decoding: text, as: UTF8.self))")
        }
        // A mutator that breaks everything, or nothing, would prove nothing.
        #expect((200...800).contains(accepted))
    }
}

extension JSON {
    /// The value as the second reader would give it.
    var strict: StrictJSON.Value {
        switch kind {
        case .object: .object(names: members.map { Array($0.name.utf8) }, values: members.map(\.value.strict))
        case .array: .array(elements.map(\.strict))
        case .string: .string(Array((string ?? "").utf8))
        case .number: .number(text.description)
        case .true, .false, .null: .word(text.description)
        }
    }

    /// Whether every part, taken out and read again, is what it was, and replacing one member leaves the others alone.
    var isRoundTripped: Bool {
        guard let again = try? JSON(parsing: text.bytes), again.strict == strict, again.text == text else { return false }
        guard isObject else { return elements.allSatisfy(\.isRoundTripped) }
        for (name, value) in members {
            guard let changed = try? JSON(parsing: replacing([(name, "changed")]).bytes) else { return false }
            let expected = members.map { $0.name.utf8.elementsEqual(name.utf8) ? "changed" : $0.value.text }
            guard changed.members.map(\.value.text) == expected, value.isRoundTripped else { return false }
        }
        return true
    }
}
