import Gateway
import Identity
import Testing

struct GraphGroupsTests {
    static let first = "https://graph.microsoft.com/v1.0/users/\(IssuerRig.user)/getMemberObjects"
    static let tenantToken = "https://login.microsoftonline.com/\(IssuerRig.tenant)/oauth2/v2.0/token"

    static func page(_ groups: [String], next: String? = nil) -> String {
        #"{"@odata.context":"x","value":[\#(groups.map { "\"\($0)\"" }.joined(separator: ","))]"#
            + (next.map { #","@odata.nextLink":"\#($0)""# } ?? "") + "}"
    }

    private func signedIn(_ rig: IssuerRig) async throws -> ExternalIdentity {
        let identity = try await rig.signIn(IDTokenText.entra(claims: ["_claim_names": #"{"groups":"src1"}"#]))
        #expect(identity.groups == .overage)
        return identity
    }

    @Test func `what the token lists is not looked up`() async throws {
        let rig = try IssuerRig.entra()
        let listed = try await rig.signIn(IDTokenText.entra(claims: ["groups": #"["g-1"]"#]))
        let absent = try await rig.signIn(IDTokenText.entra())
        let before = rig.requests.count
        #expect(try await rig.issuer.groups(of: listed) == ["g-1"])
        #expect(try await rig.issuer.groups(of: absent).isEmpty)
        #expect(rig.requests.count == before)
    }

    @Test func `too many groups for a token are looked up at Graph with the application's own token, page by page`() async throws {
        let rig = try IssuerRig.entra(tenant: "organizations", allowed: [IssuerRig.tenant])
        let identity = try await signedIn(rig)
        rig.grant(refreshToken: nil, ["access_token": #""app-token""#], at: Self.tenantToken)
        rig.answer(Self.first, 200, Self.page(["g-1", "g-2"], next: "https://graph.microsoft.com/v1.0/next?$skiptoken=2"))
        rig.answer("https://graph.microsoft.com/v1.0/next?$skiptoken=2", 200, Self.page(["g-3"]))
        #expect(try await rig.issuer.groups(of: identity) == ["g-1", "g-2", "g-3"])
        let asked = rig.requests.filter { $0.endpoint.host == "graph.microsoft.com" }
        #expect(asked.map(\.method) == [.post, .get])
        #expect(asked.allSatisfy { request in request.headers.contains { $0.name == "authorization" && $0.value == "Bearer app-token" } })
        let grant = rig.requests.last { $0.endpoint.description == Self.tenantToken }
        let form = String(decoding: grant?.body ?? [], as: UTF8.self)
        #expect(form.contains("scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"))
    }

    @Test(
        arguments: [
            ("https://login.microsoftonline.us", nil, "graph.microsoft.us"),
            ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us", "dod-graph.microsoft.us"),
            ("https://login.partner.microsoftonline.cn", nil, "microsoftgraph.chinacloudapi.cn"),
            ("http://127.0.0.1:9100", "http://127.0.0.1:9101", "127.0.0.1"),
        ] as [(String, String?, String)])
    func `each cloud has its own Graph, and another can be set`(_ authority: String, _ graph: String?, _ host: String) async throws {
        let metadata = authority.hasPrefix("http:") ? ["userinfo_endpoint": nil] as [String: String?] : [:]
        let rig = try IssuerRig.entra(authority: authority, graph: graph, metadata: metadata)
        let token = try await IDTokenText.entra(claims: ["iss": "\"\(authority)/\(IssuerRig.tenant)/v2.0\"", "hasgroups": "true"])
        let identity = try await rig.signIn(token)
        await #expect(throws: IssuerFailure.self) { try await rig.issuer.groups(of: identity) }
        #expect(rig.requests.last?.endpoint.host == host)
    }

    struct Failing: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let status: Int
        let body: String
        let isWorthRepeating: Bool

        init(_ description: String, _ body: String, status: Int = 200, isWorthRepeating: Bool = false) {
            testDescription = description
            self.status = status
            self.body = body
            self.isWorthRepeating = isWorthRepeating
        }
    }

    @Test(arguments: [
        Failing("not allowed", "{}", status: 403), Failing("not accepted", "{}", status: 401), Failing("no such user", "{}", status: 404),
        Failing("a redirect", "", status: 302),
        Failing("too often", "", status: 429, isWorthRepeating: true), Failing("a fault", "", status: 503, isWorthRepeating: true),
        Failing("no JSON", "<html>"), Failing("no list", "{}"), Failing("a list of objects", #"{"value":[{"id":"g"}]}"#),
        Failing("an id that is empty", #"{"value":[""]}"#), Failing("2001 groups", page((0...2000).map { "g-\($0)" })),
        Failing("going on at another host", page(["g"], next: "https://evil.example/v1.0/x")),
        Failing("going on over http", page(["g"], next: "http://graph.microsoft.com/v1.0/x")),
        Failing("going on at another port", page(["g"], next: "https://graph.microsoft.com:8443/v1.0/x")),
        Failing("going on outside of the API", page(["g"], next: "https://graph.microsoft.com/oidc/userinfo")),
        Failing("going on nowhere", page(["g"], next: "next")), Failing("going on for ever", page(["g"], next: first)),
    ])
    func `a look-up that does not give all groups gives none`(_ failing: Failing) async throws {
        let rig = try IssuerRig.entra()
        let identity = try await signedIn(rig)
        rig.grant(at: Self.tenantToken)
        rig.answer(Self.first, failing.status, failing.body, [("location", "http://169.254.169.254/")])
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.issuer.groups(of: identity) }
        #expect(failure?.isWorthRepeating == failing.isWorthRepeating)
        let graph = rig.requests.filter { $0.endpoint.host != "login.microsoftonline.com" }
        #expect((1...50).contains(graph.count))
        #expect(graph.allSatisfy { $0.endpoint.origin.description == "https://graph.microsoft.com" })
    }

    @Test func `a slow look-up ends within half a minute`() async throws {
        let rig = try IssuerRig.entra()
        let identity = try await signedIn(rig)
        rig.grant(at: Self.tenantToken)
        rig.answer(Self.first, 200, Self.page(["g"], next: Self.first))
        rig.gate(Self.first) { rig.pass(.seconds(10)) }
        let failure = await #expect(throws: IssuerFailure.self) { try await rig.issuer.groups(of: identity) }
        #expect(failure?.isWorthRepeating == true)
        #expect(rig.requests.count { $0.endpoint.host == "graph.microsoft.com" } == 3)
    }

    @Test func `where nothing can be looked up, too many groups are no groups`() async throws {
        let oidc = try IssuerRig.oidc()
        let foreign = try await oidc.signIn(IDTokenText.oidc(claims: ["hasgroups": "true"]))
        let unknown = await #expect(throws: IssuerFailure.self) { try await oidc.issuer.groups(of: foreign) }
        #expect(unknown?.kind == .configuration)

        let open = try IssuerRig.entra(secret: nil)
        let identity = try await signedIn(open)
        let powerless = await #expect(throws: IssuerFailure.self) { try await open.issuer.groups(of: identity) }
        #expect(powerless?.kind == .configuration)
    }
}
