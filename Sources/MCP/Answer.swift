package import Gateway

/// Answers of the gateway itself, each in the words of the revision it answers in.
package struct Answers: Sendable {
    /// What whoever answers can do.
    package enum Offer: Sendable {
        case toolsOnly
        /// Every list and its changes, subscriptions, completion and log messages, whatever the servers behind have of it:
        /// they come and go while a client is connected.
        case everything
    }

    let gateway: Implementation
    let instructions: String
    let offer: Offer
    /// The operator's own `_meta` key, which no server may use.
    let originKey: String?

    package init(gateway: Implementation, instructions: String, offer: Offer = .toolsOnly, originKey: String? = nil) {
        self.gateway = gateway
        self.instructions = instructions
        self.offer = offer
        self.originKey = originKey
    }

    /// - Parameter instructions: in place of the general ones.
    package func initialize(_ revision: Revision, instructions: String? = nil) -> JSONText {
        LegacyAnswer.initialize(revision, gateway: gateway, capabilities: capabilities(nil), instructions: instructions ?? self.instructions)
    }

    /// - Parameter server: what the one server behind the endpoint offers; nil if that is not known, or there are several.
    package func discover(instructions: String? = nil, of server: ServerOffer? = nil) -> JSONText {
        let extensions: JSONText? = offer == .everything ? [ClientCapabilities.Extension.tasks.rawValue: [:]] : nil
        return ModernAnswer.discover(
            gateway: gateway, capabilities: server.map(Self.capabilities) ?? capabilities(extensions), instructions: instructions ?? self.instructions
        )
    }

    /// As the server says it. That its lists change is told whether it tells that or not, for the gateway looks.
    private static func capabilities(of server: ServerOffer) -> JSONText {
        let list: (ListKind) -> JSONText? = { server.kinds.contains($0) ? ["listChanged": true] : nil }
        let resources: JSONText = ["subscribe": server.subscribes ? true : nil, "listChanged": true]
        let flag: (Bool) -> JSONText? = { $0 ? [:] : nil }
        let extensions = server.extensions.sorted { $0.rawValue < $1.rawValue }.map { ($0.rawValue, Optional([:] as JSONText)) }
        return [
            "tools": list(.tools), "prompts": list(.prompts), "resources": server.kinds.contains(.resources) ? resources : nil,
            "completions": flag(server.completes), "logging": flag(server.logs),
            "extensions": extensions.isEmpty ? nil : .object(extensions),
        ]
    }

    private func capabilities(_ extensions: JSONText?) -> JSONText {
        switch offer {
        case .toolsOnly: ["tools": [:]]
        case .everything:
            [
                "tools": ["listChanged": true], "prompts": ["listChanged": true], "resources": ["subscribe": true, "listChanged": true],
                "completions": [:], "logging": [:], "extensions": extensions,
            ]
        }
    }

    /// - Parameter notice: something to say of the list under the operator's own `_meta` key, such as which servers
    ///   are missing from it.
    package func list(
        _ kind: ListKind, _ items: [JSONText], nextCursor: String?, in era: Revision.Era, notice: (String, JSONText)? = nil
    ) -> JSONText {
        switch era {
        case .legacy: LegacyAnswer.list(kind, items, nextCursor: nextCursor, notice: notice)
        case .modern: ModernAnswer.list(kind, items, nextCursor: nextCursor, gateway: gateway, notice: notice)
        }
    }

    /// An answer that says nothing but that it was done.
    package func empty(in era: Revision.Era) -> JSONText {
        switch era {
        case .legacy: [:]
        case .modern: ["resultType": "complete", "_meta": .object([(ModernKey.serverInfo, gateway.text)])]
        }
    }

    /// A server's answer to what was asked of it, as a client of that era reads it.
    ///
    /// - Throws: `ProtocolError` when the result is nothing the client could read, a question to the user included.
    package func result(_ result: JSON, of operation: Operation, _ naming: Naming = .verbatim, in era: Revision.Era) throws(ProtocolError)
        -> JSONText
    {
        guard result.isObject else { throw ProtocolError(code: -32603, message: "The server's result is not an object.") }
        try ModernAnswer.checkComplete(result)
        var changes = ResultNames.changes(result, of: operation, naming)
        if let completion = Completion.bounded(result, of: operation) { changes.append(("completion", completion)) }
        if case .getTask(let exposed) = operation { changes.append(("taskId", .string(exposed))) }
        switch era {
        case .legacy: LegacyAnswer.adapt(result, of: operation, originKey: originKey, &changes)
        case .modern: ModernAnswer.adapt(result, of: operation, gateway: gateway, originKey: originKey, &changes)
        }
        return changes.isEmpty ? result.text : result.replacing(changes)
    }

    /// A server's JSON-RPC error as a client of that era may see it: codes that would send the client looking for
    /// another era or another envelope are the gateway's own affair (S-15, L-12).
    ///
    /// - Parameter name: what the server was asked for; where its error's data names that URI, the client reads the one it used.
    package static func relayed(
        _ error: ProtocolError, of operation: Operation? = nil, asked name: String? = nil, in era: Revision.Era
    ) -> ProtocolError {
        let error = ResultNames.changed(error, of: operation, asked: name)
        return switch error.code {
        case -32042 where !ServerQuestion.mayAllBeOpened(error.data):
            ProtocolError(code: -32603, message: "The server wants an address opened that is neither https nor http to loopback.")
        case -32042 where era == .modern: ProtocolError(code: -32602, message: error.message, data: error.data)
        case -32042: ProtocolError(code: -32042, message: error.message, data: error.data)
        // What the client did not declare was asked for: only the client can mend that (S-9).
        case -32021 where era == .modern: ProtocolError(code: -32021, message: error.message, data: error.data, place: .envelope)
        case -32099 ... -32020: ProtocolError(code: -32603, message: "The server refused the gateway's request: \(error.message)")
        // The gateway's own codes; no server speaks in its name.
        case 1001...1005: ProtocolError(code: -32603, message: error.message)
        case -32002 where era == .modern:
            ProtocolError(code: -32602, message: error.message, data: error.data)
        // A missing resource has a code of its own in one era, and names its URI in the other (S-15, C-7).
        case -32602 where era == .legacy && isMissing(operation, error):
            ProtocolError(code: -32002, message: error.message, data: error.data)
        case -32700, -32600: ProtocolError(code: -32603, message: "The server could not read the gateway's request: \(error.message)")
        default: ProtocolError(code: error.code, message: error.message, data: error.data)
        }
    }

    private static func isMissing(_ operation: Operation?, _ error: ProtocolError) -> Bool {
        guard case .readResource? = operation, let data = error.data else { return false }
        return (try? JSON(parsing: data.bytes))?["uri"]?.string != nil
    }
}

