import Testing

@testable import MCP

@Suite struct ParameterHeadersTests {
    private static let schema = """
        {"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "limit": {"type": "integer", "x-mcp-header": "Limit"},
            "nested": {"type": "object", "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry-Run"}}},
            "free": {"type": "string", "default": {"x-mcp-header": ""}}}}
        """

    private static func json(_ text: String) throws -> JSON { try JSON(parsing: Array(text.utf8)) }

    private static func headers(_ schema: String) throws -> ParameterHeaders? { try ParameterHeaders(schema: json(schema)) }

    @Test func `Arguments are repeated in headers, whatever they are made of, in place of what was there`() throws {
        let headers = try #require(try Self.headers(Self.schema))
        let arguments = try Self.json(#"{"region": "Köln", "limit": 12, "nested": {"dry": true}, "free": "x"}"#)
        let made = headers.headers(for: arguments, besides: [("mcp-param-region", "elsewhere"), ("traceparent", "00-1")])
        #expect(made.map(\.0) == ["traceparent", "Mcp-Param-Region", "Mcp-Param-Limit", "Mcp-Param-Dry-Run"])
        #expect(made.map(\.1) == ["00-1", "=?base64?S8O2bG4=?=", "12", "true"])
    }

    @Test(arguments: [#"{}"#, #"{"region": null}"#, #"{"nested": 1}"#, #"{"region": ["a"]}"#])
    func `What is not there, or no value of a header, has none`(arguments: String) throws {
        let headers = try #require(try Self.headers(Self.schema))
        #expect(headers.headers(for: try Self.json(arguments), besides: []).isEmpty)
        try headers.check([], against: Self.json(arguments))
    }

    @Test(arguments: [
        ([("Mcp-Param-Region", "eu"), ("Mcp-Param-Limit", "12")], true),
        ([("MCP-PARAM-REGION", "=?base64?ZXU=?="), ("mcp-param-limit", "12.0")], true),
        ([("Mcp-Param-Region", "eu"), ("Mcp-Param-Limit", "12"), ("Mcp-Param-Other", "anything")], true),
        ([("Mcp-Param-Region", "EU"), ("Mcp-Param-Limit", "12")], false),
        ([("Mcp-Param-Region", "eu"), ("Mcp-Param-Limit", "13")], false),
        ([("Mcp-Param-Region", "eu"), ("Mcp-Param-Region", "eu"), ("Mcp-Param-Limit", "12")], false),
        ([("Mcp-Param-Region", "=?base64?!?="), ("Mcp-Param-Limit", "12")], false),
        ([("Mcp-Param-Limit", "12")], false),
        ([("Mcp-Param-Region", "eu"), ("Mcp-Param-Limit", "12"), ("Mcp-Param-Dry-Run", "true")], false),
    ])
    func `A header says what its argument says, and is there only with it`(sent: [(String, String)], isGood: Bool) throws {
        let headers = try #require(try Self.headers(Self.schema))
        let arguments = try Self.json(#"{"region": "eu", "limit": 12}"#)
        let named = sent.map { (name: $0.0, value: $0.1) }
        if isGood { return try headers.check(named, against: arguments) }
        let error = #expect(throws: ProtocolError.self) { try headers.check(named, against: arguments) }
        #expect(error?.code == -32020)
        #expect(error?.place == .envelope)
    }

    @Test(arguments: [
        #"{"properties": {"a": {"type": "string", "x-mcp-header": ""}}}"#,
        #"{"properties": {"a": {"type": "string", "x-mcp-header": "two words"}}}"#,
        #"{"properties": {"a": {"type": "string", "x-mcp-header": "a\r\nX: y"}}}"#,
        #"{"properties": {"a": {"type": "string", "x-mcp-header": 1}}}"#,
        #"{"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}"#,
        #"{"properties": {"a": {"type": "object", "x-mcp-header": "A"}}}"#,
        #"{"properties": {"a": {"type": ["string"], "x-mcp-header": "A"}}}"#,
        #"{"properties": {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}}"#,
        #"{"type": "string", "x-mcp-header": "A"}"#,
        #"{"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}}"#,
        #"{"$defs": {"a": {"type": "string", "x-mcp-header": "A"}}}"#,
        #"{"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]}"#,
    ])
    func `A schema whose headers nobody could send right is refused`(schema: String) {
        #expect(throws: ParameterHeaders.Invalid.self) { try Self.headers(schema) }
    }

    @Test(arguments: [#"{}"#, #"{"properties": {"x-mcp-header": {"type": "string"}}}"#, #"{"const": {"x-mcp-header": 1}}"#, #"{"properties": 1}"#])
    func `A schema that wants no headers has none`(schema: String) throws { #expect(try Self.headers(schema) == nil) }
}
