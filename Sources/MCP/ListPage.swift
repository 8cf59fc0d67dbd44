package import Gateway

/// A page of a list as a finished result, with room for the cursor of whoever reads it.
package struct ListPage: Sendable {
    private let head: JSONText
    private let whole: JSONText
    package let byteCount: Int
    /// After which entry the next page begins, by the name or URI it is shown under; nil for the last page.
    package let next: String?

    package init(_ answers: Answers, _ kind: ListKind, _ items: [JSONText], next: String?, in era: Revision.Era, notice: (String, JSONText)?) {
        whole = answers.list(kind, items, nextCursor: nil, in: era, notice: notice)
        head = JSONText(verbatim: whole.bytes.dropLast())
        byteCount = whole.bytes.count
        self.next = next
    }

    package func text(nextCursor: String?) -> JSONText {
        guard let nextCursor else { return whole }
        return JSONText(verbatim: head.bytes + Array(",\"nextCursor\":".utf8) + JSONText.string(nextCursor).bytes + [UInt8(ascii: "}")])
    }
}
