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
}
