import Foundation
import Gateway
import Synchronization
import Testing

@testable import Identity

/// Answers as Entra ID would, and remembers what it was asked.
final class EntraStandIn: Sendable {
    private let requests = Mutex<[FetchRequest]>([])
    let fetcher: @Sendable (EntraStandIn, FetchRequest) async throws(FetchFailure) -> FetchedAnswer

    init(_ fetcher: @escaping @Sendable (EntraStandIn, FetchRequest) async throws(FetchFailure) -> FetchedAnswer) { self.fetcher = fetcher }

    var asked: [FetchRequest] { requests.withLock { $0 } }
    func asked(_ end: String) -> [FetchRequest] { asked.filter { $0.endpoint.path.hasSuffix(end) } }

    var door: Fetcher {
        Fetcher { request async throws(FetchFailure) in
            self.requests.withLock { $0.append(request) }
            return try await self.fetcher(self, request)
        }
    }

    static func answer(_ status: Int = 200, _ body: String, date: String? = "Sat, 28 Nov 2026 08:30:50 GMT") -> FetchedAnswer {
        FetchedAnswer(status: status, headers: date.map { [("date", $0)] } ?? [], body: Array(body.utf8))
    }

    static func metadata(
        issuer: String = "https://login.microsoftonline.com/\(EntraSettings.tenantID)/v2.0", at host: String = "https://login.microsoftonline.com"
    ) -> String {
        """
        {"issuer": "\(issuer)", "jwks_uri": "\(host)/x/discovery/v2.0/keys", "token_endpoint": "\(host)/x/oauth2/v2.0/token",
         "authorization_endpoint": "\(host)/x/oauth2/v2.0/authorize", "claims_supported": ["tid"]}
        """
    }

    /// A modulus of so many bits, of which the first is set.
    static func key(bits: Int = 2048, kty: String = "RSA", kid: String? = "one", use: String = "sig") -> String {
        let modulus = Gatehouse.base64URL(Data([0x80] + [UInt8](repeating: 1, count: bits / 8 - 1)))
        return #"{"kty": "\#(kty)", "use": "\#(use)", \#(kid.map { #""kid": "\#($0)", "# } ?? "")"n": "\#(modulus)", "e": "AQAB", "x5c": ["MII"]}"#
    }

