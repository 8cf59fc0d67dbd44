/// Names a session: 63 random bits, the `sid` of its tokens. 0 stands for none.
package struct SessionID: Hashable, Sendable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
    package static func random() -> Self { Self(.random(in: 1 ... .max)) }
    package static let none = Self(0)
}

/// What somebody does with one sign-in: the tokens of a session share its id (`sid`).
package struct Session: Hashable, Sendable {
    package struct Activity: Hashable, Sendable {
        package let at: Timestamp
        package let action: String
        package let target: String

        package init(at: Timestamp, action: String, target: String) {
            self.at = at
            self.action = action
            self.target = target
        }
    }

    package let id: SessionID
    package let user: UserID
    package let tenant: TenantID
    package let startedAt: Timestamp
    package var lastActivity: Timestamp
    /// What the client says it is.
    package var client: String
    /// `legacy` or `modern`.
    package var era: String
    /// In memory: since it was last written.
    package var requests: Int
    package var errors: Int
    package var isActive: Bool
    /// The last ten, latest first.
    package var activities: [Activity]

    package init(
        id: SessionID, user: UserID, tenant: TenantID, startedAt: Timestamp, lastActivity: Timestamp, client: String, era: String, requests: Int,
        errors: Int, isActive: Bool, activities: [Activity]
    ) {
        self.id = id
        self.user = user
        self.tenant = tenant
        self.startedAt = startedAt
        self.lastActivity = lastActivity
        self.client = client
        self.era = era
        self.requests = requests
        self.errors = errors
        self.isActive = isActive
        self.activities = activities
    }
}

/// A session as it is listed: with the name of its user.
package struct ListedSession: Hashable, Sendable {
    package let session: Session
    package let userName: String
    package let revokedAt: Timestamp?

    package init(session: Session, userName: String, revokedAt: Timestamp?) {
        self.session = session
        self.userName = userName
        self.revokedAt = revokedAt
    }
}
