package import Gateway

/// Which issuer people sign in with, and what the gateway is to it. Checked once, when it is made.
package struct IssuerSettings: Sendable {
    package enum Kind: Hashable, Sendable {
        case entra(Entra)
        /// Any OpenID Connect issuer, by its exact name: whether it ends in a slash is part of it.
        case oidc(issuer: String)
    }

    /// Entra ID in one of its clouds, or what stands in for it.
    package struct Entra: Hashable, Sendable {
        package enum Tenant: Hashable, Sendable {
            case one(String)
            /// Several tenants: whoever signs in must be of an allowed one.
            case organizations
            case common
        }

        /// `https://login.microsoftonline.com`, or a sovereign cloud's.
        package let authority: Origin
        package let tenant: Tenant
        /// In lower case, never empty. Personal accounts have a tenant of their own, 9188040d-6c67-4c5b-b112-36a304b66dad,
        /// which is as any other: refused unless it is named.
        package let allowedTenants: Set<String>
        /// Where group memberships are looked up that do not fit into a token; nil if that is nowhere.
        package let graph: Origin?

        /// - Parameters:
        ///   - tenant: a GUID, `organizations` or `common`.
        ///   - allowedTenants: GUIDs; needed unless the tenant is one.
        ///   - graph: for clouds the gateway does not know.
        /// - Throws: `.configuration`.
        package init(
            authority: String = "https://login.microsoftonline.com", tenant: String, allowedTenants: Set<String> = [], graph: String? = nil
        ) throws(IssuerFailure) {
            let text = authority.hasSuffix("/") ? String(authority.dropLast()) : authority
            guard let origin = Origin(text), origin.isSecure || origin.isLoopback else {
                throw IssuerFailure(.configuration, "The authority must be an https origin such as https://login.microsoftonline.com, with no path.")
            }
            self.authority = origin
            var allowed: Set<String> = []
            for tenant in allowedTenants {
                guard let id = GUID(tenant) else {
                    throw IssuerFailure(.configuration, "An allowed tenant must be a GUID; “\(tenant.cut(64).withoutControls)” is none.")
                }
                allowed.insert(id.description)
            }
            switch tenant {
            case "organizations": self.tenant = .organizations
            case "common": self.tenant = .common
            default:
                guard let id = GUID(tenant) else {
                    throw IssuerFailure(
                        .configuration, "The tenant must be a GUID, “organizations” or “common”; “\(tenant.cut(64).withoutControls)” is none of them."
                    )
                }
                guard allowed.isSubset(of: [id.description]) else {
                    throw IssuerFailure(
                        .configuration, "With one tenant no other can be allowed; to allow several, set the tenant to “organizations”.")
                }
                self.tenant = .one(id.description)
                allowed = [id.description]
            }
            guard !allowed.isEmpty else {
                throw IssuerFailure(.configuration, "With the tenant “\(tenant)” anybody's directory could sign in: list the allowed tenants.")
            }
            self.allowedTenants = allowed
            if let graph {
                guard let origin = Origin(graph), origin.isSecure || origin.isLoopback && self.authority.isLoopback else {
                    throw IssuerFailure(.configuration, "The address of Graph must be an https origin such as https://graph.microsoft.com.")
                }
                self.graph = origin
            } else {
                self.graph = Cloud(origin)?.graph
            }
        }
    }

    package let kind: Kind
    package let clientID: String
    /// Nil for a public client: PKCE alone proves who redeems a code.
    package let clientSecret: Secret<String>?
    package let redirectURI: String

    /// Holds `openid`.
    package let scopes: [String]
    /// A scope of an API of one's own, `api://{client}/.default`: asked in addition, for access tokens that can be exchanged.
    package var apiScope: String?
    /// A claim's name, or a path into objects with dots between the names.
    package var roleClaim = "roles"
    /// Of an OpenID Connect issuer that has tenants. If it is set, a token must have it.
    package var tenantClaim: String?
    package var groupClaim = "groups"
    /// Whether an issuer may keep silent about PKCE in its metadata, as Entra ID does. One that announces PKCE without S256
    /// is refused in any case.
    package var allowsMissingPKCEMetadata: Bool
    package var algorithms = SignatureAlgorithm.usual
    /// Where endpoints may be besides the issuer's own origin.
    package var otherOrigins: Set<Origin>
    package var skew = Duration.seconds(60)

    /// - Parameters:
    ///   - clientSecret: nil or empty for a public client.
    ///   - scopes: what is asked for at sign-in.
    /// - Throws: `.configuration`.
    package init(
        _ kind: Kind, clientID: String, clientSecret: Secret<String>? = nil, redirectURI: String,
        scopes: [String] = ["openid", "profile", "email", "offline_access"]
    ) throws(IssuerFailure) {
        guard clientID.isVisibleASCII(1...256) else {
            throw IssuerFailure(.configuration, "The client id must be 1 to 256 visible ASCII characters.")
        }
        if let clientSecret, !clientSecret.revealed.isVisibleASCII(0...1024) {
            throw IssuerFailure(.configuration, "The client secret must be visible ASCII characters: is there a line break at its end?")
        }
        guard let redirect = Endpoint(redirectURI), redirect.isSecure || redirect.origin.isLoopback else {
            throw IssuerFailure(.configuration, "The redirect URI must be an https address, or on loopback.")
        }
        guard scopes.contains("openid"), scopes.count <= 64, scopes.allSatisfy({ $0.isVisibleASCII(1...256) }) else {
            throw IssuerFailure(.configuration, "The scopes asked for must have “openid” among them, and be at most 64.")
        }
        if case .oidc(let issuer) = kind {
            guard let endpoint = Endpoint(issuer), endpoint.origin.isPlain, !issuer.contains("?"), endpoint.isSecure || endpoint.origin.isLoopback
            else {
                throw IssuerFailure(.configuration, "The issuer must be an https URL without a query.")
            }
        }
        self.kind = kind
        self.clientID = clientID
        self.clientSecret = clientSecret.flatMap { $0.revealed.isEmpty ? nil : $0 }
        self.redirectURI = redirectURI
        self.scopes = scopes
        switch kind {
        case .entra(let entra):
            allowsMissingPKCEMetadata = true
            otherOrigins = Cloud(entra.authority)?.origins ?? []
        case .oidc:
            allowsMissingPKCEMetadata = false
            otherOrigins = []
        }
    }

    /// The issuer as its metadata must name it; `{tenantid}` stands for a tenant where there may be several.
    package var issuer: String {
        switch kind {
        case .entra(let entra): "\(entra.authority)/\(entra.hasOneTenant ? entra.pathOfTenant : "{tenantid}")/v2.0"
        case .oidc(let issuer): issuer
        }
    }

    /// Where its metadata is (OpenID Connect Discovery 1.0, section 4).
    var discoveryURL: String {
        switch kind {
        case .entra(let entra): "\(entra.authority)/\(entra.pathOfTenant)/v2.0/.well-known/openid-configuration"
        case .oidc(let issuer): (issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer) + "/.well-known/openid-configuration"
        }
    }

    var entra: Entra? {
        if case .entra(let entra) = kind { entra } else { nil }
    }

    /// The origin the issuer itself is at; nil is impossible after the checks above.
    var origin: Origin? {
        switch kind {
        case .entra(let entra): entra.authority
        case .oidc(let issuer): Endpoint(issuer)?.origin
        }
    }
}

