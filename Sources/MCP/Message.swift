/// A JSON-RPC id, echoed byte for byte: `1` is not `"1"`, and neither is written anew.
package struct MessageID: Hashable, Sendable {
    package let text: JSONText

    /// What a request without an id is answered with; only evaluation's shorthand makes such requests.
    static let null = MessageID(text: .null)
    package var isNull: Bool { text == .null }

    package init(_ number: Int64) { text = .number(number) }

    /// Nil for an id that is a string.
    package var number: Int64? { Int64(text.description) }

    private init(text: JSONText) { self.text = text }

    /// Strings up to 256 bytes and integers of at most 2⁵³−1 in size; anything else is nil.
    package init?(_ value: JSON) {
        switch value.kind {
        case .string where value.bytes.count <= 258: text = value.text
        case .number:
            guard let number = value.integer, number.magnitude < 1 << 53 else { return nil }
            text = value.text
        default: return nil
        }
    }
}

/// One JSON-RPC 2.0 message.
package enum Message: Sendable {
    case request(id: MessageID, method: String, params: JSON?)
    case notification(method: String, params: JSON?)
    case response(id: MessageID?, result: Result<JSON, ProtocolError>)

    /// Reads a body.
    ///
    /// - Parameters:
    ///   - allowingShorthand: accept `{"method": …}` without `jsonrpc` and `id` as a request with id null, as the performance guide's
    ///     load script sends it. Evaluation only.
    ///   - noting: told the id of what looks like a request, also if it turns out to be none that can be served: its error is sent
    ///     under it. What may be a response has an id of somebody else's.
    package init(
        parsing body: [UInt8], allowingShorthand: Bool = false, limits: JSON.Limits = JSON.Limits(), noting: (MessageID) -> Void = { _ in }
    ) throws(ProtocolError) {
        let json: JSON
        do { json = try JSON(parsing: body, limits: limits) } catch { throw .parse(error) }
        if json["method"] != nil, json["result"] == nil, json["error"] == nil, let id = json["id"].flatMap({ MessageID($0) }) { noting(id) }
        try self.init(json, allowingShorthand: allowingShorthand)
    }

    package init(_ json: JSON, allowingShorthand: Bool = false) throws(ProtocolError) {
        guard json.isObject else {
            throw .invalidRequest(json.kind == .array ? "Batches are not served: send one message per request." : "A message is a JSON object.")
        }
        let version = json["jsonrpc"]
        let isShorthand = allowingShorthand && version == nil && json["id"] == nil && json["method"] != nil
        guard version?.string == "2.0" || isShorthand else { throw .invalidRequest("A message says \"jsonrpc\": \"2.0\".") }

        guard let method = json["method"] else {
            self = try Message.response(json)
            return
        }
        guard json["result"] == nil, json["error"] == nil else {
            throw .invalidRequest("A message has a method, or else exactly one of result and error.")
        }
        guard let name = method.string, (1...128).contains(name.utf8.count) else {
            throw .invalidRequest("\"method\" is a string of 1 to 128 bytes.")
        }
        let params = json["params"]
        if let params, !params.isObject { throw .invalidEnvelope("\"params\" is an object.") }
        if isShorthand {
            self = .request(id: .null, method: name, params: params)
        } else if let id = json["id"] {
            guard let id = MessageID(id) else {
                throw .invalidRequest("\"id\" is a string of at most 256 bytes or an integer of at most 53 bits.")
            }
            self = .request(id: id, method: name, params: params)
        } else {
            self = .notification(method: name, params: params)
        }
    }

    private static func response(_ json: JSON) throws(ProtocolError) -> Self {
        // Some servers answer what they could not read with an id of their own making, or null (ERA-6).
        let id = json["id"].flatMap { MessageID($0) }
        switch (json["result"], json["error"]) {
        case (let result?, nil): return .response(id: id, result: .success(result))
        case (nil, let error?):
            guard let error = ProtocolError(error) else { throw .invalidRequest("\"error\" has an integer code and a message.") }
            return .response(id: id, result: .failure(error))
        default: throw .invalidRequest("A message has a method, or else exactly one of result and error.")
        }
    }

    package static func request(id: MessageID, method: String, params: JSONText?) -> JSONText {
        ["jsonrpc": "2.0", "id": id.text, "method": .string(method), "params": params]
    }

    package static func notification(method: String, params: JSONText? = nil) -> JSONText {
        ["jsonrpc": "2.0", "method": .string(method), "params": params]
    }

    package static func result(_ result: JSONText, to id: MessageID) -> JSONText {
        ["jsonrpc": "2.0", "id": id.text, "result": result]
    }
}
