import Gateway
import Testing

@testable import Identity

extension EntraSettings {
    static let tenantID = "72f988bf-86f1-41af-91ab-2d7cd011db47"
    static let otherTenant = "33333333-2222-4333-8444-555555555555"
    static let client = "0f2b1f2e-5d1c-4a7b-9d3c-1b2a3c4d5e6f"
    static let secretID = "5d5d5d5d-1111-4222-8333-444444444444"
    /// Of the form of a real one.
    static let secret = "canary~Q8xY.zK1_abcdefghij-klmnopqrstuvw"

    static let good = Self(
        tenant: tenantID, clientID: client, clientSecret: Secret(secret), publicURL: "https://gateway.example",
        callbackURL: "https://gateway.example/oauth/callback", scopes: ["openid", "profile", "email", "offline_access", "api://\(client)/access"])

    func with(_ change: (inout Self) -> Void) -> Self {
        var settings = self
        change(&settings)
        return settings
    }
}

struct EntraSettingsCheckTests {
    func findings(_ change: (inout EntraSettings) -> Void = { _ in }) -> [EntraFinding] {
        EntraSettingsCheck.findings(EntraSettings.good.with(change))
    }

    func finding(_ subject: String, _ change: (inout EntraSettings) -> Void) throws -> EntraFinding {
        try #require(findings(change).last { $0.subject == subject })
    }

    @Test func `good settings are good, line by line`() {
        #expect(findings().map(\.level) == [.ok, .ok, .ok, .ok, .ok, .ok])
        #expect(findings().map(\.subject) == ["tenant", "client id", "client secret", "authority", "redirect URI", "scopes"])
    }

    @Test func `where nothing is set, the plan is named and nothing else`() {
        let all = findings {
            $0.tenant = nil
            $0.clientID = nil
            $0.clientSecret = nil
        }
        #expect(all.map(\.level) == [.error])
        #expect(all.first?.steps == [.command("mreg entra plan --public-url https://gateway.example > entra.sh && sh entra.sh")])
    }

    @Test(arguments: [
        (EntraSettings.tenantID.uppercased(), EntraFinding.Level.ok), ("organizations", .ok), ("team.acme.org", .error),
        ("team.onmicrosoft.com", .error),
        ("", .error), ("acme", .error), ("your-tenant-id", .error), ("00000000-0000-0000-0000-000000000000", .error),
        ("contoso.onmicrosoft.com", .error), ("example.com", .error), ("consumers", .error), (EntraSettings.personalTenant, .error),
        ("10.0.0.1", .error), ("acme.com:443", .error), ("acme..com", .error), ("acme.c0m.", .error),
        ("team.onmicrosoft.us", .error), ("team.partner.onmschina.cn", .error), ("72f988bf86f141af91ab2d7cd011db47", .error),
        ("72f988bf-86f1-41af-91ab-2d7cd011db4g", .error),
    ])
    func `a tenant is an id, as start-up wants it`(_ tenant: String, _ level: EntraFinding.Level) throws {
        #expect(try finding("tenant") { $0.tenant = tenant }.level == level)
    }

    @Test(arguments: [
        "{\(EntraSettings.tenantID)}", "\"\(EntraSettings.tenantID)\"", " \(EntraSettings.tenantID)", "\(EntraSettings.tenantID)\n",
        "https://login.microsoftonline.com/\(EntraSettings.tenantID)/v2.0", "\(EntraSettings.tenantID)/",
    ])
    func `more than the tenant's id is told apart, with the id`(_ tenant: String) throws {
        let finding = try finding("tenant") { $0.tenant = tenant }
        #expect(finding.level == .error)
        #expect(finding.steps == [.setting("MREG_AZURE_TENANT_ID=\(EntraSettings.tenantID)")])
    }

    @Test(arguments: ["common", "organizations", "Common"]) func `for many tenants somebody must say which`(_ tenant: String) throws {
        #expect(try finding("allowed tenants") { $0.tenant = tenant }.level == .error)
        let two = try finding("allowed tenants") {
            $0.tenant = tenant
            $0.allowedTenants = [EntraSettings.tenantID, EntraSettings.otherTenant]
        }
        #expect(two.level == .ok)
    }

    @Test(arguments: [
        ("organizations", [EntraSettings.tenantID], EntraFinding.Level.warning),
        ("organizations", ["team.onmicrosoft.com"], .error), ("organizations", ["common"], .error), ("organizations", [""], .error),
        ("common", [EntraSettings.tenantID, EntraSettings.personalTenant], .warning),
        (EntraSettings.tenantID, [EntraSettings.otherTenant], .warning),
    ])
    func `allowed tenants are ids, several, and can sign in`(_ tenant: String, _ allowed: [String], _ level: EntraFinding.Level) throws {
        let finding = try finding("allowed tenants") {
            $0.tenant = tenant
            $0.allowedTenants = allowed
        }
        #expect(finding.level == level)
    }

