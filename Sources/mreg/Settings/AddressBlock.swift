/// An IP address, or a CIDR block of them: `10.0.0.0/8`, `::1`.
///
/// A block with bits beyond its prefix, such as `192.168.1.5/8`, is no block: whoever writes it means something
/// else than what it would admit. Neither are IPv4 short forms (`127.1`, octal, hexadecimal) and zones.
struct AddressBlock: Hashable, Sendable, CustomStringConvertible {
    /// As it was written.
    let description: String
    /// 4 or 16 bytes, in network order.
    let bytes: [UInt8]
    let prefixLength: Int

    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let bytes = Self.ipv4(parts[0]) ?? Self.ipv6(parts[0]) else { return nil }
        var prefixLength = bytes.count * 8
        if parts.count == 2 {
            guard let length = Self.decimal(parts[1], through: prefixLength) else { return nil }
            prefixLength = length
        }
        let isClear = bytes.indices.allSatisfy { bytes[$0] & (0xFF >> max(0, min(8, prefixLength - $0 * 8))) == 0 }
        guard isClear else { return nil }
        description = text
        self.bytes = bytes
        self.prefixLength = prefixLength
    }

    var isSingleAddress: Bool { prefixLength == bytes.count * 8 }

    var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 && prefixLength >= 8 : isSingleAddress && bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
    }

    private static func ipv4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { decimal($0, through: 255).map(UInt8.init) }
        return parts.count == 4 && bytes.count == 4 ? bytes : nil
    }

    /// RFC 4291, section 2.2.
    private static func ipv6(_ text: Substring) -> [UInt8]? {
        let halves = text.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
        if halves.count == 1, let bytes = groups(halves[0], mayEndInIPv4: true), bytes.count == 16 { return bytes }
        guard halves.count == 2, let head = groups(halves[0], mayEndInIPv4: false) else { return nil }
        guard let tail = groups(halves[1], mayEndInIPv4: true) else { return nil }
        let gap = 16 - head.count - tail.count
        return gap >= 2 ? head + Array(repeating: 0, count: gap) + tail : nil
    }

    private static func groups(_ text: Substring, mayEndInIPv4: Bool) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        var bytes: [UInt8] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if mayEndInIPv4, index == parts.count - 1, let last = ipv4(part) { return bytes + last }
            let isHexadecimal = part.unicodeScalars.allSatisfy { $0.isASCII && $0.properties.isASCIIHexDigit }
            guard (1...4).contains(part.utf8.count), isHexadecimal, let group = UInt16(part, radix: 16) else { return nil }
            bytes += [UInt8(group >> 8), UInt8(group & 0xFF)]
        }
        return bytes
    }

    private static func decimal(_ text: Substring, through limit: Int) -> Int? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        guard text.utf8.count == 1 || text.first != "0", let number = Int(text), number <= limit else { return nil }
        return number
    }
}
