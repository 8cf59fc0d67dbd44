import Testing

@testable import MCP

struct ParameterHeadersTests {
    private static let schema = """
        {"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},"count":{"type":"integer","x-mcp-header":"Count"},
            "deep":{"type":"object","properties":{"flag":{"type":"boolean","x-mcp-header":"Flag"}}},"plain":{"type":"string"}}}
        """

    private func headers(_ schema: String = schema) throws -> ParameterHeaders? {
        ParameterHeaders(schema: try JSON(parsing: Array(schema.utf8)))
    }

    @Test func `what a schema annotates is repeated in headers, encoded where it has to be`() throws {
        let arguments = try parsed(#"{"region":"Köln","count":7,"deep":{"flag":true},"plain":"x"}"#)
        let sent = try #require(try headers()).headers(for: arguments, besides: [("Mcp-Param-Other", "o"), ("Mcp-Param-REGION", "forged")])
        #expect(
            Dictionary(sent, uniquingKeysWith: { $1 }) == [
                "Mcp-Param-Region": "=?base64?S8O2bG4=?=", "Mcp-Param-Count": "7", "Mcp-Param-Flag": "true", "Mcp-Param-Other": "o",
            ])
        #expect(try #require(try headers()).headers(for: parsed(#"{"region":null,"deep":[]}"#), besides: []).isEmpty)
    }

    @Test(arguments: [
        (#"{"region":"a"}"#, ["Mcp-Param-Region": "a"], true), (#"{"region":"a"}"#, [:], false), ("{}", ["mcp-param-region": "a"], false),
        (#"{"region":"a"}"#, ["Mcp-Param-Region": "A"], false), (#"{"count":1}"#, ["MCP-PARAM-COUNT": "1.0"], true),
        (#"{"count":1}"#, ["Mcp-Param-Count": "2"], false), (#"{"count":1}"#, ["Mcp-Param-Count": "=?base64?MQ==?="], true),
        (#"{"region":"é"}"#, ["Mcp-Param-Region": "=?base64?w6k=?="], true), (#"{"region":"é"}"#, ["Mcp-Param-Region": "=?base64?w6k?="], false),
        (#"{"plain":"x"}"#, ["Mcp-Param-Plain": "y"], true), (#"{"deep":{"flag":false}}"#, ["Mcp-Param-Flag": "false"], true),
    ])
    func `headers say what the arguments say`(arguments: String, sent: [String: String], isAccepted: Bool) throws {
        let travelling = sent.map { (name: $0.key, value: $0.value) }
        let declared = try #require(try headers())
        if isAccepted {
            try declared.check(travelling, against: parsed(arguments))
        } else {
            let error = #expect(throws: ProtocolError.self) { try declared.check(travelling, against: parsed(arguments)) }
            #expect(error?.code == -32020)
        }
    }

    @Test(arguments: [
        #"{"x-mcp-header":"A"}"#, #"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
        #"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#, #"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#,
        #"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#, #"{"properties":{"a":{"type":["string"],"x-mcp-header":"A"}}}"#,
        #"{"properties":{"a":{"x-mcp-header":"A"}}}"#,
        #"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
        #"{"allOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
        #"{"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}}"#, #"{"properties":{"a":{"type":"string","x-mcp-h\u0065ader":"é"}}}"#,
    ])
    func `an annotation that not every client could follow makes a tool unusable`(schema: String) throws { #expect(try headers(schema) == nil) }

    @Test(arguments: [
        #"{"type":"object"}"#, #"{"properties":{"x-mcp-header":{"type":"string"}}}"#, #"{"default":{"x-mcp-header":"A"}}"#,
        #"{"enum":[{"x-mcp-header":"A"}]}"#,
    ])
    func `a mention that is no annotation is none`(schema: String) throws { #expect(try headers(schema) == ParameterHeaders.none) }

    @Test func `a header of another tool's does no harm`() throws {
        #expect(throws: Never.self) { try ParameterHeaders.none.check([("Mcp-Param-A", "x")], against: nil) }
    }
}
