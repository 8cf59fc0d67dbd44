package import Gateway

/// What a user allowed a client, as the record of truth keeps it: the code it began with, and its refresh tokens. Neither
/// is kept itself.
package struct AuthorizationGrant: Hashable, Sendable {
    package var code: CodeGrant
    package var family: RefreshFamily
    package let user: UserID
    package let tenant: TenantID
    /// All tokens of a grant belong to one sign-in.
    package let session: SessionID
    package let scope: String
    package let createdAt: Timestamp

    package init(
        code: CodeGrant, family: RefreshFamily, user: UserID, tenant: TenantID, session: SessionID, scope: String, createdAt: Timestamp
    ) {
        self.code = code
        self.family = family
        self.user = user
        self.tenant = tenant
        self.session = session
        self.scope = scope
        self.createdAt = createdAt
    }
}
