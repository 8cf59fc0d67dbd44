import Gateway

/// Which of a tool's arguments are repeated in headers (`x-mcp-header` in its schema, `Mcp-Param-…` on the wire), so that what
/// stands between can route by them without reading the body.
package struct ParameterHeaders: Hashable, Sendable {
    private struct Entry: Hashable, Sendable {
        /// Names of properties, from the arguments down.
        let path: [String]
        /// In lower case, without the prefix.
        let token: String
        let spelling: String
        let isInteger: Bool
    }

    package static let none = ParameterHeaders(entries: [])
    package static let prefix = "mcp-param-"

    private let entries: [Entry]

    private init(entries: [Entry]) { self.entries = entries }

    /// Reads a tool's input schema; nil if an annotation in it is not one that every client could follow: such a tool is not to
    /// be shown (C-4).
    package init?(schema: JSON?) {
        guard let schema, Self.mentions(schema.bytes) else {
            self = .none
            return
        }
        var entries: [Entry] = []
        var rest: [(path: [String]?, schema: JSON)] = [([], schema)]
        while let (path, schema) = rest.popLast() {
            guard schema.isObject else { continue }
            if let annotation = schema["x-mcp-header"] {
                guard let path, !path.isEmpty, let token = annotation.string, Self.isToken(token), let type = schema["type"]?.string,
                    ["string", "integer", "boolean"].contains(type), !entries.contains(where: { $0.token == token.lowercased() })
                else { return nil }
                entries.append(Entry(path: path, token: token.lowercased(), spelling: token, isInteger: type == "integer"))
            }
            for (keyword, value) in schema.members {
                switch keyword {
                case "properties": rest += value.members.map { name, its in (path.map { $0 + [name] }, its) }
                case "patternProperties", "dependentSchemas", "$defs", "definitions": rest += value.members.map { (nil, $0.value) }
                case "allOf", "anyOf", "oneOf", "prefixItems": rest += value.elements.map { (nil, $0) }
                case "items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties", "not", "if", "then",
                    "else", "contentSchema":
                    rest.append((nil, value))
                default: break
                }
            }
        }
        self.entries = entries
    }

    /// Whether a header repeats an argument of this tool.
    private func declares(_ name: String) -> Bool { entries.contains { Self.prefix + $0.token == name.lowercased() } }

    /// The headers for these arguments, and those of the caller's that repeat nothing the tool declares.
    package func headers(for arguments: JSON?, besides travelling: [(name: String, value: String)]) -> [(String, String)] {
        let others = travelling.filter { !declares($0.name) }.map { ($0.name, $0.value) }
        return others
            + entries.compactMap { entry in
                Self.text(Self.value(arguments, at: entry.path)).map { ("Mcp-Param-\(entry.spelling)", HeaderValue.encoded($0)) }
            }
    }

    /// Checks that the caller's headers say what the arguments say (S-7).
    package func check(_ travelling: [(name: String, value: String)], against arguments: JSON?) throws(ProtocolError) {
        for entry in entries {
            let given = travelling.filter { $0.name.lowercased() == Self.prefix + entry.token }
            let name = "Mcp-Param-\(entry.spelling)"
            guard let expected = Self.text(Self.value(arguments, at: entry.path)) else {
                guard given.isEmpty else { throw .headerMismatch("The header \(name) repeats an argument that is not there.") }
                continue
            }
            guard given.count == 1, let value = HeaderValue.decoded(given[0].value) else {
                throw .headerMismatch("The header \(name) must be there once and repeat the argument “\(entry.path.joined(separator: ".").cut(64))”.")
            }
            let isSame = entry.isInteger ? Self.isSameNumber(value, expected) : value.utf8.elementsEqual(expected.utf8)
            guard isSame else { throw .headerMismatch("The header \(name) does not say what the argument says.") }
        }
    }

    /// Integers are compared by their value.
    private static func isSameNumber(_ left: String, _ right: String) -> Bool {
        if left == right { return true }
        guard let left = Double(left), let right = Double(right) else { return false }
        return left == right
    }

    private static func value(_ arguments: JSON?, at path: [String]) -> JSON? {
        path.reduce(arguments) { $0?[$1] }
    }

    /// Nil for what is not there, or has no form in a header.
    private static func text(_ value: JSON?) -> String? {
        guard let value else { return nil }
        switch value.kind {
        case .string: return value.string
        case .number, .true, .false: return value.text.description
        case .null, .object, .array: return nil
        }
    }

    /// RFC 9110, section 5.6.2.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 128
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// Whether there can be an annotation at all: most schemas have none, and are not walked.
    private static func mentions(_ bytes: ArraySlice<UInt8>) -> Bool {
        let needle = Array("mcp-header".utf8)
        var rest = bytes
        while let start = rest.firstIndex(of: needle[0]) {
            if rest[start...].starts(with: needle) { return true }
            rest = rest[(start + 1)...]
        }
        // Written with escapes it is the same name.
        return bytes.contains(UInt8(ascii: "\\"))
    }
}
