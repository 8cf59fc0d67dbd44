import Gateway
import MCP
import OAuth
import Testing

@testable import Identity

/// What the gateway is to authorization servers.
struct ClientRegistrarTests {
    private static func authority(_ changes: [(String, JSONText?)] = []) throws -> AuthorityMetadata {
        let json = try JSON(
            parsing: JSONText.object([
                ("issuer", "https://as.example"), ("authorization_endpoint", "https://as.example/authorize"),
                ("token_endpoint", "https://as.example/token"), ("registration_endpoint", "https://as.example/register"),
                ("token_endpoint_auth_methods_supported", ["none"]),
            ]).bytes
        ).replacing(changes.map { ($0.0, $0.1) })
        return try AuthorityMetadata(try JSON(parsing: json.bytes), of: "https://as.example")
    }

    @Test func `whoever connects first at the same moment registers once`() async throws {
        let (gate, open) = AsyncStream.makeStream(of: Never.self)
        let rig = UpstreamRig { _ throws(FetchFailure) in
            for await _ in gate {}
            return UpstreamRig.answer(["client_id": "made"], status: 201)
        }
        let registrar = try rig.credentials().registrar
        let (server, authority) = (try UpstreamRig.server(.perUser(.init())), try Self.authority())
        let ids = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<16 { group.addTask { try await registrar.client(of: server, at: authority, named: nil, secret: nil).id } }
            open.finish()
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(ids == Array(repeating: "made", count: 16))
        #expect(rig.requests.count == 1)
        #expect(try await registrar.client(of: server, at: authority, named: nil, secret: nil).id == "made")
        #expect(rig.requests.count == 1)
    }

    @Test func `a registration that failed is tried again by whoever comes next`() async throws {
        let rig = UpstreamRig()
        let registrar = try rig.credentials().registrar
        let (server, authority) = (try UpstreamRig.server(.perUser(.init())), try Self.authority())
        for count in 1...2 {
            await #expect(throws: IssuerFailure.self) { try await registrar.client(of: server, at: authority, named: nil, secret: nil) }
            #expect(rig.requests.count == count)
        }
    }

    @Test(
        arguments: [
            ([("token_endpoint_auth_methods_supported", ["private_key_jwt", "none"])], true, "https://gateway.example/oauth/client.json"),
            ([("token_endpoint_auth_methods_supported", ["private_key_jwt", "none"])], false, "https://gateway.example/oauth/public-client.json"),
            ([("token_endpoint_auth_methods_supported", ["none"])], true, "https://gateway.example/oauth/public-client.json"),
            (
                [
                    ("token_endpoint_auth_methods_supported", ["private_key_jwt"]), ("token_endpoint_auth_signing_alg_values_supported", ["RS256"]),
                ], true, "https://gateway.example/oauth/public-client.json"
            ),
        ] as [([(String, JSONText?)], Bool, String)])
    func `where its document is taken, the gateway proves itself with its key if that is taken too`(
        changes: [(String, JSONText?)], hasKey: Bool, id: String
    ) async throws {
        let rig = UpstreamRig()
        let registrar = try rig.credentials(keys: hasKey ? TokenKeys(signing: try await .generate()) : nil).registrar
        let authority = try Self.authority([("client_id_metadata_document_supported", true)] + changes)
        let client = try await registrar.client(of: try UpstreamRig.server(.perUser(.init())), at: authority, named: nil, secret: nil)
        #expect(client.id == id && client.secret == nil)
        #expect(client.authentication == (id.hasSuffix("/client.json") ? .privateKeyJWT : .none))
        #expect(rig.requests.isEmpty)
    }

    @Test func `what proves the gateway is good once, for a minute, at one authorization server, and for no access token`() async throws {
        let keys = TokenKeys(signing: try await .generate())
        let rig = UpstreamRig { _ throws(FetchFailure) in UpstreamRig.answer(["error": "temporarily_unavailable"], status: 503) }
        let (credentials, server) = (try rig.credentials(keys: keys), try UpstreamRig.server(.perUser(.init())))
        let id = "https://gateway.example/oauth/client.json"
        rig.connect(1, to: server, life: .seconds(-1), clientID: id, authentication: .privateKeyJWT)
        _ = try? await credentials.show(server, for: UserID(1))
        rig.clock.advance(.seconds(6))
        _ = try? await credentials.show(server, for: UserID(1))
        let forms = try rig.requests.map { try Parameters(encoded: $0.body) }
        #expect(forms.count == 2)
        let client = KnownClient(
            id: id, kind: .document,
            metadata: try ClientMetadata(
                name: "Gateway", redirectURIs: [try RedirectURI("https://gateway.example/connect/callback")], applicationType: .web,
                authentication: .privateKeyJWT, grantTypes: [.authorizationCode], scopes: [], keys: .inline(Self.keySet(keys)), isEvaluation: false),
            createdAt: MovedClock.start)
        let verifier = ClientAssertions { _ in [] }
        for form in forms {
            #expect(try form.one("client_id", longest: 512) == id)
            #expect(try form.one("client_assertion_type", longest: 128) == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            #expect(try form.one("client_secret", longest: 128) == nil)
            let text = try #require(try form.one("client_assertion", longest: 4096))
            let moment = rig.clock.now.wall
            await #expect(throws: OAuthError.self) {
                try await verifier.verify(Secret(text), of: client, audiences: ["https://other.example"], at: moment)
            }
            await #expect(throws: OAuthError.self) {
                try await verifier.verify(Secret(text), of: client, audiences: ["https://as.example"], at: moment.advanced(by: .seconds(121)))
            }
            try await verifier.verify(Secret(text), of: client, audiences: ["https://as.example"], at: moment)
            await #expect(throws: OAuthError.self) {
                try await verifier.verify(Secret(text), of: client, audiences: ["https://as.example"], at: moment)
            }
            await #expect(throws: Refusal.self) { try await keys.verify(text) }
        }
    }

    private static func keySet(_ keys: TokenKeys) -> String {
        let written = keys.published.map { key in JSONText.object(key.publicMembers.map { ($0.name, .string($0.value)) }) }
        return JSONText.object([("keys", .array(written))]).description
    }
}
