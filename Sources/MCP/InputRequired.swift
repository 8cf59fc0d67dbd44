import Gateway

/// What a server of the stateless era needs before it can answer (M-1, M-2): questions, each under a key of the server's, and
/// something it wants back unread.
package struct InputRequired: Sendable {
    /// Questions that one round may have.
    package static let mostQuestions = 16
    /// Bytes that a state may have.
    package static let longestState = 256 << 10

    package let questions: [(key: String, question: ServerQuestion)]
    package let state: String?

    package init(questions: [(key: String, question: ServerQuestion)], state: String?) {
        self.questions = questions
        self.state = state
    }

    /// Nil for a result that asks nothing.
    ///
    /// - Throws: `ProtocolError` for one that asks what nobody could answer.
    package init?(_ result: JSON) throws(ProtocolError) {
        guard ModernAnswer.isQuestion(result) else { return nil }
        var questions: [(key: String, question: ServerQuestion)] = []
        for (key, request) in result["inputRequests"]?.members ?? [] {
            guard let method = request["method"]?.string, let question = ServerQuestion(method: method, params: request["params"]) else {
                throw .unreadableQuestion
            }
            if let objection = question.objection { throw .objectionable(objection) }
            questions.append((key, question))
        }
        if let state = result["requestState"], state.kind != .string { throw .unreadableQuestion }
        state = result["requestState"]?.string
        guard !questions.isEmpty || state != nil, questions.count <= Self.mostQuestions, (state?.utf8.count ?? 0) <= Self.longestState else {
            throw .unreadableQuestion
        }
        self.questions = questions
    }
}

extension InputRequired {
    /// What an error -32042 of a server with a handshake asks for; nil for any other error.
    package init?(urlsIn error: ProtocolError) {
        guard error.code == -32042, let data = error.data.flatMap({ try? JSON(parsing: $0.bytes) }), let asked = data["elicitations"]?.elements,
            (1...Self.mostQuestions).contains(asked.count)
        else { return nil }
        var questions: [(key: String, question: ServerQuestion)] = []
        for (number, params) in asked.enumerated() {
            guard params["mode"]?.string == "url", let question = ServerQuestion(method: "elicitation/create", params: params),
                question.objection == nil
            else { return nil }
            questions.append(("url\(number + 1)", question))
        }
        self.init(questions: questions, state: nil)
    }

    /// What a task waits for, as far as it can be read.
    package static func questions(ofTask result: JSON) -> [ServerQuestion] {
        (result["inputRequests"]?.members ?? []).compactMap { _, request in
            request["method"]?.string.flatMap { ServerQuestion(method: $0, params: request["params"]) }
        }
    }

    package func isPermitted(by capabilities: ClientCapabilities?) -> Bool { questions.allSatisfy { (capabilities ?? .none).permits($0.question) } }
}

extension Answers {
    /// The answer that asks, for a client of the stateless era.
    ///
    /// - Parameters:
    ///   - state: what the client is to bring back, sealed.
    ///   - asker: who asks, put before what people read; nil where the client knows.
    package func inputRequired(_ questions: [(key: String, question: ServerQuestion)], state: String, asker: String?) -> JSONText {
        let requests = questions.map { ($0.key, Optional($0.question.text(asker: asker, in: .newest))) }
        return [
            "resultType": "input_required", "inputRequests": requests.isEmpty ? nil : .object(requests), "requestState": .string(state),
            "_meta": .object([(ModernKey.serverInfo, gateway.text)]),
        ]
    }
}

extension ServerQuestion {
    /// As an entry of `inputRequests`.
    func text(asker: String?, in revision: Revision) -> JSONText {
        ["method": .string(method), "params": params(asker: asker, in: revision)]
    }

    /// The parameters for a client of that revision.
    ///
    /// - Parameters:
    ///   - asker: who asks, put before what people read; nil where the client knows (the client can only name the gateway).
    ///   - id: names an elicitation by URL, which a client with a handshake wants; in place of the server's own, for two servers may have
    ///     the same.
    package func params(asker: String?, in revision: Revision, id: String? = nil) -> JSONText? {
        guard let params else { return nil }
        var changes: [(String, JSONText?)] = []
        if case .elicitation(let mode) = kind {
            if let asker, let message = params["message"]?.string { changes.append(("message", .string("\(asker): \(message)"))) }
            if revision < .november2025 && params["mode"] != nil { changes.append(("mode", nil)) }
            if revision.era == .modern { changes.append(("elicitationId", nil)) }
            if mode == .url && revision.era == .legacy { changes.append(("elicitationId", id.map { .string($0) })) }
        }
        if let meta = params["_meta"] { changes.append(("_meta", ModernAnswer.strippedMeta(meta, adding: []))) }
        return changes.isEmpty ? params.text : params.replacing(changes)
    }
}

extension ProtocolError {
    /// The same error (-32042) with the elicitations that it wants under other names.
    ///
    /// - Parameter rename: is given the server's name, or nil for one that is none.
    package func renamingElicitations(_ rename: (String?) -> String) -> Self {
        guard code == -32042, let data = data.flatMap({ try? JSON(parsing: $0.bytes) }), let asked = data["elicitations"], asked.kind == .array else {
            return self
        }
        let renamed = asked.elements.map { wanted in
            let name = ServerQuestion(method: "elicitation/create", params: wanted)?.elicitationID
            return wanted.isObject ? wanted.replacing([("elicitationId", .string(rename(name)))]) : wanted.text
        }
        return Self(code: code, message: message, data: data.replacing([("elicitations", .array(renamed))]), place: place)
    }
}

extension Incoming {
    /// What the client brings back with a retry.
    package var requestState: String? { params?["requestState"]?.string }
    package var inputResponses: JSON? { params?["inputResponses"].flatMap { $0.isObject ? $0 : nil } }
    package var isRetry: Bool { params?["requestState"] != nil || params?["inputResponses"] != nil }
}

extension ProtocolError {
    static let unreadableQuestion = ProtocolError(code: -32603, message: "The server asked for something in a way that nobody could answer.")

    static func objectionable(_ objection: String) -> Self {
        Self(code: -32603, message: "The server asked for something that nobody is asked. \(objection)")
    }

    /// The client cannot be asked what a server needs to ask (S-9, B.7).
    package static func cannotBeAsked(_ kind: ServerQuestion.Kind, in era: Revision.Era) -> Self {
        let (name, capability): (String, JSONText) =
            switch kind {
            case .elicitation(.form): ("elicitation by forms", ["elicitation": ["form": [:]]])
            case .elicitation(.url): ("elicitation by URL", ["elicitation": ["url": [:]]])
            case .sampling: ("sampling", ["sampling": [:]])
            case .roots: ("roots", ["roots": [:]])
            }
        let sentence =
            "The server needs to ask your client for something, and your client did not declare that it can be asked, or the server's owner does not allow it: \(name)."
        switch era {
        case .modern: return Self(code: -32021, message: sentence, data: ["requiredCapabilities": capability], place: .envelope)
        case .legacy: return Self(code: -32603, message: sentence, data: ["requiredCapabilities": capability])
        }
    }

    /// A state that was not made for this caller and this very request, or whose time is over.
    package static let staleState = invalidParams(
        "\"requestState\" is not one that was given for this request, or its time is over. Make the request again without it.")
}
