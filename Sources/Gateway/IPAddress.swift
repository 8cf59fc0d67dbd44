/// An IPv4 or IPv6 address, as 4 or 16 bytes in network order.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    package let bytes: [UInt8]

    /// - Parameter bytes: 4 or 16 of them; anything else is nil.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    /// Reads dotted decimal (four parts, no leading zeros) or RFC 4291 text without a zone. Nothing else is an
    /// address here: `0x7f.1` or `017700000001` are names, to be resolved and judged by what they resolve to.
    package init?(_ text: String) {
        if text.contains(":") {
            guard let bytes = Self.version6(text) else { return nil }
            self.bytes = bytes
        } else {
            guard let bytes = Self.version4(text[...]) else { return nil }
            self.bytes = bytes
        }
    }

    /// The IPv4 address inside an IPv4-mapped or IPv4-compatible IPv6 address; else the address itself.
    package var unmapped: Self {
        guard bytes.count == 16, bytes[0..<10].allSatisfy({ $0 == 0 }) else { return self }
        let isMapped = bytes[10] == 0xFF && bytes[11] == 0xFF
        let isCompatible = bytes[10] == 0 && bytes[11] == 0 && bytes[12] != 0
        return isMapped || isCompatible ? IPAddress(bytes: Array(bytes[12...])) ?? self : self
    }

    package var isLoopback: Bool {
        let address = unmapped
        return address.bytes.count == 4 ? address.bytes[0] == 127 : address.bytes == [UInt8](repeating: 0, count: 15) + [1]
    }

    package var description: String {
        guard bytes.count == 16 else { return bytes.map { String($0) }.joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        // RFC 5952: the longest run of two or more zero groups is written `::`, the first of equals.
        var longest = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8 && groups[end] == 0 { end += 1 }
            if end - start > max(1, longest.count) { longest = start..<end }
            start = max(end, start + 1)
        }
        func text(_ range: Range<Int>) -> String { groups[range].map { String($0, radix: 16) }.joined(separator: ":") }
        return longest.isEmpty ? text(0..<8) : text(0..<longest.lowerBound) + "::" + text(longest.upperBound..<8)
    }

    private static func version4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), part == "0" || part.first != "0", let byte = UInt8(part) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    private static func version6(_ text: String) -> [UInt8]? {
        var halves: [[UInt8]] = [[]]
        var rest = text[...]
        if rest.hasPrefix("::") {
            halves.append([])
            rest = rest.dropFirst(2)
        }
        while !rest.isEmpty {
            let end = rest.firstIndex(of: ":") ?? rest.endIndex
            let part = rest[..<end]
            if part.contains(".") {
                guard end == rest.endIndex, let tail = version4(part) else { return nil }
                halves[halves.count - 1].append(contentsOf: tail)
                break
            }
            guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ isHexadecimal($0) }), let group = UInt16(part, radix: 16) else {
                return nil
            }
            halves[halves.count - 1].append(contentsOf: [UInt8(group >> 8), UInt8(group & 0xFF)])
            rest = rest[end...]
            if rest.hasPrefix("::") {
                guard halves.count == 1 else { return nil }
                halves.append([])
                rest = rest.dropFirst(2)
            } else if rest.hasPrefix(":") {
                rest = rest.dropFirst()
                if rest.isEmpty { return nil }
            }
        }
        let known = halves.reduce(0) { $0 + $1.count }
        guard halves.count == 2 else { return known == 16 ? halves[0] : nil }
        guard known <= 14 else { return nil }
        return halves[0] + [UInt8](repeating: 0, count: 16 - known) + halves[1]
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }
}