    @Test func `one tenant that allows itself is not worth a word`() {
        #expect(!findings { $0.allowedTenants = [EntraSettings.tenantID.uppercased()] }.contains { $0.subject == "allowed tenants" })
    }

    @Test func `common also lets in personal accounts`() throws {
        #expect(try finding("tenant") { $0.tenant = "common" }.level == .warning)
        #expect(try finding("tenant") { $0.tenant = "organizations" }.level == .ok)
    }

    @Test(arguments: [
        "", "gateway", "00000000-0000-0000-0000-000000000000", "ada@gateway.example", EntraSettings.tenantID, "{\(EntraSettings.client)}",
        "api://\(EntraSettings.client)",
    ])
    func `a client id is an id, and not the tenant's`(_ id: String) throws {
        #expect(try finding("client id") { $0.clientID = id }.level == .error)
    }

    @Test func `a client id with something around it is given without`() throws {
        #expect(
            try finding("client id") { $0.clientID = "api://\(EntraSettings.client)" }.steps == [
                .setting("MREG_AZURE_CLIENT_ID=\(EntraSettings.client)")
            ])
    }

    @Test func `what is missing beside the rest is named`() throws {
        #expect(try finding("tenant") { $0.tenant = nil }.sentence == "MREG_AZURE_TENANT_ID is not set.")
        #expect(try finding("client id") { $0.clientID = nil }.sentence == "MREG_AZURE_CLIENT_ID is not set.")
        #expect(try finding("client secret") { $0.clientSecret = nil }.level == .error)
    }

    @Test func `the same id twice is one pasted twice`() throws {
        #expect(try finding("client id") { $0.clientID = EntraSettings.tenantID.uppercased() }.sentence.contains("pasted twice"))
    }
}

struct EntraSecretCheckTests {
    func finding(_ secret: String?) throws -> EntraFinding {
        let settings = EntraSettings.good.with { $0.clientSecret = secret.map { Secret($0) } }
        return try #require(EntraSettingsCheck.findings(settings).first { $0.subject == "client secret" })
    }

    @Test(arguments: [EntraSettings.secret, "abc8Q~" + String(repeating: "x", count: 34), "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmE9+/="])
    func `a value of the usual form is good`(_ secret: String) throws {
        #expect(try finding(secret).level == .ok)
    }

    @Test(arguments: [
        ("", "not set"),
        (EntraSettings.secretID, "secret's id"), (EntraSettings.secretID.uppercased(), "secret's id"),
        ("\"\(EntraSettings.secret)\"", "quotes"), ("'\(EntraSettings.secret)'", "quotes"), ("“\(EntraSettings.secret)”", "quotes"),
        ("`\(EntraSettings.secret)", "quotes"),
        (" \(EntraSettings.secret)", "blank"), ("\(EntraSettings.secret)\n", "line break"), ("\(EntraSettings.secret)\r\n", "line break"),
        ("abc def~ghi", "blank"), ("\(EntraSettings.secret)\u{200B}", "ASCII"), ("\(EntraSettings.secret)\u{FEFF}", "invisible"),
        ("abc\u{0}def", "invisible"), ("canary–Q8xY~abcdefghijklmnopqrstuvwxyz", "ASCII"),
        ("abc*********************", "shortened"), ("abc…", "shortened"),
        ("A909502DD82AE41433E6F83886B00D4277A32A7B", "thumbprint"), ("A9:09:50:2D:D8:2A:E4:14:33:E6:F8:38:86:B0:0D:42:77:A3:2A:7B", "thumbprint"),
        (String(repeating: "0f", count: 32), "thumbprint"), ("-----BEGIN PRIVATE KEY-----\nabc", "certificate"),
        ("<client secret>", "blank"), ("<client-secret>", "placeholder"), ("your-client-secret", "placeholder"), ("changeme", "placeholder"),
    ])
    func `what is no secret's value is told apart by its form`(_ secret: String, _ word: String) throws {
        let finding = try finding(secret)
        #expect(finding.level == .error)
        #expect(finding.sentence.contains(word))
    }

    @Test(arguments: [
        "short~one", "abc8Q%7E" + String(repeating: "x", count: 34), String(repeating: "aB3", count: 70), "a!b@c#d$e%f^g&h*i(j)k_l+m=n-o{p}q[r]s",
    ])
    func `what looks unusual is worth a warning only`(_ secret: String) throws {
        #expect(try finding(secret).level == .warning)
    }

