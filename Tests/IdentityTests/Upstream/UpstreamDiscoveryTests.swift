import Gateway
import MCP
import Synchronization
import Testing

@testable import Identity

struct UpstreamDiscoveryTests {
    private static let server = Endpoint("https://server.example/team/mcp")

    /// Answers what is listed, and 404 to all else; notes what was asked in order.
    private static func discovery(
        _ documents: [String: JSONText], status: [String: Int] = [:], challenge: String? = nil,
        _ note: @escaping @Sendable (String) -> Void = { _ in }
    ) -> UpstreamDiscovery {
        UpstreamDiscovery(
            fetcher: Fetcher { request throws(FetchFailure) in
                let url = request.endpoint.description
                note(url)
                if request.method == .post {
                    return FetchedAnswer(status: 401, headers: challenge.map { [("www-authenticate", $0)] } ?? [], body: [])
                }
                if let status = status[url] { return FetchedAnswer(status: status, headers: [], body: []) }
                guard let document = documents[url] else { return FetchedAnswer(status: 404, headers: [], body: Array("<html>".utf8)) }
                return UpstreamRig.answer(document)
            })
    }

    private static func authority(_ issuer: String) -> JSONText {
        [
            "issuer": .string(issuer), "authorization_endpoint": "https://login.example/authorize", "token_endpoint": "https://as.example/token",
            "code_challenge_methods_supported": ["S256"],
        ]
    }

    private static func resource(_ issuers: JSONText..., resource: String = "https://server.example/team/mcp") -> JSONText {
        ["resource": .string(resource), "authorization_servers": .array(issuers), "scopes_supported": ["b", "a"]]
    }

    private static let wellKnown = "https://server.example/.well-known/oauth-protected-resource"

    @Test func `everything is looked for in the order of the specification`() async throws {
        let documents = [
            "https://as.example/one/.well-known/openid-configuration": Self.authority("https://as.example/one"),
            Self.wellKnown: Self.resource("https://as.example/one"),
        ]
        let notes = Notes()
        let discovery = Self.discovery(documents) { notes.add($0) }
        let found = try await discovery.find(try #require(Self.server), expecting: nil)
        #expect(found.authority.issuer == "https://as.example/one" && found.scope == "a b")
        #expect(
            notes.all == [
                "https://server.example/team/mcp", Self.wellKnown + "/team/mcp", Self.wellKnown,
                "https://as.example/.well-known/oauth-authorization-server/one", "https://as.example/.well-known/openid-configuration/one",
                "https://as.example/one/.well-known/openid-configuration",
            ])
    }

