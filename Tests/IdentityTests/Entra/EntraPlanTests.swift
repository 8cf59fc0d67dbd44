import Foundation
import Gateway
import Testing

@testable import Identity

struct EntraPlanTests {
    static let origin = Origin("https://gateway.example")!

    static func plan(
        _ origin: Origin = origin, name: String? = nil, redirects: [String] = [], admin: String? = "ada@gateway.example",
        secretFile: String = "azure-client-secret"
    ) throws -> EntraPlan {
        try EntraPlan(publicURL: origin, name: name, otherRedirectURIs: redirects, admin: admin, secretFile: secretFile)
    }

    func fixture(_ name: String) throws -> String {
        try String(contentsOfFile: #filePath.replacing("EntraPlanTests.swift", with: "Fixtures/\(name)"), encoding: .utf8)
    }

    /// To write it anew after a change of the script: `mreg entra plan --public-url https://gateway.example --admin ada@gateway.example`.
    @Test func `the script is the one that was read`() throws {
        #expect(try Self.plan().script() == fixture("plan.sh"))
        #expect(try Self.plan().removal() == fixture("remove.sh"))
    }

    /// Compared with another implementation.
    @Test(arguments: [
        ("http://www.example.com/", "fcde3c85-2270-590f-9e7c-ee003d65e0e2"), ("", "1b4db7eb-4057-5ddf-91e0-36dec72071f5"),
        ("https://gateway.example", "df44c5bc-21a2-594f-bfb6-c5759a2696ee"),
        ("https://gateway.example#role/admin", "12ae997b-2f58-5af3-96ed-1b6d11826dcb"),
    ])
    func `ids made of names are those of RFC 9562`(_ name: String, _ id: String) {
        #expect(GUID.named(name) == id)
        #expect(GUID.isOne(id))
    }

    @Test func `the same gateway has the same ids, and another one others`() throws {
        let other = try Self.plan(Origin("https://other.example")!)
        #expect(try Self.plan().id(ofRole: "admin") == Self.plan().id(ofRole: "admin"))
        #expect(try Self.plan().id(ofRole: "admin") != other.id(ofRole: "admin"))
        #expect(try Set(["admin", "user", "auditor", "server_owner"].map { try Self.plan().id(ofRole: $0) }).count == 4)
        #expect(try Self.plan().mark != other.mark)
    }

    @Test func `the roles are those somebody can have`() {
        #expect(Set(EntraPlan.roles.map(\.value)) == Set(Role.allCases.map(\.rawValue)).subtracting(["anonymous"]))
    }

    @Test(arguments: [
        "http://gateway.example", "http://127.0.0.1:8001", "http://[::1]:8001",
    ])
    func `an origin that Entra ID sends nobody to is refused`(_ origin: String) throws {
        let origin = try #require(Origin(origin))
        #expect(throws: EntraPlan.Mistake.self) { try Self.plan(origin) }
    }

    @Test(arguments: ["", String(repeating: "x", count: 121), "a\nb", "a\u{0}b", "a\u{1B}[31m"]) func `a name has bounds`(_ name: String) {
        #expect(throws: EntraPlan.Mistake.self) { try Self.plan(name: name) }
    }

    @Test(arguments: [
        "", "ada", "@/etc/passwd", "-x@y.example", "a@b@c", "ada@x.example/..", "ada lovelace@x.example", "a@b?$filter", "ada@x.example#",
        "ä@x.example",
    ])
    func `an administrator is a user's name or id`(_ admin: String) {
        #expect(throws: EntraPlan.Mistake.self) { try Self.plan(admin: admin) }
    }

    @Test(arguments: [
        "http://other.example/x", "other", "https://u@other.example/", "https://x.example/#", "javascript:alert(1)",
        "https://x.example/\"],\"a\":[\"", "https://x.example/" + String(repeating: "x", count: 250),
    ])
    func `a further redirect URI is one that Entra ID takes`(_ uri: String) {
        #expect(throws: EntraPlan.Mistake.self) { try Self.plan(redirects: [uri]) }
    }

    @Test(arguments: ["", "-rf", "a\nb", String(repeating: "x", count: 1025)]) func `a secret's file is a path`(_ path: String) {
        #expect(throws: EntraPlan.Mistake.self) { try Self.plan(secretFile: path) }
    }
}

struct ShellTextTests {
    @Test(arguments: [
        "", "plain", "two words", "it's", "''", "$(id)`id`\\", "a\"b", "*?[x]~", "-n", "!", "line\nbreak", "ünïcode", "\u{1B}[31m",
        "a;b&c|d>e<f(g){h}#i", "end'",
    ])
    func `a quoted text comes out of the shell as it went in`(_ text: String) throws {
        for shell in ["sh", "dash", "bash"] {
            let (status, output, _) = try Directory.run(
                [shell, "-c", "printf '%s|' \(ShellText.quoted(text)) \(ShellText.quoted(text))"], in: FileManager.default.temporaryDirectory)
            #expect(status == 0)
            #expect(output == "\(text)|\(text)|")
        }
    }
}

/// The script, run against a directory that stands in for Entra ID.
struct EntraPlanRunTests {
    static let client = "00000000-0000-0000-0000-000000000001"

