import MCP

/// The tools, and what `tools/list` says of them.
enum DemoTool: String, CaseIterable, Sendable {
    case echo, clock, slow, flaky, ask

    var declaration: JSONText {
        [
            "name": .string(rawValue), "title": .string(title), "description": .string(summary),
            "inputSchema": ["type": "object", "properties": properties, "required": .array(required.map { .string($0) })],
            "outputSchema": outputSchema,
            // Nothing here changes anything or reaches beyond this process; asking the user does leave it.
            "annotations": [
                "title": .string(title), "readOnlyHint": true, "destructiveHint": false, "idempotentHint": .bool(self != .flaky),
                "openWorldHint": .bool(self == .ask),
            ],
        ]
    }

    private var title: String {
        switch self {
        case .echo: "Echo"
        case .clock: "Clock"
        case .slow: "Slow answer"
        case .flaky: "Flaky answer"
        case .ask: "Ask the user"
        }
    }

    private var summary: String {
        switch self {
        case .echo: "Returns the given text unchanged. Use it to see that calls arrive whole."
        case .clock: "Tells the current time in UTC (ISO 8601), as text and as structured content."
        case .slow: "Answers after the given number of seconds. Reports progress in steps to callers that want it, and can be cancelled."
        case .flaky: "Fails every second time it is called in the life of this server's process, and says which call it was."
        case .ask: "Asks the user for their name and greets them. Needs a client that declares elicitation."
        }
    }

    private var properties: JSONText {
        switch self {
        case .echo: ["text": ["type": "string", "description": "What to return."]]
        case .slow:
            [
                "seconds": ["type": "number", "minimum": 0, "maximum": 30, "description": "How long the answer takes."],
                "steps": [
                    "type": "integer", "minimum": 1, "maximum": 20, "default": 5, "description": "How often progress is reported on the way.",
                ],
            ]
        case .clock, .flaky, .ask: [:]
        }
    }

    private var required: [String] {
        switch self {
        case .echo: ["text"]
        case .slow: ["seconds"]
        case .clock, .flaky, .ask: []
        }
    }

    private var outputSchema: JSONText? {
        guard self == .clock else { return nil }
        let utc: JSONText = ["type": "string", "format": "date-time", "description": "The time in UTC."]
        return ["type": "object", "properties": ["utc": utc], "required": ["utc"]]
    }
}
