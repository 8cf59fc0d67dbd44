import Gateway
import Testing

@testable import MCP

struct ResourceURITests {
    private static let notes = ServerAlias("notes")

    @Test(arguments: [
        ("file:///a b", "mcp.notes+file:///a b"), ("ui://app/x", "mcp.notes+ui://app/x"), ("test://{id}/data", "mcp.notes+test://{id}/data"),
        ("no scheme", "mcp.notes+no scheme"), ("https://example.com/x", "https://example.com/x"), ("HTTP://example.com", "HTTP://example.com"),
        ("httpsx:y", "mcp.notes+httpsx:y"), ("", "mcp.notes+"), ("mcp.other+file:///x", "mcp.notes+mcp.other+file:///x"),
    ])
    func `a URI carries its server's alias unless a client can fetch it`(uri: String, exposed: String) {
        #expect(ResourceURI.exposed(uri, of: Self.notes) == exposed)
        guard exposed.hasPrefix("mcp.") else { return }
        let resolved = ResourceURI.resolved(exposed)
        #expect(resolved?.alias == Self.notes)
        #expect(resolved?.uri == uri)
    }

    @Test(arguments: ["file:///x", "mcp.notes", "mcp.+x", "mcp.No+x", "mcp.a_b+x", "+", "", "mcp+x"])
    func `what carries no alias leads nowhere`(uri: String) { #expect(ResourceURI.resolved(uri) == nil) }
}

struct URITemplateTests {
    @Test(arguments: [
        ("https://x/{id}", "https://x/7", true), ("https://x/{id}", "https://x/7/8", false), ("https://x/{+path}", "https://x/7/8", true),
        ("https://x/{id}/raw", "https://x/7/raw", true), ("https://x/{id}/raw", "https://x/raw", false), ("https://x/{a}{b}", "https://x/ab", true),
        ("https://x{?q}", "https://x?q=1", true), ("https://x/{id}", "https://y/7", false), ("a{x}a{x}a", "aaa", true), ("a{x}b", "ab", true),
    ])
    func `a URI may have come of a template`(template: String, uri: String, isMatch: Bool) throws {
        #expect(try #require(URITemplate(template)).matches(uri) == isMatch)
    }

    @Test(arguments: ["", "https://x", "{", "}", "{}", "x{a", "x{a}}", String(repeating: "{a}", count: 40)])
    func `what is no template is none`(text: String) { #expect(URITemplate(text) == nil) }

    @Test func `a hostile template takes no time`() throws {
        let template = try #require(URITemplate(String(repeating: "{+a}x", count: 15)))
        #expect(!template.matches(String(repeating: "x", count: 4000) + "y"))
    }
}

struct QuestionTests {
    @Test func `what a server requires is read, and a form, a URL, a sample and roots are told apart`() throws {
        let text = """
            {"resultType":"input_required","requestState":"s","inputRequests":{
                "f":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{}}},
                "u":{"method":"elicitation/create","params":{"mode":"url","url":"https://x.example"}},
                "s":{"method":"sampling/createMessage","params":{}},"r":{"method":"roots/list"}}}
            """
        let required = try #require(try InputRequired(parsed(text)))
        #expect(required.state == "s")
        #expect(required.questions.map(\.key) == ["f", "u", "s", "r"])
        #expect(required.questions.map(\.question.kind) == [.elicitation(.form), .elicitation(.url), .sampling, .roots])
    }

    @Test func `an error that wants somebody to go to a URL asks for that`() throws {
        let data: JSONText = ["elicitations": [["mode": "url", "message": "Sign in", "url": "https://x.example", "elicitationId": "e"]]]
        let required = try #require(InputRequired(urlsIn: ProtocolError(code: -32042, message: "m", data: data)))
        #expect(required.questions.map(\.key) == ["url1"])
        #expect(required.questions.map(\.question.kind) == [.elicitation(.url)])
        #expect(InputRequired(urlsIn: ProtocolError(code: -32042, message: "m")) == nil)
        #expect(InputRequired(urlsIn: ProtocolError(code: -32602, message: "m", data: data)) == nil)
        #expect(InputRequired(urlsIn: ProtocolError(code: -32042, message: "m", data: ["elicitations": [["mode": "form"]]])) == nil)
    }

    @Test(arguments: [
        ("https://example.com/a?b=c#d", true), ("http://localhost:8080/x", true), ("http://127.0.0.1/", true), ("http://example.com/", false),
        ("javascript:alert(1)", false), ("data:text/html,x", false), ("file:///etc/passwd", false), ("https://a b.example/", false), ("", false),
        ("https://user@example.com/", false), ("https://example.com\\@evil.example/", false),
    ])
    func `nobody is sent to an address that a client should not open`(url: String, mayBe: Bool) {
        #expect(ServerQuestion.mayBeOpened(url) == mayBe)
    }

