/// Something a server wants of the client before it can answer: a request of its own in one era, an entry of
/// `inputRequests` in the other. The parameters are the same in both.
package struct ServerQuestion: Sendable {
    package enum Mode: Hashable, Sendable { case form, url }
    package enum Kind: Hashable, Sendable { case elicitation(Mode), sampling, roots }

    package let kind: Kind
    package let params: JSON?

    /// Nil for a method that asks nothing of a client.
    package init?(method: String, params: JSON?) {
        switch method {
        case "elicitation/create": kind = .elicitation(params?["mode"]?.string == "url" ? .url : .form)
        case "sampling/createMessage": kind = .sampling
        case "roots/list": kind = .roots
        default: return nil
        }
        self.params = params
    }

    package var method: String {
        switch kind {
        case .elicitation: "elicitation/create"
        case .sampling: "sampling/createMessage"
        case .roots: "roots/list"
        }
    }
}