/// Something a server lists, under the name it is shown by.
package enum ListItem {
    /// One entry with where it comes from in the operator's own `_meta` key. On an endpoint of one server the entry stays as
    /// it is.
    ///
    /// - Parameters:
    ///   - exposed: the name, URI or template it is shown under.
    ///   - originKey: reverse-DNS name of the operator, a slash and a name.
    package static func text(
        _ item: JSON, _ kind: ListKind, as exposed: String, _ naming: Naming, originKey: String, in era: Revision.Era
    ) -> JSONText {
        var changes: [(String, JSONText?)] = []
        if case .prefixed(let alias) = naming {
            let own = item[kind.key]?.string ?? ""
            let origin: JSONText = ["server": .string(alias.description), kind.key: .string(own)]
            // An app's frame calls tools by the names it was written with, which are not those of this endpoint.
            let dropped = ["ui", "ui/resourceUri", originKey]
            let meta = (item["_meta"]?.members ?? []).map { ($0.name, Optional($0.value.text)) }.filter { !dropped.contains($0.0) }
            changes = [(kind.key, .string(exposed)), ("_meta", .object(meta + [(originKey, origin)]))]
            // A cut name is no name for people: the whole original becomes the title, unless there is one.
            if item["title"] == nil && !exposed.hasSuffix(own) { changes.append(("title", .string(own))) }
        }
        if era == .legacy && kind == .tools { LegacyAnswer.adapt(tool: item, &changes) }
        return changes.isEmpty ? item.text : item.replacing(changes)
    }
}

