import MCP

/// The question that `ask` puts to the user, in the form of either era.
enum DemoQuestion {
    /// Why a client with a handshake cannot be asked while its call waits.
    enum Obstacle: String, Sendable {
        case undeclared = "This tool asks the user a question, and the client did not declare the capability “elicitation” for forms."
        case noSession = """
            This tool asks the user a question. Over HTTP that takes a session, which this server does not keep: call it over stdio, \
            or with revision 2026-07-28.
            """
    }

    static let method = "elicitation/create"

    static let params: JSONText = [
        "mode": "form", "message": "What is your name?",
        "requestedSchema": [
            "type": "object", "properties": ["name": ["type": "string", "title": "Name", "minLength": 1, "maxLength": 100]],
            "required": ["name"],
        ],
    ]

    private static let key = "name"
    /// It only marks a retry as ours. Nothing is granted or routed by it, so it needs no seal (M-3).
    private static let requestState = "ask/name"

    // MCP keeps these two to itself.
    private static let clientCapabilities = "io.modelcontextprotocol/clientCapabilities"
    private static let serverInfo = "io.modelcontextprotocol/serverInfo"

    /// Whether a client's capabilities take forms: those before the URL mode came say nothing of modes and mean forms.
    static func isWelcome(_ capabilities: JSON?) -> Bool {
        guard let elicitation = capabilities?["elicitation"], elicitation.isObject else { return false }
        return elicitation["form"] != nil || elicitation["url"] == nil
    }

    static func inputRequired(by server: Implementation) -> JSONText {
        let request: JSONText = ["method": .string(method), "params": params]
        return [
            "resultType": "input_required", "inputRequests": .object([(key, request)]),
            "requestState": .string(requestState), "_meta": .object([(serverInfo, server.text)]),
        ]
    }

    /// What a modern call of `ask` comes to, or nil if the user has to be asked first, or again (M-4).
    static func outcome(ofRetry incoming: Incoming) throws(ProtocolError) -> DemoOutcome? {
        guard isWelcome(incoming.params?["_meta"]?[clientCapabilities]) else {
            throw ProtocolError(
                code: -32021, message: "The tool asks the user a question, and the request does not declare elicitation by form.",
                data: ["requiredCapabilities": ["elicitation": [:]]], place: .envelope)
        }
        let responses = incoming.params?["inputResponses"]
        let state = incoming.params?["requestState"]
        if responses == nil && state == nil { return nil }
        guard state?.string == requestState else { throw .invalidParams("“requestState” is not what this tool gave out.") }
        return responses?[key].flatMap { outcome(of: $0) }
    }

    /// What the user's answer comes to, or nil if it is none.
    static func outcome(of answer: JSON) -> DemoOutcome? {
        switch answer["action"]?.string {
        case "accept":
            guard let name = answer["content"]?["name"]?.string, (1...100).contains(name.count) else { return nil }
            return .done("Hello, \(name)!")
        case "decline": return .done("The user would rather not say.")
        case "cancel": return .done("The user closed the question without an answer.")
        default: return nil
        }
    }
}
