/// Arguments of a tool that its schema wants repeated in headers (`x-mcp-header`), for whoever routes without reading bodies.
package struct ParameterHeaders: Sendable {
    private struct Parameter {
        let path: [String]
        let header: String
    }

    /// Why no client may offer the tool (C-4).
    package struct Invalid: Error {}

    private static let key = "x-mcp-header"
    private static let prefix = "Mcp-Param-"
    /// Members whose values are schemas by name.
    private static let maps: Set<String> = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]
    /// Members whose values are data.
    private static let data: Set<String> = ["const", "enum", "default", "examples", "required", "dependentRequired", "$vocabulary"]

    private var parameters: [Parameter] = []

    /// Nil if the schema wants no such thing.
    ///
    /// - Throws: `Invalid` for an annotation that is no token, is there twice, stands on what is no string, integer or boolean, or where
    ///   no argument is sure to be found.
    package init?(schema: JSON) throws(Invalid) {
        try walk(schema, path: [])
        if parameters.isEmpty { return nil }
    }

    /// - Parameter path: of the argument; nil off the chain of plain `properties`.
    private mutating func walk(_ schema: JSON, path: [String]?) throws(Invalid) {
        for (name, value) in schema.members {
            if name == Self.key {
                try note(value, on: schema, path)
            } else if Self.maps.contains(name) {
                for (member, its) in value.members { try walk(its, path: name == "properties" ? path.map { $0 + [member] } : nil) }
            } else if !Self.data.contains(name) && !name.hasPrefix("x-") {
                for part in value.kind == .array ? value.elements : [value] { try walk(part, path: nil) }
            }
        }
    }

    private mutating func note(_ value: JSON, on schema: JSON, _ path: [String]?) throws(Invalid) {
        guard let path, !path.isEmpty, let token = value.string, Self.isToken(token),
            let type = schema["type"]?.string, ["string", "integer", "boolean"].contains(type),
            !parameters.contains(where: { $0.header.lowercased() == (Self.prefix + token).lowercased() })
        else { throw Invalid() }
        parameters.append(Parameter(path: path, header: Self.prefix + token))
    }

    /// RFC 9110, 5.6.2.
    private static func isToken(_ text: String) -> Bool {
        let marks = Set("!#$%&'*+-.^_`|~".utf8)
        return !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
                default: marks.contains(byte)
                }
            }
    }

    /// The headers that go with these arguments, in place of those of the same names.
    package func headers(for arguments: JSON?, besides others: [(name: String, value: String)]) -> [(String, String)] {
        let own = Set(parameters.map { $0.header.lowercased() })
        return others.filter { !own.contains($0.name.lowercased()) }.map { ($0.name, $0.value) }
            + parameters.compactMap { parameter in
                Self.text(Self.value(at: parameter.path, in: arguments)).map { (parameter.header, HeaderValue.encoded($0)) }
            }
    }

    /// Fails unless each header says what the argument says, and is there only with it (S-7).
    package func check(_ headers: [(name: String, value: String)], against arguments: JSON?) throws(ProtocolError) {
        for parameter in parameters {
            let values = headers.filter { $0.name.lowercased() == parameter.header.lowercased() }.map(\.value)
            let place = "“\(parameter.path.joined(separator: "."))”"
            guard let value = Self.value(at: parameter.path, in: arguments), let text = Self.text(value) else {
                guard values.isEmpty else { throw .headerMismatch("The header \(parameter.header) is there, and the argument \(place) is not.") }
                continue
            }
            guard values.count == 1, let said = HeaderValue.decoded(values[0]) else {
                throw .headerMismatch("The header \(parameter.header) must be there once and repeat the argument \(place).")
            }
            let isEqual = said.utf8.elementsEqual(text.utf8) || (value.kind == .number && Double(said) == value.double && Double(said) != nil)
            guard isEqual else { throw .headerMismatch("The header \(parameter.header) does not equal the argument \(place).") }
        }
    }

    private static func value(at path: [String], in arguments: JSON?) -> JSON? {
        let value = path.reduce(arguments) { $0?[$1] }
        return value?.isNull ?? true ? nil : value
    }

    private static func text(_ value: JSON?) -> String? {
        switch value?.kind {
        case .string: value?.string
        case .number: value?.text.description
        default: value?.bool.map { $0 ? "true" : "false" }
        }
    }
}
