package import Gateway

/// That of a server's list only the beginning is used.
package struct ListCut: Hashable, Sendable {
    /// What it was about the list.
    package enum Reason: Hashable, Sendable {
        /// It has more entries than are taken of one list.
        case entries
        /// It goes on after the last page that is asked for.
        case pages(Int)
        /// A cursor of it led back to a page that was read before.
        case circle
    }

    package let kind: ListKind
    package let kept: Int
    package let reason: Reason

    package init(_ kind: ListKind, kept: Int, _ reason: Reason) {
        self.kind = kind
        self.kept = kept
        self.reason = reason
    }

    package var sentence: String {
        let why =
            switch reason {
            case .entries: "it lists more, and no more are taken"
            case .pages(let most): "it has more than \(most) pages of them, and no more are read"
            case .circle: "from there on its pages repeat themselves"
            }
        return "of its \(kind.noun) the first \(kept) are used: \(why)"
    }
}

extension ListKind {
    var noun: String { self == .resourceTemplates ? "resource templates" : rawValue }
}
