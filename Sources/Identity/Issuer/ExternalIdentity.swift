package import Gateway

/// Who signed in, as the issuer vouches for it.
package struct ExternalIdentity: Hashable, Sendable {
    package enum GroupMembership: Hashable, Sendable {
        /// All of them.
        case listed([String])
        /// There are more than fit into a token: `Issuer.groups(of:)` looks them up. Never to be taken for none.
        case overage
        /// The issuer says nothing of groups.
        case absent
    }

    /// The token's issuer; with several Entra tenants each is one.
    package let issuer: String
    /// Never given to anybody else: `tid/oid` of Entra ID, `iss|sub` of any other issuer.
    package let subjectKey: String
    /// The subject as this issuer names it: `oid` or `sub`.
    package let subject: String
    /// For the eye alone, like the address: people change both.
    package let displayName: String
    package let email: String?
    /// `tid`, or the tenant claim's value; nil if the issuer has no tenants.
    package let tenantKey: String?
    /// As the issuer writes them.
    package let roles: [String]
    package let groups: GroupMembership
    /// When the person last proved who they are; nil if the issuer does not say.
    package let authTime: Timestamp?

    package init(
        issuer: String, subjectKey: String, subject: String, displayName: String, email: String?, tenantKey: String?, roles: [String],
        groups: GroupMembership, authTime: Timestamp?
    ) {
        self.issuer = issuer
        self.subjectKey = subjectKey
        self.subject = subject
        self.displayName = displayName
        self.email = email
        self.tenantKey = tenantKey
        self.roles = roles
        self.groups = groups
        self.authTime = authTime
    }
}
