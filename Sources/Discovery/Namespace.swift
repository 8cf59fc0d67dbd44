package import Gateway

/// The reverse-DNS name under which a gateway publishes: the host of its public URL, backwards.
///
/// Letters, digits, dots and hyphens, at least two labels. What has no domain is under `local`: `local.localhost`,
/// `local.ip-10-0-0-7`.
package struct Namespace: Hashable, Sendable, CustomStringConvertible {
    package let description: String

    /// A name has at most 200 characters, and what stands behind the slash needs room too.
    private static let longest = 160

    package init(of origin: Origin) {
        // A host may hold underscores, a namespace not.
        let host = origin.name.replacing("_", with: "-")
        let labels = host.split(separator: ".")
        let text =
            if IPAddress(origin.name) != nil {
                "local.ip-" + host.replacing(".", with: "-").replacing(":", with: "-")
            } else if labels.count < 2 {
                "local." + host
            } else {
                labels.reversed().joined(separator: ".")
            }
        description = text.cut(Self.longest)
    }

    /// The name of a server: its alias in the namespace.
    ///
    /// Tenants choose aliases without knowing of each other. Those of the tenant that the host began with stand by themselves;
    /// the others' carry the tenant's number behind a dot, which no alias holds.
    package func name(of alias: ServerAlias, in tenant: TenantID, home: TenantID) -> String {
        "\(description)/\(alias)" + (tenant == home ? "" : ".t\(tenant.rawValue)")
    }

    /// The endpoint that shows every server. Longer than an alias can be.
    package var gateway: String { "\(description)/mcp-registry-gateway" }

    /// The key of what the gateway says of an entry besides what the registry API knows.
    package var metaKey: String { "\(description)/gateway" }
}
