import Testing

@testable import MCP

struct EventStreamTests {
    static func events(_ stream: String, maximum: Int = 1000) throws -> [String] {
        var parser = EventStreamParser(maximumEvent: maximum)
        return try parser.feed(Array(stream.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(arguments: [
        ("data: {}\n\n", ["{}"]), ("data:{}\n\n", ["{}"]), ("data:  {}\n\n", [" {}"]), ("data: a\ndata: b\n\n", ["a\nb"]),
        ("data: a\n\ndata: b\n\n", ["a", "b"]),
        ("data: a\r\n\r\n", ["a"]), ("data: a\r\r", ["a"]), ("data: a\r\n\n", ["a"]), ("data: a\n\r\n", ["a"]), ("data: a\n\r", ["a"]),
        ("data: a\r\ndata: b\rdata: c\n\n", ["a\nb\nc"]), ("\n\n\ndata: a\n\n\n\n", ["a"]),
        ("event: message\nid: 7\nretry: 10\ndata: a\n\n", ["a"]), (": comment\ndata: a\n: data: b\n\n", ["a"]),
        (":\n\n: keep-alive\n\ndata: a\n\n", ["a"]),
        ("data\ndata: a\n\n", ["\na"]), ("data: a\ndata\n\n", ["a\n"]), ("data: a: b\n\n", ["a: b"]), ("data:\t\n\n", ["\t"]),
        ("\u{FEFF}data: a\n\n", ["a"]), ("data: é😀\u{2028}\u{85}\n\n", ["é😀\u{2028}\u{85}"]), ("data: a\0b\n\n", ["a\0b"]),
    ])
    func `an event is its data lines, joined`(stream: String, expected: [String]) throws {
        #expect(try Self.events(stream) == expected)
    }

    @Test(arguments: [
        "", "\n", ": comment\n\n", "id: 1\ndata:\n\n", "id: 1\ndata\n\n", "event: message\n\n", "data: a", "data: a\n", "data: a\r", "data: a\r\n",
        "Data: a\n\n", " data: a\n\n", "database: a\n\n", "dat: a\n\n", "data a\n\n", "xdata: a\n\n", "\n\u{FEFF}data: a\n\n",
        "\u{FEFF}\u{FEFF}data: a\n\n",
        "id: 1\n\nretry: 5\n\n",
    ])
    func `what carries no whole message is no event`(stream: String) throws {
        #expect(try Self.events(stream) == [])
    }

    @Test func `one event's fields do not leak into the next`() throws {
        #expect(try Self.events("data:\n\ndata: a\n\ndata\n\ndata: b\n\n") == ["a", "b"])
    }

    @Test func `bytes that are not UTF-8 come out as they came in`() throws {
        var parser = EventStreamParser(maximumEvent: 100)
        #expect(try parser.feed(Array("data: ".utf8) + [0xFF, 0xC0, 0x80, 0x0A, 0x0A]) == [[0xFF, 0xC0, 0x80]])
    }

    @Test(arguments: [
        String(repeating: "x", count: 101), "data: " + String(repeating: "x", count: 101) + "\n\n",
        ": " + String(repeating: "x", count: 101) + "\n\n",
        String(repeating: "data: 123456789\n", count: 11), String(repeating: "data\n", count: 102),
    ])
    func `an event or a line that outgrows the maximum ends the stream`(stream: String) {
        #expect(throws: EventStreamParser.Oversized.self) { try Self.events(stream, maximum: 100) }
    }

    @Test func `any number of events that keep to the maximum may pass`() throws {
        let one = "data: " + String(repeating: "x", count: 90) + "\n\n"
        #expect(try Self.events(String(repeating: one, count: 1000), maximum: 100).count == 1000)
        #expect(try Self.events(String(repeating: ": " + String(repeating: "x", count: 90) + "\n", count: 1000), maximum: 100) == [])
    }

    /// A reply that arrived whole is a reply, whether or not the packet that brought it also began something too long.
    @Test func `an event before one that is too long is not lost with it`() {
        let stream = "data: reply\n\n" + String(repeating: "x", count: 101)
        var parser = EventStreamParser(maximumEvent: 100)
        #expect((try? parser.feed(Array(stream.utf8)))?.map { String(decoding: $0, as: UTF8.self) } == ["reply"])
        #expect(throws: EventStreamParser.Oversized.self) { try parser.feed([]) }
    }

    static let pieces = [
        "data: ", "data:", "data", "id: 1", "event: message", ": c", ":", "\n", "\n", "\n\n", "\r", "\r\n", "\r\n\r\n", "x", " ", "\u{FEFF}", "é",
        "{\"a\":1}",
    ]

    @Test(arguments: 0..<20)
    func `it does not matter how the bytes arrive`(seed: Int) throws {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let stream = (0..<Int.random(in: 1...40, using: &generator)).map { _ in Self.pieces.randomElement(using: &generator)! }.joined()
            let bytes = Array(stream.utf8)
            var whole = EventStreamParser(maximumEvent: 10_000)
            var pieced = EventStreamParser(maximumEvent: 10_000)
            let expected = try whole.feed(bytes)
            var found: [[UInt8]] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Int.random(in: 0...5, using: &generator)
                found += try pieced.feed(rest.prefix(count))
                rest = rest.dropFirst(count)
            }
            try #require(found == expected, "\(stream.debugDescription)")
        }
    }

    @Test(arguments: [#"{"a":1}"#, "{\n  \"a\": 1,\r\n\r\n  \"b\": [ ]\r}", " [] ", "[\n\n]", "\"é\\n\u{2028}\""])
    func `a message survives being made an event`(text: String) throws {
        let json = try parsed(text)
        var parser = EventStreamParser(maximumEvent: 1000)
        let events = try parser.feed(EventStream.keepAlive + EventStream.event(json.text) + EventStream.keepAlive)
        #expect(events.count == 1)
        #expect(try JSON(parsing: events.first ?? []).strict == json.strict)
    }

    @Test(arguments: ["1", "[]", #"{"a":1}"#, "{\n  \"a\": 1,\r\n\r\n  \"b\": [ ]\r}", "[\n\n]", "\n\n[1]\n\n", "\"é\\n\u{2028}\""])
    func `an event in pieces is the same event`(text: String) throws {
        let message = try parsed(text).text
        let lines = message.bytes.split { $0 == 0x0A || $0 == 0x0D }.map { "data: \(String(decoding: $0, as: UTF8.self))\n" }
        let whole = "event: message\nid: 7\n\(lines.joined())\n"
        for most in [1, 2, 3, 7, 20, 64, 1000, 1 << 40] {
            let pieces = Array(EventStream.pieces(of: message, id: "7", upTo: most))
            #expect(String(decoding: pieces.joined(), as: UTF8.self) == whole)
            #expect(pieces.allSatisfy { $0.count <= max(most, 22) + 8 })
        }
        #expect(String(decoding: EventStream.event(message, id: "7"), as: UTF8.self) == whole)
    }

    @Test func `an event is named message and ends with an empty line`() {
        #expect(String(decoding: EventStream.event(["a": 1]), as: UTF8.self) == "event: message\ndata: {\"a\":1}\n\n")
    }
}
