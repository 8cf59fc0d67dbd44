package import Gateway

/// What may be asked of a client while it waits for an answer, of what the gateway can carry.
///
/// A server is told what the client of that very request declared, never more: else it would ask for what nobody can
/// answer (C-11).
package struct ClientCapabilities: Hashable, Sendable {
    package var elicitsForms = false
    package var elicitsURLs = false
    package var samples = false
    package var samplesWithTools = false
    package var samplesWithContext = false
    package var listsRoots = false
    /// Of the extensions that the gateway carries, those the client declared.
    package var extensions: Set<Extension> = []

    /// An extension of MCP that the gateway carries from end to end.
    package enum Extension: String, Hashable, Sendable, CaseIterable {
        case tasks = "io.modelcontextprotocol/tasks"
        case apps = "io.modelcontextprotocol/ui"
    }

    package static let none = ClientCapabilities()

    package init() {}

    /// Reads a declaration of either era. Up to 2025-06-18 an empty `elicitation` means forms; so it does later.
    package init(_ declared: JSON) {
        if let elicitation = declared["elicitation"], elicitation.isObject {
            elicitsURLs = elicitation["url"]?.isObject ?? false
            elicitsForms = elicitation["form"]?.isObject ?? !elicitsURLs
        }
        if let sampling = declared["sampling"], sampling.isObject {
            samples = true
            samplesWithTools = sampling["tools"]?.isObject ?? false
            samplesWithContext = sampling["context"]?.isObject ?? false
        }
        listsRoots = declared["roots"]?.isObject ?? false
        extensions = Set(Extension.allCases.filter { declared["extensions"]?[$0.rawValue]?.isObject ?? false })
    }

    /// As a server of that revision is to read it. The modes of elicitation have names from 2025-11-25 on; before, there are forms alone.
    package func text(in revision: Revision) -> JSONText {
        let flag: (Bool) -> JSONText? = { $0 ? [:] : nil }
        let namesModes = revision >= .november2025
        let elicits = elicitsForms || (elicitsURLs && namesModes)
        let isModern = revision.era == .modern
        let carried = extensions.sorted { $0.rawValue < $1.rawValue }.map { ($0.rawValue, Optional([:] as JSONText)) }
        return .object([
            ("elicitation", elicits ? (namesModes ? ["form": flag(elicitsForms), "url": flag(elicitsURLs)] : [:]) : nil),
            ("sampling", samples ? ["tools": flag(samplesWithTools && namesModes), "context": flag(samplesWithContext && namesModes)] : nil),
            ("roots", flag(listsRoots)),
            ("extensions", isModern && !carried.isEmpty ? .object(carried) : nil),
        ])
    }

    /// What is left of it for a server that may ask for these kinds of things alone. Extensions ask nothing by themselves.
    package func limited(to kinds: Set<QuestionKind>) -> Self {
        var limited = self
        if !kinds.contains(.elicitation) { (limited.elicitsForms, limited.elicitsURLs) = (false, false) }
        if !kinds.contains(.sampling) { (limited.samples, limited.samplesWithTools, limited.samplesWithContext) = (false, false, false) }
        if !kinds.contains(.roots) { limited.listsRoots = false }
        return limited
    }

    /// Whether there is anything they can be asked.
    package var canBeAsked: Bool { elicitsForms || elicitsURLs || samples || listsRoots }

    /// Whether whoever declared this can be asked that.
    package func permits(_ question: ServerQuestion) -> Bool {
        switch question.kind {
        case .elicitation(.form): elicitsForms
        case .elicitation(.url): elicitsURLs
        case .sampling: samples
        case .roots: listsRoots
        }
    }
}