extension ListKind {
    /// The member by which an entry is known.
    package var key: String {
        switch self {
        case .tools, .prompts: "name"
        case .resources: "uri"
        case .resourceTemplates: "uriTemplate"
        }
    }
}

/// Suggestions for an argument.
private enum Completion {
    /// The most values that one answer has.
    static let mostValues = 100

    /// The completion cut to what a client may get; nil if it need not be.
    static func bounded(_ result: JSON, of operation: Operation) -> JSONText? {
        switch operation {
        case .completePrompt, .completeResource: break
        default: return nil
        }
        guard let completion = result["completion"], completion.isObject, let values = completion["values"], values.kind == .array else { return nil }
        let all = values.elements
        guard all.count > mostValues else { return nil }
        return completion.replacing([("values", .array(all.prefix(mostValues).map(\.text))), ("hasMore", true)])
    }
}

/// The URIs in a result, as the endpoint shows them.
private enum ResultNames {
    static func changes(_ result: JSON, of operation: Operation, _ naming: Naming) -> [(String, JSONText?)] {
        guard case .prefixed = naming else { return [] }
        switch operation {
        case .callTool:
            guard let content = result["content"], let changed = contents(content, naming) else { return [] }
            return [("content", changed)]
        case .getPrompt:
            guard let messages = result["messages"], messages.kind == .array else { return [] }
            let changed = messages.elements.map { message in
                message["content"].flatMap { block($0, naming) }.map { message.replacing([("content", $0)]) } ?? message.text
            }
            return [("messages", .array(changed))]
        case .getTask:
            guard let answer = result["result"], answer.isObject else { return [] }
            let inner = changes(answer, of: .callTool(""), naming)
            return inner.isEmpty ? [] : [("result", answer.replacing(inner))]
        case .readResource:
            guard let parts = result["contents"], parts.kind == .array else { return [] }
            return [("contents", .array(parts.elements.map { withURI($0, naming) ?? $0.text }))]
        default: return []
        }
    }

    /// An error about a resource, with the URI that its reader asked for.
    static func changed(_ error: ProtocolError, of operation: Operation?, asked name: String?) -> ProtocolError {
        guard case .readResource(let uri)? = operation, let name, name != uri, let data = error.data.flatMap({ try? JSON(parsing: $0.bytes) }),
            data.isObject, data["uri"]?.string == name
        else { return error }
        return ProtocolError(code: error.code, message: error.message, data: data.replacing([("uri", .string(uri))]), place: error.place)
    }

    private static func contents(_ content: JSON, _ naming: Naming) -> JSONText? {
        guard content.kind == .array, content.elements.contains(where: { $0["uri"] != nil || $0["resource"] != nil }) else { return nil }
        return .array(content.elements.map { block($0, naming) ?? $0.text })
    }

    /// A link to a resource, or one that is embedded; nil if it is neither.
    private static func block(_ block: JSON, _ naming: Naming) -> JSONText? {
        switch block["type"]?.string {
        case "resource_link": withURI(block, naming)
        case "resource": block["resource"].flatMap { withURI($0, naming) }.map { block.replacing([("resource", $0)]) }
        default: nil
        }
    }

    private static func withURI(_ object: JSON, _ naming: Naming) -> JSONText? {
        object["uri"]?.string.map { object.replacing([("uri", .string(naming.uri($0)))]) }
    }
}
