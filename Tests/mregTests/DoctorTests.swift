import ArgumentParser
import Gateway
import Testing

@testable import mreg

struct DoctorTests {
    static let environment = [
        "MREG_AZURE_TENANT_ID": "72f988bf-86f1-41af-91ab-2d7cd011db47", "MREG_AZURE_CLIENT_ID": "0f2b1f2e-5d1c-4a7b-9d3c-1b2a3c4d5e6f",
        "MREG_AZURE_CLIENT_SECRET": "canary~Q8xY.zK1_abcdefghij-klmnopqrstuvw", "MREG_PUBLIC_URL": "https://gateway.example",
        "MREG_FASTMCP_OAUTH_CALLBACK_URL": "https://gateway.example/oauth/callback",
    ]

    func report(_ changes: [String: String] = [:], isOffline: Bool = true) async throws -> DoctorReport {
        let settings = try Settings(environment: Self.environment.merging(changes) { $1 })
        return await DoctorCommand.Entra.report(settings, isOffline: isOffline, fetcher: try doctorFetcher(settings))
    }

    @Test func `good settings are reported line by line`() async throws {
        let report = try await report()
        #expect(!report.hasErrors)
        #expect(
            report.text == """
                Settings

                  ok         tenant         72f988bf-86f1-41af-91ab-2d7cd011db47 has the form of a tenant's id.
                  ok         client id      0f2b1f2e-5d1c-4a7b-9d3c-1b2a3c4d5e6f has the form of a client's id. (An object id
                                            looks the same; only Entra ID can tell.)
                  ok         client secret  It has the form of a client secret's value.
                  ok         authority      Users sign in at https://login.microsoftonline.com.
                  ok         redirect URI   https://gateway.example/oauth/callback belongs to MREG_PUBLIC_URL.
                  ok         scopes         They ask who signed in, and for a refresh token.

                Nothing is wrong.
                """)
    }

    @Test func `what is wrong comes with what to do`() async throws {
        let report = try await report([
            "MREG_AZURE_AUTHORITY": "https://login.microsoftonline.com/v2.0", "MREG_FASTMCP_OAUTH_SCOPES": "openid profile",
            "MREG_PUBLIC_URL": "http://127.0.0.1:8001", "MREG_FASTMCP_OAUTH_CALLBACK_URL": "http://127.0.0.1:8001/oauth/callback",
        ])
        #expect(report.hasErrors)
        #expect(
            report.text.hasSuffix(
                """
                  ok         client secret  It has the form of a client secret's value.
                  error      authority      Nothing belongs behind the host: the gateway adds the tenant and the version.
                                            set     MREG_AZURE_AUTHORITY=https://login.microsoftonline.com
                  warning    redirect URI   With an address instead of “localhost”, the portal's form does not take it over
                                            http; only the manifest does.
                                            set     MREG_PUBLIC_URL=http://localhost:8001
                  warning    scopes         “offline_access” is missing: everybody must sign in again when the first token
                                            expires, after about an hour.
                                            set     MREG_FASTMCP_OAUTH_SCOPES="openid profile email offline_access api://0f2b1f2e-5d1c-4a7b-9d3c-1b2a3c4d5e6f/access"

                1 error, 2 warnings.
                """))
    }

    @Test func `where nothing is set the plan is named, and nobody is asked`() async throws {
        let settings = try Settings(environment: [:])
        let report = await DoctorCommand.Entra.report(settings, isOffline: false, fetcher: try doctorFetcher(settings))
        #expect(report.hasErrors)
        #expect(report.text.contains("run     mreg entra plan --public-url http://localhost:8001 > entra.sh && sh entra.sh"))
        #expect(!report.text.contains("Entra ID\n\n"))
    }

    @Test(arguments: [true, false]) func `the secret is in no report`(_ isOffline: Bool) async throws {
        let secret = "canary.canary.canary.canary.canary"
        for name in ["MREG_AZURE_CLIENT_ID", "MREG_AZURE_TENANT_ID", "MREG_AZURE_ALLOWED_TENANTS", "MREG_FASTMCP_OAUTH_SCOPES"] {
            var changes = ["MREG_AZURE_CLIENT_SECRET": secret]
            changes[name] = secret
            #expect(try await !report(changes, isOffline: isOffline).text.contains("canary"))
        }
    }

    @Test func `online, a network that is not there is an error of each check`() async throws {
        let settings = try Settings(environment: Self.environment)
        let fetcher = Fetcher { _ throws(FetchFailure) in throw .unreachable("no route to host") }
        let report = await DoctorCommand.Entra.report(settings, isOffline: false, fetcher: fetcher)
        #expect(report.text.contains("\n\nEntra ID\n\n  error      metadata      login.microsoftonline.com cannot be reached: no route to host\n"))
        #expect(report.text.hasSuffix("\n\n3 errors."))
    }

    @Test func `an error of Entra ID is explained`() throws {
        let settings = try Settings(environment: Self.environment)
        #expect(
            try DoctorCommand.Aadsts.explanation(of: "AADSTS50105: Your administrator has configured the application", for: settings) == """
                AADSTS50105

                  The user has no role in the gateway, and only who is assigned is let in.
                  The next move is the directory administrator's.

                  portal  Entra ID > Enterprise apps > the gateway > Users and groups
                  run     mreg entra plan --public-url https://gateway.example --admin USER@DOMAIN > entra.sh && sh entra.sh
                  read    https://login.microsoftonline.com/error?code=50105
                """)
    }

    @Test func `several codes are explained one after the other, and a number alone will do`() throws {
        let both = try DoctorCommand.Aadsts.explanation(of: "AADSTS70002: x AADSTS7000215: y", for: nil)
        #expect(both.hasPrefix("AADSTS70002\n\n") && both.contains("\n\nAADSTS7000215\n\n"))
        #expect(try DoctorCommand.Aadsts.explanation(of: "50011", for: nil).hasPrefix("AADSTS50011\n"))
        #expect(throws: OperatorError.self) { try DoctorCommand.Aadsts.explanation(of: "it does not work", for: nil) }
    }

    @Test func `the commands read what they are told`() throws {
        let plan = try #require(
            try Main.parseAsRoot([
                "entra", "plan", "--public-url", "https://gateway.example", "--name", "Ours", "--redirect-uri", "https://b.example/cb",
            ])
                as? EntraCommand.Plan)
        let script = try plan.script()
        #expect(script.hasPrefix("#!/bin/sh\n"))
        #expect(script.contains("\nname=Ours\n"))
        #expect(script.contains("for uri in https://gateway.example/oauth/callback https://b.example/cb; do"))
        let removal = try #require(
            try Main.parseAsRoot(["entra", "plan", "--public-url", "https://gateway.example", "--remove"]) as? EntraCommand.Plan)
        #expect(try removal.script().contains("az") && !removal.script().contains("POST"))
        #expect(try Main.parseAsRoot(["doctor", "entra", "--offline", "--state-dir", "/tmp/x"]) is DoctorCommand.Entra)
        #expect(try Main.parseAsRoot(["doctor", "aadsts", "AADSTS50011"]) is DoctorCommand.Aadsts)
    }

    @Test(arguments: [
        ["--public-url", "https://gateway.example/"], ["--public-url", "gateway.example"], ["--public-url", "http://gateway.example"],
        ["--public-url", "https://gateway.example", "--admin", "ada"], ["--public-url", "https://gateway.example", "--name", ""],
    ])
    func `a plan that cannot be is refused with a sentence`(_ arguments: [String]) throws {
        let plan = try #require(try Main.parseAsRoot(["entra", "plan"] + arguments) as? EntraCommand.Plan)
        #expect(throws: (any Error).self) { try plan.script() }
    }

    @Test func `settings that are named exist`() async throws {
        let known = Set(SettingsCatalogue.all.flatMap { [$0.name, $0.fileName].compactMap(\.self) })
        let script = try #require(try Main.parseAsRoot(["entra", "plan", "--public-url", "https://gateway.example"]) as? EntraCommand.Plan).script()
        let broken = try await report([
            "MREG_AZURE_TENANT_ID": "organizations", "MREG_AZURE_CLIENT_ID": "x", "MREG_AZURE_CLIENT_SECRET": "x",
            "MREG_AZURE_AUTHORITY": "https://x.b2clogin.com",
            "MREG_FASTMCP_OAUTH_CALLBACK_URL": "https://x.example", "MREG_FASTMCP_OAUTH_SCOPES": "x",
        ])
        let named = Set((script + broken.text).matches(of: /MREG_[A-Z_]+[A-Z]/).map { String($0.output) })
        #expect(named.count >= 8)
        #expect(named.subtracting(known).isEmpty)
    }
}

struct ParagraphTests {
    @Test func `lines end before the edge, and a long word has one of its own`() {
        let long = String(repeating: "x", count: 200)
        let text = Paragraph.text("one two \(long) three", after: "  head  ")
        #expect(text == "  head  one two\n        \(long)\n        three")
        #expect(Paragraph.text("a\u{1B}[31m b", indent: 2) == "  a\u{FFFD}[31m b")
        #expect(Paragraph.text("", indent: 2) == "  ")
    }
}
