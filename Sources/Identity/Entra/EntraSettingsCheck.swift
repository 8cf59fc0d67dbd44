import Gateway

/// What can be told of the settings without asking anybody.
///
/// Values are not repeated in what it says unless they have the form of an id or are part of a URL that was taken apart: a
/// secret is easily pasted into the wrong line.
package enum EntraSettingsCheck {
    /// In the order an operator sets them.
    package static func findings(_ settings: EntraSettings) -> [EntraFinding] {
        if settings.tenant == nil, settings.clientID == nil, settings.clientSecret == nil {
            return [
                EntraFinding(
                    .error, "settings", "Nothing is set for Entra ID: \(EntraSettings.Name.tenant) and the other two are empty.",
                    .command(settings.planCommand))
            ]
        }
        let findings =
            [settings.tenantFinding] + settings.allowedTenantFindings + [settings.clientIDFinding] + settings.secretFindings
            + [settings.authorityFinding] + settings.redirectFindings + settings.scopeFindings
        return findings.map { $0.hiding(settings.clientSecret) }
    }
}

extension EntraSettings {
    /// The tenant of personal Microsoft accounts.
    static let personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

    var tenantFinding: EntraFinding {
        let subject = "tenant"
        let look: [EntraFinding.Step] = [.portal(EntraPortal.overview), .command("az account show --query tenantId -o tsv")]
        guard let tenant, !tenant.isEmpty else { return EntraFinding(.error, subject, "\(Name.tenant) is not set.", look) }
        if let id = GUID.first(in: tenant), !GUID.isOne(tenant) {
            let sentence = "\(Name.tenant) holds more than the tenant's id: only the id belongs there, without braces, quotes or URL."
            return EntraFinding(.error, subject, sentence, .setting("\(Name.tenant)=\(id)"))
        }
        switch tenant.lowercased() {
        case "organizations":
            return EntraFinding(.ok, subject, "“organizations”: whoever has a work or school account reaches the sign-in.")
        case "common":
            let sentence = "“common” also lets personal Microsoft accounts reach the sign-in, to which no role can be given."
            return EntraFinding(.warning, subject, sentence, .setting("\(Name.tenant)=organizations"))
        case "consumers", Self.personalTenant:
            return EntraFinding(.error, subject, "These are personal Microsoft accounts only, to which no role can be given.", look)
        default: break
        }
        if GUID.isOne(tenant) {
            return tenant.contains { $0 != "0" && $0 != "-" }
                ? EntraFinding(.ok, subject, "\(tenant) has the form of a tenant's id.")
                : EntraFinding(.error, subject, "An id of zeros is a placeholder.", look)
        }
        guard Self.isDomain(tenant) else {
            let sentence = "\(Name.tenant) is neither a tenant's id (8-4-4-4-12 hexadecimal digits) nor a domain name."
            return EntraFinding(.error, subject, sentence, look)
        }
        if Self.isSample(tenant) { return EntraFinding(.error, subject, "\(tenant) is an example out of documentation.", look) }
        if let cloud, let other = EntraCloud.all.first(where: { $0 != cloud && tenant.lowercased().hasSuffix($0.initialDomain) }) {
            let sentence = "\(tenant) belongs to \(other.name), but the authority is \(cloud.name)."
            return EntraFinding(.error, subject, sentence, .setting("\(Name.authority)=https://\(other.loginHost)"))
        }
        let sentence = "\(tenant) has the form of a domain name; the gateway takes the tenant's id, for that is how tokens name their tenant."
        return EntraFinding(.error, subject, sentence, look)
    }

    var allowedTenantFindings: [EntraFinding] {
        let subject = "allowed tenants"
        let setting = EntraFinding.Step.setting("\(Name.allowedTenants)=<tenant id>,<tenant id>")
        guard isForManyTenants || !allowedTenants.isEmpty else { return [] }
        if allowedTenants.isEmpty {
            let sentence =
                "\(Name.allowedTenants) is empty: Entra ID signs tokens for every tenant with the same keys, so somebody must say whose users are meant."
            return [EntraFinding(.error, subject, sentence, setting)]
        }
        guard allowedTenants.allSatisfy({ GUID.isOne($0) }) else {
            let sentence =
                "Each must be a tenant's id, for that is how tokens name their tenant: not a domain name, and none of the words for many tenants."
            return [EntraFinding(.error, subject, sentence, setting, .portal(EntraPortal.overview))]
        }
        let allowed = Set(allowedTenants.map { $0.lowercased() })
        if allowed.contains(Self.personalTenant) {
            return [
                EntraFinding(.warning, subject, "One of them is the tenant of personal Microsoft accounts, to which no role can be given.", setting)
            ]
        }
        guard isForManyTenants else {
            guard let tenant, GUID.isOne(tenant), !allowed.subtracting([tenant.lowercased()]).isEmpty else { return [] }
            let sentence = "Only users and guests of \(Name.tenant) can sign in there; for users of other tenants it must be “organizations”."
            return [EntraFinding(.warning, subject, sentence, .setting("\(Name.tenant)=organizations"))]
        }
        if allowed.count == 1, let only = allowed.first {
            let sentence = "There is only one: named as the tenant, it is the only one that can sign in at all."
            return [EntraFinding(.warning, subject, sentence, .setting("\(Name.tenant)=\(only)"))]
        }
        return [EntraFinding(.ok, subject, "Users of \(allowed.count) tenants may sign in.")]
    }

    var clientIDFinding: EntraFinding {
        let subject = "client id"
        let look: [EntraFinding.Step] = [
            .portal(EntraPortal.registration("Overview > Application (client) ID")),
            .command("az ad app list --display-name 'MCP Registry Gateway' --query '[].[appId,displayName]' -o table"),
        ]
        guard let clientID, !clientID.isEmpty else { return EntraFinding(.error, subject, "\(Name.clientID) is not set.", look) }
        guard GUID.isOne(clientID) else {
            guard let id = GUID.first(in: clientID) else {
                return EntraFinding(.error, subject, "\(Name.clientID) has not the form of an id (8-4-4-4-12 hexadecimal digits).", look)
            }
            let sentence = "\(Name.clientID) holds more than the id: only the id belongs there, without api://, braces or quotes."
            return EntraFinding(.error, subject, sentence, .setting("\(Name.clientID)=\(id)"))
        }
        if clientID.lowercased() == tenant?.lowercased() {
            return EntraFinding(.error, subject, "\(Name.clientID) and \(Name.tenant) are the same: one of them was pasted twice.", look)
        }
        guard clientID.contains(where: { $0 != "0" && $0 != "-" }) else {
            return EntraFinding(.error, subject, "An id of zeros is a placeholder.", look)
        }
        return EntraFinding(.ok, subject, "\(clientID) has the form of a client's id. (An object id looks the same; only Entra ID can tell.)")
    }

    /// The cloud of the authority, if it is one of Microsoft's.
    var cloud: EntraCloud? {
        guard let authority else { return .global }
        return Endpoint(authority).flatMap { EntraCloud.at($0.host) }
    }

    private static func isDomain(_ text: String) -> Bool {
        guard text.contains("."), !text.contains(":"), let origin = Origin("https://" + text) else { return false }
        return origin.host.last?.isLetter == true
    }

    private static func isSample(_ domain: String) -> Bool {
        let labels = domain.lowercased().split(separator: ".")
        return labels.contains { ["contoso", "fabrikam", "yourtenant", "your-tenant", "tenant", "example"].contains($0) }
    }
}