    @Test func `a challenge says where to look first, and what to ask for`() async throws {
        let notes = Notes()
        let documents = [
            "https://server.example/meta": Self.resource("https://as.example", resource: "https://server.example/team"),
            "https://as.example/.well-known/oauth-authorization-server": Self.authority("https://as.example"),
        ]
        let challenge = "Bearer resource_metadata=\"https://server.example/meta\", scope=\"c\""
        let found = try await Self.discovery(documents, challenge: challenge) { notes.add($0) }.find(try #require(Self.server), expecting: nil)
        #expect(found.scope == "c" && found.resource == "https://server.example/team")
        #expect(notes.all[1] == "https://server.example/meta")
    }

    @Test func `a server without such metadata is its own authorization server`() async throws {
        let documents = ["https://server.example/.well-known/oauth-authorization-server": Self.authority("https://server.example")]
        let found = try await Self.discovery(documents).find(try #require(Self.server), expecting: nil)
        #expect(found.authority.issuer == "https://server.example" && found.resource == "https://server.example/team/mcp" && found.scope == nil)
    }

    private static let good = "https://as.example"
    private static let goodPlace = "https://as.example/.well-known/oauth-authorization-server"

    @Test(
        arguments: [
            // Another issuer's metadata, also where the name only looks the same.
            (["": resource("https://as.example"), goodPlace: authority("https://as.example/")], nil, nil),
            (["": resource("https://as.example"), goodPlace: authority("https://AS.example")], nil, nil),
            (["": resource("https://as.example"), goodPlace: authority("https://evil.example")], nil, nil),
            // Metadata about another server, or a part of this one that it is not in.
            (["": resource("https://as.example", resource: "https://other.example/team/mcp"), goodPlace: authority(good)], nil, nil),
            (["": resource("https://as.example", resource: "https://server.example/tea"), goodPlace: authority(good)], nil, nil),
            (["": resource("https://as.example", resource: "http://server.example/team/mcp"), goodPlace: authority(good)], nil, nil),
            (["": resource("https://as.example", resource: "https://server.example/team/mcp?x"), goodPlace: authority(good)], nil, nil),
            // Names that no URL is made of.
            (["": resource("http://as.example")], nil, nil), (["": resource("javascript:alert(1)")], nil, nil), (["": resource()], nil, nil),
            (["": resource("https://as.example/?a=b")], nil, nil), (["": resource("https://0x7f.0.0.1")], nil, nil), (["": resource(7)], nil, nil),
            // Metadata elsewhere than at the server.
            ([goodPlace: authority(good)], nil, "Bearer resource_metadata=\"https://evil.example/meta\""),
            ([goodPlace: authority(good)], nil, "Bearer resource_metadata=\"http://server.example/meta\""),
            // Another authorization server than an administrator said.
            (["": resource("https://as.example"), goodPlace: authority(good)], "https://other.example", nil),
        ] as [([String: JSONText], String?, String?)])
    func `what does not fit together is believed by nobody`(documents: [String: JSONText], expected: String?, challenge: String?) async throws {
        var all = documents
        all[Self.wellKnown + "/team/mcp"] = all.removeValue(forKey: "")
        let discovery = Self.discovery(all, challenge: challenge)
        let server = try #require(Self.server)
        await #expect(throws: IssuerFailure.self) { try await discovery.find(server, expecting: expected) }
    }

    @Test(arguments: [301, 302, 307, 404, 401])
    func `a redirect is not followed, and what is not there is looked for elsewhere`(status: Int) async throws {
        let documents = [Self.wellKnown: Self.resource("https://as.example"), Self.goodPlace: Self.authority(Self.good)]
        let notes = Notes()
        let discovery = Self.discovery(documents, status: [Self.wellKnown + "/team/mcp": status]) { notes.add($0) }
        #expect(try await discovery.find(try #require(Self.server), expecting: nil).authority.issuer == Self.good)
        #expect(notes.all.allSatisfy { $0.hasPrefix("https://server.example/") || $0.hasPrefix("https://as.example/") })
    }

    @Test(
        arguments: [
            (["code_challenge_methods_supported": ["S256", "plain"]], false, true), (["code_challenge_methods_supported": ["plain"]], false, false),
            (["code_challenge_methods_supported": ["plain"]], true, false), (["code_challenge_methods_supported": nil], false, false),
            (["code_challenge_methods_supported": nil], true, true), (["authorization_endpoint": nil], true, false),
        ] as [([String: JSONText?], Bool, Bool)])
    func `a browser goes only to who knows PKCE, or is known to`(changes: [String: JSONText?], isExempt: Bool, isAllowed: Bool) throws {
        let json = try JSON(parsing: Self.authority(Self.good).bytes)
        let changed = try JSON(parsing: json.replacing(changes.map { ($0.key, $0.value) }).bytes)
        let metadata = try AuthorityMetadata(changed, of: Self.good)
        let endpoint = try? metadata.browserEndpoint(allowingSilence: isExempt)
        #expect((endpoint != nil) == isAllowed)
    }
}

/// Remembers in order.
private final class Notes: Sendable {
    private let noted = Mutex<[String]>([])
    var all: [String] { noted.withLock { $0 } }
    func add(_ note: String) { noted.withLock { $0.append(note) } }
}
