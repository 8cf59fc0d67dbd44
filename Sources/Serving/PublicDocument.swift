import Crypto
import Gateway
import HTTPTypes
import Hummingbird
import MCP

/// Documents that everybody may read, pages of any origin included: nobody signs in for them, and they say the same to all.
enum PublicDocument {
    /// Whether a path is one of theirs.
    static func isAt(_ path: String) -> Bool {
        if path.hasPrefix("/.well-known/") || path.hasPrefix("/v0.1/") || path.hasPrefix("/v0/") { return true }
        return path == "/oauth/jwks.json" || path == "/oauth/client.json" || path == "/mcp/server-card"
            || (path.hasPrefix("/servers/") && path.hasSuffix("/mcp/server-card"))
    }

    /// What a page of any origin is told when its browser asks whether it may.
    static func preflight() -> Response {
        Response(
            status: .noContent,
            headers: [
                .accessControlAllowMethods: "GET, OPTIONS", .accessControlMaxAge: "600",
                .accessControlAllowHeaders: "Authorization, Content-Type, If-None-Match, MCP-Protocol-Version",
            ])
    }

    static func open(_ response: Response) -> Response {
        var response = response
        response.headers[.accessControlAllowOrigin] = "*"
        response.headers[.accessControlExposeHeaders] = "ETag"
        return response
    }

    /// The document with a validator (RFC 9110, section 8.8.3), or 304 for whoever has it already.
    ///
    /// - Parameter seconds: how long nobody need ask again.
    static func answer(_ request: Request, _ text: JSONText, type: String = "application/json", for seconds: Int) -> Response {
        let digits = SHA256.hash(data: text.bytes).prefix(16).map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }
        let tag = "\"\(digits.joined())\""
        let headers: HTTPFields = [.eTag: tag, .cacheControl: "public, max-age=\(seconds)"]
        let known = request.headers[values: .ifNoneMatch].flatMap { $0.split(separator: ",") }.map { $0.trimmingBlanks }
        // Weak comparison: a proxy may have made it weak (RFC 9110, section 13.1.2).
        if known.contains(where: { $0 == "*" || $0 == tag || $0 == "W/" + tag }) { return Response(status: .notModified, headers: headers) }
        return .json(text, type: type, headers: headers)
    }
}

extension Substring {
    fileprivate var trimmingBlanks: Substring {
        guard let first = firstIndex(where: { $0 != " " && $0 != "\t" }), let last = lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return self[first...last]
    }
}
