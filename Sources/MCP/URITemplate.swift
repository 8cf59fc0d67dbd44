/// A URI template (RFC 6570) as far as it takes to tell whether a URI may have come of it: an expression stands for any text
/// without a slash, or with `+`, `#` or `/` before its names for any text at all.
package struct URITemplate: Sendable {
    private enum Piece: Sendable { case literal([UInt8]), some(mayHoldSlashes: Bool) }

    /// Expressions that one template may have: matching takes no longer than the product of them and the URI's length.
    private static let mostExpressions = 16

    private let pieces: [Piece]

    /// Nil for a text with braces that do not match, or without any.
    package init?(_ text: String) {
        var pieces: [Piece] = []
        var rest = Array(text.utf8)[...]
        while let open = rest.firstIndex(of: UInt8(ascii: "{")) {
            guard let close = rest[open...].firstIndex(of: UInt8(ascii: "}")), close > open + 1 else { return nil }
            if open > rest.startIndex { pieces.append(.literal(Array(rest[..<open]))) }
            pieces.append(.some(mayHoldSlashes: [UInt8(ascii: "+"), UInt8(ascii: "#"), UInt8(ascii: "/")].contains(rest[open + 1])))
            rest = rest[(close + 1)...]
        }
        guard !pieces.isEmpty, pieces.count <= 2 * Self.mostExpressions, !rest.contains(UInt8(ascii: "}")) else { return nil }
        if !rest.isEmpty { pieces.append(.literal(Array(rest))) }
        self.pieces = pieces
    }

    package func matches(_ uri: String) -> Bool {
        let bytes = Array(uri.utf8)
        // The places in the URI that the pieces so far can end at.
        var ends: Set<Int> = [0]
        for piece in pieces {
            var next: Set<Int> = []
            for end in ends {
                switch piece {
                case .literal(let literal): if bytes[end...].starts(with: literal) { next.insert(end + literal.count) }
                case .some(let mayHoldSlashes):
                    let stop = mayHoldSlashes ? bytes.count : bytes[end...].firstIndex(of: UInt8(ascii: "/")) ?? bytes.count
                    next.formUnion(end...stop)
                }
            }
            ends = next
        }
        return ends.contains(bytes.count)
    }
}
