import Gateway

/// OpenID Connect Dynamic Client Registration, section 2.
package enum ApplicationType: String, Hashable, Sendable {
    case web, native
}

/// Where a client gets its answer, as it registered it.
///
/// Narrower than the URL standard: what a browser and this gateway could read in two ways is no redirect URI. That leaves
/// https on a host whose name everybody reads alike, http on this machine's three loopback names, and schemes that
/// belong to an application.
package struct RedirectURI: Hashable, Sendable, CustomStringConvertible {
    /// Byte for byte as it came.
    package let text: String
    package let scheme: String
    /// For a person to read: the host in lower case, without its port; of an application's own scheme, `cursor:`.
    package let host: String
    /// http or https to this very machine.
    package let isLoopback: Bool
    /// What stands before and after the port, where the port is free to change.
    private let loopback: Loopback?

    private struct Loopback: Hashable {
        let head: String
        let tail: String
    }

    package static let longest = 512

    /// - Throws: `invalid_redirect_uri`, with what is wrong with it.
    package init(_ text: String) throws(OAuthError) {
        guard (1...Self.longest).contains(text.utf8.count) else { throw Self.refused("has 1 to \(Self.longest) bytes") }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw Self.refused("is written in visible ASCII characters") }
        guard !text.utf8.contains(UInt8(ascii: "#")) else { throw Self.refused("has no fragment") }
        guard let colon = text.firstIndex(of: ":") else { throw Self.refused("begins with a scheme") }
        let scheme = text[..<colon]
        guard Self.isScheme(scheme.utf8) else { throw Self.refused("begins with a scheme, in lower case") }
        let rest = text[colon...].dropFirst()
        guard rest.hasPrefix("/") else { throw Self.refused("has a slash after the scheme") }
        let authority = rest.hasPrefix("//") ? rest.dropFirst(2).prefix { $0 != "/" && $0 != "?" } : rest.prefix(0)
        guard !authority.contains("@") else { throw Self.refused("has no user name") }
        let tail = text[(rest.hasPrefix("//") ? authority.endIndex : rest.startIndex)...]
        let path = tail.prefix { $0 != "?" }
        guard URIText.isPlain(path.utf8, in: .path), URIText.isPlain(tail[path.endIndex...].utf8, in: .query) else {
            throw Self.refused("has no wildcards, broken escapes, dot segments or characters that URIs escape")
        }
        self.text = text
        self.scheme = String(scheme)

        if Self.isWeb(scheme) {
            guard rest.hasPrefix("//"), let origin = Self.origin(scheme, authority) else {
                throw Self.refused("names its host in the one usual way, in lower case")
            }
            host = origin.host
            isLoopback = origin.isLoopback || IPAddress(origin.name)?.isLoopback == true || origin.host.hasSuffix(".localhost")
            if origin.isSecure {
                loopback = nil
            } else {
                guard Self.loopbackNames.contains(origin.host) else { throw Self.refused("is https, unless it is on localhost, 127.0.0.1 or [::1]") }
                loopback = Loopback(head: "http://\(origin.host)", tail: String(tail))
            }
        } else {
            guard !Self.isForeign(scheme) else { throw Self.refused("has a scheme that belongs to an application, which “\(scheme)” does not") }
            guard Self.isNameAndPort(authority.utf8) else { throw Self.refused("has nothing but a name after the slashes") }
            host = "\(scheme):"
            isLoopback = false
            loopback = nil
        }
    }

    package var description: String { text }

    /// A scheme of an application's own (RFC 8252, section 7.1), dotted or not: `cursor`, `vscode`.
    package var isCustomScheme: Bool { !Self.isWeb(scheme[...]) }

    /// Whether an application of that type may register it: a native one all there are, a web application https on another
    /// machine.
    ///
    /// - Parameter isEvaluation: web applications may run on this machine too.
    /// - Throws: `invalid_redirect_uri`.
    package func check(for type: ApplicationType, isEvaluation: Bool = false) throws(OAuthError) {
        guard type == .web, !(isLoopback && isEvaluation) else { return }
        guard scheme == "https", !isLoopback else {
            throw Self.refused(
                "of a web application is https and not on this machine; one on the user's machine says \"application_type\": \"native\"")
        }
    }

    /// Whether a request may be answered there: the same bytes, save that the port of http on loopback is what the
    /// system gave the application (RFC 8252, section 7.3).
    package func isMatched(by presented: String) -> Bool {
        // As bytes: strings are equal also if they are only canonically equivalent.
        let presented = Array(presented.utf8)
        if presented.elementsEqual(text.utf8) { return true }
        guard let loopback, presented.count <= Self.longest, presented.starts(with: loopback.head.utf8) else { return false }
        var rest = presented.dropFirst(loopback.head.utf8.count)
        if rest.first == UInt8(ascii: ":") {
            let digits = rest.dropFirst().prefix(while: URIText.isDigit)
            guard URIText.isPort(digits) else { return false }
            rest = rest[digits.endIndex...]
        }
        return rest.elementsEqual(loopback.tail.utf8)
    }

    private static let loopbackNames = ["localhost", "127.0.0.1", "[::1]"]

    private static func isWeb(_ scheme: Substring) -> Bool { scheme == "https" || scheme == "http" }

    /// The origin, if that is how it is written.
    private static func origin(_ scheme: Substring, _ authority: Substring) -> Origin? {
        guard let origin = Origin("\(scheme)://\(authority)"), !authority.utf8.contains(where: URIText.isUpperCase) else { return nil }
        if let address = IPAddress(origin.name) {
            // One spelling of an address, and never the one that means every interface.
            guard address.description == origin.name, address.bytes.contains(where: { $0 != 0 }) else { return nil }
        }
        let port = authority.dropFirst(origin.host.utf8.count)
        return port.isEmpty || URIText.isPort(port.utf8.dropFirst()) ? origin : nil
    }

    private static func isScheme(_ bytes: Substring.UTF8View) -> Bool {
        guard (1...64).contains(bytes.count), let first = bytes.first, URIText.isLetter(first) else { return false }
        return bytes.allSatisfy { URIText.isLetter($0) && !URIText.isUpperCase($0) || URIText.isDigit($0) || "+-.".utf8.contains($0) }
    }

    private static func isNameAndPort(_ authority: Substring.UTF8View) -> Bool {
        let name = authority.prefix { $0 != UInt8(ascii: ":") }
        let port = authority.dropFirst(name.count)
        return name.allSatisfy(URIText.isUnreserved) && (port.isEmpty || !name.isEmpty && URIText.isPort(port.dropFirst()))
    }

    /// Schemes that a browser or an operating system acts on by itself, so that no application gets the answer, or
    /// something else happens than getting it.
    private static func isForeign(_ scheme: Substring) -> Bool {
        foreignSchemes.contains(String(scheme)) || foreignBeginnings.contains { scheme.hasPrefix($0) }
    }

    private static let foreignSchemes: Set<String> = [
        // Run or show what they carry.
        "javascript", "data", "vbscript", "livescript", "mocha", "jar", "mhtml", "mk", "cid", "mid", "blob", "filesystem", "about", "wyciwyg",
        "view-source", "view", "feed", "pcast", "urn", "tag", "oob",
        // Browsers' own pages.
        "chrome", "chrome-extension", "edge", "brave", "opera", "vivaldi", "firefox", "moz-extension", "moz-icon", "resource", "res", "ie",
        "safari-extension", "safari-web-extension", "devtools", "browser", "internal", "x-webkit",
        // Files and other protocols.
        "file", "content", "android-app", "intent", "market", "ftp", "ftps", "sftp", "ssh", "telnet", "rlogin", "tn3270", "ws", "wss", "gopher",
        "ldap", "ldaps", "nfs", "smb", "cifs", "afp", "dav", "davs", "webdav", "webdavs", "git", "svn", "rsync", "rtsp", "rtmp", "mms", "imap", "pop",
        "nntp", "news", "snews", "irc", "ircs", "xmpp", "dict", "finger", "wais", "prospero", "redis", "ipfs", "ipns", "magnet", "ed2k", "torrent",
        // Calls, messages and money.
        "mailto", "tel", "callto", "sip", "sips", "sms", "smsto", "mmsto", "facetime", "facetime-audio", "geo", "maps", "bitcoin", "ethereum",
        "payto",
        "upi", "webcal", "otpauth", "openid", "openid4vp", "openid-credential-offer",
        // Commands of a system.
        "shell", "search", "search-ms", "hcp", "help", "its", "ldapi", "x-apple.systempreferences", "prefs", "app-settings", "itms", "itms-apps",
        "itms-services", "applescript", "help-ms", "vnd.ms.radio", "steam", "jnlp", "jnlps", "zune", "settings", "apt", "snap", "appstream",
    ]

    private static let foreignBeginnings = ["ms-", "web+", "chrome-", "view-source", "x-apple", "itms-", "microsoft-edge"]

    private static func refused(_ rule: String) -> OAuthError { OAuthError(.invalidRedirectURI, "A redirect URI \(rule).") }
}
