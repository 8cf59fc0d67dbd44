import Gateway
import Testing

@testable import MCP

struct ServerQuestionTests {
    private func question(_ url: String) throws -> ServerQuestion {
        let params: JSONText = ["mode": "url", "message": "Sign in", "url": .string(url)]
        return try #require(ServerQuestion(method: "elicitation/create", params: try JSON(parsing: params.bytes)))
    }

    @Test(arguments: [
        "https://example.com", "https://example.com/authorize?client_id=a&redirect_uri=https%3A%2F%2Fb.example#x", "HTTPS://EXAMPLE.com:8443/",
        "http://localhost:8080/connect", "http://127.0.0.1/", "http://[::1]:3000/x",
    ])
    func `an address that may be opened is put before a person`(url: String) throws {
        #expect(try question(url).objection == nil)
    }

    @Test(arguments: [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "javascript://example.com/%0aalert(1)", "data:text/html,x", "file:///etc/passwd",
        "vbscript:x", "http://example.com/", "http://localhost.example.com/", "https://", "https:///x", "//example.com/", "example.com", "",
        "https://user@example.com/", "https://example.com@evil.example/", "https://example.com\\@evil.example/", " https://example.com/",
        "https://example.com/\n", "https://example.com/\u{202E}x", "https://bücher.example/", "https://example.com/<script>", "ms-settings:x",
        "http://0x7f.1/", "https://example.com/" + String(repeating: "x", count: 9000),
    ])
    func `any other address is not`(url: String) throws {
        #expect(try question(url).objection != nil)
        let wanted: JSONText = ["elicitations": [["mode": "url", "url": .string(url)]]]
        let error = ProtocolError(code: -32042, message: "Sign in", data: wanted)
        for era in [Revision.Era.legacy, .modern] {
            let relayed = Answers.relayed(error, in: era)
            #expect(relayed.code == -32603)
            #expect(relayed.data == nil)
        }
    }

    @Test func `a question by URL without one is not asked, and a form needs none`() throws {
        let none = try JSON(parsing: Array(#"{"mode": "url", "message": "x"}"#.utf8))
        #expect(ServerQuestion(method: "elicitation/create", params: none)?.objection != nil)
        let form = try JSON(parsing: Array(#"{"message": "x", "requestedSchema": {}}"#.utf8))
        #expect(ServerQuestion(method: "elicitation/create", params: form)?.objection == nil)
        #expect(ServerQuestion(method: "roots/list", params: nil)?.objection == nil)
    }

    @Test(
        arguments: [
            ([], #"{}"#), ([.elicitation], #"{"elicitation":{"form":{},"url":{}}}"#), ([.roots], #"{"roots":{}}"#),
            ([.sampling], #"{"sampling":{"tools":{},"context":{}}}"#), (.everything, everything),
        ] as [(Set<QuestionKind>, String)])
    func `of what a client can be asked, what a server may ask is left`(kinds: Set<QuestionKind>, left: String) throws {
        let declared = ClientCapabilities(try JSON(parsing: Array(Self.everything.utf8)))
        #expect(declared.limited(to: kinds).text(in: .newestLegacy).description == left)
        // Nothing is added to what it declared.
        #expect(ClientCapabilities.none.limited(to: .everything) == .none)
    }

    private static let everything = #"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{},"context":{}},"roots":{}}"#

    @Test func `a task's questions are read like a call's`() throws {
        let task = #"{"inputRequests":{"a":{"method":"roots/list"},"b":{"method":"sampling/createMessage","params":{}},"c":{"method":"x"},"d":1}}"#
        #expect(InputRequired.questions(ofTask: try JSON(parsing: Array(task.utf8))).map(\.kind) == [.roots, .sampling])
        #expect(InputRequired.questions(ofTask: try JSON(parsing: Array(#"{"inputRequests":[]}"#.utf8))).isEmpty)
    }
}
