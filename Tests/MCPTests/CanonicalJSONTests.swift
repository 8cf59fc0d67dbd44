import Testing

@testable import MCP

struct CanonicalJSONTests {
    @Test(arguments: [
        (#"{"b":1,"a":{"d":[1, 2 ],"c":null}}"#, #"{"a":{"c":null,"d":[1,2]},"b":1}"#),
        ("\n [ true ,\tfalse , { } , [ ] ] \r\n", "[true,false,{},[]]"),
        // RFC 8785, section 3.2.3: names by UTF-16 code units, so U+1F600 (D83D DE00) goes before U+FB33.
        (
            "{\"\u{20AC}\":1,\"\\r\":2,\"\u{FB33}\":3,\"1\":4,\"\u{1F600}\":5,\"\u{80}\":6,\"\u{F6}\":7}",
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{F6}\":7,\"\u{20AC}\":1,\"\u{1F600}\":5,\"\u{FB33}\":3}"
        ),
        (#""\u0041\/\u00e9\ud83d\ude00""#, "\"A/\u{E9}\u{1F600}\""),
        (#""\b\t\n\f\r\u0000\u001f\u007f\"\\""#, "\"\\b\\t\\n\\f\\r\\u0000\\u001f\u{7F}\\\"\\\\\""),
        (#"{"\u0061":1,"A":2}"#, #"{"A":2,"a":1}"#),
    ])
    func `one form stands for all spellings of a value`(text: String, expected: String) throws {
        #expect(String(decoding: try parsed(text).canonical, as: UTF8.self) == expected)
        #expect(try parsed(expected).canonical == Array(expected.utf8))
    }

    @Test(arguments: [("1", "1.0"), ("1e2", "100"), ("1E2", "1e2"), ("-0", "0"), ("9007199254740993", "9007199254740992"), ("0.10", "0.1")])
    func `numbers keep their spelling`(one: String, other: String) throws {
        #expect(try parsed(one).canonical == Array(one.utf8))
        #expect(try parsed(one).canonical != parsed(other).canonical)
    }

    @Test func `text that only looks the same is not the same`() throws {
        for (one, other) in [("\u{E9}", "e\u{301}"), ("K", "\u{212A}"), ("ab", "a\u{200B}b")] {
            #expect(try parsed("\"\(one)\"").canonical != parsed("\"\(other)\"").canonical)
            #expect(try parsed("{\"\(one)\":1}").canonical != parsed("{\"\(other)\":1}").canonical)
        }
    }

    @Test(arguments: 0..<40)
    func `the order of members and blanks never matter, and every other change does`(seed: Int) throws {
        var random = SeededGenerator(seed: seed)
        let value = Value.random(depth: 4, using: &random)
        let canonical = try parsed(value.written(using: &random)).canonical
        for _ in 0..<5 { #expect(try parsed(value.written(using: &random)).canonical == canonical) }
        #expect(try parsed(String(decoding: canonical, as: UTF8.self)).canonical == canonical)
        #expect(try parsed(Value.array([value]).written(using: &random)).canonical != canonical)
    }

    /// A value that can be written in many ways.
    private indirect enum Value {
        case leaf(String)
        case text(String)
        case array([Value])
        case object([(String, Value)])

        static func random(depth: Int, using random: inout SeededGenerator) -> Value {
            let texts = ["", "a", "\n\"\\", "\u{1F600}", "e\u{301}", "/", "\u{7F}", "\u{FFFF}"]
            switch depth == 0 ? Int.random(in: 0...1, using: &random) : Int.random(in: 0...3, using: &random) {
            case 0: return .leaf(["null", "true", "0", "-1.50", "1e10"].randomElement(using: &random)!)
            case 1: return .text(texts.randomElement(using: &random)!)
            case 2: return .array((0..<Int.random(in: 0...4, using: &random)).map { _ in .random(depth: depth - 1, using: &random) })
            default: return .object(texts.shuffled(using: &random).prefix(4).map { ($0, .random(depth: depth - 1, using: &random)) })
            }
        }

        func written(using random: inout SeededGenerator) -> String {
            let blank = ["", " ", "\n\t", "\r\n"].randomElement(using: &random)!
            switch self {
            case .leaf(let text): return blank + text + blank
            case .text(let text): return blank + Self.quoted(text, using: &random) + blank
            case .array(let values): return "[\(blank)" + values.map { $0.written(using: &random) }.joined(separator: ",") + "]"
            case .object(let members):
                let texts = members.shuffled(using: &random).map { "\(Self.quoted($0.0, using: &random))\(blank):\($0.1.written(using: &random))" }
                return "{\(blank)" + texts.joined(separator: ",\(blank)") + "}"
            }
        }

        private static func quoted(_ text: String, using random: inout SeededGenerator) -> String {
            let units = text.utf16.map { unit in
                let digits = String(unit, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
            return Bool.random(using: &random) ? "\"\(units.joined())\"" : JSONText.string(text).description
        }
    }
}
