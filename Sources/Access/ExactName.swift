/// A name by its bytes: strings that only look alike are equal to Swift, and two tools to their server.
package struct ExactName: Hashable, Sendable {
    package let text: String
    package init(_ text: String) { self.text = text }
    package static func == (left: Self, right: Self) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    package func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension ExactName: Comparable {
    /// As SQLite sorts texts.
    package static func < (left: Self, right: Self) -> Bool { left.text.utf8.lexicographicallyPrecedes(right.text.utf8) }
}