    @Test(
        arguments: [
            \EntraSettings.tenant, \EntraSettings.clientID, \EntraSettings.authority,
        ] as [any WritableKeyPath<EntraSettings, String?> & Sendable])
    func `a secret in another line is found there, and not repeated`(_ field: any WritableKeyPath<EntraSettings, String?> & Sendable) throws {
        for text in [EntraSettings.secret, "https://x.example/" + EntraSettings.secret] {
            let findings = EntraSettingsCheck.findings(EntraSettings.good.with { $0[keyPath: field] = text })
            #expect(findings.contains { $0.subject == "client secret" && $0.level == .error })
            #expect(!"\(findings)".contains(EntraSettings.secret))
        }
    }

    @Test(arguments: ["plain.secret.of.a.domains.form", EntraSettings.secret, EntraSettings.secretID, "A909502DD82AE41433E6F83886B00D4277A32A7B"])
    func `whatever is wrong, the secret is in no finding`(_ secret: String) {
        let everywhere = EntraSettings(
            tenant: secret, clientID: secret, clientSecret: Secret(secret), authority: "https://\(secret)", allowedTenants: [secret],
            publicURL: "https://gateway.example", callbackURL: "https://gateway.example/oauth/callback?\(secret)",
            scopes: [secret, "openid", "api://\(secret)/x"])
        let findings = EntraSettingsCheck.findings(everywhere)
        #expect(!"\(findings)".contains(secret))
        #expect(!"\(findings)".contains(secret.lowercased()))
    }
}

struct EntraAddressCheckTests {
    func finding(_ subject: String, _ change: (inout EntraSettings) -> Void) throws -> EntraFinding {
        try #require(EntraSettingsCheck.findings(EntraSettings.good.with(change)).last { $0.subject == subject })
    }

    @Test(arguments: [
        ("https://login.microsoftonline.com", EntraFinding.Level.ok), ("https://login.microsoftonline.us", .ok),
        ("https://login.partner.microsoftonline.cn", .ok), ("https://login.chinacloudapi.cn", .warning), ("https://login.windows.net", .warning),
        ("https://login.microsoftonline.com/", .warning), ("https://LOGIN.microsoftonline.com", .ok), ("https://issuer.example", .warning),
        ("http://localhost:9000", .warning), ("http://127.0.0.1:9000", .warning), ("https://login.microsoftonline.com:8443", .warning),
        ("login.microsoftonline.com", .error), ("http://login.microsoftonline.com", .error), ("", .error),
        ("https://login.microsoftonline.com/\(EntraSettings.tenantID)", .error),
        ("https://login.microsoftonline.com/\(EntraSettings.otherTenant)/v2.0", .error),
        ("https://login.microsoftonline.com/v2.0", .error), ("https://login.microsoftonline.com/common/oauth2/v2.0/authorize", .error),
        ("https://login.microsoftonline.com//", .error), ("https://login.microsoftonline.de", .error), ("https://sts.windows.net", .error),
        ("https://portal.azure.com", .error), ("https://graph.microsoft.com", .error), ("https://team.b2clogin.com", .error),
        ("https://team.ciamlogin.com", .error), ("https://user@login.microsoftonline.com", .error),
    ])
    func `an authority is scheme and host of one of the clouds`(_ authority: String, _ level: EntraFinding.Level) throws {
        #expect(try finding("authority") { $0.authority = authority }.level == level)
    }

    @Test(arguments: [
        ("https://login.microsoftonline.us/\(EntraSettings.tenantID)/v2.0", "MREG_AZURE_AUTHORITY=https://login.microsoftonline.us"),
        ("https://login.microsoftonline.com/v2.0", "MREG_AZURE_AUTHORITY=https://login.microsoftonline.com"),
        ("https://sts.windows.net/\(EntraSettings.tenantID)/", "MREG_AZURE_AUTHORITY=https://login.microsoftonline.com"),
        ("https://login.chinacloudapi.cn", "MREG_AZURE_AUTHORITY=https://login.partner.microsoftonline.cn"),
        ("http://login.microsoftonline.us", "MREG_AZURE_AUTHORITY=https://login.microsoftonline.us"),
    ])
    func `what was pasted too much is left out of the line to set`(_ authority: String, _ setting: String) throws {
        #expect(try finding("authority") { $0.authority = authority }.steps == [.setting(setting)])
    }

