/// A range of addresses in CIDR form.
package struct AddressRange: Hashable, Sendable, CustomStringConvertible {
    private let base: IPAddress
    private let length: Int

    /// `10.0.0.0/8`, `fd00::/8`, or a bare address for a range of one.
    ///
    /// A range with bits beyond its prefix, such as `192.168.1.5/8`, is none: whoever writes it means something else
    /// than what it would admit.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let base = IPAddress(String(parts[0])) else { return nil }
        self.base = base
        let bits = base.bytes.count * 8
        if parts.count == 2 {
            // Written the one way: no sign, no leading zero.
            guard let given = Int(parts[1]), (0...bits).contains(given), String(given) == parts[1] else { return nil }
            length = given
        } else {
            length = bits
        }
        guard base.bytes.indices.allSatisfy({ base.bytes[$0] & freeBits(ofByte: $0) == 0 }) else { return nil }
    }

    package func contains(_ address: IPAddress) -> Bool {
        address.bytes.count == base.bytes.count
            && base.bytes.indices.allSatisfy { (address.bytes[$0] ^ base.bytes[$0]) & ~freeBits(ofByte: $0) == 0 }
    }

    /// Whether all of it is loopback. An IPv4 address inside an IPv6 one is not looked for.
    package var isLoopback: Bool {
        base.bytes.count == 4 ? base.bytes[0] == 127 && length >= 8 : description == "::1/128"
    }

    package var description: String { "\(base)/\(length)" }

    /// The bits of a byte that the prefix leaves open.
    private func freeBits(ofByte index: Int) -> UInt8 { 0xFF >> max(0, min(8, length - index * 8)) }
}
