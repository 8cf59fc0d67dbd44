/// What a server may ask users for in the middle of a call, as far as its owner lets it.
package enum QuestionKind: String, Sendable, CaseIterable {
    /// Forms to fill in, and URLs to open.
    case elicitation
    /// Words of the user's model.
    case sampling
    /// Names of folders that the user works in.
    case roots
}

extension Set<QuestionKind> {
    package static var everything: Self { Set(QuestionKind.allCases) }

    /// Always in the same order.
    package var names: [String] { QuestionKind.allCases.filter(contains).map(\.rawValue) }
}