    @Test func `an answer asks nothing`() throws { #expect(try InputRequired(parsed(#"{"content":[]}"#)) == nil) }

    @Test(arguments: [
        #"{"resultType":"input_required"}"#, #"{"resultType":"input_required","inputRequests":{"a":{"method":"tools/list"}}}"#,
        #"{"resultType":"input_required","requestState":7}"#, #"{"resultType":"input_required","inputRequests":{"a":7}}"#,
    ])
    func `a question that nobody could answer is an error`(result: String) {
        #expect(throws: ProtocolError.unreadableQuestion) { try InputRequired(parsed(result)) }
    }

    @Test func `who asks stands before what people read, on every road`() throws {
        let question = try #require(
            ServerQuestion(method: "elicitation/create", params: parsed(#"{"mode":"url","message":"Sign","elicitationId":"e"}"#)))
        #expect(question.params(asker: "Bank", in: .july2026)?.description == #"{"mode":"url","message":"Bank: Sign"}"#)
        #expect(question.params(asker: nil, in: .november2025)?.description == #"{"mode":"url","message":"Sign"}"#)
        #expect(question.params(asker: nil, in: .november2025, id: "ours")?.description == #"{"mode":"url","message":"Sign","elicitationId":"ours"}"#)
    }

    @Test(arguments: [
        (#"{"elicitation":{}}"#, true, false), (#"{"elicitation":{"form":{}}}"#, true, false), (#"{"elicitation":{"url":{}}}"#, false, true),
        (#"{"elicitation":{"url":{},"form":{}}}"#, true, true), ("{}", false, false), (#"{"elicitation":true}"#, false, false),
    ])
    func `an empty elicitation means forms`(declared: String, forms: Bool, urls: Bool) throws {
        let capabilities = ClientCapabilities(try parsed(declared))
        #expect(capabilities.elicitsForms == forms)
        #expect(capabilities.elicitsURLs == urls)
    }

    @Test func `what was declared is told a server of each revision as that revision says it`() throws {
        let all = ClientCapabilities(try parsed(#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{"listChanged":true}}"#))
        #expect(all.text(in: .june2025).description == #"{"elicitation":{},"sampling":{},"roots":{}}"#)
        #expect(all.text(in: .november2025).description == #"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#)
        #expect(ClientCapabilities.none.text(in: .july2026).description == "{}")
    }
}

struct InterestTests {
    @Test func `a filter is honoured where it is known, and acknowledged in the same words`() throws {
        let interest = try Interest(
            parsed(#"{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["b","a"],"taskIds":["t"]}"#))
        #expect(interest.text.description == #"{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["a","b"]}"#)
        #expect(try Interest(nil).text.description == "{}")
    }

    @Test func `more resources than a stream may have are refused`() throws {
        let many = JSONText.object([("resourceSubscriptions", .array((0...Interest.mostResources).map { .string("\($0)") }))])
        #expect(throws: ProtocolError.self) { try Interest(JSON(parsing: many.bytes)) }
    }
}

struct RewritingTests {
    private static let naming = Naming.prefixed(ServerAlias("s"))

    @Test func `links and embedded resources of a result carry the alias, and nothing else is touched`() throws {
        let result = try parsed(
            #"{"content":[{"type":"text","text":"file:///x"},{"type":"resource_link","uri":"file:///x","n": 1.0},{"type":"resource","resource":{"uri":"a:b","text":""}}]}"#
        )
        let told = try AnswersTests.answers.result(result, of: .callTool("t"), Self.naming, in: .legacy).description
        let expected =
            #"{"content":[{"type":"text","text":"file:///x"},{"type":"resource_link","uri":"mcp.s+file:///x","n":1.0},{"type":"resource","resource":{"uri":"mcp.s+a:b","text":""}}]}"#
        #expect(told == expected)
        #expect(try AnswersTests.answers.result(result, of: .callTool("t"), .verbatim, in: .legacy).description == result.text.description)
    }

    @Test func `a prompt's messages and a resource's contents too`() throws {
        let prompt = try parsed(
            #"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:b"}}},{"role":"user","content":{"type":"text"}}]}"#)
        #expect(
            try AnswersTests.answers.result(prompt, of: .getPrompt("p"), Self.naming, in: .legacy).description
                == #"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"mcp.s+a:b"}}},{"role":"user","content":{"type":"text"}}]}"#
        )
        let read = try JSON(
            parsing: try AnswersTests.answers.result(
                parsed(#"{"contents":[{"uri":"a:b"}],"ttlMs":-5,"cacheScope":"public"}"#), of: .readResource("x"), Self.naming, in: .modern
            ).bytes)
        #expect(read["contents"]?.elements.first?["uri"]?.string == "mcp.s+a:b")
        #expect(read["ttlMs"]?.integer == 0)
        #expect(read["cacheScope"]?.string == "private")
    }
}

struct TaskHandleTests {
    @Test func `a handle is read back as it was written`() {
        let handle = TaskHandle(server: ServerID(7), tool: "s__t", id: "a \"b\" \u{1F388}")
        #expect(TaskHandle(handle.bytes) == handle)
    }

    @Test(arguments: ["", "{}", #"{"server":1,"tool":"t"}"#, #"{"server":"1","tool":"t","id":"x"}"#])
    func `what is no handle is none`(text: String) { #expect(TaskHandle(Array(text.utf8)) == nil) }

    @Test(arguments: [
        (#"{"resultType":"task","taskId":"x"}"#, "x"), (#"{"resultType":"complete","taskId":"x"}"#, nil),
        (#"{"resultType":"task","taskId":""}"#, nil),
        (#"{"resultType":"task","task":{"taskId":"x"}}"#, nil), (#"{"resultType":"task","taskId":7}"#, nil),
    ])
    func `only a result that says so is a handle`(result: String, id: String?) throws { #expect(try TaskHandle.id(in: parsed(result)) == id) }
}
