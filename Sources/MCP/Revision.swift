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

    package init(protocolVersion: [String] = [], method: [String] = [], name: [String] = [], sessionID: [String] = []) {
        self.protocolVersion = protocolVersion
        self.method = method
        self.name = name
        self.sessionID = sessionID
    }
}

/// A request whose envelope is sound: which revision it speaks and what it asks for.
package struct Incoming: Sendable {
    package let id: MessageID
    package let revision: Revision
    package let operation: Operation
    package let params: JSON?

    /// The token under which the caller wants to hear of progress.
    package var progressToken: JSONText? {
        guard let token = params?["_meta"]?["progressToken"] else { return nil }
        return token.kind == .string || token.integer != nil ? token.text : nil
    }

    package var cursor: JSON? { params?["cursor"] }

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
    case notification(method: String, revision: Revision)
    /// An answer to a question of ours; the gateway asks none of its clients yet.
    case response

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

    static func operation(_ method: String, _ params: JSON?) throws(ProtocolError) -> Operation? {
        switch method {
        case "tools/list": return .list(.tools)
        case "tools/call":
            guard let name = params?["name"]?.string else { throw .invalidParams("tools/call needs the tool's \"name\", a string.") }
            guard params?["arguments"].map(\.isObject) ?? true else { throw .invalidParams("\"arguments\" is an object.") }
            return .callTool(name)
        default: return nil
        }
    }
}
