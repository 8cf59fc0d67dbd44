package import Gateway

/// A shell script that registers the gateway in Entra ID, or takes the registration away.
///
/// The script is for `sh` and `az`, looks before it acts, and changes nothing on a second run. Everything in it that has an
/// id has the same id each time, for ids come from the public URL.
package struct EntraPlan: Sendable {
    /// A sentence for whoever asked for the plan.
    package struct Mistake: Error, Hashable, Sendable, CustomStringConvertible {
        package let description: String
    }

    let publicURL: Origin
    let name: String
    let redirectURIs: [String]
    let admin: String?
    let secretFile: String

    /// - Parameters:
    ///   - name: what the registration is called; up to 120 characters. Without one it is named after the host.
    ///   - otherRedirectURIs: registered beside the gateway's own, up to 20.
    ///   - admin: the name (UPN) or object id of a user who becomes the gateway's administrator.
    ///   - secretFile: where the script writes the client secret.
    package init(
        publicURL: Origin, name: String? = nil, otherRedirectURIs: [String] = [], admin: String? = nil, secretFile: String = "azure-client-secret"
    ) throws(Mistake) {
        guard publicURL.isSecure || publicURL.host == "localhost" else {
            throw Mistake(description: "The public URL must be https, or http://localhost: Entra ID sends users to no other.")
        }
        self.publicURL = publicURL
        self.name = name ?? "MCP Registry Gateway (\(publicURL.authority))"
        guard (1...120).contains(self.name.utf8.count), !self.name.hasControls else {
            throw Mistake(description: "The name must have 1 to 120 bytes and no control characters.")
        }
        let own = publicURL.description + EntraSettings.callbackPath
        guard otherRedirectURIs.count <= 20, otherRedirectURIs.allSatisfy(Self.isRedirectURI) else {
            throw Mistake(
                description: "A redirect URI must be https, or http://localhost, without user name and fragment, in up to 256 characters; 20 at most."
            )
        }
        redirectURIs = [own] + otherRedirectURIs.filter { $0 != own }
        guard admin.map(Self.isUser) ?? true else {
            throw Mistake(description: "The administrator must be a user's name such as ada@example.com, or an object id.")
        }
        self.admin = admin
        guard (1...1024).contains(secretFile.utf8.count), !secretFile.hasControls, !secretFile.hasPrefix("-") else {
            throw Mistake(description: "The secret's file must be a path of 1 to 1024 bytes, without control characters and not beginning with “-”.")
        }
        self.secretFile = secretFile
    }

    private static func isRedirectURI(_ text: String) -> Bool {
        guard text.utf8.count <= 256, let url = Endpoint(text), url.origin.isPlain else { return false }
        return url.isSecure || url.host == "localhost"
    }

    /// `az` reads a value that begins with `@` from a file, and one that begins with `-` as an option.
    private static func isUser(_ text: String) -> Bool {
        guard (3...256).contains(text.utf8.count), let first = text.first, first != "@", first != "-" else { return false }
        let isName = text.utf8.allSatisfy { (0x21...0x7E).contains($0) } && !text.contains { "\"\\/?%#&<>".contains($0) }
        return isName && (GUID.isOne(text) || text.split(separator: "@", omittingEmptySubsequences: false).count == 2)
    }

    /// Where MCP clients find the gateway; without a slash at its end.
    var resource: String { "\(publicURL)/mcp" }
    /// Marks the registration, so that it is found again under any name.
    var mark: String { "mcp-registry-gateway:\(GUID.named(publicURL.description))" }

    /// What the script adds to the directory.
    struct AppRole: Sendable {
        let value: String
        let title: String
        let meaning: String
    }

    /// The roles of `Gateway.Role` that can be given to somebody.
    static let roles = [
        AppRole(
            value: Role.admin.rawValue, title: "Administrator", meaning: "Changes everything in the gateway: servers, limits, users and sessions."),
        AppRole(value: Role.serverOwner.rawValue, title: "Server owner", meaning: "Registers MCP servers, and uses those there are."),
        AppRole(value: Role.user.rawValue, title: "User", meaning: "Uses the MCP servers they may see."),
        AppRole(value: Role.auditor.rawValue, title: "Auditor", meaning: "Reads reports and the audit log, and changes nothing."),
    ]

    func id(ofRole value: String) -> String { GUID.named("\(publicURL)#role/\(value)") }
    var scopeID: String { GUID.named("\(publicURL)#scope/access") }
}