    func plan(_ change: (inout EntraPlanArguments) -> Void = { _ in }) throws -> EntraPlan {
        var arguments = EntraPlanArguments()
        change(&arguments)
        return try arguments.plan()
    }

    struct EntraPlanArguments {
        var origin = EntraPlanTests.origin
        var name: String?
        var redirects: [String] = []
        var admin: String? = "ada@gateway.example"
        var secretFile = "azure-client-secret"

        func plan() throws -> EntraPlan { try EntraPlanTests.plan(origin, name: name, redirects: redirects, admin: admin, secretFile: secretFile) }
    }

    @Test(arguments: ["sh", "dash", "bash"]) func `both scripts are good shell`(_ shell: String) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "entra-syntax-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, script) in [("plan", try plan().script()), ("remove", try plan().removal())] {
            try Data(script.utf8).write(to: folder.appending(path: name))
            #expect(try Directory.run([shell, "-n", name], in: folder).0 == 0)
        }
    }

    @Test(arguments: ["sh", "dash", "bash"]) func `the first run makes everything, the second changes nothing`(_ shell: String) throws {
        let directory = try Directory()
        defer { directory.remove() }
        let script = try plan().script()
        let first = try directory.run(script, shell: shell)
        #expect(first.status == 0, "\(first.errors)")

        let state = try directory.state()
        let app = try #require(state.applications.first)
        #expect(state.applications.count == 1)
        #expect(app.displayName == "MCP Registry Gateway (gateway.example)")
        #expect(app.web.redirectUris == ["https://gateway.example/oauth/callback"])
        #expect(app.identifierUris == ["api://\(Self.client)", "https://gateway.example/mcp"])
        #expect(app.api.requestedAccessTokenVersion == 2)
        #expect(app.api.oauth2PermissionScopes.map(\.value) == ["access"])
        #expect(app.appRoles.map(\.value) == ["admin", "server_owner", "user", "auditor"])
        #expect(app.groupMembershipClaims == "ApplicationGroup")
        #expect(app.optionalClaims.idToken.map(\.name) == ["acct", "auth_time", "email"])
        #expect(app.passwordCredentials.map(\.displayName) == ["mcp-registry-gateway"])
        #expect(state.principals.map(\.appRoleAssignmentRequired) == [true])
        #expect(state.assignments == [.init(principalId: "aaaaaaaa-0000-4000-8000-000000000001", appRoleId: try plan().id(ofRole: "admin"))])

        let second = try directory.run(script, shell: shell)
        #expect(second.status == 0, "\(second.errors)")
        #expect(second.changes.isEmpty)
        #expect(second.output.contains("Registration: \(Self.client), there"))
    }

    @Test func `the last lines are settings`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        let run = try directory.run(try plan().script())
        let secret = directory.folder.resolvingSymlinksInPath().path + "/azure-client-secret"
        #expect(
            run.output.hasSuffix(
                """
                MREG_AZURE_TENANT_ID=11111111-2222-4333-8444-555555555555
                MREG_AZURE_CLIENT_ID=\(Self.client)
                MREG_AZURE_CLIENT_SECRET_FILE=\(secret)
                MREG_PUBLIC_URL=https://gateway.example
                MREG_FASTMCP_OAUTH_CALLBACK_URL=https://gateway.example/oauth/callback
                MREG_FASTMCP_OAUTH_SCOPES="openid profile email offline_access api://\(Self.client)/access"

                """))
    }

    @Test func `in another cloud the authority is among them`() throws {
        let directory = try Directory(login: "https://login.microsoftonline.us/")
        defer { directory.remove() }
        #expect(try directory.run(try plan().script()).output.contains("\nMREG_AZURE_AUTHORITY=https://login.microsoftonline.us\n"))
    }

    @Test func `the secret goes into a file for its owner only, and nowhere else`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        let run = try directory.run(try plan().script())
        #expect(try directory.text(of: "azure-client-secret") == "canary~secret\n")
        #expect(try directory.permissions(of: "azure-client-secret") == 0o600)
        #expect(!(run.output + run.errors + run.calls.joined().joined()).contains("canary"))
        #expect(!FileManager.default.fileExists(atPath: directory.folder.appending(path: "azure-client-secret.part").path))
    }

    @Test func `a secret that is in Entra ID but not here is not made anew unless asked`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        let script = try plan().script()
        _ = try directory.run(script)
        try FileManager.default.removeItem(at: directory.folder.appending(path: "azure-client-secret"))
        let second = try directory.run(script)
        #expect(second.changes.isEmpty)
        #expect(second.output.contains("Its file is not here"))
        let third = try directory.run(script, environment: ["NEW_SECRET": "yes"])
        #expect(third.changes.count == 1)
        #expect(try directory.text(of: "azure-client-secret") == "canary~secret\n")
    }

    @Test func `a file that is there is not written over`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        try Data("somebody's".utf8).write(to: directory.folder.appending(path: "azure-client-secret"))
        let run = try directory.run(try plan().script())
        #expect(run.status == 1)
        #expect(run.errors.contains("azure-client-secret is there"))
        #expect(try directory.text(of: "azure-client-secret") == "somebody's")
        #expect(try directory.state().applications.first?.passwordCredentials.isEmpty == true)
    }

    @Test func `an expired secret is replaced, once its file is moved away`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        let script = try plan().script()
        _ = try directory.run(script)
        let file = directory.folder.appending(path: "state.json")
        try Data(try directory.text(of: "state.json").replacing("2999-01-01", with: "2020-01-01").utf8).write(to: file)
        try FileManager.default.removeItem(at: directory.folder.appending(path: "azure-client-secret"))
        #expect(try directory.run(script).status == 0)
        #expect(try directory.state().applications.first?.passwordCredentials.count == 2)
    }

    @Test func `a tenant without the host's domain does with the client id's URI`() throws {
        let directory = try Directory(verified: ["elsewhere.example"])
        defer { directory.remove() }
        let run = try directory.run(try plan().script())
        #expect(run.status == 0)
        #expect(run.output.contains("https://gateway.example/mcp was refused"))
        #expect(try directory.state().applications.first?.identifierUris == ["api://\(Self.client)"])
    }

    /// As somebody may have begun it in the portal, with a role of their own and one of the gateway's.
    static let begun = """
        [{"appId": "00000000-0000-0000-0000-000000000001", "id": "object-1", "displayName": "MCP Registry Gateway (gateway.example)", "tags": ["theirs"],
          "identifierUris": ["api://theirs/11111111-2222-4333-8444-555555555555"], "groupMembershipClaims": null, "passwordCredentials": [],
          "web": {"redirectUris": ["https://other.example/cb", "https://gateway.example/oauth/callback"]},
          "api": {"requestedAccessTokenVersion": null, "oauth2PermissionScopes": [{"id": "scope-1", "value": "theirs"}]},
          "appRoles": [{"id": "role-1", "value": "reader"}, {"id": "role-2", "value": "admin"}],
          "optionalClaims": {"idToken": [{"name": "email"}, {"name": "ctry"}], "accessToken": [], "saml2Token": []}}]
        """

    @Test func `what others made is kept, and what is missing is added`() throws {
        let verified = ["gateway.example"]
        let applications = Self.begun.replacing("api://theirs/11111111-2222-4333-8444-555555555555", with: "https://gateway.example/theirs")
        let directory = try Directory(verified: verified, applications: applications)
        defer { directory.remove() }
        let run = try directory.run(try plan().script())
        #expect(run.status == 0, "\(run.errors)")
        let state = try directory.state()
        let app = try #require(state.applications.first)
        #expect(state.applications.count == 1)
        #expect(app.tags == ["theirs", try plan().mark])
        #expect(app.identifierUris == ["https://gateway.example/theirs", "api://\(Self.client)", "https://gateway.example/mcp"])
        #expect(app.web.redirectUris == ["https://other.example/cb", "https://gateway.example/oauth/callback"])
        #expect(app.api.oauth2PermissionScopes.map(\.value) == ["theirs", "access"])
        #expect(app.appRoles.map(\.value) == ["reader", "admin", "server_owner", "user", "auditor"])
        #expect(app.optionalClaims.idToken.map(\.name) == ["email", "ctry", "acct", "auth_time"])
        // Their role of that name, for it is the name that tokens carry.
        #expect(state.assignments.map(\.appRoleId) == ["role-2"])
        #expect(try directory.run(try plan().script()).changes.isEmpty)
    }

    @Test func `somebody else's registration of that name is left alone`() throws {
        let directory = try Directory(applications: Self.begun.replacing("https://gateway.example/oauth/callback", with: "https://gateway.example/x"))
        defer { directory.remove() }
        let run = try directory.run(try plan().script())
        #expect(run.status == 1)
        #expect(run.errors.contains("is not this gateway's"))
        #expect(run.changes.isEmpty)
    }

    @Test func `a registration that was renamed is found by its mark`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        _ = try directory.run(try plan().script())
        let renamed = try directory.run(try plan { $0.name = "Another name" }.script())
        #expect(renamed.status == 0)
        #expect(renamed.changes.isEmpty)
        #expect(try directory.state().applications.count == 1)
    }

    @Test func `two of the same mark are for somebody to sort out`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        _ = try directory.run(try plan().script())
        let state = try directory.text(of: "state.json")
        let twice = try #require(try JSONSerialization.jsonObject(with: Data(state.utf8)) as? [String: Any])
        var changed = twice
        let applications = try #require(twice["applications"] as? [Any])
        changed["applications"] = applications + applications
        try JSONSerialization.data(withJSONObject: changed).write(to: directory.folder.appending(path: "state.json"))
        let run = try directory.run(try plan().script())
        #expect(run.status == 1)
        #expect(run.errors.contains("several registrations"))
        #expect(run.changes.isEmpty)
    }

    @Test func `several redirect URIs are all registered`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        _ = try directory.run(try plan().script())
        let run = try directory.run(
            try plan { $0.redirects = ["https://b.example/cb?x=1&y=$HOME", "http://localhost:8001/oauth/callback"] }.script())
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.changes.count == 1)
        #expect(
            try directory.state().applications.first?.web.redirectUris
                == ["https://gateway.example/oauth/callback", "https://b.example/cb?x=1&y=$HOME", "http://localhost:8001/oauth/callback"])
    }

    @Test(arguments: ["O'Brien's $(touch pwned) `id` \"quoted\" \\ back", "ünï — ☃", "-n --help", "END", "a & b; c | d"])
    func `a name is a name and no program`(_ name: String) throws {
        let directory = try Directory()
        defer { directory.remove() }
        let first = try directory.run(try plan { $0.name = name }.script())
        #expect(first.status == 0, "\(first.errors)")
        #expect(try directory.state().applications.map(\.displayName) == [name])
        #expect(!FileManager.default.fileExists(atPath: directory.folder.appending(path: "pwned").path))
    }

    @Test func `a secret's file with blanks and quotes is written there`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        let run = try directory.run(try plan { $0.secretFile = "it's a 'file' $(id)" }.script())
        #expect(run.status == 0, "\(run.errors)")
        #expect(try directory.text(of: "it's a 'file' $(id)") == "canary~secret\n")
    }

    @Test func `without an administrator nobody is assigned`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        #expect(try directory.run(try plan { $0.admin = nil }.script()).status == 0)
        #expect(try directory.state().assignments.isEmpty)
    }

    @Test func `an unknown administrator stops it with what az said`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        let run = try directory.run(try plan { $0.admin = "nobody@gateway.example" }.script())
        #expect(run.status != 0)
        #expect(run.errors.contains("nobody@gateway.example"))
    }

    @Test func `whoever is not signed in is told so, and nothing happens`() throws {
        let directory = try Directory(tenant: "")
        defer { directory.remove() }
        let run = try directory.run(try plan().script())
        #expect(run.status == 1)
        #expect(run.errors.contains("Sign in first: az login"))
        #expect(run.calls.count == 1)
    }

    @Test func `on localhost there is no App ID URI of its own`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        let run = try directory.run(try plan { $0.origin = .localhost(port: 8001) }.script())
        #expect(run.status == 0, "\(run.errors)")
        #expect(try directory.state().applications.first?.identifierUris == ["api://\(Self.client)"])
        #expect(try directory.state().applications.first?.web.redirectUris == ["http://localhost:8001/oauth/callback"])
    }

    @Test func `the removal takes it away, and a second time finds nothing`() throws {
        let directory = try Directory()
        defer { directory.remove() }
        _ = try directory.run(try plan().script())
        let first = try directory.run(try plan().removal())
        #expect(first.status == 0, "\(first.errors)")
        #expect(try directory.state().applications.isEmpty)
        #expect(try directory.state().principals.isEmpty)
        let second = try directory.run(try plan().removal())
        #expect(second.status == 0)
        #expect(second.changes.isEmpty)
        #expect(second.output.contains("There is no registration of this gateway"))
    }

    @Test func `the removal leaves another's registration alone`() throws {
        let directory = try Directory(applications: Self.begun.replacing("https://gateway.example/oauth/callback", with: "https://gateway.example/x"))
        defer { directory.remove() }
        #expect(try directory.run(try plan().removal()).changes.isEmpty)
        #expect(try directory.state().applications.count == 1)
    }
}
