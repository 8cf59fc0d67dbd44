import FakeEntra
import Foundation
import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

/// Servers that are asked with a token which the issuer gives in exchange for the user's own.
struct OnBehalfOfTests {
    private static let scope = "api://files.evaluation.example/Files.Read"

    /// What a JWT says, for a server that believes everybody.
    private static func claims(_ token: String) -> JSON? {
        let parts = token.split(separator: ".")
        guard parts.count == 3 else { return nil }
        let text = parts[1].replacing("-", with: "+").replacing("_", with: "/")
        return Data(base64Encoded: text + String(repeating: "=", count: (4 - text.count % 4) % 4)).flatMap { try? JSON(parsing: [UInt8]($0)) }
    }

    /// Lets in whom the issuer gave a token for this server, and nobody with another.
    private static let server = FakeServer { request in
        guard let claims = request.bearer.flatMap(claims), claims["aud"]?.string == "api://files.evaluation.example" else { return nil }
        return claims["oid"]?.string
    }

    @Test func `each user acts with a token of their own for that server, and never with the one they signed in with`() async throws {
        try await FakeUpstream.running({ request, _ in Self.server.answer(request) }) { upstream in
            try await RunningGateway.with { gateway in
                let made = try await gateway.register("up", upstream.endpoint, credential: ["mode": "on_behalf_of", "scope": .string(Self.scope)])
                #expect(made.status == 201, "\(made.text)")
                let browser = TestBrowser()
                let asking = try await browser.signIn(as: "user", at: try await browser.open(gateway.origin + "/connect/up"))
                #expect(asking.text.contains("<code>\(Self.scope)</code>"), "\(asking.text)")
                let done = try await browser.submit(asking, [("decision", "approve")])
                #expect(done.text.contains("is connected"), "\(done.text)")
                let user = try await ConnectTests.token("user", gateway)
                let mine = try await gateway.callBare("up__whoami", token: user, headers: UpstreamCredentialTests.canaries)
                #expect(mine.said == "you are 5e000000-0000-4000-8000-000000000003", "\(mine.text)")

                // Whoever signed in at all has a token to be exchanged, and need not connect first.
                try await ConnectTests.appear("server_owner", gateway)
                let owner = try await ConnectTests.token("server_owner", gateway)
                #expect(try await gateway.callBare("up__whoami", token: owner).said == "you are 5e000000-0000-4000-8000-000000000002")
                #expect(try await gateway.callBare("up__whoami", token: user).said == "you are 5e000000-0000-4000-8000-000000000003")

                // Whoever never signed in at the issuer is told to.
                let stranger = try await gateway.callBare("up__whoami", token: try await gateway.token("stranger"))
                #expect(stranger.isToolError && stranger.said?.contains("/connect/up?for=") == true, "\(stranger.text)")

                #expect(!upstream.has("canary"))
                for token in [user, owner] { #expect(!upstream.has(token)) }
                let shown = Set(upstream.requests.compactMap(\.bearer))
                #expect(shown.count == 2 && shown.allSatisfy { Self.claims($0)?["aud"]?.string == "api://files.evaluation.example" })
                let listed = try await gateway.api(.GET, "/api/v1/connections", token: user)
                #expect(listed.json?["connections"]?.elements.first?["mode"]?.string == "on_behalf_of")
                #expect(shown.allSatisfy { !listed.text.contains($0) })
            }
        }
    }

    @Test func `whoever's token has expired is renewed once, and then exchanged for, without a page`() async throws {
        let clock = PassingTime()
        let fake = try FakeEntra(clock: { clock.now().wall })
        @Sendable func asked(_ grant: String) -> Int { fake.requests.count { $0.parameters["grant_type"] == grant && $0.status == 200 } }
        let exchange = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        try await FakeUpstream.running({ request, _ in Self.server.answer(request) }) { upstream in
            // Nothing is renewed before somebody needs it.
            try await RunningGateway.with(
                ["MREG_FASTMCP_ENABLE_BACKGROUND_TOKEN_REFRESH": "false"],
                mode: try Evaluation.mode(isWithStdioDemo: false, now: clock.now, issuer: fake)
            ) { gateway in
                let made = try await gateway.register("up", upstream.endpoint, credential: ["mode": "on_behalf_of", "scope": .string(Self.scope)])
                #expect(made.status == 201, "\(made.text)")
                let browser = TestBrowser()
                let asking = try await browser.signIn(as: "user", at: try await browser.open(gateway.origin + "/connect/up"))
                #expect(try await browser.submit(asking, [("decision", "approve")]).text.contains("is connected"))
                let early = try await gateway.callBare("up__whoami", token: try await ConnectTests.token("user", gateway))
                #expect(early.said == "you are 5e000000-0000-4000-8000-000000000003", "\(early.text)")
                #expect(asked("refresh_token") == 0 && asked(exchange) == 1)

                // Longer than the issuer's token lives, and than the one that it was exchanged for.
                clock.pass(.seconds(3 * 3600))
                let token = try await ConnectTests.token("user", gateway)
                try await withThrowingTaskGroup(of: String?.self) { group in
                    for _ in 0..<8 { group.addTask { try await gateway.callBare("up__whoami", token: token).said } }
                    for try await said in group { #expect(said == "you are 5e000000-0000-4000-8000-000000000003") }
                }
                #expect(asked("refresh_token") == 1 && asked(exchange) == 2)

                // Whom the issuer gives nothing any more is sent to the page.
                clock.pass(.seconds(3 * 3600))
                fake.change("user") { $0.tokensValidFrom = clock.now().wall }
                let over = try await gateway.callBare("up__whoami", token: try await ConnectTests.token("user", gateway))
                #expect(over.isToolError && over.said?.contains("/connect/up?for=") == true, "\(over.text)")
            }
        }
    }
}