extension IssuerSettings.Entra {
    var hasOneTenant: Bool {
        if case .one = tenant { true } else { false }
    }

    var pathOfTenant: String {
        switch tenant {
        case .one(let id): id
        case .organizations: "organizations"
        case .common: "common"
        }
    }

    /// The names a tenant's tokens may bear, by the version they claim to be of.
    func issuer(of tenant: GUID, version: String) -> String? {
        switch version {
        case "2.0": "\(authority)/\(tenant)/v2.0"
        case "1.0": "\(Cloud(authority)?.oldIssuers.description ?? authority.description)/\(tenant)/"
        default: nil
        }
    }

    /// A tenant's own token endpoint: application tokens are not given out under `organizations`.
    func tokenEndpoint(of tenant: GUID) -> Endpoint? { Endpoint("\(authority)/\(tenant)/oauth2/v2.0/token") }
}

/// Microsoft's clouds: which other hosts belong to an authority.
private struct Cloud {
    let graph: Origin
    /// Under which the first version of tokens names tenants.
    let oldIssuers: Origin
    let origins: Set<Origin>

    init?(_ authority: Origin) {
        let names: (graph: String, old: String)
        switch authority.description {
        case "https://login.microsoftonline.com": names = ("https://graph.microsoft.com", "https://sts.windows.net")
        // The Department of Defense has the same authority and another Graph, dod-graph.microsoft.us: to be set.
        case "https://login.microsoftonline.us": names = ("https://graph.microsoft.us", "https://sts.windows.net")
        case "https://login.partner.microsoftonline.cn", "https://login.chinacloudapi.cn":
            names = ("https://microsoftgraph.chinacloudapi.cn", "https://sts.chinacloudapi.cn")
        default: return nil
        }
        guard let graph = Origin(names.graph), let old = Origin(names.old), let publicGraph = Origin("https://graph.microsoft.com") else {
            return nil
        }
        self.graph = graph
        oldIssuers = old
        // The metadata of every cloud names a Graph as its userinfo endpoint, and some the public one.
        origins = [graph, publicGraph]
    }
}
