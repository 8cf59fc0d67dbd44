// The revisions with a handshake: 2024-11-05 to 2025-11-25.

import Gateway

extension Reading {
    init(legacy message: Message, headers: RoutingHeaders) throws(ProtocolError) {
        var revision = Revision.unnamed
        guard headers.protocolVersion.count <= 1 else { throw .invalidRequest("The header MCP-Protocol-Version stands there more than once.") }
        if let named = headers.protocolVersion.first {
            guard let known = Revision(rawValue: named) else {
                throw .invalidRequest("MCP-Protocol-Version “\(named.cut(32))” is not served; served are \(Revision.served).")
            }
            revision = known
        }
        switch message {
        case .response(let id, let result):
            guard let id else { throw .invalidRequest("A response has the \"id\" of what it answers.") }
            self = .response(id: id, result)
        case .notification(let method, let params): self = .notification(method: method, params: params, revision: revision)
        case .request(let id, let method, let params):
            switch method {
            case "initialize":
                guard let requested = params?["protocolVersion"]?.string else {
                    throw .invalidEnvelope("initialize needs \"protocolVersion\", a string.")
                }
                // L-8: the client's revision if it is served, else the newest with a handshake.
                let agreed = Revision(rawValue: requested).flatMap { $0.era == .legacy ? $0 : nil } ?? .newestLegacy
                self = .request(Incoming(id: id, revision: agreed, operation: .initialize, params: params))
            case "ping": self = .request(Incoming(id: id, revision: revision, operation: .ping, params: params))
            case "logging/setLevel":
                guard let level = params?["level"]?.string, LogLevel(rawValue: level) != nil else {
                    throw .invalidParams("logging/setLevel needs \"level\", one of \(LogLevel.allCases.map(\.rawValue).joined(separator: ", ")).")
                }
                self = .request(Incoming(id: id, revision: revision, operation: .setLogLevel, params: params))
            case "resources/subscribe":
                self = .request(
                    Incoming(id: id, revision: revision, operation: .subscribe(try Reading.text("uri", of: params, method)), params: params))
            case "resources/unsubscribe":
                self = .request(
                    Incoming(id: id, revision: revision, operation: .unsubscribe(try Reading.text("uri", of: params, method)), params: params))
            default:
                guard let operation = try Reading.operation(method, params) else { throw .methodNotFound(method) }
                self = .request(Incoming(id: id, revision: revision, operation: operation, params: params))
            }
        }
    }
}

/// What the gateway says to clients of this era.
enum LegacyAnswer {
    static func initialize(_ revision: Revision, gateway: Implementation, capabilities: JSONText, instructions: String) -> JSONText {
        [
            "protocolVersion": .string(revision.rawValue), "capabilities": capabilities,
            "serverInfo": revision >= .june2025 ? gateway.text : ["name": .string(gateway.name), "version": .string(gateway.version)],
            "instructions": .string(instructions),
        ]
    }

    static func list(_ kind: ListKind, _ items: [JSONText], nextCursor: String?, notice: (String, JSONText)?) -> JSONText {
        .object([
            (kind.member, .array(items)), ("nextCursor", nextCursor.map { .string($0) }), ("_meta", notice.map { .object([($0.0, $0.1)]) }),
        ])
    }

    /// A result without what only the modern era knows (L-12, R-11).
    static func adapt(_ result: JSON, of operation: Operation, originKey: String?, _ changes: inout [(String, JSONText?)]) {
        for member in ["resultType", "ttlMs", "cacheScope"] where result[member] != nil { changes.append((member, nil)) }
        if let meta = result["_meta"] { changes.append(("_meta", ModernAnswer.strippedMeta(meta, without: originKey, adding: []))) }
        guard case .callTool = operation else { return }
        if result["structuredContent"].map({ !$0.isObject }) ?? false {
            changes.append(("structuredContent", nil))
            if result["content"] == nil {
                let text = result["structuredContent"].map { JSONText.string($0.text.description) }
                changes.append(("content", [["type": "text", "text": text]]))
            }
        }
        // A legacy client may insist on the member.
        if result["content"] == nil && !changes.contains(where: { $0.0 == "content" }) { changes.append(("content", [])) }
    }

    static func adapt(tool: JSON, _ changes: inout [(String, JSONText?)]) {
        let schemaIsObject = tool["outputSchema"].map { $0["type"]?.string == "object" } ?? true
        if !schemaIsObject { changes.append(("outputSchema", nil)) }
    }
}

/// What the gateway says to servers of this era.
package enum LegacyRequest {
    package static func initialize(id: MessageID, client: Implementation, capabilities: ClientCapabilities = .none) -> JSONText {
        Message.request(
            id: id, method: "initialize",
            params: [
                "protocolVersion": .string(Revision.newestLegacy.rawValue), "capabilities": capabilities.text(in: .newestLegacy),
                "clientInfo": client.text,
            ])
    }

    package static let initialized = Message.notification(method: "notifications/initialized")

    package static func cancelled(_ id: MessageID, reason: String) -> JSONText {
        Message.notification(method: "notifications/cancelled", params: ["requestId": id.text, "reason": .string(reason)])
    }

    /// The revision a server agreed to, if it is one we speak with a handshake.
    package static func agreed(_ result: JSON) -> Revision? {
        result["protocolVersion"]?.string.flatMap { Revision(rawValue: $0) }.flatMap { $0.era == .legacy ? $0 : nil }
    }

    /// The answer to a server's own request outside of any call: pings are answered, anything else is declined in words.
    package static func answer(to id: MessageID, method: String) -> JSONText {
        if method == "ping" { return Message.result([:], to: id) }
        return ProtocolError(code: -32601, message: "Nobody is there who could be asked “\(method.cut(64))”.").response(to: id)
    }

    package static func setLevel(_ level: LogLevel) -> (method: String, params: [(String, JSONText?)]) {
        ("logging/setLevel", [("level", .string(level.rawValue))])
    }

    package static func subscribe(_ uri: String) -> (method: String, params: [(String, JSONText?)]) {
        ("resources/subscribe", [("uri", .string(uri))])
    }

    package static func unsubscribe(_ uri: String) -> (method: String, params: [(String, JSONText?)]) {
        ("resources/unsubscribe", [("uri", .string(uri))])
    }
}
