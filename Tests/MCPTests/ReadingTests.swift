import Gateway
import Testing

@testable import MCP

/// A request as a client of the stateless revision sends it, to be spoilt in one place.
struct ModernRequestBody {
    var method = "tools/call"
    var version: JSONText? = "2026-07-28"
    var capabilities: JSONText? = [:]
    var params: [(String, JSONText?)] = [("name", "s__t"), ("arguments", ["q": 1])]
    var headers = RoutingHeaders(protocolVersion: ["2026-07-28"], method: ["tools/call"], name: ["s__t"])

    func read() throws -> Reading {
        let meta: [(String, JSONText?)] = [
            ("io.modelcontextprotocol/protocolVersion", version), ("io.modelcontextprotocol/clientCapabilities", capabilities),
        ]
        let text = Message.request(id: MessageID(1), method: method, params: .object(params + [("_meta", .object(meta))]))
        return try Reading(Message(parsing: text.bytes), headers: headers)
    }
}

struct EraTests {
    struct Case: CustomTestStringConvertible {
        var testDescription: String
        var method = "tools/list"
        var header: [String] = []
        var inBody: String?
        var session: [String] = []
        /// Nil: the message is refused in the modern era's words.
        var revision: Revision?
    }

    @Test(arguments: [
        Case(testDescription: "nothing said", revision: .march2025),
        Case(testDescription: "header 2024-11-05", header: ["2024-11-05"], revision: .november2024),
        Case(testDescription: "header 2025-03-26", header: ["2025-03-26"], revision: .march2025),
        Case(testDescription: "header 2025-06-18", header: ["2025-06-18"], revision: .june2025),
        Case(testDescription: "header 2025-11-25", header: ["2025-11-25"], revision: .november2025),
        Case(testDescription: "header and body of 2026-07-28", header: ["2026-07-28"], inBody: "2026-07-28", revision: .july2026),
        Case(
            testDescription: "a stale session in a modern request", header: ["2026-07-28"], inBody: "2026-07-28", session: ["gone"],
            revision: .july2026),
        Case(testDescription: "initialize alone", method: "initialize", revision: .november2025),
        Case(testDescription: "initialize under the modern header", method: "initialize", header: ["2026-07-28"], revision: .november2025),
        Case(testDescription: "initialize in the modern envelope", method: "initialize", header: ["2026-07-28"], inBody: "2026-07-28"),
        Case(testDescription: "the modern header without an envelope", header: ["2026-07-28"]),
        Case(testDescription: "the modern envelope without a header", inBody: "2026-07-28"),
        Case(testDescription: "the modern envelope under a legacy header", header: ["2025-11-25"], inBody: "2026-07-28"),
        Case(testDescription: "a legacy revision in the modern envelope", header: ["2025-11-25"], inBody: "2025-11-25"),
        Case(testDescription: "a revision to come", header: ["2027-01-01"], inBody: "2027-01-01"),
        Case(testDescription: "the header of a revision to come", header: ["2027-01-01"]),
    ])
    func `the era follows from the envelope, then the method, then the header`(its: Case) throws {
        let meta: JSONText? = its.inBody.map {
            ["io.modelcontextprotocol/protocolVersion": .string($0), "io.modelcontextprotocol/clientCapabilities": [:]]
        }
        let text = Message.request(id: MessageID(1), method: its.method, params: ["protocolVersion": "2025-11-25", "_meta": meta])
        let headers = RoutingHeaders(protocolVersion: its.header, method: [its.method], sessionID: its.session)
        let reading = Result { try Reading(Message(parsing: text.bytes), headers: headers) }
        #expect((try? reading.get())?.request?.revision == its.revision)
        if its.revision == nil {
            let error = #expect(throws: ProtocolError.self) { try reading.get() }
            #expect([-32602, -32020, -32022, -32601].contains(error?.code))
        }
    }

