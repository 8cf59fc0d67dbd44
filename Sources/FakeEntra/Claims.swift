import Crypto
import Gateway

extension Realm {
    /// Entra dates its tokens back, for clocks that are late; they are as much longer.
    static let backdating = Duration.seconds(300)
    /// More groups than this are not told in a token.
    static let mostGroups = 200

    /// The claims of an access token for a user, in the form the resource asked for.
    func userClaims(
        _ user: FakeEntra.Directory.User, _ client: FakeEntra.Directory.AppRegistration, _ scopes: Scopes, at now: Timestamp
    ) -> [String: FakeEntra.Value] {
        let resource = scopes.resource
        var claims = frame(resource, tenant: user.tenant, at: now)
        claims["oid"] = .string(user.id)
        claims["sub"] = .string(Self.subject(user.tenant, user.id, resource.clientID))
        claims["name"] = .string(user.displayName)
        claims["scp"] = .string(scopes.names.joined(separator: " "))
        if resource.tokenVersion == 1 {
            claims["appid"] = .string(client.clientID)
            claims["appidacr"] = client.secrets.isEmpty ? "0" : "1"
            claims["acr"] = "1"
            claims["amr"] = ["pwd"]
            claims["upn"] = .string(user.principalName)
            claims["unique_name"] = .string(user.principalName)
        } else {
            claims["azp"] = .string(client.clientID)
            claims["azpacr"] = client.secrets.isEmpty ? "0" : "1"
            claims["preferred_username"] = .string(user.principalName)
        }
        return claims.merging(memberships(user, resource)) { $1 }
    }

    /// The claims of an access token for an application itself: it has roles and no scopes.
    func appClaims(
        _ client: FakeEntra.Directory.AppRegistration, _ resource: FakeEntra.Directory.AppRegistration, tenant: String, at now: Timestamp
    ) -> [String: FakeEntra.Value] {
        var claims = frame(resource, tenant: tenant, at: now)
        let principal = Self.servicePrincipal(client.clientID)
        claims["oid"] = .string(principal)
        claims["sub"] = .string(principal)
        claims["idtyp"] = "app"
        let roles = (client.rolesAtResources[resource.clientID] ?? []).filter(resource.roles.contains)
        if !roles.isEmpty { claims["roles"] = .strings(roles) }
        if resource.tokenVersion == 1 {
            claims["appid"] = .string(client.clientID)
            claims["appidacr"] = "1"
        } else {
            claims["azp"] = .string(client.clientID)
            claims["azpacr"] = "1"
        }
        return claims
    }

    /// The claims of an ID token (OpenID Connect Core, section 2), in the form of v2.0.
    func idTokenClaims(
        _ user: FakeEntra.Directory.User, _ client: FakeEntra.Directory.AppRegistration, _ identity: Set<String>, nonce: String?,
        at now: Timestamp
    ) -> [String: FakeEntra.Value] {
        var claims = times(at: now)
        claims["aud"] = .string(client.clientID)
        claims["iss"] = .string(issuer(user.tenant))
        claims["tid"] = .string(user.tenant)
        claims["oid"] = .string(user.id)
        claims["sub"] = .string(Self.subject(user.tenant, user.id, client.clientID))
        claims["ver"] = "2.0"
        claims["uti"] = .string(Self.opaque())
        claims["rh"] = .string(Self.opaque())
        if let nonce { claims["nonce"] = .string(nonce) }
        if identity.contains("profile") {
            claims["name"] = .string(user.displayName)
            claims["preferred_username"] = .string(user.principalName)
        }
        if identity.contains("email"), let mail = user.mail { claims["email"] = .string(mail) }
        return claims.merging(memberships(user, client)) { $1 }
    }

    private func frame(_ resource: FakeEntra.Directory.AppRegistration, tenant: String, at now: Timestamp) -> [String: FakeEntra.Value] {
        var claims = times(at: now)
        claims["tid"] = .string(tenant)
        claims["aio"] = .string(Self.opaque())
        claims["rh"] = .string(Self.opaque())
        claims["uti"] = .string(Self.opaque())
        if resource.tokenVersion == 1 {
            claims["aud"] = .string(resource.appIDURI)
            claims["iss"] = .string(issuerV1(tenant))
            claims["ver"] = "1.0"
        } else {
            // Always the GUID, whatever name the request used.
            claims["aud"] = .string(resource.clientID)
            claims["iss"] = .string(issuer(tenant))
            claims["ver"] = "2.0"
        }
        return claims
    }

    private func times(at now: Timestamp) -> [String: FakeEntra.Value] {
        let start = FakeEntra.Value.integer(now.advanced(by: .zero - Self.backdating).seconds)
        return ["iat": start, "nbf": start, "exp": .integer(now.advanced(by: lifetimes.accessToken).seconds)]
    }

    /// Roles and groups as an application's tokens tell of them; with too many groups only where to ask.
    private func memberships(
        _ user: FakeEntra.Directory.User, _ application: FakeEntra.Directory.AppRegistration
    ) -> [String: FakeEntra.Value] {
        var claims: [String: FakeEntra.Value] = [:]
        let roles = user.roles.filter(application.roles.contains)
        if !roles.isEmpty { claims["roles"] = .strings(roles) }
        switch application.groupClaims {
        case .none: break
        case _ where user.groups.isEmpty: break
        case _ where user.groups.count <= Self.mostGroups: claims["groups"] = .strings(user.groups)
        case .listOrFlag: claims["hasgroups"] = true
        case .list:
            claims["_claim_names"] = ["groups": "src1"]
            // An address that Entra still gives and that is no longer served; a relying party goes to Graph by itself.
            claims["_claim_sources"] = [
                "src1": ["endpoint": .string("https://graph.windows.net/\(user.tenant)/users/\(user.id)/getMemberObjects")]
            ]
        }
        return claims
    }

    /// `sub`: the same user has another one at each application.
    private static func subject(_ tenant: String, _ user: String, _ application: String) -> String {
        Base64URL.encode(SHA256.hash(data: Array("sub\n\(tenant)\n\(user)\n\(application)".utf8)))
    }

    /// The object that stands for an application in a tenant.
    private static func servicePrincipal(_ clientID: String) -> String {
        let digits = SHA256.hash(data: Array("service principal\n\(clientID)".utf8)).prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        return [digits[0..<4], digits[4..<6], digits[6..<8], digits[8..<10], digits[10..<16]].map { $0.joined() }.joined(separator: "-")
    }

    private static func opaque() -> String { Base64URL.encode((0..<16).map { _ in UInt8.random(in: .min ... .max) }) }
}
