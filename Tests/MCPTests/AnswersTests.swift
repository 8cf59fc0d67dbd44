import Gateway
import Testing

@testable import MCP

struct AnswersTests {
    static let answers = Answers(gateway: Implementation(name: "g", title: "G", version: "1"), instructions: "Ask.")
    static let serverInfo = #""io.modelcontextprotocol/serverInfo":{"name":"g","title":"G","version":"1"}"#

    @Test(arguments: [
        (Revision.november2025, #"{"name":"g","title":"G","version":"1"}"#), (.june2025, #"{"name":"g","title":"G","version":"1"}"#),
        (.march2025, #"{"name":"g","version":"1"}"#), (.november2024, #"{"name":"g","version":"1"}"#),
    ])
    func `initialize introduces the gateway as the revision knows how to`(revision: Revision, serverInfo: String) {
        let expected = #"{"protocolVersion":"\#(revision.rawValue)","capabilities":{"tools":{}},"serverInfo":\#(serverInfo),"instructions":"Ask."}"#
        #expect(Self.answers.initialize(revision).description == expected)
    }

    @Test func `discover says what is served and may be kept by nobody else`() throws {
        let answer = try JSON(parsing: Self.answers.discover().bytes)
        #expect(answer["resultType"]?.string == "complete")
        #expect(answer["supportedVersions"]?.elements.first?.string == "2026-07-28")
        #expect(answer["supportedVersions"]?.elements.count == 5)
        #expect(answer["capabilities"]?.text.description == #"{"tools":{}}"#)
        #expect(answer["instructions"]?.string == "Ask.")
        #expect(answer["cacheScope"]?.string == "private")
        #expect((answer["ttlMs"]?.integer ?? -1) >= 0)
        #expect(answer["_meta"]?["io.modelcontextprotocol/serverInfo"]?["name"]?.string == "g")
    }

    @Test func `a list of tools is dressed for its era`() {
        #expect(Self.answers.list(.tools, [["name": "a"]], nextCursor: nil, in: .legacy).description == #"{"tools":[{"name":"a"}]}"#)
        #expect(Self.answers.list(.tools, [], nextCursor: "", in: .legacy).description == #"{"tools":[],"nextCursor":""}"#)
        let modern = #"{"resultType":"complete","tools":[],"nextCursor":"c","ttlMs":5000,"cacheScope":"private","_meta":{\#(Self.serverInfo)}}"#
        #expect(Self.answers.list(.tools, [], nextCursor: "c", in: .modern).description == modern)
    }

    @Test func `a notice about a list stands under the operator's own key`() {
        let notice = ("com.example/missing", ["bank"] as JSONText)
        #expect(
            Self.answers.list(.tools, [], nextCursor: nil, in: .legacy, notice: notice).description
                == #"{"tools":[],"_meta":{"com.example/missing":["bank"]}}"#)
        let modern = Self.answers.list(.tools, [], nextCursor: nil, in: .modern, notice: notice).description
        #expect(modern.hasSuffix(#""_meta":{\#(Self.serverInfo),"com.example/missing":["bank"]}}"#))
    }
}

struct ToolAnswerTests {
    static func tool(_ text: String, as exposed: String = "s__t", in era: Revision.Era = .modern) throws -> JSON {
        try JSON(parsing: ListItem.text(parsed(text), .tools, as: exposed, .prefixed("s"), originKey: "com.example/origin", in: era).bytes)
    }

    @Test(arguments: Revision.Era.allCases)
    func `a tool keeps everything but its name, and says where it comes from`(era: Revision.Era) throws {
        let tool = try Self.tool(
            #"{"name":"t","inputSchema":{ "type":"object", "$ref":"x", "maximum": 1e2 },"annotations":{"readOnlyHint":true},"_meta":{"k":1}}"#,
            in: era)
        #expect(
            tool.text.description
                == #"{"name":"s__t","inputSchema":{ "type":"object", "$ref":"x", "maximum": 1e2 },"annotations":{"readOnlyHint":true},"#
                + #""_meta":{"k":1,"com.example/origin":{"server":"s","name":"t"}}}"#)
    }

    @Test func `a server cannot say for us where its answer comes from`() throws {
        let answers = Answers(gateway: Implementation(name: "g", title: "G", version: "1"), instructions: "", originKey: "com.example/origin")
        let forged = try JSON(parsing: Array(#"{"content":[],"_meta":{"com.example/origin":{"server":"bank"},"k":1}}"#.utf8))
        for era in [Revision.Era.legacy, .modern] {
            let meta = try JSON(parsing: answers.result(forged, of: .callTool("s__t"), in: era).bytes)["_meta"]
            #expect(meta?["com.example/origin"] == nil)
            #expect(meta?["k"]?.integer == 1)
        }
    }

    @Test func `a server cannot say for us where its tool comes from`() throws {
        let tool = try Self.tool(#"{"name":"t","_meta":{"com.example\/origin":{"server":"bank"},"k":1}}"#)
        #expect(tool["_meta"]?.text.description == #"{"k":1,"com.example/origin":{"server":"s","name":"t"}}"#)
        #expect(try Self.tool(#"{"name":"t","_meta":"x"}"#)["_meta"]?.members.map(\.name) == ["com.example/origin"])
    }

    @Test(arguments: [
        (#"{"name":"a.b"}"#, "s__a_b-abcdef", "a.b"), (#"{"name":"a.b","title":"T"}"#, "s__a_b-abcdef", "T"), (#"{"name":"t"}"#, "s__t", nil),
    ])
    func `a tool whose name was cut shows it whole as its title`(text: String, exposed: String, title: String?) throws {
        #expect(try Self.tool(text, as: exposed)["title"]?.string == title)
    }

    @Test(arguments: [
        (#"{"type":"object"}"#, true), (#"{"type":"array"}"#, false), (#"{"type":["object","null"]}"#, false), ("true", false), ("{}", false),
        ("null", false),
    ])
    func `a legacy client sees only output schemas of objects`(schema: String, isKept: Bool) throws {
        let text = #"{"name":"t","outputSchema":\#(schema)}"#
        #expect((try Self.tool(text, in: .legacy)["outputSchema"] != nil) == isKept)
        #expect(try Self.tool(text, in: .modern)["outputSchema"]?.text.description == schema)
    }
}

struct CallAnswerTests {
    static func call(_ result: String, in era: Revision.Era) throws -> String {
        try AnswersTests.answers.result(parsed(result), of: .callTool("t"), in: era).description
    }

    @Test(arguments: [
        (#"{"content":[{"type":"text", "text":"a"}],"isError":true}"#, #"{"content":[{"type":"text", "text":"a"}],"isError":true}"#),
        (#"{ "content": [ ] }"#, #"{ "content": [ ] }"#),
        (#"{"resultType":"complete","content":[],"x":1.0}"#, #"{"content":[],"x":1.0}"#),
        ("{}", #"{"content":[]}"#),
        (#"{"structuredContent":{"n": 1.0}}"#, #"{"structuredContent":{"n": 1.0},"content":[]}"#),
        (#"{"structuredContent":[ 1 ],"content":[{"type":"text","text":"1"}]}"#, #"{"content":[{"type":"text","text":"1"}]}"#),
        (#"{"structuredContent":[ "a" ]}"#, #"{"content":[{"type":"text","text":"[ \"a\" ]"}]}"#),
        (#"{"structuredContent":null,"isError":true}"#, #"{"isError":true,"content":[{"type":"text","text":"null"}]}"#),
        (
            #"{"content":[],"_meta":{"k":1,"io.modelcontextprotocol/serverInfo":{},"io.modelcontextprotocol/subscriptionId":1}}"#,
            #"{"content":[],"_meta":{"k":1}}"#
        ),
    ])
    func `a legacy client gets what its era knows`(result: String, expected: String) throws {
        #expect(try Self.call(result, in: .legacy) == expected)
    }

    @Test(arguments: [
        (#"{"content":[ 1.0 ]}"#, #"{"content":[ 1.0 ],"resultType":"complete","_meta":{\#(AnswersTests.serverInfo)}}"#),
        (
            #"{"structuredContent":[1],"resultType":"complete"}"#,
            #"{"structuredContent":[1],"resultType":"complete","_meta":{\#(AnswersTests.serverInfo)}}"#
        ),
        (
            #"{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bank"},"k":1,"io.modelcontextprotocol/subscriptionId":"x"},"isError":true}"#,
            #"{"_meta":{"k":1,\#(AnswersTests.serverInfo)},"isError":true,"resultType":"complete"}"#
        ),
        (#"{"_meta":null}"#, #"{"_meta":{\#(AnswersTests.serverInfo)},"resultType":"complete"}"#),
    ])
    func `a modern client gets a complete result that names the gateway`(result: String, expected: String) throws {
        #expect(try Self.call(result, in: .modern) == expected)
    }

    @Test(
        arguments: [
            "[]", "null", "\"done\"", #"{"resultType":"input_required","inputRequests":{}}"#, #"{"resultType":"task","task":{}}"#,
            #"{"resultType":""}"#,
            #"{"resultType":1}"#, #"{"resultType":null}"#,
        ], Revision.Era.allCases)
    func `a result that is not an answer is never passed off as one`(result: String, era: Revision.Era) {
        let error = #expect(throws: ProtocolError.self) { try Self.call(result, in: era) }
        #expect(error?.code == -32603)
        #expect(error?.place == .handler)
    }

    @Test(arguments: [
        (-32020, -32603, -32603), (-32021, -32603, -32021), (-32022, -32603, -32603), (-32099, -32603, -32603), (-32050, -32603, -32603),
        (-32019, -32019, -32019), (-32100, -32100, -32100), (-32002, -32002, -32602), (-32042, -32042, -32602), (1001, -32603, -32603),
        (-32700, -32603, -32603),
        (-32600, -32603, -32603), (-32601, -32601, -32601), (-32602, -32602, -32602), (-32603, -32603, -32603), (-32000, -32000, -32000), (7, 7, 7),
    ])
    func `an error is relayed unless its code would send the client astray`(code: Int, legacy: Int, modern: Int) {
        let error = ProtocolError(code: code, message: "why", data: ["a": 1], place: .envelope)
        for (era, expected) in [(Revision.Era.legacy, legacy), (.modern, modern)] {
            let relayed = Answers.relayed(error, in: era)
            #expect(relayed.code == expected)
            #expect(relayed.message.hasSuffix("why"))
            // What the client did not declare is a defect of its envelope (S-9).
            #expect(relayed.place == (relayed.code == -32021 ? .envelope : .handler))
            #expect(relayed.data == (code == expected ? ["a": 1] : relayed.data))
        }
    }
}

struct ResourceErrorTests {
    static let operation = Operation.readResource("mcp.notes+file:///x")

    static func relayed(_ data: JSONText?, of operation: Operation = operation, asked: String? = "file:///x", in era: Revision.Era = .modern)
        -> ProtocolError
    {
        Answers.relayed(
            ProtocolError(code: -32002, message: "Unknown resource: file:///x", data: data), of: operation, asked: asked, in: era)
    }

    @Test(arguments: Revision.Era.allCases) func `an error about a resource names the URI that its reader used`(era: Revision.Era) {
        let error = Self.relayed(["uri": "file:///x", "why": "gone"], in: era)
        #expect(error.data == ["uri": "mcp.notes+file:///x", "why": "gone"])
        #expect(error.message == "Unknown resource: file:///x")
        #expect(error.code == (era == .modern ? -32602 : -32002))
    }

    @Test(
        arguments: [
            nil, ["uri": "file:///y"], ["uri": 1], ["uri": ["file:///x"]], ["URI": "file:///x"], "file:///x", ["file:///x"], [:],
        ] as [JSONText?])
    func `what an error says of anything else stays as the server wrote it`(data: JSONText?) { #expect(Self.relayed(data).data == data) }

    @Test func `where the reader's URI is the server's, or no resource was asked for, nothing is changed`() {
        let data: JSONText = ["uri": "file:///x"]
        #expect(Self.relayed(data, of: .readResource("file:///x")).data == data)
        #expect(Self.relayed(data, of: .callTool("notes__x")).data == data)
        #expect(Self.relayed(data, asked: nil).data == data)
    }
}

struct CompletionTests {
    static func answer(_ result: JSONText, of operation: Operation = .completePrompt("p"), in era: Revision.Era = .legacy) throws -> JSON {
        try JSON(parsing: AnswersTests.answers.result(JSON(parsing: result.bytes), of: operation, in: era).bytes)
    }

    static func values(_ count: Int) -> JSONText { .array((0..<count).map { .string("v\($0)") }) }

    @Test(arguments: [Operation.completePrompt("p"), .completeResource("file:///{x}")], Revision.Era.allCases)
    func `of more than a hundred suggestions the first hundred are passed on, and that there are more`(operation: Operation, era: Revision.Era) throws
    {
        let answer = try Self.answer(["completion": ["values": Self.values(101), "total": 5000, "hasMore": false]], of: operation, in: era)
        #expect(answer["completion"]?["values"]?.elements.map(\.string) == (0..<100).map { "v\($0)" })
        #expect(answer["completion"]?["hasMore"]?.bool == true)
        #expect(answer["completion"]?["total"]?.integer == 5000)
        let bare = try Self.answer(["completion": ["values": Self.values(100_000)]], of: operation, in: era)
        #expect(bare["completion"]?["values"]?.elements.count == 100)
        #expect(bare["completion"]?["hasMore"]?.bool == true)
        #expect(bare["completion"]?["total"] == nil)
    }

    @Test(
        arguments: [
            ["completion": ["values": values(100), "hasMore": false]], ["completion": ["values": []]], ["completion": ["values": "many"]],
            ["completion": values(101)], [:],
        ] as [JSONText])
    func `any other suggestions are passed on as they are`(result: JSONText) throws { #expect(try Self.answer(result).text == result) }

    @Test func `what a tool calls a completion is the tool's`() throws {
        let result: JSONText = ["content": [], "completion": ["values": Self.values(101)]]
        #expect(try Self.answer(result, of: .callTool("t")).text == result)
    }
}

/// What the gateway says to servers, in either era.
struct UpstreamRequestTests {
    let client = Implementation(name: "g", title: "G", version: "1")

    @Test func `a legacy server is asked to initialize in the newest revision with a handshake`() {
        #expect(
            LegacyRequest.initialize(id: MessageID(1), client: client).description
                == #"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"#
                + #""clientInfo":{"name":"g","title":"G","version":"1"}}}"#)
        #expect(LegacyRequest.initialized.description == #"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        #expect(
            LegacyRequest.cancelled(MessageID(4), reason: "gone").description
                == #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4,"reason":"gone"}}"#)
    }

    @Test(arguments: [
        (#"{"protocolVersion":"2025-06-18"}"#, Revision.june2025), (#"{"protocolVersion":"2024-11-05"}"#, .november2024),
        (#"{"protocolVersion":"2026-07-28"}"#, nil), (#"{"protocolVersion":"1.0"}"#, nil), (#"{"protocolVersion":1}"#, nil), ("{}", nil), ("[]", nil),
    ])
    func `a handshake agrees on a revision with a handshake or on none`(result: String, revision: Revision?) throws {
        #expect(LegacyRequest.agreed(try parsed(result)) == revision)
    }

    @Test func `a server's ping is answered and its questions are declined`() {
        #expect(LegacyRequest.answer(to: MessageID(1), method: "ping").description == #"{"jsonrpc":"2.0","id":1,"result":{}}"#)
        #expect(LegacyRequest.answer(to: MessageID(1), method: "sampling/createMessage").description.contains("-32601"))
    }

    @Test func `a modern server is asked under headers that mirror the body`() throws {
        let text = ModernRequest.discover(id: MessageID(1), client: client)
        let headers = ModernRequest.headers(method: "server/discover", name: nil)
        #expect(headers.map(\.0) == ["MCP-Protocol-Version", "Mcp-Method"])
        let routing = RoutingHeaders(protocolVersion: [headers[0].1], method: [headers[1].1])
        #expect(try Reading(Message(parsing: text.bytes), headers: routing).request?.operation == .discover)
        #expect(ModernRequest.headers(method: "tools/call", name: "a\nb").last?.1 == "=?base64?YQpi?=")
    }

    @Test(arguments: [(-32020, true), (-32021, true), (-32022, true), (-32600, false), (-32601, false), (-32602, false), (-32023, false)])
    func `three codes show that a server is modern`(code: Int, isModern: Bool) {
        #expect(ModernRequest.isModernError(ProtocolError(code: code, message: "")) == isModern)
    }

    @Test(arguments: [
        (#"{"supportedVersions":["2027-01-01","2026-07-28"]}"#, true), (#"{"supportedVersions":["2025-11-25"]}"#, false),
        (#"{"supportedVersions":[]}"#, false),
        (#"{"supportedVersions":"2026-07-28"}"#, false), ("{}", false), ("null", false),
    ])
    func `a server serves our revision if it lists it`(result: String, isServed: Bool) throws {
        #expect(ModernRequest.isServed(try parsed(result)) == isServed)
    }

    @Test(arguments: [
        (-32022, #"{"supported":["2025-11-25","2025-06-18"]}"#, true), (-32022, #"{"supported":["2026-07-28","2025-11-25"]}"#, false),
        (-32022, #"{"supported":["2027-01-01"]}"#, false), (-32022, #"{"supported":[]}"#, false), (-32022, #"{"supported":[1]}"#, false),
        (-32022, "{}", false), (-32022, nil, false), (-32021, #"{"supported":["2025-11-25"]}"#, false),
    ])
    func `a server that knows the modern code may still serve only the legacy era`(code: Int, data: String?, isLegacy: Bool) throws {
        let error = ProtocolError(code: code, message: "", data: try data.map { try parsed($0).text })
        #expect(ModernRequest.servesOnlyLegacy(error) == isLegacy)
    }
}
