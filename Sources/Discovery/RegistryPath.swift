/// What a path of the registry API names.
///
/// A name holds a slash. The specification has it escaped (`com.example%2Fserver`); some clients leave it as it is.
package enum RegistryPath: Hashable, Sendable {
    case servers
    case versions(of: String)
    case version(String, of: String)

    /// - Parameter path: what follows `/v0.1/`, as it came. Nil for what there is not.
    package init?(_ path: some StringProtocol) {
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).map { Self.decoded($0) }
        var parts = segments.compactMap { $0 }
        guard parts.count == segments.count, parts.first == "servers" else { return nil }
        parts.removeFirst()
        guard let first = parts.first else {
            self = .servers
            return
        }
        // An alias may be "versions", so it is the name that tells the two forms apart.
        if !RegistryName.isOne(first) {
            guard parts.count >= 2 else { return nil }
            parts.replaceSubrange(0..<2, with: ["\(first)/\(parts[1])"])
        }
        guard RegistryName.isOne(parts[0]), parts.count >= 2, parts[1] == "versions" else { return nil }
        switch parts.count {
        case 2: self = .versions(of: parts[0])
        case 3 where !parts[2].isEmpty: self = .version(parts[2], of: parts[0])
        default: return nil
        }
    }

    /// Nil for broken escapes and what is not visible ASCII once it is decoded: no name and no version is.
    private static func decoded(_ segment: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var iterator = segment.utf8.makeIterator()
        while let byte = iterator.next() {
            var decoded = byte
            if byte == UInt8(ascii: "%") {
                guard let high = iterator.next().flatMap(hexadecimal), let low = iterator.next().flatMap(hexadecimal) else { return nil }
                decoded = high << 4 | low
            }
            guard (0x21...0x7E).contains(decoded) else { return nil }
            bytes.append(decoded)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
