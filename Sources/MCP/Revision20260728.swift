// The stateless revision: every request carries its own envelope and headers that mirror it.

package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

enum ModernKey {
    static let prefix = "io.modelcontextprotocol/"
    static let protocolVersion = prefix + "protocolVersion"
    static let clientCapabilities = prefix + "clientCapabilities"
    static let clientInfo = prefix + "clientInfo"
    static let serverInfo = prefix + "serverInfo"
    static let subscriptionID = prefix + "subscriptionId"
    static let logLevel = prefix + "logLevel"
}

extension Reading {
    init(modern message: Message, headers: RoutingHeaders) throws(ProtocolError) {
        switch message {
        case .response: throw .invalidRequest("Revision \(Revision.newest.rawValue) has no responses from clients.")
        case .notification(let method, let params):
            // Accepted and dropped (S-11): acting on a posted cancellation would let one user cancel another's work.
            self = .notification(method: method, params: params, revision: .newest)
        case .request(let id, let method, let params):
            let version = try Reading.modernVersion(params, headers)
            try Reading.check(method, against: headers.method, header: "Mcp-Method")
            if let name = Reading.mirroredMember(method).flatMap({ params?[$0]?.string }) {
                try Reading.check(name, against: headers.name, header: "Mcp-Name")
            }
            let operation = try Reading.modernOperation(method, params)
            if let level = params?["_meta"]?[ModernKey.logLevel], level.string.flatMap({ LogLevel(rawValue: $0) }) == nil {
                throw .invalidEnvelope("\"\(ModernKey.logLevel)\" is one of \(LogLevel.allCases.map(\.rawValue).joined(separator: ", ")).")
            }
            self = .request(Incoming(id: id, revision: version, operation: operation, params: params))
        }
    }

    /// S-4, S-5 and S-8, in the order in which a client can mend them.
    private static func modernVersion(_ params: JSON?, _ headers: RoutingHeaders) throws(ProtocolError) -> Revision {
        let meta = params?["_meta"]
        guard let named = meta?[ModernKey.protocolVersion]?.string else {
            throw .invalidEnvelope("\"_meta\" needs \"\(ModernKey.protocolVersion)\", a string.")
        }
        guard let revision = Revision(rawValue: named), revision.era == .modern else {
            throw ProtocolError(
                code: -32022, message: "Revision “\(named.cut(32))” is not served with this envelope.",
                data: ["supported": Revision.served, "requested": .string(named.cut(32))], place: .envelope)
        }
        guard meta?[ModernKey.clientCapabilities]?.isObject ?? false else {
            throw .invalidEnvelope("\"_meta\" needs \"\(ModernKey.clientCapabilities)\", an object.")
        }
        guard headers.protocolVersion == [named] else {
            throw .headerMismatch("The header MCP-Protocol-Version must be there once and equal \"\(ModernKey.protocolVersion)\".")
        }
        return revision
    }

    private static func modernOperation(_ method: String, _ params: JSON?) throws(ProtocolError) -> Operation {
        switch method {
        case "server/discover": return .discover
        case "subscriptions/listen":
            guard params?["notifications"]?.isObject ?? false else {
                throw .invalidParams("subscriptions/listen needs \"notifications\", an object.")
            }
            return .listen
        case "tasks/get": return .getTask(try text("taskId", of: params, method))
        case "tasks/update": return .updateTask(try text("taskId", of: params, method))
        case "tasks/cancel": return .cancelTask(try text("taskId", of: params, method))
        default: break
        }
        guard let operation = try operation(method, params) else { throw .methodNotFound(method) }
        return operation
    }

    /// The member that `Mcp-Name` repeats (S-5).
    private static func mirroredMember(_ method: String) -> String? {
        switch method {
        case "tools/call", "prompts/get": "name"
        case "resources/read": "uri"
        case "tasks/get", "tasks/update", "tasks/cancel": "taskId"
        default: nil
        }
    }

    private static func check(_ value: String, against header: [String], header name: String) throws(ProtocolError) {
        guard header.count == 1, let decoded = HeaderValue.decoded(header[0]) else {
            throw .headerMismatch("The header \(name) must be there once and mirror the body.")
        }
        guard decoded.utf8.elementsEqual(value.utf8) else { throw .headerMismatch("The header \(name) does not equal what the body says.") }
    }
}

/// The form in which a value stands in `Mcp-Name` and `Mcp-Param-*`: itself if plain, else `=?base64?…?=`.
package enum HeaderValue {
    private static let opening = "=?base64?"
    private static let closing = "?="

    package static func encoded(_ value: String) -> String {
        let isPlain = value.utf8.allSatisfy { (0x20...0x7E).contains($0) }
        let hasEdgeSpace = value.first == " " || value.last == " "
        if isPlain && !hasEdgeSpace && !value.isEmpty && !value.hasPrefix(opening) { return value }
        return opening + Data(value.utf8).base64EncodedString() + closing
    }

    /// Nil if the value pretends to be encoded and is not, or holds characters a header may not.
    package static func decoded(_ header: String) -> String? {
        guard header.hasPrefix(opening) else {
            return header.utf8.allSatisfy { (0x20...0x7E).contains($0) || $0 == 0x09 } ? header : nil
        }
        guard header.hasSuffix(closing), header.utf8.count >= opening.utf8.count + closing.utf8.count else { return nil }
        let inner = header.dropFirst(opening.count).dropLast(closing.count)
        guard let data = Data(base64Encoded: String(inner)) else { return nil }
        return String(validating: data, as: UTF8.self)
    }
}

