package import Gateway

/// What a server says it can do, in the handshake of one era or the answer to `server/discover` of the other.
package struct ServerOffer: Hashable, Sendable {
    package var kinds: Set<ListKind> = []
    /// Lists whose changes it announces.
    package var announced: Set<ListKind> = []
    package var subscribes = false
    package var completes = false
    package var logs = false
    package var extensions: Set<ClientCapabilities.Extension> = []
    package var instructions: String?

    package static let longestInstructions = 4096

    package init() {}

    /// - Parameter result: of `initialize` or `server/discover`.
    package init(_ result: JSON) {
        guard let capabilities = result["capabilities"] else { return }
        for (member, its) in [("tools", [ListKind.tools]), ("prompts", [.prompts]), ("resources", [.resources, .resourceTemplates])] {
            guard let offer = capabilities[member], offer.isObject else { continue }
            kinds.formUnion(its)
            if offer["listChanged"]?.bool ?? false { announced.formUnion(its) }
        }
        subscribes = capabilities["resources"]?["subscribe"]?.bool ?? false
        completes = capabilities["completions"]?.isObject ?? false
        logs = capabilities["logging"]?.isObject ?? false
        extensions = Set(ClientCapabilities.Extension.allCases.filter { capabilities["extensions"]?[$0.rawValue]?.isObject ?? false })
        instructions = result["instructions"]?.string.map { $0.cut(Self.longestInstructions) }
    }
}
