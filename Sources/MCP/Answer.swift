package import Gateway

/// Answers of the gateway itself, each in the words of the revision it answers in.
package struct Answers: Sendable {
    let gateway: Implementation
    let instructions: String

    package init(gateway: Implementation, instructions: String) {
        self.gateway = gateway
        self.instructions = instructions
    }

    package func initialize(_ revision: Revision) -> JSONText {
        LegacyAnswer.initialize(revision, gateway: gateway, instructions: instructions)
    }

    package func discover() -> JSONText { ModernAnswer.discover(gateway: gateway, instructions: instructions) }

    /// - Parameter notice: something to say of the list under the operator's own `_meta` key, such as which servers
    ///   are missing from it.
    package func tools(_ tools: [JSONText], nextCursor: String?, in era: Revision.Era, notice: (String, JSONText)? = nil) -> JSONText {
        switch era {
        case .legacy: LegacyAnswer.tools(tools, nextCursor: nextCursor, notice: notice)
        case .modern: ModernAnswer.tools(tools, nextCursor: nextCursor, gateway: gateway, notice: notice)
        }
    }

    /// One tool of a server under its exposed name, with where it comes from in the operator's own `_meta` key.
    ///
    /// - Parameter originKey: reverse-DNS name of the operator, a slash and a name.
    package static func tool(_ tool: JSON, as exposed: String, of alias: ServerAlias, originKey: String, in era: Revision.Era) -> JSONText {
        let name = tool["name"]?.string ?? ""
        let origin: JSONText = ["server": .string(alias.description), "name": .string(name)]
        let meta = (tool["_meta"]?.members ?? []).map { ($0.name, Optional($0.value.text)) }.filter { $0.0 != originKey }
        var changes: [(String, JSONText?)] = [("name", .string(exposed)), ("_meta", .object(meta + [(originKey, origin)]))]
        // A cut name is no name for people: the whole original becomes the title, unless the tool has one.
        if tool["title"] == nil && !exposed.hasSuffix(name) { changes.append(("title", .string(name))) }
        switch era {
        case .legacy: return LegacyAnswer.tool(tool, changes: changes)
        case .modern: return tool.replacing(changes)
        }
    }

    /// A server's answer to a tool call, as a client of that era reads it.
    ///
    /// - Throws: `ProtocolError` when the result is nothing the client could read, a question to the user included.
    package func call(_ result: JSON, in era: Revision.Era) throws(ProtocolError) -> JSONText {
        guard result.isObject else { throw ProtocolError(code: -32603, message: "The server's result is not an object.") }
        switch era {
        case .legacy: return try LegacyAnswer.call(result)
        case .modern: return try ModernAnswer.call(result, gateway: gateway)
        }
    }

    /// A server's JSON-RPC error as a client of that era may see it: codes that would send the client looking for
    /// another era or another envelope are the gateway's own affair (S-15, L-12).
    package static func relayed(_ error: ProtocolError, in era: Revision.Era) -> ProtocolError {
        switch error.code {
        case -32042 where era == .modern: ProtocolError(code: -32602, message: error.message, data: error.data)
        case -32042: ProtocolError(code: -32042, message: error.message, data: error.data)
        case -32099 ... -32020: ProtocolError(code: -32603, message: "The server refused the gateway's request: \(error.message)")
        // The gateway's own codes; no server speaks in its name.
        case 1001...1005: ProtocolError(code: -32603, message: error.message)
        case -32002 where era == .modern:
            ProtocolError(code: -32602, message: error.message, data: error.data)
        case -32700, -32600: ProtocolError(code: -32603, message: "The server could not read the gateway's request: \(error.message)")
        default: ProtocolError(code: error.code, message: error.message, data: error.data)
        }
    }
}
