/// A set of scopes as OAuth writes them (RFC 6749, section 3.3).
package struct ScopeList: Hashable, Sendable, CustomStringConvertible, ExpressibleByArrayLiteral {
    /// Each once, sorted.
    package let names: [String]

    package static let most = 20
    package static let longest = 1024

    /// - Parameter text: names with one space between them; an empty text is no scope at all.
    /// - Throws: `invalid_scope`.
    package init(parsing text: String) throws(OAuthError) {
        guard text.utf8.count <= Self.longest else { throw OAuthError(.invalidScope, "\"scope\" has at most \(Self.longest) bytes.") }
        let names = text.isEmpty ? [] : text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard names.count <= Self.most else { throw OAuthError(.invalidScope, "\"scope\" names at most \(Self.most) scopes.") }
        guard names.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(Self.isNameByte) }) else {
            throw OAuthError(.invalidScope, "\"scope\" holds names with one space between them, in visible ASCII characters without \" and \\.")
        }
        self.init(names)
    }

    package init(_ names: [String]) { self.names = Set(names).sorted() }
    package init(arrayLiteral names: String...) { self.init(names) }

    package var description: String { names.joined(separator: " ") }
    package var isEmpty: Bool { names.isEmpty }
    package func contains(_ name: String) -> Bool { names.contains(name) }
    package func isSubset(of other: Self) -> Bool { names.allSatisfy(other.contains) }

    /// Those of them that the other set has too.
    package func narrowed(to allowed: Self) -> Self { Self(names.filter(allowed.contains)) }
    package func union(_ other: Self) -> Self { Self(names + other.names) }

    private static func isNameByte(_ byte: UInt8) -> Bool { (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") }
}

extension ScopeList {
    /// To list and call what servers offer.
    package static let mcpTools = "mcp:tools"
    package static let registryRead = "registry:read"
    package static let registryWrite = "registry:write"
    package static let admin = "admin"
    package static let metrics = "metrics"
    /// One's own keys, clients and connections.
    package static let account = "account"
    /// To get a refresh token, where the client may have one.
    package static let offlineAccess = "offline_access"

    /// Everything this gateway knows. What a user may do is decided by their role as well, never by a scope alone.
    package static let known: Self = [mcpTools, registryRead, registryWrite, admin, account, metrics, offlineAccess, "openid", "profile", "email"]
}
