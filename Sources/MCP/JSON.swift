// Strict JSON over bytes (RFC 8259, and I-JSON's rules on names and surrogates).
//
// A gateway whose parser is laxer than the upstream's lets a request mean one thing to the policy and another to
// the server. So the whole text is checked once: the grammar, UTF-8, paired surrogates, no repeated member names
// (compared after unescaping), no byte order mark, no numbers that overflow a Double. What was parsed is a flat list of
// nodes over the original bytes; values that are not ours are passed on as those bytes and never written anew.

/// A value inside a parsed document. Copying it copies a reference and an index.
package struct JSON: Sendable {
    package enum Kind: UInt8, Sendable {
        case object, array, string, number, `true`, `false`, null
    }

    /// How much a document may hold before it is refused. Members' names count as nodes too.
    package struct Limits: Sendable {
        package var depth: Int
        package var nodes: Int

        package init(depth: Int = 64, nodes: Int = 200_000) {
            self.depth = depth
            self.nodes = nodes
        }
    }

    final class Document: Sendable {
        let bytes: [UInt8]
        let nodes: [Node]

        init(bytes: [UInt8], nodes: [Node]) {
            self.bytes = bytes
            self.nodes = nodes
        }
    }

    /// Nodes stand in reading order: a container is followed by its contents, a member by its name and its value.
    struct Node: Sendable {
        var kind: Kind
        var hasEscapes = false
        var start: UInt32
        var end: UInt32 = 0
        /// The index after this node's last descendant.
        var next: UInt32 = 0
    }

    let document: Document
    let index: Int

    /// Parses a whole document.
    ///
    /// - Throws: `JSONError` with the byte offset of the first defect. Texts over 4 GiB are not accepted.
    package init(parsing bytes: [UInt8], limits: Limits = Limits()) throws(JSONError) {
        guard bytes.count < Int(UInt32.max) else { throw JSONError(.tooLarge, at: bytes.count) }
        var parser = JSONParser(limits: limits)
        let failure = bytes.withUnsafeBufferPointer { parser.parseDocument($0) }
        if let failure { throw failure }
        document = Document(bytes: bytes, nodes: parser.nodes)
        index = 0
    }

    private init(_ document: Document, _ index: Int) {
        self.document = document
        self.index = index
    }

    private var node: Node { document.nodes[index] }

    package var kind: Kind { node.kind }
    package var isObject: Bool { kind == .object }
    package var isNull: Bool { kind == .null }

    /// The value exactly as it was written.
    package var bytes: ArraySlice<UInt8> { document.bytes[Int(node.start)..<Int(node.end)] }

    /// The value exactly as it was written, to be put into another text.
    package var text: JSONText { JSONText(verbatim: bytes) }

    /// The member of that name, if this is an object that has one.
    package subscript(name: String) -> JSON? {
        guard kind == .object else { return nil }
        var wanted = name
        return wanted.withUTF8 { wanted in
            var position = index + 1
            while position < Int(node.next) {
                let key = JSON(document, position)
                if key.equals(wanted) { return JSON(document, position + 1) }
                position = Int(document.nodes[position + 1].next)
            }
            return nil
        }
    }

    /// An object's members in the order they were written; nothing for any other kind.
    package var members: [(name: String, value: JSON)] {
        guard kind == .object else { return [] }
        var found: [(name: String, value: JSON)] = []
        var position = index + 1
        while position < Int(node.next) {
            found.append((JSON(document, position).string ?? "", JSON(document, position + 1)))
            position = Int(document.nodes[position + 1].next)
        }
        return found
    }

    /// An array's elements in order; nothing for any other kind.
    package var elements: [JSON] {
        guard kind == .array else { return [] }
        var found: [JSON] = []
        var position = index + 1
        while position < Int(node.next) {
            found.append(JSON(document, position))
            position = Int(document.nodes[position].next)
        }
        return found
    }

    package var string: String? {
        guard kind == .string else { return nil }
        let inner = document.bytes[Int(node.start) + 1..<Int(node.end) - 1]
        return String(decoding: node.hasEscapes ? JSON.unescaped(inner) : Array(inner), as: UTF8.self)
    }

    package var bool: Bool? {
        switch kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The value of a number written as an integer (no fraction, no exponent) that fits 64 bits.
    package var integer: Int64? {
        guard kind == .number else { return nil }
        return Int64(String(decoding: bytes, as: UTF8.self))
    }

    package var double: Double? {
        guard kind == .number else { return nil }
        return Double(String(decoding: bytes, as: UTF8.self))
    }

    private func equals(_ wanted: UnsafeBufferPointer<UInt8>) -> Bool {
        let inner = document.bytes[Int(node.start) + 1..<Int(node.end) - 1]
        return node.hasEscapes ? JSON.unescaped(inner).elementsEqual(wanted) : inner.elementsEqual(wanted)
    }

    /// Unescapes the inside of a string that the parser accepted.
    static func unescaped(_ inner: some Collection<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(inner.count)
        var iterator = inner.makeIterator()
        func hexadecimal() -> UInt32 {
            var value: UInt32 = 0
            for _ in 0..<4 { value = value << 4 | UInt32(hexadecimalValue(iterator.next() ?? 0x30) ?? 0) }
            return value
        }
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "\\"), let escape = iterator.next() else {
                out.append(byte)
                continue
            }
            switch escape {
            case UInt8(ascii: "b"): out.append(0x08)
            case UInt8(ascii: "f"): out.append(0x0C)
            case UInt8(ascii: "n"): out.append(0x0A)
            case UInt8(ascii: "r"): out.append(0x0D)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "u"):
                var scalar = hexadecimal()
                if (0xD800..<0xDC00).contains(scalar) {
                    _ = iterator.next()
                    _ = iterator.next()
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + (hexadecimal() - 0xDC00)
                }
                out.append(contentsOf: Array(String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8))
            default: out.append(escape)
            }
        }
        return out
    }
}

func hexadecimalValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

/// Where a text stops being JSON as we accept it, and why.
package struct JSONError: Error, Hashable, Sendable {
    package enum Reason: String, Sendable {
        case syntax = "not JSON"
        case encoding = "not UTF-8"
        case byteOrderMark = "a byte order mark is not part of JSON"
        case surrogate = "an unpaired surrogate"
        case repeatedName = "a member name that was used already in the same object"
        case number = "a number out of range"
        case tooDeep = "nested too deeply"
        case tooMany = "too many values"
        case tooLarge = "too large"
    }

    package let reason: Reason
    package let offset: Int

    init(_ reason: Reason, at offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    package var sentence: String { "The body was refused at byte \(offset): \(reason.rawValue)." }
}
