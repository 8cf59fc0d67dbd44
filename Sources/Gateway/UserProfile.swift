/// What is known of a user besides what they may do: for people who administer them.
package struct UserProfile: Hashable, Sendable {
    package enum RoleSource: String, Sendable {
        /// What the issuer says does not change it.
        case `operator`
        /// Follows what the issuer says at each sign-in.
        case issuer
    }

    /// Who they are where they sign in.
    package struct Identity: Hashable, Sendable {
        package let issuer: String
        package let subject: String
        package let displayName: String

        package init(issuer: String, subject: String, displayName: String) {
            self.issuer = issuer
            self.subject = subject
            self.displayName = displayName
        }
    }

    package let user: User
    package let roleSource: RoleSource
    /// Nil for users that the operator or evaluation made.
    package let identity: Identity?
    package let createdAt: Timestamp
    /// At the issuer; nil if they never did.
    package let signedInAt: Timestamp?

    package init(user: User, roleSource: RoleSource, identity: Identity?, createdAt: Timestamp, signedInAt: Timestamp?) {
        self.user = user
        self.roleSource = roleSource
        self.identity = identity
        self.createdAt = createdAt
        self.signedInAt = signedInAt
    }
}
