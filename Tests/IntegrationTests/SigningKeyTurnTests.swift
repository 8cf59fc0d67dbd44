import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

/// The operator has tokens signed with another key.
struct SigningKeyTurnTests {
    private static let ping = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#

    private static func published(_ gateway: RunningGateway) async throws -> [String] {
        try await gateway.send(.GET, "/oauth/jwks.json").json?["keys"]?.elements.compactMap { $0["kid"]?.string } ?? []
    }

    private static func keyID(_ token: String) -> String? {
        let text = token.prefix { $0 != "." }.replacing("-", with: "+").replacing("_", with: "/")
        let padded = String(text) + String(repeating: "=", count: (4 - text.count % 4) % 4)
        return Data(base64Encoded: padded).flatMap { try? JSON(parsing: [UInt8]($0)) }?["kid"]?.string
    }

    @Test func `tokens are signed with the new key at once, and those of the former are good until they end, also after a restart`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let clock = PassingTime()
        let mode = try Evaluation.mode(isWithStdioDemo: false, now: clock.now)
        let (old, new, kids) = try await RunningGateway.with(mode: mode, folder: folder) { gateway in
            let old = try await gateway.token("ada")
            #expect(try await gateway.mcp(Self.ping, token: old).status == 200)
            let turn = try await gateway.control("POST", "/signing-keys/rotate")
            let kids = try [#require(turn?["kid"]?.string), #require(turn?["former_kid"]?.string)]
            #expect(Self.keyID(old) == kids[1] && turn?["former_until"]?.string != nil)
            #expect(try await Self.published(gateway) == kids)
            // Not seen before, so their signatures are checked now.
            let (new, unseen) = (try await gateway.token("ada"), try await gateway.token("bob"))
            #expect(Self.keyID(new) == kids[0] && Self.keyID(unseen) == kids[0])
            for token in [old, new, unseen] { #expect(try await gateway.mcp(Self.ping, token: token).status == 200) }
            let rows = try await gateway.api(.GET, "/api/v1/admin/audit", token: try await gateway.token("admin", .admin))
            #expect(rows.text.contains("key.rotate_signing") && rows.text.contains(kids[0]))
            return (old, new, kids)
        }
        // Its port is another one, so tokens of the former are for another place; keys are what this is about.
        try await RunningGateway.with(mode: try Evaluation.mode(isWithStdioDemo: false, now: clock.now), folder: folder) { gateway in
            #expect(try await Self.published(gateway) == kids)
            let token = try await gateway.token("ada")
            #expect(Self.keyID(token) == kids[0])
        }
        clock.pass(.seconds(3600 + 121))
        let later = try Evaluation.mode(isWithStdioDemo: false, now: clock.now)
        try await RunningGateway.with(mode: later, folder: folder) { gateway async throws -> Void in
            #expect(try await Self.published(gateway) == [kids[0]])
            for token in [old, new] { #expect(try await gateway.mcp(Self.ping, token: token).status == 401) }
        }
    }

    @Test func `keys are turned a few times an hour, not without end`() async throws {
        try await RunningGateway.with { gateway in
            let token = try await gateway.token("ada")
            for _ in 1..<TokenKeyFiles.mostPublished { _ = try await gateway.control("POST", "/signing-keys/rotate") }
            #expect(try await Set(Self.published(gateway)).count == TokenKeyFiles.mostPublished)
            await #expect(throws: OperatorError.self) { _ = try await gateway.control("POST", "/signing-keys/rotate") }
            #expect(try await gateway.mcp(Self.ping, token: token).status == 200)
        }
    }

    @Test func `whoever turns keys at the same moment gets each their own, and the last one signs`() async throws {
        try await RunningGateway.with { gateway in
            let kids = try await withThrowingTaskGroup(of: String?.self) { group in
                for _ in 0..<4 { group.addTask { try await gateway.control("POST", "/signing-keys/rotate")?["kid"]?.string } }
                return try await group.reduce(into: Set<String>()) { if let kid = $1 { $0.insert(kid) } }
            }
            #expect(kids.count == 4)
            let published = try await Self.published(gateway)
            #expect(published.count == 5 && kids.isSubset(of: published))
            let token = try await gateway.token("ada")
            #expect(Self.keyID(token) == published.first)
        }
    }
}
