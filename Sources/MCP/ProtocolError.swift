package import Gateway

/// A JSON-RPC error that the gateway, or an upstream through it, answers with.
package struct ProtocolError: Error, Hashable, Sendable {
    /// What was wrong, from the outside in. Clients of the modern era read a defective envelope as a reason to try
    /// another era, so what a handler reports must never look like one.
    package enum Place: Hashable, Sendable {
        case envelope, method, session, handler
    }

    package let code: Int
    package let message: String
    package let data: JSONText?
    package let place: Place

    package init(code: Int, message: String, data: JSONText? = nil, place: Place = .handler) {
        self.code = code
        self.message = message
        self.data = data
        self.place = place
    }

    static func parse(_ error: JSONError) -> Self { Self(code: -32700, message: error.sentence, place: .envelope) }
    static func invalidRequest(_ why: String) -> Self { Self(code: -32600, message: why, place: .envelope) }
    static func invalidEnvelope(_ why: String) -> Self { Self(code: -32602, message: why, place: .envelope) }
    package static func invalidParams(_ why: String) -> Self { Self(code: -32602, message: why) }
    package static func methodNotFound(_ method: String) -> Self {
        Self(code: -32601, message: "This gateway does not serve the method “\(method.cut(64))”.", place: .method)
    }
    /// A session we never gave, or gave in another life; the client is to shake hands again (L-3).
    package static let unknownSession = Self(code: -32600, message: "There is no such session; send initialize without one.", place: .session)
    package static let missingSession = Self(code: -32600, message: "This needs the header Mcp-Session-Id once.", place: .envelope)
    package static let needsEventStream = Self(
        code: -32600, message: "subscriptions/listen is answered with a stream: accept text/event-stream.", place: .envelope)
    package static func needsSession(_ method: String) -> Self {
        Self(code: -32600, message: "\(method) needs a session: send initialize first, and Mcp-Session-Id from then on.")
    }
    package static let staleCursor = invalidParams("The cursor is not one of this list; start again without one.")
    static func headerMismatch(_ why: String) -> Self { Self(code: -32020, message: why, place: .envelope) }

    /// The text is the same whether the tool does not exist or may not be used.
    package static func unknownTool(_ name: String) -> Self {
        invalidParams("Unknown tool: \(name.cut(128)). There is none of that name that you may use; ask an administrator if there should be.")
    }

    /// The endpoint is that of a server which does not exist, or of which nothing may be used; the text is the same for both.
    package static func unknownServer(_ alias: ServerAlias) -> Self {
        invalidParams("There is no server “\(alias)” that you may use; ask an administrator if there should be.")
    }

    /// What was asked for does not exist, or may not be used; the text is the same for both.
    package static func unknown(_ operation: Operation, in era: Revision.Era) -> Self {
        let ask = "There is none of that name that you may use; ask an administrator if there should be."
        switch operation {
        case .getPrompt(let name), .completePrompt(let name): return invalidParams("Unknown prompt: \(name.cut(128)). \(ask)")
        case .readResource(let uri), .completeResource(let uri), .subscribe(let uri), .unsubscribe(let uri):
            return Self(
                code: era == .modern ? -32602 : -32002, message: "Unknown resource: \(uri.cut(128)). \(ask)", data: ["uri": .string(uri.cut(1024))])
        default: return unknownTool(operation.target)
        }
    }

    package func response(to id: MessageID?) -> JSONText {
        [
            "jsonrpc": "2.0", "id": id?.text ?? .null,
            "error": ["code": .number(code), "message": .string(message), "data": data],
        ]
    }
}

extension ProtocolError {
    /// An error object as an upstream sent it; nil if it is not one.
    package init?(_ error: JSON) {
        guard let code = error["code"]?.integer, let message = error["message"]?.string else { return nil }
        self.init(code: Int(code), message: message, data: error["data"]?.text)
    }
}
