extension EntraSettings {
    /// Scopes of OpenID Connect, which belong to no resource.
    private static let signInScopes = ["openid", "profile", "email", "offline_access", "address", "phone"]
    private static let graph = "Microsoft Graph"

    var scopeFindings: [EntraFinding] {
        let subject = "scopes"
        let usual = EntraFinding.Step.setting("\(Name.scopes)=\"openid profile email offline_access api://\(shownClientID)/access\"")
        var findings: [EntraFinding] = []
        if !scopes.contains("openid") {
            findings.append(EntraFinding(.error, subject, "“openid” is missing: without it Entra ID does not say who signed in.", usual))
        }
        if !scopes.contains("profile") {
            findings.append(EntraFinding(.error, subject, "“profile” is missing: without it the token lacks “oid”, by which users are known.", usual))
        }
        if !scopes.contains("offline_access") {
            let sentence = "“offline_access” is missing: everybody must sign in again when the first token expires, after about an hour."
            findings.append(EntraFinding(.warning, subject, sentence, usual))
        }

        let others = scopes.filter { !Self.signInScopes.contains($0) }
        let resources = Dictionary(grouping: others, by: Self.resource)
        if resources.count > 1 {
            let sentence = "They are of \(resources.count) resources, but one request can be for one only (AADSTS28000)."
            findings.append(EntraFinding(.error, subject, sentence, usual))
        }
        if resources.values.contains(where: { $0.count > 1 && $0.contains { $0.hasSuffix("/.default") } }) {
            findings.append(
                EntraFinding(.error, subject, "“.default” stands for all of a resource's scopes and cannot be mixed with single ones.", usual))
        }
        if let names = resources[Self.graph], names.contains(where: { !$0.contains("/") }) {
            let sentence = "A scope without a resource in front is read as one of \(Self.graph); the gateway's own begins with api://."
            findings.append(EntraFinding(names.contains("access") ? .error : .warning, subject, sentence, usual))
        } else if resources.count == 1, let resource = resources.keys.first, !isOwn(resource) {
            let sentence = "They ask for a token of another resource, which the gateway has no use for; its own begins with api://."
            findings.append(EntraFinding(.warning, subject, sentence, usual))
        }
        return findings.isEmpty ? [EntraFinding(.ok, subject, "They ask who signed in, and for a refresh token.")] : findings
    }

    private func isOwn(_ resource: String) -> Bool {
        let resource = resource.lowercased()
        return clientID.map { ["api://\($0)", $0].map { $0.lowercased() }.contains(resource) } == true || resource == "\(publicURL)/mcp".lowercased()
    }

    /// What stands before the last slash of a scope; names alone are those of Microsoft Graph.
    private static func resource(of scope: String) -> String {
        guard let slash = scope.lastIndex(of: "/") else { return graph }
        let resource = scope[..<slash]
        return EntraCloud.all.contains { $0.graph == resource } ? graph : String(resource)
    }
}
