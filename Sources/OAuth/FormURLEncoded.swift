/// `application/x-www-form-urlencoded`, as OAuth uses it in queries, forms and credentials (RFC 6749, appendix B).
package enum FormURLEncoded {
    package static let longest = 32 << 10
    package static let mostPairs = 100

    /// The pairs in the order they came; a pair without `=` has an empty value.
    ///
    /// - Throws: `invalid_request` for broken escapes, what is not UTF-8, and more than 100 pairs or 32 KiB.
    package static func pairs(_ bytes: some Collection<UInt8>) throws(OAuthError) -> [(name: String, value: String)] {
        guard bytes.count <= longest else { throw OAuthError(.invalidRequest, "The parameters have at most \(longest) bytes.") }
        let parts = bytes.split(separator: UInt8(ascii: "&"))
        guard parts.count <= mostPairs else { throw OAuthError(.invalidRequest, "There are at most \(mostPairs) parameters.") }
        var pairs: [(name: String, value: String)] = []
        for part in parts {
            let name = part.prefix { $0 != UInt8(ascii: "=") }
            guard let decodedName = decode(name), let value = decode(part.dropFirst(name.count + 1)) else {
                throw OAuthError(.invalidRequest, "The parameters are form-encoded UTF-8.")
            }
            pairs.append((decodedName, value))
        }
        return pairs
    }

    /// Nil for broken escapes and what is not UTF-8.
    static func decode(_ bytes: some Collection<UInt8>) -> String? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "+"): decoded.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = iterator.next().flatMap(URIText.hexadecimal), let low = iterator.next().flatMap(URIText.hexadecimal) else {
                    return nil
                }
                decoded.append(high << 4 | low)
            default: decoded.append(byte)
            }
        }
        return String(validating: decoded, as: UTF8.self)
    }

    /// Everything but letters, digits, `-`, `.`, `_` and `~` escaped, a space too: good in a query and in a form.
    package static func encode(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            if URIText.isUnreserved(byte) {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 0xF)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    /// Pairs as a query or form.
    package static func encode(_ pairs: [(name: String, value: String)]) -> String {
        pairs.map { encode($0.name) + "=" + encode($0.value) }.joined(separator: "&")
    }
}

/// The parameters of a request to an OAuth endpoint.
package struct Parameters: Sendable {
    private let pairs: [(name: String, value: String)]

    /// - Parameter pairs: decoded, in the order they came.
    package init(_ pairs: [(name: String, value: String)]) {
        // Without a value is as good as left out (RFC 6749, section 3.1).
        self.pairs = pairs.filter { !$0.value.isEmpty }
    }

    /// A query or a form as it came.
    ///
    /// - Throws: `invalid_request`.
    package init(encoded bytes: some Collection<UInt8>) throws(OAuthError) { self.init(try FormURLEncoded.pairs(bytes)) }

    /// Every value of a parameter that may be there several times.
    package func all(_ name: String) -> [String] { pairs.filter { $0.name == name }.map(\.value) }

    /// - Throws: `invalid_request` for one that is there twice, or is longer than that many bytes.
    package func one(_ name: String, longest: Int = 2048) throws(OAuthError) -> String? {
        let values = all(name)
        guard values.count <= 1 else { throw OAuthError(.invalidRequest, "\"\(name)\" is there more than once.") }
        guard let value = values.first else { return nil }
        guard value.utf8.count <= longest else { throw OAuthError(.invalidRequest, "\"\(name)\" has at most \(longest) bytes.") }
        return value
    }

    /// Whether there is any value of it.
    package func has(_ name: String) -> Bool { pairs.contains { $0.name == name } }

    /// - Throws: `invalid_request` if any but these is there twice.
    func checkOnce(except names: Set<String>) throws(OAuthError) {
        var seen: Set<String> = []
        for pair in pairs where !names.contains(pair.name) && !seen.insert(pair.name).inserted {
            throw OAuthError(.invalidRequest, "A parameter is there more than once.")
        }
    }
}

/// The resources somebody asks a token for (RFC 8707, section 2).
enum ResourceParameter {
    static let most = 10

    /// In their canonical form, each once.
    ///
    /// - Throws: `invalid_target`.
    static func read(_ parameters: Parameters, isOurs: (String) -> String?) throws(OAuthError) -> [String] {
        let values = parameters.all("resource")
        guard values.count <= most else { throw OAuthError(.invalidTarget, "\"resource\" is there at most \(most) times.") }
        var found: [String] = []
        for value in values {
            guard value.utf8.count <= 2048, let canonical = isOurs(value) else {
                throw OAuthError(.invalidTarget, "\"resource\" is not one of this gateway's.")
            }
            if !found.contains(canonical) { found.append(canonical) }
        }
        return found
    }
}
