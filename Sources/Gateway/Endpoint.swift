/// An absolute http or https URL, taken apart once.
///
/// Deliberately narrower than the URL standard: no user information, no fragment, no spaces, no backslashes, host as
/// letters, digits, `-`, `.` and `_`, or an address. What two readers could understand in two ways is refused.
///
/// A host that some readers take for an address and others for a name (`127.1`, `0x7f.0.0.1`, `2130706433`) is refused
/// here already; what a name resolves to is judged by whoever connects. A name may end in a dot. Whoever passes a URL on to other
/// readers asks `origin.isPlain` too.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    package let origin: Origin
    /// Path and query as they go into the request line; begins with a slash.
    package let path: String

    package init?(_ text: String) {
        // Visible ASCII, less what RFC 3986 leaves to nobody; `\` would be `/` to browsers.
        guard text.utf8.count <= 2048, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        guard !text.contains(where: { "\\\"<>^`{|}#".contains($0) }) else { return nil }
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let authority = parts[1].prefix { $0 != "/" && $0 != "?" }
        guard let origin = Origin(scheme: parts[0], authority: authority), origin.hasOneReading else { return nil }
        self.origin = origin
        let tail = parts[1][authority.endIndex...]
        path = tail.hasPrefix("/") ? String(tail) : "/" + tail
    }

    package var isSecure: Bool { origin.isSecure }
    /// Lower case, without brackets.
    package var host: String { origin.name }
    package var port: Int { origin.connectPort }
    /// The `Host` header: brackets around IPv6, the port unless it is the scheme's own.
    package var authority: String { origin.authority }

    package var description: String { "\(origin)\(path)" }
}
