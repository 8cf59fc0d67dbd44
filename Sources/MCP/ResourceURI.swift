package import Gateway

/// The URIs under which an aggregated endpoint shows the resources of several servers.
///
/// Two servers may both have `file:///x`, so a URI carries its server's alias as part of its scheme: `mcp.notes+file:///x`. It
/// depends on nothing but the two names, the alias can be read off again without a table, and a template expands to what it
/// would have expanded to, behind the same prefix. What a client can fetch by itself (`https:`, `http:`) stays as it is.
package enum ResourceURI {
    private static let opening = "mcp."

    package static func exposed(_ uri: String, of alias: ServerAlias) -> String {
        isFetchable(uri) ? uri : carrying(alias, uri)
    }

    /// With the alias, whatever the URI.
    package static func carrying(_ alias: ServerAlias, _ uri: String) -> String { "\(opening)\(alias)+\(uri)" }

    /// Whether a template is of one host's: it names it before its first expression.
    package static func namesHost(_ template: String) -> Bool {
        let literal = template.prefix { $0 != "{" }
        guard let slashes = literal.firstRange(of: "://") else { return false }
        let rest = literal[slashes.upperBound...]
        return rest.firstIndex(of: "/").map { $0 > rest.startIndex } ?? false
    }

    /// The server and its own URI; nil for a URI that carries no alias.
    package static func resolved(_ exposed: String) -> (alias: ServerAlias, uri: String)? {
        guard exposed.hasPrefix(opening), let plus = exposed.firstIndex(of: "+") else { return nil }
        let start = exposed.index(exposed.startIndex, offsetBy: opening.count)
        guard start < plus, let alias = ServerAlias(String(exposed[start..<plus])) else { return nil }
        return (alias, String(exposed[exposed.index(after: plus)...]))
    }

    package static func isFetchable(_ uri: String) -> Bool {
        let scheme = uri.prefix { $0 != ":" }.lowercased()
        return scheme == "https" || scheme == "http"
    }
}

/// How the names of a server stand in what a client reads.
package enum Naming: Hashable, Sendable {
    /// As the server wrote them: on an endpoint that is of one server.
    case verbatim
    /// With the server's alias: on the endpoint of all servers.
    case prefixed(ServerAlias)

    package func uri(_ uri: String) -> String {
        switch self {
        case .verbatim: uri
        case .prefixed(let alias): ResourceURI.exposed(uri, of: alias)
        }
    }
}
