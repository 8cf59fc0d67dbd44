package import Gateway

/// One of Microsoft's clouds. They share no accounts, no applications and no keys.
package struct EntraCloud: Hashable, Sendable {
    package let name: String
    /// The host users sign in at and tokens come from.
    package let loginHost: String
    package let portal: String
    /// The identifier of Microsoft Graph, without a slash at its end.
    package let graph: String
    /// How the domain ends that each of its tenants has from the start.
    package let initialDomain: String

    package static let global = Self(
        name: "the global cloud", loginHost: "login.microsoftonline.com", portal: "https://entra.microsoft.com", graph: "https://graph.microsoft.com",
        initialDomain: ".onmicrosoft.com")
    package static let usGovernment = Self(
        name: "the US government's cloud", loginHost: "login.microsoftonline.us", portal: "https://portal.azure.us",
        graph: "https://graph.microsoft.us", initialDomain: ".onmicrosoft.us")
    package static let china = Self(
        name: "the cloud in China", loginHost: "login.partner.microsoftonline.cn", portal: "https://portal.azure.cn",
        graph: "https://microsoftgraph.chinacloudapi.cn", initialDomain: ".partner.onmschina.cn")

    package static let all = [global, usGovernment, china]

    package static func at(_ host: String) -> Self? {
        all.first { $0.loginHost == host } ?? (host == Self.formerChineseHost ? china : nil)
    }

    /// It still answers; issuers bear the new name.
    static let formerChineseHost = "login.chinacloudapi.cn"
}

/// Where one tenant's endpoints are.
package struct EntraTenant: Hashable, Sendable {
    package let authority: Origin
    /// An id, a domain name, or one of the three words that stand for many tenants.
    package let name: String

    /// - Parameter authority: scheme and host; a slash at its end is overlooked, nothing else may follow.
    /// - Returns: nil if the two do not make a URL.
    package init?(_ name: String, at authority: String) {
        let text = authority.hasSuffix("/") ? String(authority.dropLast()) : authority
        let isName = (1...253).contains(name.utf8.count) && name.utf8.allSatisfy { Self.isNameByte($0) } && name.first != "."
        guard let origin = Origin(text), isName else { return nil }
        self.authority = origin
        self.name = name
    }

    var cloud: EntraCloud? { EntraCloud.at(authority.name) }

    var metadata: Endpoint? { Endpoint("\(authority)/\(name)/v2.0/.well-known/openid-configuration") }
    var keys: Endpoint? { Endpoint("\(authority)/\(name)/discovery/v2.0/keys") }
    var token: Endpoint? { Endpoint("\(authority)/\(name)/oauth2/v2.0/token") }

    /// What the metadata of a tenant with this id must say of itself.
    func issuer(of id: String) -> String {
        let host = cloud.map { "https://\($0.loginHost)" } ?? authority.description
        return "\(host)/\(id)/v2.0"
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == 0x2D || byte == 0x2E
    }
}
