import Gateway

/// Which URLs may be a client's id here, and so be fetched: a client that describes itself lives at one.
///
/// What their names resolve to is judged by whoever connects.
package struct ClientDocumentPolicy: Sendable {
    /// Nil for any domain.
    package var domains: [ClientDomain]?
    /// Whether clients on this machine may be named by `http://localhost:…`. For evaluation: in production, loopback is the
    /// gateway's own.
    package var allowsLoopback: Bool

    package init(domains: [ClientDomain]? = nil, allowsLoopback: Bool = false) {
        self.domains = domains
        self.allowsLoopback = allowsLoopback
    }

    /// Where to ask for the document of the client with this id.
    ///
    /// The id is an https URL with a path, written in the one form it has, for it is compared byte for byte with what the
    /// document says; of a domain, for that is what people are shown and asked to trust.
    func endpoint(of id: String) throws(ClientDocumentFailure) -> Endpoint {
        guard let endpoint = Endpoint(id), endpoint.description == id else { throw .unusable("it is no URL in its one form") }
        guard endpoint.origin.isPlain else { throw .unusable("its host can be read in two ways") }
        let path = endpoint.path.prefix { $0 != "?" }
        guard path.utf8.count > 1 else { throw .unusable("it has no path") }
        guard !path.split(separator: "/").contains(where: Self.isDots) else { throw .unusable("its path has dot segments") }
        if allowsLoopback && endpoint.origin.isLoopback { return endpoint }

        guard endpoint.isSecure else { throw .unusable("it is not https") }
        guard IPAddress(endpoint.host) == nil, endpoint.host.contains(".") else { throw .unusable("its host is no domain") }
        // What listens on the low ports speaks another protocol, and should not be made to listen to this one.
        guard endpoint.port == 443 || endpoint.port >= 1024 else { throw .unusable("its port is another protocol's") }
        if let domains, !domains.contains(where: { $0.contains(endpoint.host) }) { throw .notAllowed(domain: endpoint.host) }
        return endpoint
    }

    /// `.` and `..`, percent-encoded too: whoever removes them reads another URL.
    private static func isDots(_ segment: Substring) -> Bool {
        let plain = segment.lowercased().replacing("%2e", with: ".")
        return plain == "." || plain == ".."
    }
}

/// A domain that clients may come from: `agents.example` is that host, `*.agents.example` is every host below it.
package struct ClientDomain: Hashable, Sendable, CustomStringConvertible {
    private let name: String
    private let isBelow: Bool

    /// - Parameter text: nil for what is no domain of two labels or more: an address, a port, a lone `*`.
    package init?(_ text: String) {
        isBelow = text.hasPrefix("*.")
        let rest = isBelow ? String(text.dropFirst(2)) : text
        guard let origin = Origin("https://\(rest)"), origin.port == nil, IPAddress(origin.name) == nil else { return nil }
        guard origin.host.utf8.count == rest.utf8.count, origin.host.contains(".") else { return nil }
        name = origin.host
    }

    /// - Parameter host: in lower case, without a dot at its end.
    func contains(_ host: String) -> Bool { isBelow ? host.hasSuffix(".\(name)") : host == name }

    package var description: String { isBelow ? "*.\(name)" : name }
}
