import FoundationEssentials

// What the plan's script sends to Microsoft Graph, as JSON.

extension EntraPlan {
    /// The registration as it is made in one request.
    var registrationJSON: String {
        let claims = Registration.Claims(
            idToken: Self.idTokenClaims.map(Registration.Claim.init), accessToken: Self.accessTokenClaims.map(Registration.Claim.init))
        return json(
            Registration(
                displayName: name, tags: [mark], web: .init(redirectUris: redirectURIs), api: .init(oauth2PermissionScopes: [scope]),
                appRoles: Self.roles.map(appRole), optionalClaims: claims),
            isPretty: true)
    }

    func roleJSON(_ role: AppRole) -> String { json(appRole(role)) }
    var scopeJSON: String { json(scope) }

    /// `acct` tells guests from members, `auth_time` when somebody last proved who they are.
    static let idTokenClaims = ["acct", "auth_time", "email"]
    /// `idtyp` tells applications from users.
    static let accessTokenClaims = ["acct", "idtyp"]

    private func appRole(_ role: AppRole) -> Registration.Role {
        Registration.Role(description: role.meaning, displayName: role.title, id: id(ofRole: role.value), value: role.value)
    }

    private var scope: Registration.Scope { Registration.Scope(id: scopeID) }

    private func json(_ value: some Encodable, isPretty: Bool = false) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = isPretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { preconditionFailure("strings, numbers and lists of them always encode") }
        return String(decoding: data, as: UTF8.self)
    }
}

/// An `application` of Microsoft Graph, as far as the plan fills it in.
private struct Registration: Encodable {
    let displayName: String
    var signInAudience = "AzureADMyOrg"
    let tags: [String]
    let web: Web
    let api: API
    let appRoles: [Role]
    /// Groups assigned to the application only: a token has room for 200, and says nothing of groups beyond that.
    var groupMembershipClaims = "ApplicationGroup"
    let optionalClaims: Claims
    var requiredResourceAccess = [Access()]

    struct Web: Encodable {
        let redirectUris: [String]
    }

    struct API: Encodable {
        /// Without it tokens are of version 1, whatever endpoint they come from.
        var requestedAccessTokenVersion = 2
        let oauth2PermissionScopes: [Scope]
    }

    struct Scope: Encodable {
        var adminConsentDescription = "Lets the gateway act for the user who signed in."
        var adminConsentDisplayName = "Use the gateway"
        let id: String
        var isEnabled = true
        var type = "User"
        var userConsentDescription = "Lets the gateway act for you."
        var userConsentDisplayName = "Use the gateway"
        var value = "access"
    }

    struct Role: Encodable {
        var allowedMemberTypes = ["User"]
        let description: String
        let displayName: String
        let id: String
        var isEnabled = true
        let value: String
    }

    struct Claim: Encodable {
        let name: String
        var essential = false

        init(_ name: String) { self.name = name }
    }

    struct Claims: Encodable {
        let idToken: [Claim]
        let accessToken: [Claim]
    }

    /// The permissions of Microsoft Graph that a sign-in takes; listed so that an administrator can consent for everybody.
    struct Access: Encodable {
        struct Permission: Encodable {
            let id: String
            var type = "Scope"
        }

        var resourceAppId = "00000003-0000-0000-c000-000000000000"
        var resourceAccess = [
            // openid, profile, email, offline_access
            "37f7f235-527c-4136-accd-4a02d197296e", "14dad69e-099b-42c9-810b-d002981feec1", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
            "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
        ].map { Permission(id: $0) }
    }
}
