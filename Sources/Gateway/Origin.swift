/// Scheme, host and port, as browsers write them in `Origin`: lower case, the scheme's own port left out.
///
/// The gateway's own names the issuer of its tokens and is the beginning of every resource they are for.
package struct Origin: Hashable, Sendable, CustomStringConvertible {
    package let scheme: String
    /// An IPv6 address stands in brackets.
    package let host: String
    /// Nil if it is the scheme's own.
    package let port: Int?

    /// - Parameter text: `https://gateway.example`, `http://localhost:8001`; nothing may follow, not even `/`.
    package init?(_ text: String) {
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        self.init(scheme: parts[0], authority: parts[1])
        guard isPlain else { return nil }
    }

    /// - Parameter authority: host and port as they stand in a URL or a `Host` header.
    init?(scheme: some StringProtocol, authority: Substring) {
        self.scheme = scheme.lowercased()
        guard ["http", "https"].contains(self.scheme) else { return nil }
        let host: Substring
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[...end]
            guard host.contains(":"), IPAddress(String(host.dropFirst().dropLast())) != nil else { return nil }
        } else {
            host = authority.prefix { $0 != ":" }
            guard (1...253).contains(host.utf8.count), host.utf8.allSatisfy(Self.isHostByte) else { return nil }
        }
        self.host = host.lowercased()

        let rest = authority[host.endIndex...]
        if rest.isEmpty {
            port = nil
        } else {
            let digits = rest.dropFirst()
            guard rest.first == ":", (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            guard let number = UInt16(digits), number > 0 else { return nil }
            port = number == Self.port(of: self.scheme) ? nil : Int(number)
        }
    }

    private init(scheme: String, host: String, port: Int?) {
        self.scheme = scheme
        self.host = host
        self.port = port
    }

    /// Where this machine reaches itself; port 0 stands for one that is not known yet.
    package static func localhost(port: Int) -> Self {
        Self(scheme: "http", host: "localhost", port: port == Self.port(of: "http") ? nil : port)
    }

    package var description: String { "\(scheme)://\(authority)" }

    /// Host and port as the `Host` header has them.
    package var authority: String { port.map { "\(host):\($0)" } ?? host }

    package var isSecure: Bool { scheme == "https" }

    /// The port to connect to.
    package var connectPort: Int { port ?? Self.port(of: scheme) }

    private static func port(of scheme: String) -> Int { scheme == "https" ? 443 : 80 }

    /// The host as resolvers take it: without brackets.
    package var name: String { host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host }

    package var isLoopback: Bool { host == "localhost" || AddressRange(name)?.isLoopback == true }

    /// Whether everybody reads the host alike, and there is no other way to write it: a name that ends in a dot is not the
    /// same without.
    package var isPlain: Bool { hasOneReading && !name.hasSuffix(".") }

    /// Whether the host is an address, or labels of 1 to 63 bytes of which the last is no number and perhaps a dot.
    ///
    /// Of a last label that is a number, resolvers and browsers make an address in ways of their own: `127.1`, `0x7f.0.0.1`,
    /// `017700000001`, `127.0.0.1.`.
    package var hasOneReading: Bool {
        if IPAddress(name) != nil { return true }
        var labels = name.split(separator: ".", omittingEmptySubsequences: false)
        if labels.last?.isEmpty == true { labels.removeLast() }
        guard let last = labels.last, labels.allSatisfy({ (1...63).contains($0.utf8.count) }) else { return false }
        return !Self.isNumber(last.utf8)
    }

    /// Decimal, octal or hexadecimal as C reads it; `0x` counts as nought.
    private static func isNumber(_ label: Substring.UTF8View) -> Bool {
        let digits: ClosedRange<UInt8> = 0x30...0x39
        if label.allSatisfy(digits.contains) { return true }
        // Lower case: hosts are.
        return label.starts(with: "0x".utf8) && label.dropFirst(2).allSatisfy { digits.contains($0) || (0x61...0x66).contains($0) }
    }

    /// The hosts that mean this origin: on loopback all three of its names do.
    package var hosts: [String] {
        Self.loopbackNames.contains(host) ? Self.loopbackNames : [host]
    }

    private static let loopbackNames = ["localhost", "127.0.0.1", "[::1]"]

    /// Every spelling of the origin, its own first.
    package var spellings: [String] {
        [description] + hosts.filter { $0 != host }.map { Self(scheme: scheme, host: $0, port: port).description }
    }

    /// Whether a `Host` header names this origin (DNS rebinding).
    package func isNamed(byHost header: String) -> Bool {
        guard let named = Self(scheme: scheme, authority: header[...]) else { return false }
        return named.port == port && hosts.contains(named.host)
    }

    /// Letters, digits, `-`, `.` and `_`.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F
    }
}
