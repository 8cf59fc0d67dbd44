package import Gateway

/// Which addresses the gateway may connect to when somebody names a server (request forgery, RFC 6890): public ones, and those ranges an
/// operator allowed.
package struct EgressPolicy: Sendable {
    package let allowed: [AddressRange]

    package init(allowed: [AddressRange] = []) { self.allowed = allowed }

    /// - Throws: `Refusal.invalid` for an address in a range that is not for servers.
    package func check(_ address: IPAddress) throws(Refusal) {
        let address = address.unmapped
        if allowed.contains(where: { $0.contains(address) }) { return }
        let isGlobal = address.bytes.count == 4 || Self.globalUnicast.contains(address)
        let range = isGlobal ? Self.closed.first { $0.contains(address) }?.description : "no range of public servers"
        if let range {
            throw .invalid(
                "\(address) is in \(range), which is not reachable from here; an operator can allow it with MREG_ALLOWED_PRIVATE_UPSTREAMS.")
        }
    }

    /// Plain http carries tokens in the clear, so it is only for what the operator allowed by name.
    package func allowsPlainText(to address: IPAddress) -> Bool {
        allowed.contains { $0.contains(address.unmapped) }
    }

    /// All IPv6 addresses that are given to hosts of the Internet; whatever else there is, is special (RFC 4291).
    private static let globalUnicast = range("2000::/3")

    private static func range(_ text: String) -> AddressRange {
        guard let range = AddressRange(text) else { preconditionFailure("“\(text)” is no range") }
        return range
    }

    /// Special-purpose ranges of RFC 6890 and its successors, transition prefixes included: an address inside them
    /// either means another host than it seems to, or one that strangers have no business with. 168.63.129.16 is a host's
    /// own fabric in one large cloud.
    private static let closed: [AddressRange] = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    ].map(range)
}
