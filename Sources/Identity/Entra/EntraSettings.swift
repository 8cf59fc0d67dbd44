package import Gateway

/// What the operator set for signing in through Entra ID, as it was written.
package struct EntraSettings: Sendable {
    package static let defaultAuthority = "https://\(EntraCloud.global.loginHost)"
    /// Where Entra ID sends users back to, behind the public URL.
    package static let callbackPath = "/oauth/callback"

    package var tenant: String?
    package var clientID: String?
    package var clientSecret: Secret<String>?
    package var authority: String?
    package var allowedTenants: [String]
    /// The gateway's own origin, such as `https://gateway.example`.
    package var publicURL: String
    package var callbackURL: String
    package var scopes: [String]

    package init(
        tenant: String?, clientID: String?, clientSecret: Secret<String>?, authority: String? = nil, allowedTenants: [String] = [],
        publicURL: String, callbackURL: String, scopes: [String]
    ) {
        self.tenant = tenant
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.authority = authority
        self.allowedTenants = allowedTenants
        self.publicURL = publicURL
        self.callbackURL = callbackURL
        self.scopes = scopes
    }

    /// Names of the settings, as the operator types them.
    package enum Name {
        package static let tenant = "MREG_AZURE_TENANT_ID"
        package static let clientID = "MREG_AZURE_CLIENT_ID"
        package static let clientSecret = "MREG_AZURE_CLIENT_SECRET"
        package static let clientSecretFile = "MREG_AZURE_CLIENT_SECRET_FILE"
        package static let authority = "MREG_AZURE_AUTHORITY"
        package static let allowedTenants = "MREG_AZURE_ALLOWED_TENANTS"
        package static let publicURL = "MREG_PUBLIC_URL"
        package static let callbackURL = "MREG_FASTMCP_OAUTH_CALLBACK_URL"
        package static let scopes = "MREG_FASTMCP_OAUTH_SCOPES"

        package static let all = [tenant, clientID, clientSecret, clientSecretFile, authority, allowedTenants, publicURL, callbackURL, scopes]
    }

    /// The client id where it is one: what is shown of it, and put into commands.
    var shownClientID: String { clientID.flatMap { GUID.isOne($0) ? $0 : nil } ?? "CLIENT_ID" }

    /// One of the words that stand for many tenants.
    var isForManyTenants: Bool { ["common", "organizations", "consumers"].contains(tenant?.lowercased()) }

    /// The command that registers the gateway, or mends its registration.
    var planCommand: String { "mreg entra plan --public-url \(ShellText.quoted(publicURL)) > entra.sh && sh entra.sh" }
}

/// Text for a POSIX shell.
enum ShellText {
    /// One word of a command that stands for exactly this text. It has no way to hold a NUL.
    static func quoted(_ text: String) -> String {
        let isPlain = !text.isEmpty && text.utf8.allSatisfy(isPlainByte)
        return isPlain ? text : "'" + text.replacing("'", with: #"'\''"#) + "'"
    }

    private static func isPlainByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || "-_./:@".utf8.contains(byte)
    }
}