    @Test(arguments: [
        ("2025-11-25", Revision.november2025), ("2024-11-05", .november2024), ("2026-07-28", .november2025), ("2030-01-01", .november2025),
        ("1.0", .november2025), ("", .november2025),
    ])
    func `initialize agrees on the client's revision, or else on the newest with a handshake`(requested: String, agreed: Revision) throws {
        let text = Message.request(id: MessageID(1), method: "initialize", params: ["protocolVersion": .string(requested), "capabilities": [:]])
        let incoming = try #require(try Reading(Message(parsing: text.bytes), headers: RoutingHeaders()).request)
        #expect(incoming.operation == .initialize)
        #expect(incoming.revision == agreed)
    }

    @Test(arguments: [([], Revision.march2025), (["2025-06-18"], .june2025), (["2026-07-28"], .july2026)])
    func `a notification is taken note of in every era`(header: [String], revision: Revision) throws {
        let message = try message(#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        let reading = try Reading(message, headers: RoutingHeaders(protocolVersion: header))
        guard case .notification("notifications/cancelled", _, revision) = reading else { return #expect(Bool(false), "\(reading)") }
    }

    @Test func `a legacy client may post a response`() throws {
        let message = try message(#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
        guard case .response = try Reading(message, headers: RoutingHeaders()) else { return #expect(Bool(false)) }
    }
}

/// The rows of the modern status table that this room decides: 400 is a defect of the envelope, 404 of the method, and
/// what a handler finds is answered with 200.
struct ModernEnvelopeTests {
    struct Row: CustomTestStringConvertible {
        let testDescription: String
        let code: Int
        let place: ProtocolError.Place
        let spoil: @Sendable (inout ModernRequestBody) -> Void

        init(
            _ description: String, _ code: Int, _ place: ProtocolError.Place = .envelope, spoil: @escaping @Sendable (inout ModernRequestBody) -> Void
        ) {
            testDescription = description
            self.code = code
            self.place = place
            self.spoil = spoil
        }
    }

    @Test func `a sound call is read as what it asks for`() throws {
        let incoming = try #require(try ModernRequestBody().read().request)
        #expect(incoming.id == MessageID(1))
        #expect(incoming.revision == .july2026)
        #expect(incoming.operation == .callTool("s__t"))
        #expect(incoming.params?["arguments"]?.text.description == #"{"q":1}"#)
    }

    @Test(arguments: [("tools/list", Operation.list(.tools)), ("server/discover", .discover)])
    func `a sound request without a name needs no name header`(method: String, operation: Operation) throws {
        let body = ModernRequestBody(method: method, params: [], headers: RoutingHeaders(protocolVersion: ["2026-07-28"], method: [method]))
        #expect(try body.read().request?.operation == operation)
    }

    @Test(arguments: [("a b", ["a b"]), ("é", ["=?base64?w6k=?="]), ("a\nb", ["=?base64?YQpi?="]), ("plain", ["=?base64?cGxhaW4=?="]), ("", [""])])
    func `a name header may be encoded`(name: String, header: [String]) throws {
        var body = ModernRequestBody(params: [("name", .string(name))])
        body.headers.name = header
        #expect(try body.read().request?.operation == .callTool(name))
    }

    @Test(arguments: [
        Row("no version in _meta", -32602) { $0.version = nil },
        Row("a version that is no string", -32602) { $0.version = 20_260_728 },
        Row("a version that is null", -32602) { $0.version = .null },
        Row("no capabilities", -32602) { $0.capabilities = nil },
        Row("capabilities that are no object", -32602) { $0.capabilities = [] },
        Row("capabilities that are null", -32602) { $0.capabilities = .null },
        Row("a version to come", -32022) { ($0.version, $0.headers.protocolVersion) = ("2027-01-01", ["2027-01-01"]) },
        Row("a legacy version in the envelope", -32022) { ($0.version, $0.headers.protocolVersion) = ("2025-11-25", ["2025-11-25"]) },
        Row("an empty version", -32022) { $0.version = "" },
        Row("no version header", -32020) { $0.headers.protocolVersion = [] },
        Row("another version in the header", -32020) { $0.headers.protocolVersion = ["2025-11-25"] },
        Row("an unknown version in the header", -32020) { $0.headers.protocolVersion = ["2027-01-01"] },
        Row("the version header twice", -32020) { $0.headers.protocolVersion = ["2026-07-28", "2026-07-28"] },
        Row("no method header", -32020) { $0.headers.method = [] },
        Row("another method in the header", -32020) { $0.headers.method = ["tools/list"] },
        Row("the method in capitals", -32020) { $0.headers.method = ["Tools/Call"] },
        Row("the method header twice", -32020) { $0.headers.method = ["tools/call", "tools/call"] },
        Row("two methods in one header", -32020) { $0.headers.method = ["tools/call, tools/call"] },
        Row("no name header", -32020) { $0.headers.name = [] },
        Row("another name in the header", -32020) { $0.headers.name = ["s__u"] },
        Row("the name in capitals", -32020) { $0.headers.name = ["S__T"] },
        Row("the name header twice", -32020) { $0.headers.name = ["s__t", "s__t"] },
        Row("a name header with a line break", -32020) { $0.headers.name = ["s__t\n"] },
        Row("a name header beyond ASCII", -32020) { ($0.headers.name, $0.params) = (["é"], [("name", "é")]) },
        Row("a name header that pretends to be encoded", -32020) { $0.headers.name = ["=?base64?s__t?="] },
        Row("the name in another normal form", -32020) { ($0.headers.name, $0.params) = (["=?base64?w6k=?="], [("name", "e\u{301}")]) },
        Row("the Kelvin sign for the letter K", -32020) { ($0.headers.name, $0.params) = (["s__K"], [("name", "s__\u{212A}")]) },
        Row("a wrong name header beside defective arguments", -32020) {
            ($0.headers.name, $0.params) = (["s__u"], [("name", "s__t"), ("arguments", [])])
        },
        Row("ping", -32601, .method) { ($0.method, $0.headers.method) = ("ping", ["ping"]) },
        Row("initialize", -32601, .method) { ($0.method, $0.headers.method) = ("initialize", ["initialize"]) },
        Row("logging/setLevel", -32601, .method) { ($0.method, $0.headers.method) = ("logging/setLevel", ["logging/setLevel"]) },
        Row("resources/subscribe", -32601, .method) { ($0.method, $0.headers.method) = ("resources/subscribe", ["resources/subscribe"]) },
        Row("a method in other capitals", -32601, .method) { ($0.method, $0.headers.method) = ("Tools/Call", ["Tools/Call"]) },
        Row("a call without a name", -32602, .handler) { ($0.params, $0.headers.name) = ([], []) },
        Row("a call of something that is no string", -32602, .handler) { ($0.params, $0.headers.name) = ([("name", 1)], ["1"]) },
        Row("arguments that are no object", -32602, .handler) { $0.params = [("name", "s__t"), ("arguments", [1])] },
        Row("arguments that are null", -32602, .handler) { $0.params = [("name", "s__t"), ("arguments", .null)] },
    ])
    func `a defect is answered with the code and the place of its row`(row: Row) {
        var body = ModernRequestBody()
        row.spoil(&body)
        let error = #expect(throws: ProtocolError.self) { try body.read() }
        #expect(error?.code == row.code)
        #expect(error?.place == row.place)
    }

    @Test(arguments: ["5", "[]", "\"x\"", "null", "{}"])
    func `under the modern header, parameters without an envelope are defective`(meta: String) throws {
        let message = try message(#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":\#(meta)}}"#)
        let headers = RoutingHeaders(protocolVersion: ["2026-07-28"], method: ["tools/list"])
        let error = #expect(throws: ProtocolError.self) { try Reading(message, headers: headers) }
        #expect(error?.code == -32602)
        #expect(error?.place == .envelope)
    }

    @Test func `a posted response is refused`() throws {
        let message = try message(#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
        let error = #expect(throws: ProtocolError.self) { try Reading(message, headers: RoutingHeaders(protocolVersion: ["2026-07-28"])) }
        #expect(error?.code == -32600)
        #expect(error?.place == .envelope)
    }

    @Test func `a version that is not served is answered with those that are, newest first`() throws {
        let body = ModernRequestBody(version: "2027-01-01", headers: RoutingHeaders(protocolVersion: ["2027-01-01"]))
        let error = #expect(throws: ProtocolError.self) { try body.read() }
        let data = try JSON(parsing: error?.data?.bytes ?? [])
        #expect(data["supported"]?.elements.map(\.string) == ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
        #expect(data["requested"]?.string == "2027-01-01")
    }

    @Test(arguments: ["9", "\u{301}"])
    func `a version is repeated only in part`(character: String) {
        let version = "2" + String(repeating: character, count: 10_000)
        let error = #expect(throws: ProtocolError.self) { try ModernRequestBody(version: .string(version)).read() }
        #expect(error?.response(to: nil).bytes.count ?? 0 < 1000)
    }
}

struct LegacyEnvelopeTests {
    @Test(arguments: [
        ("ping", "{}", Operation.ping), ("tools/list", "{}", .list(.tools)), ("tools/call", #"{"name":"a"}"#, .callTool("a")),
        ("tools/call", #"{"name":"a","arguments":{}}"#, .callTool("a")), ("initialize", #"{"protocolVersion":"x"}"#, .initialize),
    ])
    func `a sound request is read as what it asks for`(method: String, params: String, operation: Operation) throws {
        let message = try message(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#)
        #expect(try Reading(message, headers: RoutingHeaders(protocolVersion: ["2025-11-25"])).request?.operation == operation)
    }

    @Test(
        arguments: [
            ("tools/list", "{}", ["2023-01-01"], -32600, .envelope), ("tools/list", "{}", ["latest"], -32600, .envelope),
            ("tools/list", "{}", [""], -32600, .envelope), ("notifications/x", "{}", ["1"], -32600, .envelope),
            ("initialize", "{}", [], -32602, .envelope), ("initialize", #"{"protocolVersion":1}"#, [], -32602, .envelope),
            ("server/discover", "{}", [], -32601, .method), ("tasks/get", "{}", ["2025-11-25"], -32601, .method),
            ("Ping", "{}", [], -32601, .method),
            ("tools/call", "{}", [], -32602, .handler), ("tools/call", #"{"name":null}"#, [], -32602, .handler),
            ("tools/call", #"{"name":"a","arguments":[]}"#, [], -32602, .handler),
            ("tools/call", #"{"name":"a","arguments":null}"#, [], -32602, .handler),
        ] as [(String, String, [String], Int, ProtocolError.Place)])
    func `a defect is answered with its code and place`(method: String, params: String, header: [String], code: Int, place: ProtocolError.Place)
        throws
    {
        let message = try message(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#)
        let error = #expect(throws: ProtocolError.self) { try Reading(message, headers: RoutingHeaders(protocolVersion: header)) }
        #expect(error?.code == code)
        #expect(error?.place == place)
    }

    @Test func `two versions in two headers are no version`() throws {
        let message = try message(#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
        for header in [["2025-11-25", "2026-07-28"], ["2025-11-25", "2025-06-18"]] {
            let error = #expect(throws: ProtocolError.self) { try Reading(message, headers: RoutingHeaders(protocolVersion: header)) }
            #expect(error?.place == .envelope)
        }
    }
}

struct IncomingTests {
    static func incoming(_ params: String) throws -> Incoming {
        Incoming(id: MessageID(1), revision: .july2026, operation: .callTool("a"), params: try parsed(params))
    }

    @Test(arguments: [
        ("\"t\"", "\"t\""), ("\"\"", "\"\""), ("7", "7"), ("1.5", nil), ("null", nil), ("{}", nil), ("true", nil),
    ])
    func `a progress token is a string or an integer`(token: String, expected: String?) throws {
        #expect(try Self.incoming(#"{"name":"a","_meta":{"progressToken":\#(token)}}"#).progressToken?.description == expected)
    }

    @Test func `an empty cursor is a cursor`() throws {
        #expect(try Self.incoming(#"{"name":"a","cursor":""}"#).cursor?.string == "")
        #expect(try Self.incoming(#"{"name":"a"}"#).cursor == nil)
    }

    @Test func `an upstream gets its own tool name, and the arguments as they were written`() throws {
        let incoming = try Self.incoming(#"{"arguments":{ "n": 1.00, "k\u0061":[ ] },"name":"s__t","x-vendor":1}"#)
        #expect(
            incoming.forwarded(as: "t")
                == #"{"arguments":{ "n": 1.00, "k\u0061":[ ] },"name":"t","x-vendor":1}"#)
    }

    @Test func `of _meta only what is meant to travel travels`() throws {
        let params = #"""
            {"name":"a","inputResponses":{},"requestState":"s","_meta":{"progressToken":1,"traceparent":"00","com.example/k":{"a": 1},"mcp.dev/k":2,
            "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/logLevel":"debug",
            "io.modelcontextprotocol/subscriptionId":1,"io.modelcontextprotocol\u002flater":1,"com.mcp/x":1,"com.mcp.tools/x":1,
            "a.modelcontextprotocol/":1}}
            """#
        let forwarded = try JSON(parsing: Array(Self.incoming(params).forwarded(as: "b").utf8))
        #expect(forwarded["_meta"]?.text.description == #"{"traceparent":"00","com.example/k":{"a": 1},"mcp.dev/k":2,"progressToken":"mine"}"#)
        #expect(forwarded.members.map(\.name) == ["name", "_meta"])
    }

    @Test func `a reserved prefix is reserved whatever follows its slash or its dots`() throws {
        let params = "{\"name\":\"a\",\"_meta\":{\"io.modelcontextprotocol/\u{301}x\":1,\"io.mcp/\u{200D}\":2,\"io.mcp.\u{301}a/x\":3}}"
        #expect(try Self.incoming(params).forwarded(as: "a") == #"{"name":"a"}"#)
    }

    @Test func `the gateway's own envelope takes the place of the client's`() throws {
        let gateway = Implementation(name: "g", title: "G", version: "1")
        let incoming = try Self.incoming(#"{"name":"a","_meta":{"k":1,"progressToken":5}}"#)
        let forwarded = incoming.forwarded(as: "a", for: .july2026, by: gateway)
        let meta = try JSON(parsing: Array(forwarded.utf8))["_meta"]
        #expect(
            meta?.members.map(\.name) == [
                "k", "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientInfo", "io.modelcontextprotocol/clientCapabilities",
                "progressToken",
            ])
        #expect(meta?["io.modelcontextprotocol/clientInfo"]?["name"]?.string == "g")
    }

    @Test func `nothing to carry is no _meta`() throws {
        #expect(
            try Self.incoming(#"{"name":"a","_meta":{"progressToken":null}}"#).forwarded(as: "a")
                == #"{"name":"a"}"#)
        #expect(try Self.incoming(#"{"name":"a","_meta":[1]}"#).forwarded(as: "a") == #"{"name":"a"}"#)
    }
}

extension Incoming {
    fileprivate func forwarded(
        as name: String, for revision: Revision = .november2025, by gateway: Implementation = Implementation(name: "g", title: "G", version: "1")
    ) -> String {
        outgoing(as: name).params(for: revision, client: gateway, progressToken: "mine")?.description ?? "nothing"
    }
}
