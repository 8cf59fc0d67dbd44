/// An absolute http or https URL of an upstream, taken apart once.
///
/// Deliberately narrower than the URL standard: no user information, no fragment, no spaces, no backslashes, host as
/// letters, digits, `-`, `.` and `_`, or an address. What two readers could understand in two ways is refused.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    package let isSecure: Bool
    /// Lower case, without brackets.
    package let host: String
    package let port: Int
    /// Path and query as they go into the request line; begins with a slash.
    package let path: String

    package init?(_ text: String) {
        guard text.utf8.count <= 2048, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        guard !text.contains(where: { "\\\"<>^`{|}#".contains($0) }) else { return nil }
        let rest: Substring
        switch text {
        case _ where text.lowercased().hasPrefix("https://"): (isSecure, rest) = (true, text.dropFirst(8))
        case _ where text.lowercased().hasPrefix("http://"): (isSecure, rest) = (false, text.dropFirst(7))
        default: return nil
        }
        let pathStart = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = rest[..<pathStart]
        let tail = rest[pathStart...]
        path = tail.hasPrefix("/") ? String(tail) : "/" + tail
        guard !authority.contains("@") else { return nil }

        var name = authority
        var portText: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            name = authority[authority.index(after: authority.startIndex)..<end]
            guard name.contains(":"), IPAddress(String(name)) != nil else { return nil }
            let after = authority[authority.index(after: end)...]
            if !after.isEmpty {
                guard after.hasPrefix(":") else { return nil }
                portText = after.dropFirst()
            }
        } else if let colon = authority.firstIndex(of: ":") {
            name = authority[..<colon]
            portText = authority[authority.index(after: colon)...]
        }
        host = name.lowercased()
        guard (1...253).contains(host.utf8.count) else { return nil }
        guard host.contains(":") || host.utf8.allSatisfy(Self.isHostByte) else { return nil }
        if let portText {
            guard (1...5).contains(portText.count), portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            guard let number = Int(portText), (1...65535).contains(number) else { return nil }
            port = number
        } else {
            port = isSecure ? 443 : 80
        }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F
    }

    /// The `Host` header: brackets around IPv6, the port unless it is the scheme's own.
    package var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    package var description: String { "\(isSecure ? "https" : "http")://\(authority)\(path)" }
}
