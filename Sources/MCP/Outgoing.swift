import Gateway

/// A request as a server is to get it, in the server's own names; the conversation with it adds what its era wants.
package struct Outgoing: Sendable {
    package let method: String
    /// What `Mcp-Name` mirrors: the server's own name of a tool or a prompt, a URI, a task (S-5); nil if nothing.
    package let name: String?
    /// The caller's; every member but `_meta` and those that are changed keeps its bytes.
    package let params: JSON?
    /// Members of the parameters that are replaced, added or, where nil, left out.
    package let changes: [(String, JSONText?)]
    /// Whether the caller wants to hear of progress.
    package var wantsProgress = false
    /// The least grave log messages the caller wants to see; nil for none.
    package var logLevel: LogLevel?
    /// What the caller can be asked meanwhile.
    package var capabilities = ClientCapabilities.none
    /// Headers that travel on: `Mcp-Param-…` and the trace.
    package var headers: [(String, String)] = []

    package init(method: String, name: String? = nil, params: JSON? = nil, changes: [(String, JSONText?)] = []) {
        self.method = method
        self.name = name
        self.params = params
        self.changes = changes
    }

    /// The parameters for a server of that revision. Of the caller's `_meta` only what is meant to travel does.
    ///
    /// - Parameter progressToken: the gateway's own; ignored if no progress is wanted.
    package func params(for revision: Revision, client: Implementation, progressToken: JSONText) -> JSONText? {
        let carried = (params?["_meta"]?.members ?? []).filter { $0.name != "progressToken" && !MetaKey.isReserved($0.name) }
        var meta = carried.map { ($0.name, Optional($0.value.text)) }
        if revision.era == .modern { meta += ModernRequest.envelope(client: client, capabilities: capabilities, logLevel: logLevel) }
        if wantsProgress { meta.append(("progressToken", progressToken)) }
        // What answers a question travels in the calls of one era only; the other knows no such members.
        let known = revision.era == .modern ? changes : changes.map { $0.0 == "inputResponses" || $0.0 == "requestState" ? ($0.0, nil) : $0 }
        let all = known + [("_meta", meta.isEmpty ? nil : .object(meta))]
        if let params { return params.replacing(all) }
        return all.contains { $0.1 != nil } ? .object(all) : nil
    }
}

extension Incoming {
    /// The request for the server, under its own name of what is asked for.
    ///
    /// - Parameter changes: further members in the server's own terms.
    package func outgoing(as name: String, changes: [(String, JSONText?)] = []) -> Outgoing {
        var renamed: [(String, JSONText?)]
        switch operation {
        case .readResource, .subscribe, .unsubscribe: renamed = [("uri", .string(name))]
        case .getTask, .updateTask, .cancelTask: renamed = [("taskId", .string(name))]
        case .completePrompt: renamed = [("ref", params?["ref"]?.replacing([("name", .string(name))]))]
        case .completeResource: renamed = [("ref", params?["ref"]?.replacing([("uri", .string(name))]))]
        default: renamed = [("name", .string(name))]
        }
        // Answers to a server's questions, and its state, are put in by whoever opened the seal.
        let carried = if case .updateTask = operation { ["requestState"] } else { ["inputResponses", "requestState"] }
        for member in carried where !changes.contains(where: { $0.0 == member }) { renamed.append((member, nil)) }
        let mirrored: String? =
            switch operation {
            case .completePrompt, .completeResource, .subscribe, .unsubscribe: nil
            default: name
            }
        var request = Outgoing(method: operation.method, name: mirrored, params: params, changes: renamed + changes)
        request.wantsProgress = progressToken != nil
        return request
    }
}

enum MetaKey {
    /// Whether a `_meta` key stands under a prefix kept for MCP: its second label is `mcp` or `modelcontextprotocol`.
    static func isReserved(_ key: String) -> Bool {
        guard let slash = key.utf8.firstIndex(of: UInt8(ascii: "/")) else { return false }
        let labels = key.utf8[..<slash].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return labels.count > 1 && ["mcp", "modelcontextprotocol"].contains { labels[1].elementsEqual($0.utf8) }
    }
}
