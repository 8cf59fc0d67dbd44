/// One of the lists a server has.
package enum ListKind: String, Hashable, Sendable, CaseIterable {
    case tools, prompts, resources, resourceTemplates

    package var method: String {
        switch self {
        case .tools: "tools/list"
        case .prompts: "prompts/list"
        case .resources: "resources/list"
        case .resourceTemplates: "resources/templates/list"
        }
    }

    /// The member of the result that holds the list.
    package var member: String { rawValue }
}
