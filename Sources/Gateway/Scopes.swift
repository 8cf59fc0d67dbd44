/// What a credential was given for. What its holder may do, policy says; a credential may be good for less.
package struct Scopes: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Seeing and calling tools.
    package static let tools = Self(rawValue: 1)
    package static let readRegistry = Self(rawValue: 2)
    package static let writeRegistry = Self(rawValue: 4)
    /// Reports and administration.
    package static let administer = Self(rawValue: 8)
    /// One's own keys, clients and connections.
    package static let account = Self(rawValue: 16)
    package static let all: Self = [.tools, .readRegistry, .writeRegistry, .administer, .account]

    /// As tokens and challenges spell them (RFC 6749, section 3.3), in this order.
    private static let spellings: [(scope: Self, name: String)] = [
        (.tools, "mcp:tools"), (.readRegistry, "registry:read"), (.writeRegistry, "registry:write"), (.administer, "admin"),
        (.account, "account"),
    ]

    package var names: [String] { Self.spellings.filter { contains($0.scope) }.map(\.name) }

    /// - Parameter names: those that are none of ours count for nothing.
    package init(names: some Sequence<some StringProtocol>) {
        self = names.reduce(into: []) { scopes, name in
            if let spelling = Self.spellings.first(where: { $0.name == name }) { scopes.insert(spelling.scope) }
        }
    }
}
