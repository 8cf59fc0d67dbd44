import Gateway

/// What a tool says of itself, as far as a person or a model decides by it to use the tool: what its pin is taken over.
package struct ToolDefinition: Sendable {
    /// The members that count, in the order in which people read them. Others (`icons`, `_meta`, `execution`) may change freely: they
    /// are no instructions, and servers write into them what differs with every list.
    package static let members = ["name", "title", "description", "annotations", "inputSchema", "outputSchema"]
    /// Bytes of a name. MCP recommends 128.
    package static let longestName = 512

    package let name: String
    /// The object of those members that the tool has, in the canonical form.
    package let canonical: [UInt8]

    /// Nil for what no client could use: a tool without a name, with one that is too long or holds a NUL, or whose input schema
    /// describes no object.
    package init?(_ tool: JSON) {
        guard let name = tool["name"]?.string, (1...Self.longestName).contains(name.utf8.count), !name.utf8.contains(0),
            tool["inputSchema"]?["type"]?.string == "object"
        else { return nil }
        self.name = name
        canonical = JSON.canonical(Self.members.compactMap { name in tool[name].map { (name, $0) } })
    }
}

// MARK: For people

extension ToolDefinition {
    /// Scalars in a line; longer ones go on in the next, so that a difference is found wherever it is.
    private static let width = 120

    /// A canonical definition in lines: texts as they read, schemas a value a line. What cannot be seen is shown by its number.
    ///
    /// - Returns: about as many lines as there are values and line breaks; nothing for what is no definition.
    package static func lines(of canonical: String) -> [String] {
        guard let json = try? JSON(parsing: Array(canonical.utf8)) else { return [] }
        var lines: [String] = []
        for name in members {
            guard let value = json[name] else { continue }
            if let text = value.string {
                let paragraphs = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
                if paragraphs.count == 1 {
                    add("\(name): \(paragraphs[0])", indent: "", to: &lines)
                } else {
                    lines.append("\(name):")
                    for paragraph in paragraphs { add(paragraph, indent: "  ", to: &lines) }
                }
            } else {
                add(value, after: "\(name): ", before: "", indent: "", to: &lines)
            }
        }
        return lines
    }

    private static func add(_ value: JSON, after label: String, before comma: String, indent: String, to lines: inout [String]) {
        let (opening, closing) = value.isObject ? ("{", "}") : ("[", "]")
        let parts: [(label: String, value: JSON)] =
            value.isObject
            ? value.members.map { (String(decoding: JSONText.string($0.name).bytes, as: UTF8.self) + ": ", $0.value) }
            : value.elements.map { ("", $0) }
        guard !parts.isEmpty else { return add(label + value.text.description + comma, indent: indent, to: &lines) }
        add(label + opening, indent: indent, to: &lines)
        for (place, part) in parts.enumerated() {
            add(part.value, after: part.label, before: place == parts.count - 1 ? "" : ",", indent: indent + "  ", to: &lines)
        }
        add(closing + comma, indent: indent, to: &lines)
    }

    private static func add(_ text: String, indent: String, to lines: inout [String]) {
        var rest = text.showingTheInvisible.unicodeScalars[...]
        var margin = indent
        repeat {
            lines.append(margin + String(rest.prefix(width)))
            rest = rest.dropFirst(width)
            margin = indent + "… "
        } while !rest.isEmpty
    }
}

extension String {
    /// The same with everything written out that a reader would not see: controls, marks of direction, joiners, tags, blanks of no
    /// width, what has no character. A text can hide instructions to a model in those.
    package var showingTheInvisible: String {
        guard unicodeScalars.contains(where: { $0.isInvisible }) else { return self }
        return unicodeScalars.map { $0.isInvisible ? "\\u{\(String($0.value, radix: 16, uppercase: true))}" : String($0) }.joined()
    }
}

extension Unicode.Scalar {
    fileprivate var isInvisible: Bool {
        if (0x20..<0x7F).contains(value) { return false }
        switch properties.generalCategory {
        case .control, .format, .privateUse, .surrogate, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: return true
        default: return properties.isDefaultIgnorableCodePoint
        }
    }
}
