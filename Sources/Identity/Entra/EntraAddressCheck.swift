import Gateway

extension EntraSettings {
    var authorityFinding: EntraFinding {
        let subject = "authority"
        guard let authority else { return EntraFinding(.ok, subject, "Users sign in at \(Self.defaultAuthority).") }
        guard let url = Endpoint(authority) else {
            return EntraFinding(
                .error, subject, "\(Name.authority) is not a URL such as \(Self.defaultAuthority).",
                .setting("\(Name.authority)=\(Self.defaultAuthority)"))
        }
        let bare = EntraFinding.Step.setting("\(Name.authority)=\(url.origin)")
        if let fault = Self.wrongHosts.first(where: { url.host == $0.host || url.host.hasSuffix("." + $0.host) }) {
            let step = fault.instead.map { EntraFinding.Step.setting("\(Name.authority)=https://\($0)") }
            return EntraFinding(fault.level, subject, "\(url.host): \(fault.sentence)", step.map { [$0] } ?? [])
        }
        let segments = url.path.split(separator: "/").map(String.init)
        if let first = segments.first {
            let isVersion = first.lowercased() == "v2.0" || first.lowercased() == "oauth2"
            let isOther = !isVersion && GUID.isOne(first) && first.lowercased() != tenant?.lowercased()
            let sentence =
                isVersion
                ? "Nothing belongs behind the host: the gateway adds the tenant and the version."
                : "The tenant does not belong into the authority, but into \(Name.tenant)" + (isOther ? ", which names another one." : ".")
            return EntraFinding(.error, subject, sentence, bare)
        }
        if url.path != "/" { return EntraFinding(.error, subject, "Nothing belongs behind the host.", bare) }
        if authority.hasSuffix("/") {
            return EntraFinding(.warning, subject, "Issuers are compared character by character: leave out the slash at the end.", bare)
        }
        if let cloud = EntraCloud.at(url.host), url.isSecure, url.origin.port == nil {
            return EntraFinding(.ok, subject, "Users sign in at \(url.origin), \(cloud.name).")
        }
        guard url.isSecure || url.origin.isLoopback else {
            return EntraFinding(
                .error, subject, "It must be https: secrets and tokens travel over it.", .setting("\(Name.authority)=https://\(url.authority)"))
        }
        let clouds = EntraCloud.all.map(\.loginHost).joined(separator: ", ")
        return EntraFinding(.warning, subject, "\(url.origin) is none of Microsoft's clouds (\(clouds)); right for a test issuer only.")
    }

    private struct WrongHost: Sendable {
        let host: String
        var level = EntraFinding.Level.error
        let sentence: String
        var instead: String?
    }

    private static let wrongHosts = [
        WrongHost(
            host: EntraCloud.formerChineseHost, level: .warning, sentence: "the former name of the cloud in China; issuers bear the new one.",
            instead: EntraCloud.china.loginHost),
        WrongHost(
            host: "login.windows.net", level: .warning, sentence: "a former name; issuers bear the new one.", instead: EntraCloud.global.loginHost),
        WrongHost(
            host: "login.microsoft.com", level: .warning, sentence: "another name; issuers bear the usual one.", instead: EntraCloud.global.loginHost),
        WrongHost(
            host: "sts.windows.net", sentence: "it names the issuer of tokens of version 1; nobody signs in there.",
            instead: EntraCloud.global.loginHost),
        WrongHost(host: "login.microsoftonline.de", sentence: "the cloud in Germany was closed in 2021."),
        WrongHost(host: "portal.azure.com", sentence: "that is the portal; nobody signs in there.", instead: EntraCloud.global.loginHost),
        WrongHost(host: "entra.microsoft.com", sentence: "that is the admin center; nobody signs in there.", instead: EntraCloud.global.loginHost),
        WrongHost(host: "graph.microsoft.com", sentence: "that is Microsoft Graph; nobody signs in there.", instead: EntraCloud.global.loginHost),
        WrongHost(host: "b2clogin.com", sentence: "a B2C tenant; set it up as an OpenID Connect issuer (MREG_OIDC_ISSUER)."),
        WrongHost(host: "ciamlogin.com", sentence: "an external tenant; set it up as an OpenID Connect issuer (MREG_OIDC_ISSUER)."),
    ]

    var redirectFindings: [EntraFinding] {
        let subject = "redirect URI"
        let wanted = publicURL + Self.callbackPath
        let setting = EntraFinding.Step.setting("\(Name.callbackURL)=\(wanted)")
        guard let url = Endpoint(callbackURL) else {
            return [EntraFinding(.error, subject, "\(Name.callbackURL) is not an absolute http or https URL.", setting)]
        }
        guard callbackURL == wanted else {
            let sentence = "\(Name.callbackURL) is not \(wanted): \(difference(of: url, from: wanted))"
            return [EntraFinding(.error, subject, sentence, setting, .portal(EntraPortal.registration("Authentication > Web > Redirect URIs")))]
        }
        guard callbackURL.utf8.count <= 256 else { return [EntraFinding(.error, subject, "Entra ID takes at most 256 characters.")] }
        if url.isSecure { return [EntraFinding(.ok, subject, "\(callbackURL) belongs to \(Name.publicURL).")] }
        switch url.host {
        case "localhost":
            return [EntraFinding(.ok, subject, "\(callbackURL) belongs to this machine: good for trying, for browsers on this machine only.")]
        case _ where url.origin.isLoopback && !url.host.contains(":"):
            let sentence = "With an address instead of “localhost”, the portal's form does not take it over http; only the manifest does."
            return [EntraFinding(.warning, subject, sentence, .setting("\(Name.publicURL)=\(Origin.localhost(port: url.port))"))]
        default:
            let sentence = "Entra ID sends users back over https only; http is for localhost."
            return [EntraFinding(.error, subject, sentence, .setting("\(Name.publicURL)=https://\(url.host)"))]
        }
    }

    /// The first thing in which they differ, for they are compared character by character.
    private func difference(of url: Endpoint, from wanted: String) -> String {
        guard let right = Endpoint(wanted) else { return "the public URL is none." }
        if callbackURL == wanted + "/" { return "it ends with a slash." }
        if url.path.contains("?") { return "it has a query." }
        if url.origin.scheme != right.origin.scheme { return "it is \(url.origin.scheme), and the public URL is \(right.origin.scheme)." }
        if url.host != right.host {
            let isLoopback = url.origin.isLoopback && right.origin.isLoopback
            return isLoopback
                ? "to Entra ID, “localhost” and “127.0.0.1” are two hosts." : "its host is \(url.host), and the public URL's is \(right.host)."
        }
        if url.port != right.port { return "its port is \(url.port), and the public URL's is \(right.port)." }
        if callbackURL.lowercased() == wanted.lowercased() { return "upper and lower case are two things." }
        return url.path == right.path ? "it is written differently." : "its path is another one."
    }
}
