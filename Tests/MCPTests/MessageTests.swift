import Testing

@testable import MCP

struct MessageTests {
    @Test func `a method with an id is a request`() throws {
        let message = try message(#"{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":""}}"#)
        guard case .request(let id, "tools/list", let params) = message else { return #expect(Bool(false), "\(message)") }
        #expect(id == MessageID(7))
        #expect(params?["cursor"]?.string == "")
    }

    @Test func `a method without an id is a notification`() throws {
        let message = try message(#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        guard case .notification("notifications/initialized", nil) = message else { return #expect(Bool(false), "\(message)") }
    }

    @Test(arguments: ["7", "\"server-error\"", "null", nil])
    func `a result answers whatever id its server gave it`(id: String?) throws {
        let message = try message(#"{"jsonrpc":"2.0",\#(id.map { "\"id\":\($0)," } ?? "")"result":[]}"#)
        guard case .response(let found, .success(let result)) = message else { return #expect(Bool(false), "\(message)") }
        #expect(found?.text.description == (id == "null" ? nil : id))
        #expect(result.kind == .array)
    }

    @Test func `an error keeps its code, its words and its data`() throws {
        let message = try message(#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no","data":{"n": 1.0}}}"#)
        guard case .response(_, .failure(let error)) = message else { return #expect(Bool(false), "\(message)") }
        #expect(error.code == -32000)
        #expect(error.message == "no")
        #expect(error.data?.description == #"{"n": 1.0}"#)
        #expect(error.response(to: MessageID(1)).description == #"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no","data":{"n": 1.0}}}"#)
    }

    @Test(arguments: [
        ("", -32700), ("{", -32700), ("\u{FEFF}{}", -32700), (#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, -32700),
        (#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#, -32700), (#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#, -32700),
        (#"{"jsonrpc":"2.0","id":1e400,"method":"a"}"#, -32700), (#"{"jsonrpc":"2.0","id":"\ud800","method":"a"}"#, -32700),
        ("[]", -32600), (#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600), ("\"ping\"", -32600), ("1", -32600), ("null", -32600),
        ("{}", -32600), (#"{"id":1,"method":"ping"}"#, -32600), (#"{"method":"ping"}"#, -32600),
        (#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, -32600), (#"{"JSONRPC":"2.0","id":1,"method":"ping"}"#, -32600),
        (#"{"jsonrpc":null,"id":1,"method":"ping"}"#, -32600), (#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":null,"result":{}}"#, -32600), (#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32602), (#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, -32602),
        (#"{"jsonrpc":"2.0","method":"notifications/x","params":"p"}"#, -32602), (#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"error":{}}"#, -32600), (#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"no"}}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"no"}}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, -32600), (#"{"jsonrpc":"2.0","id":1,"error":null}"#, -32600),
    ])
    func `what is no message is a defect of the envelope`(body: String, code: Int) {
        let error = #expect(throws: ProtocolError.self) { try message(body) }
        #expect(error?.code == code)
        #expect(error?.place == .envelope)
    }

    @Test(arguments: [(128, true), (129, false)])
    func `a method has at most 128 bytes`(length: Int, isAccepted: Bool) {
        let body = #"{"jsonrpc":"2.0","id":1,"method":"\#(String(repeating: "é", count: length / 2) + String(repeating: "m", count: length % 2))"}"#
        #expect(((try? message(body)) != nil) == isAccepted)
    }

    @Test func `a refusal of the text never repeats the text`() {
        let error = #expect(throws: ProtocolError.self) { try message(#"{"token":"hunter2","token":"hunter2"}"#) }
        #expect(error?.message.contains("hunter2") == false)
        #expect(error?.response(to: nil).description.hasPrefix(#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"#) == true)
    }

    @Test func `limits are the caller's`() {
        let body = Array(#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":{"b":{}}}}"#.utf8)
        #expect(throws: Never.self) { try Message(parsing: body, limits: JSON.Limits(depth: 4)) }
        #expect(throws: ProtocolError.self) { try Message(parsing: body, limits: JSON.Limits(depth: 3)) }
        #expect(throws: ProtocolError.self) { try Message(parsing: body, limits: JSON.Limits(nodes: 8)) }
    }

    @Test func `what is written is what is read`() throws {
        let request = Message.request(id: MessageID(1), method: "a\"b", params: ["x": []])
        #expect(request.description == #"{"jsonrpc":"2.0","id":1,"method":"a\"b","params":{"x":[]}}"#)
        #expect(Message.request(id: MessageID(1), method: "ping", params: nil).description == #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)
        #expect(Message.notification(method: "n").description == #"{"jsonrpc":"2.0","method":"n"}"#)
        #expect(Message.result([:], to: MessageID(-1)).description == #"{"jsonrpc":"2.0","id":-1,"result":{}}"#)
        guard case .request(MessageID(1), "a\"b", _) = try Message(parsing: request.bytes) else { return #expect(Bool(false)) }
    }
}

struct MessageIDTests {
    @Test(arguments: [
        "0", "-0", "1", "-1", "9007199254740991", "-9007199254740991", #""""#, #""1""#, #""a\u0062\/é😀""#, #""\u0000""#,
        "\"" + String(repeating: "i", count: 256) + "\"",
    ])
    func `an id is echoed byte for byte`(id: String) throws {
        let request = try message(#"{"jsonrpc":"2.0", "id" : \#(id) ,"method":"ping"}"#)
        let found = try #require(request.id)
        #expect(found.text.description == id)
        #expect(Message.result([:], to: found).description == #"{"jsonrpc":"2.0","id":\#(id),"result":{}}"#)
        #expect(ProtocolError.invalidParams("no").response(to: found).description.hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"error""#))
    }

    @Test(arguments: [
        "9007199254740992", "-9007199254740992", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1180591620717411303424",
        "-1180591620717411303424", "1.5", "1.0", "1e3", "0.0", "null", "true", "false", "{}", "[]", "[1]", #"{"id":1}"#,
    ])
    func `anything but a string or an integer of 53 bits is no id`(id: String) {
        let error = #expect(throws: ProtocolError.self) { try message(#"{"jsonrpc":"2.0","id":\#(id),"method":"ping"}"#) }
        #expect(error?.code == -32600)
        #expect(error?.place == .envelope)
    }

    @Test(arguments: [("i", 257), ("é", 129), ("i", 1 << 20)])
    func `a string of more than 256 bytes is no id`(letter: String, count: Int) {
        let id = String(repeating: letter, count: count)
        let error = #expect(throws: ProtocolError.self) { try message(#"{"jsonrpc":"2.0","id":"\#(id)","method":"ping"}"#) }
        #expect(error?.code == -32600)
    }

    @Test func `one and the string one are two ids`() throws {
        #expect(MessageID(try parsed("1")) == MessageID(1))
        #expect(MessageID(try parsed("\"1\"")) != MessageID(1))
    }
}

struct ShorthandTests {
    @Test func `evaluation's shorthand is a request with the id null`() throws {
        let message = try Message(parsing: Array(#"{"method":"tools/list"}"#.utf8), allowingShorthand: true)
        guard case .request(let id, "tools/list", nil) = message else { return #expect(Bool(false), "\(message)") }
        #expect(Message.result([:], to: id).description == #"{"jsonrpc":"2.0","id":null,"result":{}}"#)
    }

    @Test(arguments: [
        #"{"id":1,"method":"ping"}"#, #"{"jsonrpc":"1.0","method":"ping"}"#, #"{"jsonrpc":null,"method":"ping"}"#, #"{"method":""}"#,
        #"{"method":1}"#, "{}",
        #"{"result":{}}"#, #"[{"method":"ping"}]"#,
    ])
    func `the shorthand excuses nothing else`(body: String) {
        #expect(throws: ProtocolError.self) { try Message(parsing: Array(body.utf8), allowingShorthand: true) }
    }

    @Test func `with the shorthand allowed, an ordinary message means what it always means`() throws {
        let message = try Message(parsing: Array(#"{"jsonrpc":"2.0","method":"notifications/x"}"#.utf8), allowingShorthand: true)
        guard case .notification = message else { return #expect(Bool(false), "\(message)") }
    }
}

struct ProtocolErrorTests {
    /// Letters may carry any number of accents, so a cut after so many letters is no bound.
    @Test(arguments: ["x", "\u{301}"])
    func `a message repeats only a little of what the caller wrote`(character: String) {
        let text = "x" + String(repeating: character, count: 50_000)
        #expect(ProtocolError.unknownTool(text).message.utf8.count <= 600)
        #expect(ProtocolError.methodNotFound(text).message.utf8.count <= 600)
    }
}