    @Test func `another tenant in the authority is pointed out`() throws {
        let sentence = try finding("authority") { $0.authority = "https://login.microsoftonline.com/\(EntraSettings.otherTenant)" }.sentence
        #expect(sentence.contains("names another one"))
    }

    @Test func `a tenant of another cloud is told by its domain`() throws {
        let finding = try finding("tenant") { $0.tenant = "team.onmicrosoft.us" }
        #expect(finding.steps == [.setting("MREG_AZURE_AUTHORITY=https://login.microsoftonline.us")])
        let right = try self.finding("tenant") {
            $0.tenant = "team.onmicrosoft.us"
            $0.authority = "https://login.microsoftonline.us"
        }
        #expect(right.sentence.contains("the gateway takes the tenant's id"))
    }

    @Test(arguments: [
        ("https://gateway.example/oauth/callback/", "ends with a slash"), ("http://gateway.example/oauth/callback", "it is http"),
        ("https://other.example/oauth/callback", "its host is other.example"), ("https://gateway.example:8443/oauth/callback", "its port is 8443"),
        ("https://gateway.example/OAuth/callback", "upper and lower case"), ("https://Gateway.example/oauth/callback", "upper and lower case"),
        ("https://gateway.example/auth/callback", "another one"), ("https://gateway.example/oauth/callback?x=1", "a query"),
        ("https://gateway.example:443/oauth/callback", "written differently"), ("https://gateway.example", "another one"),
        ("http://localhost:8001/oauth/callback", "it is http"), ("/oauth/callback", "not an absolute"),
        ("https://gateway.example/oauth/callback#x", "not an absolute"),
    ])
    func `a redirect URI that is not the public URL's is said to differ, and where`(_ callback: String, _ words: String) throws {
        let finding = try finding("redirect URI") { $0.callbackURL = callback }
        #expect(finding.level == .error)
        #expect(finding.sentence.contains(words))
        #expect(finding.steps.first == .setting("MREG_FASTMCP_OAUTH_CALLBACK_URL=https://gateway.example/oauth/callback"))
    }

    @Test(arguments: [
        ("http://localhost:8001", EntraFinding.Level.ok), ("https://localhost", .ok), ("http://127.0.0.1:8001", .warning),
        ("http://[::1]:8001", .error),
        ("http://gateway.example", .error), ("http://localhost.example", .error),
    ])
    func `http is for localhost by that name`(_ origin: String, _ level: EntraFinding.Level) throws {
        let finding = try finding("redirect URI") {
            $0.publicURL = origin
            $0.callbackURL = origin + "/oauth/callback"
        }
        #expect(finding.level == level)
    }

    @Test func `127.0.0.1 and localhost are two`() throws {
        let finding = try finding("redirect URI") {
            $0.publicURL = "http://localhost:8001"
            $0.callbackURL = "http://127.0.0.1:8001/oauth/callback"
        }
        #expect(finding.sentence.contains("two hosts"))
    }
}

struct EntraScopeCheckTests {
    static let own = "api://\(EntraSettings.client)/access"

    func findings(_ scopes: [String]) -> [EntraFinding] {
        EntraSettingsCheck.findings(EntraSettings.good.with { $0.scopes = scopes }).filter { $0.subject == "scopes" }
    }

    @Test(arguments: [
        (["openid", "profile", "offline_access"], [EntraFinding.Level.ok]),
        (["openid", "profile", "email", "offline_access", own], [.ok]),
        (["openid", "profile", "offline_access", "https://gateway.example/mcp/access"], [.ok]),
        (["openid", "profile", "offline_access", "\(EntraSettings.client)/.default"], [.ok]),
        (["profile", "offline_access"], [.error]), (["openid", "offline_access"], [.error]), (["openid", "profile"], [.warning]),
        ([], [.error, .error, .warning]),
        (["openid", "profile", "offline_access", own, "User.Read"], [.error, .warning]),
        (["openid", "profile", "offline_access", own, "https://graph.microsoft.com/User.Read"], [.error]),
        (["openid", "profile", "offline_access", own, "api://\(EntraSettings.client)/.default"], [.error]),
        (["openid", "profile", "offline_access", "User.Read"], [.warning]), (["openid", "profile", "offline_access", "access"], [.error]),
        (["openid", "profile", "offline_access", "https://graph.microsoft.com/User.Read"], [.warning]),
        (["openid", "profile", "offline_access", "api://\(EntraSettings.otherTenant)/access"], [.warning]),
    ])
    func `scopes ask who signed in, for a refresh token, and of one resource`(_ scopes: [String], _ levels: [EntraFinding.Level]) {
        #expect(findings(scopes).map(\.level) == levels)
    }
}