/// What the gateway says to clients of this era.
enum ModernAnswer {
    static func discover(gateway: Implementation, capabilities: JSONText, instructions: String) -> JSONText {
        [
            "resultType": "complete", "supportedVersions": Revision.served, "capabilities": capabilities,
            "instructions": .string(instructions), "ttlMs": 60_000, "cacheScope": "private", "_meta": meta(gateway),
        ]
    }

    /// Lists are filtered by who asks, so they are never public.
    static func list(_ kind: ListKind, _ items: [JSONText], nextCursor: String?, gateway: Implementation, notice: (String, JSONText)?) -> JSONText {
        .object([
            ("resultType", "complete"), (kind.member, .array(items)), ("nextCursor", nextCursor.map { .string($0) }), ("ttlMs", 5_000),
            ("cacheScope", "private"), ("_meta", .object([(ModernKey.serverInfo, gateway.text)] + (notice.map { [($0.0, $0.1)] } ?? []))),
        ])
    }

    /// What is read is the caller's own, and as fresh as its server says (R-23, C-9).
    static func adapt(
        _ result: JSON, of operation: Operation, gateway: Implementation, originKey: String?, _ changes: inout [(String, JSONText?)]
    ) {
        let added = [(ModernKey.serverInfo, Optional(gateway.text))]
        changes.append(("resultType", "complete"))
        changes.append(("_meta", result["_meta"].map { strippedMeta($0, without: originKey, adding: added) } ?? .object(added)))
        guard case .readResource = operation else { return }
        changes.append(("ttlMs", .number(max(0, result["ttlMs"]?.integer ?? 0))))
        changes.append(("cacheScope", "private"))
    }

    /// A result without a type is a legacy server's, and complete.
    static func checkComplete(_ result: JSON) throws(ProtocolError) {
        guard let type = result["resultType"], type.string != "complete" else { return }
        throw ProtocolError(code: -32603, message: "The server answered with a result of the unknown type \(type.text.description.cut(32)).")
    }

    static func isQuestion(_ result: JSON) -> Bool { result["resultType"]?.string == "input_required" }

    /// `_meta` on its way down, without what the upstream says of itself, or in the operator's name.
    static func strippedMeta(_ meta: JSON, without originKey: String? = nil, adding added: [(String, JSONText?)]) -> JSONText {
        let kept = meta.members.filter { $0.name != ModernKey.serverInfo && $0.name != ModernKey.subscriptionID && $0.name != originKey }
        return .object(kept.map { ($0.name, $0.value.text) } + added)
    }

    private static func meta(_ gateway: Implementation) -> JSONText { .object([(ModernKey.serverInfo, gateway.text)]) }
}

/// What the gateway says to servers of this era.
package enum ModernRequest {
    package static var revision: Revision { .newest }

    /// The envelope of a request, with what the client behind it declared (C-11).
    package static func envelope(client: Implementation, capabilities: ClientCapabilities = .none, logLevel: LogLevel? = nil)
        -> [(String, JSONText?)]
    {
        [
            (ModernKey.protocolVersion, .string(revision.rawValue)), (ModernKey.clientInfo, client.text),
            (ModernKey.clientCapabilities, capabilities.text(in: revision)), (ModernKey.logLevel, logLevel.map { .string($0.rawValue) }),
        ]
    }

    package static func discover(id: MessageID, client: Implementation) -> JSONText {
        Message.request(id: id, method: "server/discover", params: ["_meta": .object(envelope(client: client))])
    }

    package static func headers(method: String, name: String?) -> [(String, String)] {
        var headers = [("MCP-Protocol-Version", Revision.newest.rawValue), ("Mcp-Method", method)]
        if let name { headers.append(("Mcp-Name", HeaderValue.encoded(name))) }
        return headers
    }

    /// What is to be heard on a stream of changes (S-27).
    package static func listen(_ lists: Set<ListKind>, resources: [String]) -> (method: String, params: [(String, JSONText?)]) {
        let wanted: (ListKind) -> JSONText? = { lists.contains($0) ? true : nil }
        let filter: JSONText = [
            "toolsListChanged": wanted(.tools), "promptsListChanged": wanted(.prompts),
            "resourcesListChanged": wanted(.resources) ?? wanted(.resourceTemplates),
            "resourceSubscriptions": resources.isEmpty ? nil : .array(resources.map { .string($0) }),
        ]
        return ("subscriptions/listen", [("notifications", filter)])
    }

    /// The URIs whose changes a server agreed to tell.
    package static func acknowledged(_ params: JSON?) -> Set<String> {
        Set((params?["notifications"]?["resourceSubscriptions"]?.elements ?? []).compactMap(\.string))
    }

    /// The request for a stream of changes that a message belongs to, by its number.
    package static func subscription(_ params: JSON?) -> Int64? { params?["_meta"]?[ModernKey.subscriptionID]?.integer }

    /// Whether a server's error shows that it speaks this era and found the request wanting (ERA-4).
    package static func isModernError(_ error: ProtocolError) -> Bool { [-32020, -32021, -32022].contains(error.code) }

    /// Whether a discover result says the server serves this revision.
    package static func isServed(_ result: JSON) -> Bool {
        result["supportedVersions"]?.elements.contains { $0.string == Revision.newest.rawValue } ?? false
    }
}

extension ModernRequest {
    /// Whether an unsupported-version error lists nothing of this era: a server that knows the code but not the era.
    package static func servesOnlyLegacy(_ error: ProtocolError) -> Bool {
        guard error.code == -32022, let data = error.data, let listed = try? JSON(parsing: data.bytes)["supported"]?.elements else { return false }
        return !listed.isEmpty && listed.allSatisfy { $0.string.flatMap { Revision(rawValue: $0) }?.era == .legacy }
    }
}
