/// What a server asks for with `WWW-Authenticate: Bearer …` (RFC 6750, section 3; RFC 9728, section 5.1).
package struct BearerChallenge: Hashable, Sendable {
    private let parameters: [String: String]

    package var error: String? { parameters["error"] }
    package var scope: String? { parameters["scope"] }
    package var resourceMetadata: String? { parameters["resource_metadata"] }

    private static let longest = 8 << 10

    /// The first challenge of the scheme in the values of a header; nil if there is none, or it cannot be read.
    ///
    /// A parameter that is there twice is left out: readers differ in which counts.
    package init?(_ values: [String]) {
        for value in values where value.utf8.count <= Self.longest {
            if let found = Self.read(value) {
                parameters = found
                return
            }
        }
        return nil
    }

    private static func read(_ value: String) -> [String: String]? {
        var rest = Array(value.utf8)[...]
        var found: [String: String]?
        var twice: Set<String> = []
        while true {
            rest = rest.drop { isBlank($0) || $0 == UInt8(ascii: ",") }
            let name = String(decoding: rest.prefix(while: isTokenByte), as: UTF8.self).lowercased()
            guard !name.isEmpty else { break }
            rest = rest.dropFirst(name.utf8.count)
            let after = rest.drop(while: isBlank)
            guard after.first == UInt8(ascii: "=") else {
                // No parameter but a scheme: it begins the next challenge.
                if found != nil { break }
                if name == "bearer" { found = [:] }
                continue
            }
            guard let (text, end) = parameter(after.dropFirst().drop(while: isBlank)) else { return nil }
            rest = end
            guard found != nil else { continue }
            if found?.updateValue(text, forKey: name) != nil { twice.insert(name) }
        }
        for name in twice { found?[name] = nil }
        return found
    }

    /// A token or a quoted string, and what follows it.
    private static func parameter(_ bytes: ArraySlice<UInt8>) -> (String, ArraySlice<UInt8>)? {
        guard bytes.first == UInt8(ascii: "\"") else {
            let token = bytes.prefix { !isBlank($0) && $0 != UInt8(ascii: ",") }
            return (String(decoding: token, as: UTF8.self), bytes.dropFirst(token.count))
        }
        var (text, rest): ([UInt8], ArraySlice<UInt8>) = ([], bytes.dropFirst())
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self).map { ($0, rest) }
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst() else { return nil }
                text.append(escaped)
            default: text.append(byte)
            }
        }
        return nil
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}
