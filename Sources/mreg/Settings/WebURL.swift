/// Scheme, host and port as browsers write them in `Origin`: lower case, the scheme's own port left out.
struct Origin: Hashable, Sendable, CustomStringConvertible {
    let isSecure: Bool
    /// With brackets if it is an IPv6 address.
    let host: String
    let port: Int

    fileprivate init(isSecure: Bool, host: String, port: Int) {
        self.isSecure = isSecure
        self.host = host
        self.port = port
    }

    /// Only an origin: nothing may follow the port, not even `/`.
    init?(_ text: String) {
        guard let url = WebURL(text), url.isOrigin else { return nil }
        self = url.origin
    }

    var description: String {
        let address = (isSecure ? "https://" : "http://") + host
        return port == (isSecure ? 443 : 80) ? address : address + ":\(port)"
    }

    var isLoopback: Bool {
        host == "localhost" || AddressBlock(host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host)?.isLoopback == true
    }
}

/// An absolute `http` or `https` URL without user name or fragment, kept as it was written.
struct WebURL: Hashable, Sendable, CustomStringConvertible {
    let description: String
    let origin: Origin
    fileprivate let isOrigin: Bool

    init?(_ text: String) {
        // Visible ASCII, less what RFC 3986 leaves to nobody; `\` would be `/` to browsers.
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && !#""<>\^`{|}"#.utf8.contains($0) }), text.utf8.count <= 2048 else { return nil }
        let isSecure = text.lowercased().hasPrefix("https://")
        guard isSecure || text.lowercased().hasPrefix("http://"), !text.contains("#") else { return nil }

        let rest = text.dropFirst(isSecure ? 8 : 7)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let host: Substring
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[...end]
            let address = String(host.dropFirst().dropLast())
            guard AddressBlock(address)?.bytes.count == 16, !address.contains("/") else { return nil }
        } else {
            host = authority.prefix { $0 != ":" }
            guard Self.isName(host) else { return nil }
        }

        var port = isSecure ? 443 : 80
        let afterHost = authority[host.endIndex...]
        if !afterHost.isEmpty {
            let number = afterHost.dropFirst()
            guard afterHost.first == ":", number.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            guard let given = Int(number), (1...65_535).contains(given) else { return nil }
            port = given
        }
        description = text
        origin = Origin(isSecure: isSecure, host: host.lowercased(), port: port)
        isOrigin = authority.endIndex == text.endIndex
    }

    /// For URLs written in the source.
    init(literal text: StaticString) {
        guard let url = WebURL(text.description) else { preconditionFailure("\(text) is not an http or https URL") }
        self = url
    }

    /// An IPv4 address or a host name. What looks like a number but is no IPv4 address (`127.1`, `0x7f.0.0.1`) is
    /// neither, for somebody would resolve it to an address.
    private static func isName(_ host: Substring) -> Bool {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isLabel: (Substring) -> Bool = { label in
            (1...63).contains(label.utf8.count) && label.allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
        }
        guard host.utf8.count <= 253, labels.allSatisfy(isLabel), let last = labels.last else { return false }
        return last.first?.isNumber == true ? AddressBlock(String(host)) != nil : true
    }
}
