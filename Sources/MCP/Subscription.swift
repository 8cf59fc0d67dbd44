package import Gateway

/// What a client wants to hear of: the filter of `subscriptions/listen`, or what a session has subscribed to.
package struct Interest: Hashable, Sendable {
    /// URIs that one stream or session may subscribe to.
    package static let mostResources = 256

    package var lists: Set<ListKind> = []
    package var resources: Set<String> = []

    package init(lists: Set<ListKind> = [], resources: Set<String> = []) {
        self.lists = lists
        self.resources = resources
    }

    /// Reads the filter of a `subscriptions/listen` (S-27). What is unknown is not honoured, and so not acknowledged.
    package init(_ filter: JSON?) throws(ProtocolError) {
        if filter?["toolsListChanged"]?.bool ?? false { lists.insert(.tools) }
        if filter?["promptsListChanged"]?.bool ?? false { lists.insert(.prompts) }
        if filter?["resourcesListChanged"]?.bool ?? false { lists.formUnion([.resources, .resourceTemplates]) }
        guard let named = filter?["resourceSubscriptions"] else { return }
        guard named.kind == .array, named.elements.count <= Self.mostResources, named.elements.allSatisfy({ $0.kind == .string }) else {
            throw .invalidParams("\"resourceSubscriptions\" is an array of at most \(Self.mostResources) URIs.")
        }
        resources = Set(named.elements.compactMap(\.string))
    }

    /// As an acknowledgement says it.
    package var text: JSONText {
        let flag: (ListKind) -> JSONText? = { lists.contains($0) ? true : nil }
        return [
            "toolsListChanged": flag(.tools), "promptsListChanged": flag(.prompts), "resourcesListChanged": flag(.resources),
            "resourceSubscriptions": resources.isEmpty ? nil : .array(resources.sorted().map { .string($0) }),
        ]
    }
}

/// Something a client hears of outside of any answer.
package enum Change: Hashable, Sendable {
    case list(ListKind)
    /// By the URI the endpoint shows it under.
    case resource(String)
    /// An elicitation by URL was dealt with, by the name the client knows it by.
    case elicitation(String)

    private var method: String {
        switch self {
        case .list(.tools): "notifications/tools/list_changed"
        case .list(.prompts): "notifications/prompts/list_changed"
        case .list(.resources), .list(.resourceTemplates): "notifications/resources/list_changed"
        case .resource: "notifications/resources/updated"
        case .elicitation: "notifications/elicitation/complete"
        }
    }

    /// - Parameter subscription: the id of the `subscriptions/listen` that wanted it; nil for a session's stream.
    package func notification(for subscription: MessageID?) -> JSONText {
        let meta: JSONText? = subscription.map { .object([(ModernKey.subscriptionID, $0.text)]) }
        switch self {
        case .list: return Message.notification(method: method, params: meta.map { ["_meta": $0] })
        case .resource(let uri): return Message.notification(method: method, params: ["uri": .string(uri), "_meta": meta])
        case .elicitation(let id): return Message.notification(method: method, params: ["elicitationId": .string(id)])
        }
    }
}

extension Answers {
    /// The first message of a `subscriptions/listen` stream.
    package func acknowledged(_ interest: Interest, of subscription: MessageID) -> JSONText {
        Message.notification(
            method: "notifications/subscriptions/acknowledged",
            params: ["notifications": interest.text, "_meta": .object([(ModernKey.subscriptionID, subscription.text)])])
    }

    /// Its last, where the gateway ends it.
    package func listenEnded(_ subscription: MessageID) -> JSONText {
        let meta: JSONText = .object([(ModernKey.subscriptionID, subscription.text), (ModernKey.serverInfo, gateway.text)])
        return Message.result(["resultType": "complete", "_meta": meta], to: subscription)
    }
}
