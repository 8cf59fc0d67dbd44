/// Whose request it is that arrives over a connection, and under which name an address is counted.
package enum ClientAddress {
    /// How many entries of a forwarding header are looked at, from the right.
    private static let mostHops = 32

    /// The address of the client.
    ///
    /// A forwarding header is believed as far as the addresses that wrote it are declared proxies: from the right, the
    /// first that is none is the client. What stands left of it anybody could have written. An entry that is no address
    /// ends the reading: then the proxy that passed it on is taken for the client.
    ///
    /// - Parameters:
    ///   - peer: the other end of the connection.
    ///   - forwardedFor: the values of all `X-Forwarded-For` fields, in order.
    package static func of(peer: IPAddress, forwardedFor: [String], trusted: [AddressRange]) -> IPAddress {
        var client = peer.unmapped
        guard !trusted.isEmpty, !forwardedFor.isEmpty, client.isIn(trusted) else { return client }
        let entries = forwardedFor.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }
        for entry in entries.reversed().prefix(mostHops) {
            guard let address = address(in: entry) else { return client }
            client = address
            if !client.isIn(trusted) { return client }
        }
        return client
    }

    /// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
    private static func address(in entry: Substring) -> IPAddress? {
        let text = entry.trimmingSpaces
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return nil }
            return IPAddress(String(text[text.index(after: text.startIndex)..<end]))?.unmapped
        }
        let isVersion4WithPort = text.utf8.count { $0 == UInt8(ascii: ":") } == 1
        return IPAddress(String(isVersion4WithPort ? text.prefix { $0 != ":" } : text))?.unmapped
    }
}

extension IPAddress {
    package func isIn(_ ranges: [AddressRange]) -> Bool { ranges.contains { $0.contains(self) } }
}

/// What is counted, paced and blocked as one: an IPv4 address, or the /64 of an IPv6 address, of which one household or
/// one machine has 2⁶⁴ at will.
package struct AddressPrefix: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 8 bytes.
    package let bytes: [UInt8]

    package init(_ address: IPAddress) {
        let plain = address.unmapped
        bytes = plain.bytes.count == 4 ? plain.bytes : Array(plain.bytes[0..<8])
    }

    /// An address, or an IPv6 range as `description` writes it.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 1 || (parts.count == 2 && parts[1] == "64" && parts[0].contains(":")), let address = IPAddress(String(parts[0]))
        else { return nil }
        self.init(address)
    }

    /// - Parameter bytes: 4 or 8 of them; anything else is nil.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 8 else { return nil }
        self.bytes = bytes
    }

    /// Its first address.
    package var base: IPAddress {
        let padded = bytes.count == 4 ? bytes : bytes + [UInt8](repeating: 0, count: 8)
        guard let address = IPAddress(bytes: padded) else { preconditionFailure("4 or 16 bytes are an address") }
        return address
    }

    package var description: String { bytes.count == 4 ? "\(base)" : "\(base)/64" }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        guard let first = firstIndex(where: { $0 != " " && $0 != "\t" }), let last = lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return self[first...last]
    }
}
