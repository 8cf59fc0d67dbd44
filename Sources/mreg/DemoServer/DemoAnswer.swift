import MCP

/// What goes back for one message.
enum DemoAnswer: Sendable {
    struct Part: Hashable, Sendable {
        let after: Duration
        let message: JSONText
    }

    /// A notification was taken note of.
    case nothing
    /// - Parameter status: where the transport is HTTP.
    case response(JSONText, status: Int)
    /// Messages to be sent one after the other, each after a pause. The last is the response.
    case paced([Part])
}

extension [DemoAnswer.Part] {
    /// Cancelled, it sends nothing more.
    ///
    /// - Parameter willRespond: called when nothing but sending the response is left to do.
    func play(
        sleep: (Duration) async throws -> Void, willRespond: () -> Void = {}, send: (JSONText) async throws -> Void
    ) async throws {
        for (index, part) in enumerated() {
            if part.after > .zero { try await sleep(part.after) }
            try Task.checkCancellation()
            if index == count - 1 { willRespond() }
            try await send(part.message)
        }
    }

    /// The response alone, as late as it would have been.
    var withoutProgress: Self {
        guard let response = last else { return [] }
        return [Element(after: reduce(.zero) { $0 + $1.after }, message: response.message)]
    }
}

/// How a tool's run ended.
enum DemoOutcome: Hashable, Sendable {
    case done(String, structured: JSONText? = nil)
    case failed(String)

    var result: JSONText {
        switch self {
        case .done(let text, let structured):
            ["content": [["type": "text", "text": .string(text)]], "structuredContent": structured, "isError": false]
        case .failed(let why):
            ["content": [["type": "text", "text": .string(why)]], "isError": true]
        }
    }
}
