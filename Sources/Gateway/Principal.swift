/// What somebody may be, in the order of what they may do; an auditor stands beside that order.
package enum Role: String, Sendable, CaseIterable {
    case anonymous
    case user
    case serverOwner = "server_owner"
    case admin
    /// Reads every report of their own tenant and the audit log, changes nothing, calls nothing.
    case auditor
}

/// Somebody whose credential was verified, acting in their tenant.
package struct Principal: Hashable, Sendable {
    package let user: UserID
    /// The stable name the issuer gave the user; what `/oauth/login` and the command line call `user_id`.
    package let name: String
    package let tenant: TenantID
    package let role: Role
    /// The sign-in that the credential comes from.
    package let session: SessionID
    /// The API key that the credential is, if it is one.
    package let key: APIKeyID?
    /// Requests a minute that the key is good for; nil for no limit of its own.
    package let keyPerMinute: Int?
    /// What the credential was given for.
    package let scopes: Scopes
    package let reach: Reach
    /// The client that the credential was issued to, as tokens call it; empty for none.
    package let client: String

    package init(
        user: UserID, name: String, tenant: TenantID, role: Role, session: SessionID = .none, key: APIKeyID? = nil, keyPerMinute: Int? = nil,
        scopes: Scopes = .all, reach: Reach = .everything, client: String = ""
    ) {
        self.user = user
        self.name = name
        self.tenant = tenant
        self.role = role
        self.session = session
        self.key = key
        self.keyPerMinute = keyPerMinute
        self.scopes = scopes
        self.reach = reach
        self.client = client
    }
}

/// A user as the record of truth holds them.
package struct User: Hashable, Sendable {
    package let id: UserID
    package let name: String
    package let tenant: TenantID
    package let role: Role
    /// Tokens issued before this moment are no longer good (sign out everywhere).
    package let revokedBefore: Timestamp
    /// Since when nobody is let in as this user.
    package let disabledAt: Timestamp?

    package init(id: UserID, name: String, tenant: TenantID, role: Role, revokedBefore: Timestamp, disabledAt: Timestamp? = nil) {
        self.id = id
        self.name = name
        self.tenant = tenant
        self.role = role
        self.revokedBefore = revokedBefore
        self.disabledAt = disabledAt
    }

    package var principal: Principal { principal(in: .none) }

    package func principal(
        in session: SessionID, key: APIKeyID? = nil, keyPerMinute: Int? = nil, scopes: Scopes = .all, reach: Reach = .everything, client: String = ""
    ) -> Principal {
        Principal(
            user: id, name: name, tenant: tenant, role: role, session: session, key: key, keyPerMinute: keyPerMinute, scopes: scopes, reach: reach,
            client: client)
    }
}

package struct Tenant: Hashable, Sendable {
    package let id: TenantID
    package let name: String

    package init(id: TenantID, name: String) {
        self.id = id
        self.name = name
    }
}
