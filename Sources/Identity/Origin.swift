/// Where the gateway is reached from outside: scheme, host and port, without a path.
///
/// It names the issuer of tokens and is the beginning of every resource they are for.
package struct Origin: Hashable, Sendable, CustomStringConvertible {
    package let scheme: String
    package let host: String
    package let port: Int?

    /// - Parameter text: `https://gateway.example`, `http://localhost:8001`; anything with a path is nil.
    package init?(_ text: String) {
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, ["http", "https"].contains(parts[0].lowercased()) else { return nil }
        scheme = parts[0].lowercased()
        guard let authority = Authority(String(parts[1])) else { return nil }
        host = authority.host
        port = authority.port == (scheme == "https" ? 443 : 80) ? nil : authority.port
    }

    package var description: String { "\(scheme)://\(Authority.text(host, port))" }

    /// The hosts that mean this origin: on loopback all three of its names do.
    package var hosts: [String] {
        Self.loopbackNames.contains(host) ? Self.loopbackNames : [host]
    }

    package static let loopbackNames = ["localhost", "127.0.0.1", "[::1]"]

    /// Every spelling of the origin, its own first.
    package var spellings: [String] {
        [description] + hosts.filter { $0 != host }.map { "\(scheme)://\(Authority.text($0, port))" }
    }

    /// Whether a `Host` header names this origin (DNS rebinding, S-22).
    package func isNamed(byHost header: String) -> Bool {
        guard let authority = Authority(header) else { return false }
        let own = port ?? (scheme == "https" ? 443 : 80)
        return hosts.contains(authority.host) && (authority.port ?? (scheme == "https" ? 443 : 80)) == own
    }

    /// Host and port as they stand in a URL or a `Host` header.
    private struct Authority {
        let host: String
        let port: Int?

        init?(_ text: String) {
            guard !text.isEmpty, !text.contains(where: { "/?#@ ".contains($0) }) else { return nil }
            let nameEnd = text.hasPrefix("[") ? text.firstIndex(of: "]").map { text.index(after: $0) } : text.firstIndex(of: ":") ?? text.endIndex
            guard let nameEnd, nameEnd > text.startIndex else { return nil }
            host = text[..<nameEnd].lowercased()
            if nameEnd == text.endIndex {
                port = nil
            } else {
                guard text[nameEnd] == ":", let number = UInt16(text[text.index(after: nameEnd)...]) else { return nil }
                port = Int(number)
            }
        }

        static func text(_ host: String, _ port: Int?) -> String { port.map { "\(host):\($0)" } ?? host }
    }
}

/// What a token may be for. Each has its own URI, metadata and audience.
package enum Resource: Hashable, Sendable, CaseIterable {
    /// The aggregated MCP endpoint.
    case mcp
    /// Registry and administration.
    case api

    package var path: String {
        switch self {
        case .mcp: "/mcp"
        case .api: "/api"
        }
    }

    package func uri(at origin: Origin) -> String { "\(origin)\(path)" }
}
