import Gateway

/// One thing the doctor looked at, and what came of it. Fit to be shown: no secret is ever in it.
package struct EntraFinding: Hashable, Sendable {
    package enum Level: String, Sendable, CaseIterable {
        case ok, warning, error
        /// It cannot be looked at from here; the sentence says why.
        case unchecked
    }

    /// What to do about it, as it is written into a terminal, a settings file or the portal's menus.
    package enum Step: Hashable, Sendable {
        case setting(String)
        case portal(String)
        case command(String)
        case reference(String)

        package var label: String {
            switch self {
            case .setting: "set"
            case .portal: "portal"
            case .command: "run"
            case .reference: "read"
            }
        }

        package var text: String {
            switch self {
            case .setting(let text), .portal(let text), .command(let text), .reference(let text): text
            }
        }
    }

    package let level: Level
    /// In a word or two.
    package let subject: String
    package let sentence: String
    package let steps: [Step]

    package init(_ level: Level, _ subject: String, _ sentence: String, _ steps: Step...) { self.init(level, subject, sentence, steps) }

    package init(_ level: Level, _ subject: String, _ sentence: String, _ steps: [Step]) {
        self.level = level
        self.subject = subject
        self.sentence = sentence
        self.steps = steps
    }
}

extension EntraFinding {
    /// The same without the secret, should it have come in by a way nobody thought of. Texts under 8 characters are left:
    /// they are no secrets, and stand in many words.
    func hiding(_ secret: Secret<String>?) -> Self {
        guard let secret = secret?.revealed, secret.utf8.count >= 8 else { return self }
        // Hosts are shown in lower case.
        let spellings = [secret, secret.lowercased()]
        let hide: (String) -> String = { text in spellings.reduce(text) { $0.replacing($1, with: "redacted") } }
        let steps = steps.map { step -> Step in
            switch step {
            case .setting(let text): .setting(hide(text))
            case .portal(let text): .portal(hide(text))
            case .command(let text): .command(hide(text))
            case .reference(let text): .reference(hide(text))
            }
        }
        return Self(level, subject, hide(sentence), steps)
    }
}

/// Where things are in the Entra admin center.
enum EntraPortal {
    static let overview = "Entra ID > Overview > Tenant ID"
    static let users = "Entra ID > Users"
    static let signIns = "Entra ID > Monitoring & health > Sign-in logs"
    static let conditionalAccess = "Entra ID > Conditional Access > Policies"
    static let consentRequests = "Entra ID > Enterprise apps > Admin consent requests"
    static let externalAccess = "Entra ID > External Identities > Cross-tenant access settings"

    static func registration(_ blade: String) -> String { "Entra ID > App registrations > the gateway > \(blade)" }
    static func enterprise(_ blade: String) -> String { "Entra ID > Enterprise apps > the gateway > \(blade)" }
}