    static func refusal(_ description: String, status: Int = 401) -> FetchedAnswer {
        answer(status, #"{"error": "invalid_client", "error_description": "\#(description)", "error_codes": [1]}"#)
    }

    /// Everything is as it should be, but for what is given.
    static func healthy(
        metadata: FetchedAnswer = answer(EntraStandIn.metadata()), keys: FetchedAnswer = answer(#"{"keys": [\#(key()), \#(key(kid: "two"))]}"#),
        token: FetchedAnswer = answer(#"{"token_type": "Bearer", "expires_in": 3599, "access_token": "canary-token"}"#)
    ) -> EntraStandIn {
        EntraStandIn { _, request in
            switch request.endpoint.path {
            case let path where path.hasSuffix("/openid-configuration"): metadata
            case let path where path.hasSuffix("/keys"): keys
            default: token
            }
        }
    }
}

extension EntraStandIn {
    static func answer(_ body: String) -> FetchedAnswer { answer(200, body) }
}

struct EntraProbeTests {
    /// The second at which the stand-in's `Date` is.
    static let moment = Timestamp(microseconds: 1_795_854_650_000_000)

    func findings(_ standIn: EntraStandIn, at now: Timestamp = Self.moment, _ change: (inout EntraSettings) -> Void = { _ in }) async
        -> [EntraFinding]
    {
        await EntraProbe(EntraSettings.good.with(change), fetcher: standIn.door) { now }.findings()
    }

    func finding(_ subject: String, _ standIn: EntraStandIn, at now: Timestamp = Self.moment, _ change: (inout EntraSettings) -> Void = { _ in })
        async throws -> EntraFinding
    {
        try #require(await findings(standIn, at: now, change).first { $0.subject == subject })
    }

    @Test func `where all is well, only the redirect URI stays unchecked`() async {
        let findings = await findings(.healthy())
        #expect(findings.map(\.subject) == ["metadata", "signing keys", "credentials", "clock", "registration"])
        #expect(findings.map(\.level) == [.ok, .ok, .ok, .ok, .unchecked])
        #expect(findings.last?.sentence.contains("https://gateway.example/oauth/callback") == true)
    }

    @Test func `it asks where Entra ID answers, with bounds`() async throws {
        let standIn = EntraStandIn.healthy()
        _ = await findings(standIn)
        let tenant = EntraSettings.tenantID
        #expect(
            Set(standIn.asked.map(\.endpoint.description)) == [
                "https://login.microsoftonline.com/\(tenant)/v2.0/.well-known/openid-configuration",
                "https://login.microsoftonline.com/x/discovery/v2.0/keys",
                "https://login.microsoftonline.com/\(tenant)/oauth2/v2.0/token",
            ])
        #expect(standIn.asked.allSatisfy { $0.deadline == .seconds(10) })
        let token = try #require(standIn.asked("/token").first)
        #expect(token.method == .post)
        #expect(
            String(decoding: token.body, as: UTF8.self)
                == "grant_type=client_credentials&client_id=\(EntraSettings.client)&client_secret=canary%7EQ8xY.zK1_abcdefghij-klmnopqrstuvw"
                + "&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default")
    }

    @Test(arguments: [
        ("AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is the value.", "AADSTS7000215"),
        ("AADSTS7000222: The provided client secret keys for app are expired.", "AADSTS7000222"),
        ("AADSTS700016: Application with identifier was not found in the directory.", "AADSTS700016"),
        ("AADSTS70002: Error validating credentials. AADSTS7000215: Invalid client secret.", "AADSTS7000215"),
        ("AADSTS7654321: Something new.", "AADSTS7654321"),
    ])
    func `a refused secret is explained`(_ description: String, _ code: String) async throws {
        let finding = try await finding("credentials", .healthy(token: EntraStandIn.refusal(description)))
        #expect(finding.level == .error)
        #expect(finding.sentence.hasSuffix("(\(code))"))
        #expect(finding.steps.contains(.reference("https://login.microsoftonline.com/error?code=\(code.dropFirst(6))")))
    }

    @Test func `whoever lacks only a role was believed`() async throws {
        let refusal = EntraStandIn.refusal("AADSTS501051: Application is not assigned to a role for the application.", status: 400)
        #expect(try await finding("credentials", .healthy(token: refusal)).level == .ok)
    }

    @Test func `what passes by itself is a warning`() async throws {
        #expect(try await finding("credentials", .healthy(token: EntraStandIn.refusal("AADSTS90033: busy", status: 503))).level == .warning)
        #expect(try await finding("metadata", .healthy(metadata: EntraStandIn.answer(503, "Service Unavailable"))).level == .warning)
    }

    @Test(arguments: [
        ("acme.example", "https://login.microsoftonline.com/\(EntraSettings.tenantID)/v2.0", true),
        (EntraSettings.tenantID.uppercased(), "https://login.microsoftonline.com/\(EntraSettings.tenantID)/v2.0", true),
        ("organizations", "https://login.microsoftonline.com/{tenantid}/v2.0", true),
        ("common", "https://login.microsoftonline.com/{tenantid}/v2.0", true),
        (EntraSettings.tenantID, "https://login.microsoftonline.com/\(EntraSettings.otherTenant)/v2.0", false),
        (EntraSettings.tenantID, "https://login.microsoftonline.com/{tenantid}/v2.0", false),
        (EntraSettings.tenantID, "https://sts.windows.net/\(EntraSettings.tenantID)/", false),
        (EntraSettings.tenantID, "https://login.microsoftonline.com/\(EntraSettings.tenantID)/v2.0/", false),
        (EntraSettings.tenantID, "https://login.microsoftonline.us/\(EntraSettings.tenantID)/v2.0", false),
        ("acme.example", "https://login.microsoftonline.com/acme.example/v2.0", false),
        ("organizations", "https://evil.example/{tenantid}/v2.0", false),
    ])
    func `the issuer is the tenant's at this authority, to the letter`(_ tenant: String, _ issuer: String, _ isRight: Bool) async throws {
        let finding = try await finding("metadata", .healthy(metadata: EntraStandIn.answer(EntraStandIn.metadata(issuer: issuer)))) {
            $0.tenant = tenant
        }
        #expect((finding.level == .ok) == isRight)
    }

    @Test func `a domain name's tenant is told by its id`() async throws {
        #expect(try await finding("metadata", .healthy()) { $0.tenant = "acme.example" }.sentence.contains(EntraSettings.tenantID))
    }

    @Test func `an unknown tenant is explained`() async throws {
        let refusal = EntraStandIn.refusal("AADSTS90002: Tenant 'acme.example' not found.", status: 400)
        #expect(try await finding("metadata", .healthy(metadata: refusal)).sentence.hasSuffix("(AADSTS90002)"))
    }

    @Test func `endpoints on another host are not followed`() async throws {
        let standIn = EntraStandIn.healthy(metadata: EntraStandIn.answer(EntraStandIn.metadata(at: "https://evil.example")))
        #expect(try await finding("metadata", standIn).level == .error)
        #expect(standIn.asked.allSatisfy { $0.endpoint.host == "login.microsoftonline.com" })
    }

    @Test(arguments: ["<html>Sign in to the guest network</html>", "", "{}", "[]", "null", #"{"issuer": 1}"#])
    func `an answer of somebody else's is told apart`(_ body: String) async throws {
        let standIn = EntraStandIn.healthy(metadata: EntraStandIn.answer(body), keys: EntraStandIn.answer(body), token: EntraStandIn.answer(body))
        #expect(await findings(standIn).map(\.level) == [.error, .error, .error, .ok, .unchecked])
    }

    @Test(arguments: [301, 302, 403, 404, 407, 418]) func `a status without a code is somebody else's`(_ status: Int) async throws {
        #expect(try await finding("credentials", .healthy(token: EntraStandIn.answer(status, "<html>"))).sentence.contains("\(status)"))
    }

    @Test(arguments: [
        (#"{"keys": []}"#, false), (#"{"keys": [\#(EntraStandIn.key(bits: 1024))]}"#, false),
        (#"{"keys": [\#(EntraStandIn.key(kty: "EC"))]}"#, false),
        (#"{"keys": [\#(EntraStandIn.key(kid: nil))]}"#, false), (#"{"keys": [\#(EntraStandIn.key(use: "enc"))]}"#, false),
        (#"{"keys": [\#(EntraStandIn.key(bits: 1024)), \#(EntraStandIn.key(bits: 4096))]}"#, true),
        (#"{"keys": [{"kty": "RSA", "kid": "x", "n": "***", "e": "AQAB"}]}"#, false), (#"{"keys": {}}"#, false),
        (#"{"keys": [{"kty": "RSA", "kid": "\#(String(repeating: "k", count: 129))", "n": "AQAB", "e": "AQAB"}]}"#, false),
    ])
    func `a usable key is RSA, of 2048 bits, for signing, with an id`(_ keys: String, _ isGood: Bool) async throws {
        #expect((try await finding("signing keys", .healthy(keys: EntraStandIn.answer(keys))).level == .ok) == isGood)
    }

    @Test(arguments: [
        (0, EntraFinding.Level.ok), (30, .ok), (-30, .ok), (31, .ok), (33, .warning), (-32, .warning), (300, .warning), (-300, .warning),
        (302, .error), (-301, .error),
        (86_400, .error),
    ])
    func `the clock may be off by little`(_ seconds: Int, _ level: EntraFinding.Level) async throws {
        // The header has whole seconds, so a second more is allowed for on one side.
        #expect(try await finding("clock", .healthy(), at: Self.moment.advanced(by: .seconds(seconds))).level == level)
    }

    @Test func `it is said which way the clock is off`() async throws {
        #expect(try await finding("clock", .healthy(), at: Self.moment.advanced(by: .seconds(601))).sentence.contains("600 seconds ahead of"))
        #expect(try await finding("clock", .healthy(), at: Self.moment.advanced(by: .seconds(-600))).sentence.contains("600 seconds behind"))
    }

    @Test func `an error's date is as good as any`() async throws {
        let standIn = EntraStandIn.healthy(
            metadata: EntraStandIn.answer(200, "x", date: nil), keys: EntraStandIn.answer(200, "x", date: "yesterday"),
            token: EntraStandIn.refusal("AADSTS7000215"))
        #expect(try await finding("clock", standIn).level == .ok)
    }

    @Test(arguments: [FetchFailure.unreachable("no route\u{1B}[31m"), .lost("reset"), .tooLarge, .timedOut(.seconds(10))])
    func `whatever fails, the other checks run`(_ failure: FetchFailure) async {
        for failing in ["/openid-configuration", "/keys", "/token"] {
            let healthy = EntraStandIn.healthy()
            let standIn = EntraStandIn { _, request throws(FetchFailure) in
                if request.endpoint.path.hasSuffix(failing) { throw failure }
                return try await healthy.door.send(request)
            }
            let findings = await findings(standIn)
            #expect(findings.filter { $0.level == .error }.count == 1)
            #expect(findings.filter { $0.level == .ok }.count == 3)
            #expect(standIn.asked.count == 3)
            #expect(!findings.contains { $0.sentence.hasControls })
        }
    }

    @Test func `where nobody answers, each says so and the clock stays unchecked`() async {
        let standIn = EntraStandIn { _, _ throws(FetchFailure) in throw .unreachable("no network") }
        #expect(await findings(standIn).map(\.level) == [.error, .error, .error, .unchecked, .unchecked])
    }

    @Test func `a fetcher that never answers is left at the deadline`() async {
        let standIn = EntraStandIn { _, _ throws(FetchFailure) in
            // Until it is cancelled.
            let (stream, _) = AsyncStream.makeStream(of: Void.self)
            for await _ in stream {}
            throw .lost("cancelled")
        }
        let findings = await EntraProbe(.good, fetcher: standIn.door, deadline: .milliseconds(1)) { Self.moment }.findings()
        #expect(findings.prefix(3).allSatisfy { $0.sentence.contains("did not answer within") })
    }

    @Test func `for many tenants the first allowed one is signed in to`() async throws {
        let standIn = EntraStandIn.healthy(
            metadata: EntraStandIn.answer(EntraStandIn.metadata(issuer: "https://login.microsoftonline.com/{tenantid}/v2.0")))
        let findings = await findings(standIn) {
            $0.tenant = "organizations"
            $0.allowedTenants = [EntraSettings.otherTenant]
        }
        #expect(findings.map(\.level) == [.ok, .ok, .ok, .ok, .unchecked])
        #expect(standIn.asked("/token").map(\.endpoint.path) == ["/\(EntraSettings.otherTenant)/oauth2/v2.0/token"])
        #expect(try await finding("credentials", .healthy()) { $0.tenant = "organizations" }.level == .unchecked)
    }

    @Test(arguments: [
        "https://portal.azure.com", "https://login.microsoftonline.de", "http://login.microsoftonline.com", "https://login.microsoftonline.com/v2.0",
        "nonsense",
    ])
    func `a secret is not sent to an authority that is wrong`(_ authority: String) async {
        let standIn = EntraStandIn.healthy()
        let findings = await findings(standIn) { $0.authority = authority }
        #expect(standIn.asked("/token").isEmpty)
        #expect(findings.contains { $0.level == .unchecked })
    }

    @Test func `an issuer on this machine is asked over http, for a token of its own`() async throws {
        let host = "http://localhost:9000"
        let standIn = EntraStandIn.healthy(
            metadata: EntraStandIn.answer(EntraStandIn.metadata(issuer: "\(host)/\(EntraSettings.tenantID)/v2.0", at: host)))
        let findings = await findings(standIn) { $0.authority = host }
        #expect(findings.prefix(4).allSatisfy { $0.level == .ok })
        let body = String(decoding: try #require(standIn.asked("/token").first).body, as: UTF8.self)
        #expect(body.hasSuffix("scope=\(EntraSettings.client)%2F.default"))
    }

    @Test func `the former host of the cloud in China has the issuer of the new one`() async throws {
        let issuer = "https://login.partner.microsoftonline.cn/\(EntraSettings.tenantID)/v2.0"
        let standIn = EntraStandIn.healthy(
            metadata: EntraStandIn.answer(EntraStandIn.metadata(issuer: issuer, at: "https://login.partner.microsoftonline.cn")))
        #expect(try await finding("metadata", standIn) { $0.authority = "https://login.chinacloudapi.cn" }.level == .ok)
    }

    @Test func `neither secret nor token is in what it says, whoever repeats them`() async {
        let echo = EntraStandIn.refusal("AADSTS7000215: \(EntraSettings.secret)")
        let failing = EntraStandIn { _, _ throws(FetchFailure) in throw .unreachable("could not send \(EntraSettings.secret)") }
        let standIns = [
            EntraStandIn.healthy(), .healthy(metadata: echo, keys: echo, token: echo),
            .healthy(metadata: EntraStandIn.answer(EntraStandIn.metadata(issuer: EntraSettings.secret))), failing,
        ]
        for standIn in standIns {
            let said = "\(await findings(standIn))"
            #expect(!said.contains(EntraSettings.secret))
            #expect(!said.contains("canary"))
        }
    }
}

struct HTTPDateTests {
    @Test(arguments: [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Sat, 28 Nov 2026 08:30:50 GMT", 1_795_854_650),
        ("Tue, 29 Feb 2028 23:59:59 GMT", 1_835_481_599), ("Fri, 31 Dec 2027 23:59:60 GMT", 1_830_297_600),
    ])
    func `a date is read as servers write it`(_ text: String, _ seconds: Int64) {
        #expect(Timestamp(httpDate: text)?.seconds == seconds)
    }

    @Test(arguments: [
        "", "Sat, 28 Nov 2026 08:30:50", "Sat, 28 Nov 2026 08:30:50 UTC", "Saturday, 28-Nov-26 08:30:50 GMT", "Sat Nov 28 08:30:50 2026",
        "Sat, 29 Feb 2026 08:30:50 GMT",
        "Sat, 00 Nov 2026 08:30:50 GMT", "Sat, 31 Nov 2026 08:30:50 GMT", "Sat, 28 nov 2026 08:30:50 GMT", "Sat, 28 Nov 2026 24:30:50 GMT",
        "Sat, 28 Nov 2026 08:60:50 GMT",
        "Sat, 28 Nov 2026 08:30:61 GMT", "Sat, 28 Nov 1969 08:30:50 GMT", "Sat, +8 Nov 2026 08:30:50 GMT", "Sat, 28  Nov 2026 08:30:50 GMT",
        "Sat, ٢٨ Nov 2026 08:30:50 GMT",
        "Sat, 28 Nov 99999 08:30:50 GMT",
    ])
    func `what is no such date is none`(_ text: String) {
        #expect(Timestamp(httpDate: text) == nil)
    }
}
