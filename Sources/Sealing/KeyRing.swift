import COpenSSL
package import Gateway

/// The keys of an instance: the current one seals, older ones only open.
///
/// In a file each stands on a line of its own, the current one first: 64 hexadecimal digits, or its 32 bytes in base64.
/// Blank lines and lines that begin with `#` are allowed, and nothing else.
package struct KeyRing: Sendable {
    /// Each key more is one more to lose.
    package static let mostKeys = 16

    /// What is wrong with a text that should hold keys. It never repeats any of it.
    package struct Unreadable: Error, Hashable, Sendable, CustomStringConvertible {
        package let description: String
    }

    package let current: SealingKey
    /// In the order of the file.
    package let older: [SealingKey]

    /// A ring of one new key.
    package static func generate() throws(SealingFailure) -> Self { Self(current: try .generate(), older: []) }

    init(current: SealingKey, older: [SealingKey]) {
        self.current = current
        self.older = older
    }

    package init(text: Secret<String>) throws(Unreadable) {
        var keys: [SealingKey] = []
        var lines: [SealingKey.ID: Int] = [:]
        for (index, bytes) in text.revealed.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if bytes.first == UInt8(ascii: "#") || bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            let line = index + 1
            var decoded = Self.decode(Array(bytes))
            defer { wipe(&decoded) }
            guard decoded.count == SealingKey.length else {
                throw Unreadable(description: "line \(line) is neither 64 hexadecimal digits nor 32 bytes in base64")
            }
            guard let key = SealingKey(Secret(decoded)) else { throw Unreadable(description: "line \(line) is a placeholder, not a key") }
            if let earlier = lines.updateValue(line, forKey: key.id) {
                throw Unreadable(description: "line \(line) repeats the key of line \(earlier)")
            }
            keys.append(key)
            guard keys.count <= Self.mostKeys else { throw Unreadable(description: "there are more than \(Self.mostKeys) keys") }
        }
        guard let first = keys.first else { throw Unreadable(description: "there is no key in it") }
        self.init(current: first, older: Array(keys.dropFirst()))
    }

    /// As it is kept in a file. Comments of a file it was read from are not in it.
    package var text: Secret<String> { Secret(keys.map { $0.line.revealed + "\n" }.joined()) }

    /// The same with one more key in front, which seals from then on.
    ///
    /// - Throws: `Unreadable` when there are as many as may be: delete old ones first that nothing is sealed with.
    package func adding(_ key: SealingKey) throws(Unreadable) -> Self {
        guard keys.count < Self.mostKeys else {
            throw Unreadable(description: "there are \(Self.mostKeys) keys already; delete those that nothing is sealed with")
        }
        guard self.key(key.id) == nil else { throw Unreadable(description: "the key \(key.id) is there already") }
        return Self(current: key, older: keys)
    }

    /// The current one first.
    package var keys: [SealingKey] { [current] + older }

    /// Nil for one that is not on the ring.
    package func key(_ id: SealingKey.ID) -> SealingKey? { current.id == id ? current : older.first { $0.id == id } }

    /// Empty for anything but the two forms.
    private static func decode(_ line: [UInt8]) -> [UInt8] {
        switch line.count {
        case SealingKey.length * 2: decodeHexadecimal(line)
        case 44: decodeBase64(line)
        default: []
        }
    }

    private static func decodeHexadecimal(_ line: [UInt8]) -> [UInt8] {
        let digits = line.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == line.count else { return [] }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    private static func decodeBase64(_ line: [UInt8]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 33)
        guard EVP_DecodeBlock(&bytes, line, Int32(line.count)) == bytes.count else { return [] }
        bytes.removeLast()
        // OpenSSL forgives blanks, and bits that mean nothing: two spellings would be one key.
        var again = [UInt8](repeating: 0, count: 45)
        let count = EVP_EncodeBlock(&again, bytes, Int32(bytes.count))
        return again.prefix(Int(count)).elementsEqual(line) ? bytes : []
    }
}
