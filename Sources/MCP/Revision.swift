package import Gateway

/// A dated revision of MCP. What a revision says and means on the wire stands in `Revision20251125.swift` (the four
/// with a handshake) and `Revision20260728.swift` (stateless); outside this module at most its era is asked.
package enum Revision: String, CaseIterable, Comparable, Sendable {
    case november2024 = "2024-11-05"
    case march2025 = "2025-03-26"
    case june2025 = "2025-06-18"
    case november2025 = "2025-11-25"
    case july2026 = "2026-07-28"

    package enum Era: String, CaseIterable, Sendable {
        case legacy, modern
    }

    package var era: Era { self < .july2026 ? .legacy : .modern }

    /// What a client that names no revision is taken to speak.
    static let unnamed = Revision.march2025
    static let newestLegacy = Revision.november2025
    static let newest = Revision.july2026

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// All of them, newest first: a client picks from the front.
    static var served: JSONText { .array(allCases.sorted(by: >).map { .string($0.rawValue) }) }
}

/// How a party introduces itself.
package struct Implementation: Hashable, Sendable {
    package let name: String
    package let title: String
    package let version: String

    package init(name: String, title: String, version: String) {
        self.name = name
        self.title = title
        self.version = version
    }

    package var text: JSONText { ["name": .string(name), "title": .string(title), "version": .string(version)] }
}

/// The headers that tell how to read a request's body.
package struct RoutingHeaders: Sendable {
    package var protocolVersion: [String]
    package var method: [String]
    package var name: [String]
    package var sessionID: [String]
    /// `Mcp-Param-…` and the trace (`traceparent`, `tracestate`), which travel on.
    package var travelling: [(name: String, value: String)]

    package init(
        protocolVersion: [String] = [], method: [String] = [], name: [String] = [], sessionID: [String] = [],
        travelling: [(name: String, value: String)] = []
    ) {
        self.protocolVersion = protocolVersion
        self.method = method
        self.name = name
        self.sessionID = sessionID
        self.travelling = travelling
    }
}

/// A request whose envelope is sound: which revision it speaks and what it asks for.
package struct Incoming: Sendable {
    package let id: MessageID
    package let revision: Revision
    package let operation: Operation
    package let params: JSON?

    /// The same in a revision of the same era, agreed on before.
    package func speaking(_ agreed: Revision) -> Incoming {
        agreed.era == revision.era ? Incoming(id: id, revision: agreed, operation: operation, params: params) : self
    }

    /// The token under which the caller wants to hear of progress.
    package var progressToken: JSONText? {
        guard let token = params?["_meta"]?["progressToken"] else { return nil }
        return token.kind == .string || token.integer != nil ? token.text : nil
    }

    package var cursor: JSON? { params?["cursor"] }

    /// The least grave log messages the caller wants on the way to this answer, if the request says so itself (S-26).
    package var logLevel: LogLevel? { params?["_meta"]?[ModernKey.logLevel]?.string.flatMap { LogLevel(rawValue: $0) } }

    /// What the client can be asked, where the request says so itself: always in one era, in the handshake in the other.
    package var capabilities: ClientCapabilities? {
        let declared = params?["_meta"]?[ModernKey.clientCapabilities] ?? (operation == .initialize ? params?["capabilities"] : nil)
        return declared.map { ClientCapabilities($0) }
    }

    /// The program at the other end, as it calls itself: with the handshake in one era, in every request in the other.
    package var client: String? {
        let info = params?["_meta"]?[ModernKey.clientInfo] ?? (operation == .initialize ? params?["clientInfo"] : nil)
        guard let name = info?["name"]?.string else { return nil }
        return info?["version"]?.string.map { "\(name) \($0)" } ?? name
    }
}

/// What a body turned out to hold.
package enum Reading: Sendable {
    case request(Incoming)
    /// Taken note of, answered 202.
    case notification(method: String, params: JSON?, revision: Revision)
    /// A client's answer to a question that was put to it.
    case response(id: MessageID, Result<JSON, ProtocolError>)

    /// Reads a client's message by the rules of the revision it speaks (ERA-1 to ERA-3).
    package init(_ message: Message, headers: RoutingHeaders) throws(ProtocolError) {
        if try Self.isModern(message, headers) {
            try self.init(modern: message, headers: headers)
        } else {
            try self.init(legacy: message, headers: headers)
        }
    }

    private static func isModern(_ message: Message, _ headers: RoutingHeaders) throws(ProtocolError) -> Bool {
        let params: JSON?
        var opensHandshake = false
        switch message {
        case .request(_, let method, let its):
            params = its
            opensHandshake = method == "initialize"
        case .notification(_, let its): params = its
        case .response: params = nil
        }
        if params?["_meta"]?[ModernKey.protocolVersion] != nil { return true }
        if opensHandshake { return false }
        guard let named = headers.protocolVersion.first else { return false }
        if let revision = Revision(rawValue: named) { return revision.era == .modern }
        // What sorts after the handshake era is a newer peer's: it is told what is served in its own terms.
        return named.utf8.count == 10 && named > Revision.newestLegacy.rawValue
    }

    /// What both eras have.
    static func operation(_ method: String, _ params: JSON?) throws(ProtocolError) -> Operation? {
        if let kind = ListKind.allCases.first(where: { $0.method == method }) { return .list(kind) }
        switch method {
        case "tools/call":
            let name = try text("name", of: params, method)
            guard params?["arguments"].map(\.isObject) ?? true else { throw .invalidParams("\"arguments\" is an object.") }
            return .callTool(name)
        case "prompts/get":
            let name = try text("name", of: params, method)
            guard params?["arguments"].map(\.isObject) ?? true else { throw .invalidParams("\"arguments\" is an object.") }
            return .getPrompt(name)
        case "resources/read": return .readResource(try text("uri", of: params, method))
        case "completion/complete": return try completion(params)
        default: return nil
        }
    }

    static func text(_ member: String, of params: JSON?, _ method: String) throws(ProtocolError) -> String {
        guard let text = params?[member]?.string else { throw .invalidParams("\(method) needs \"\(member)\", a string.") }
        guard text.utf8.count <= longestName else { throw .invalidParams("\"\(member)\" is longer than \(longestName) bytes.") }
        return text
    }

    /// Bytes that a name or a URI may have.
    private static let longestName = 4096

    private static func completion(_ params: JSON?) throws(ProtocolError) -> Operation {
        guard params?["argument"]?["name"]?.string != nil, params?["argument"]?["value"]?.string != nil else {
            throw .invalidParams("completion/complete needs \"argument\" with \"name\" and \"value\", both strings.")
        }
        let reference = params?["ref"]
        switch reference?["type"]?.string {
        case "ref/prompt": return .completePrompt(try text("name", of: reference, "ref"))
        case "ref/resource": return .completeResource(try text("uri", of: reference, "ref"))
        default: throw .invalidParams("completion/complete needs a \"ref\" of type ref/prompt or ref/resource.")
        }
    }
}
