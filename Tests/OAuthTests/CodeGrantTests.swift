import Gateway
import Testing

@testable import OAuth

struct CodeGrantTests {
    static let resources = ["https://gateway.example/mcp", "https://gateway.example/api"]
    let code = AuthorizationCode.random()
    let verifier = CodeVerifier.random()

    var grant: CodeGrant {
        CodeGrant(
            digest: code.digest, clientID: "c", redirectURI: "http://127.0.0.1:5000/cb", challenge: verifier.challenge, resources: Self.resources,
            issuedAt: .start)
    }

    func redeem(
        _ grant: CodeGrant? = nil, _ code: AuthorizationCode? = nil, by client: String = "c", redirectURI: String? = "http://127.0.0.1:5000/cb",
        verifier: CodeVerifier? = nil, resources: [String] = [], at now: Timestamp = .start
    ) -> CodeGrant.Decision {
        (grant ?? self.grant).redeem(
            code ?? self.code, by: client, redirectURI: redirectURI, verifier: verifier ?? self.verifier, resources: resources, at: now)
    }

    static func refusal(_ decision: CodeGrant.Decision) -> OAuthError.Code? {
        if case .refused(let error) = decision { error.code } else { nil }
    }

    @Test func `a code is good once, and its second use gives everything away`() throws {
        guard case .redeemed(let redeemed, let resources) = redeem() else {
            Issue.record("a good code was refused")
            return
        }
        #expect(resources == Self.resources)
        #expect(redeemed.redeemedAt == .start)
        #expect(redeem(redeemed) == .replayed)
        #expect(redeem(redeemed, at: .start.after(1_000_000)) == .replayed)
        #expect(redeem(redeemed, by: "another", verifier: .random()) == .replayed)
    }

    @Test func `a code lives for a minute`() {
        #expect(Self.refusal(redeem(at: .start.after(59))) == nil)
        #expect(Self.refusal(redeem(at: .start.after(60))) == .invalidGrant)
        #expect(Self.refusal(redeem(at: .start.after(-5))) == nil)
        #expect(Self.refusal(redeem(at: .start.after(-3600))) == .invalidGrant)
    }

    @Test func `a code is bound to client, redirect URI, verifier and resources`() {
        #expect(Self.refusal(redeem(nil, .random())) == .invalidGrant)
        #expect(Self.refusal(redeem(by: "C")) == .invalidGrant)
        #expect(Self.refusal(redeem(redirectURI: nil)) == .invalidGrant)
        #expect(Self.refusal(redeem(redirectURI: "http://127.0.0.1:5001/cb")) == .invalidGrant)
        #expect(Self.refusal(redeem(verifier: .random())) == .invalidGrant)
        #expect(Self.refusal(redeem(resources: ["https://gateway.example/other"])) == .invalidTarget)
        guard case .redeemed(_, ["https://gateway.example/api"]) = redeem(resources: ["https://gateway.example/api"]) else {
            Issue.record("one of the resources is less than all")
            return
        }
    }

    @Test func `a request without redirect URI is ended without`() throws {
        let grant = CodeGrant(
            digest: code.digest, clientID: "c", redirectURI: nil, challenge: verifier.challenge, resources: Self.resources, issuedAt: .start)
        #expect(Self.refusal(redeem(grant, redirectURI: nil)) == nil)
        #expect(Self.refusal(redeem(grant)) == .invalidGrant)
    }

    @Test func `a code is found by its digest and told by its form`() throws {
        let read = try #require(AuthorizationCode(code.text.revealed))
        #expect(read.digest == code.digest)
        #expect(code.text.revealed.hasPrefix("mrc_"))
        #expect(code.text.revealed.utf8.count == 47)
        for text in [
            "", "mrc_", code.text.revealed + "A", String(code.text.revealed.dropLast()), "mrr_" + code.text.revealed.dropFirst(4),
            "mrc_" + String(repeating: "=", count: 43),
        ] {
            #expect(AuthorizationCode(text) == nil)
        }
    }

    /// What a grant is told in one step.
    struct Attempt: Sendable {
        var client = "c"
        var uri: String? = "http://127.0.0.1:5000/cb"
        var isVerifierRight = true
        var resources: [String] = []
        var wait: Int64 = 0
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func `over any sequence of attempts exactly one is answered: the first that is right in all and in time`(seed: UInt64) {
        var random = SplitMix(seed: seed)
        var kept = grant
        var now = Timestamp.start
        var isSpent = false
        for _ in 0..<30 {
            var attempt = Attempt()
            if Int.random(in: 0..<4, using: &random) == 0 { attempt.client = "d" }
            if Int.random(in: 0..<4, using: &random) == 0 { attempt.uri = Bool.random(using: &random) ? nil : "http://127.0.0.1:1/cb" }
            if Int.random(in: 0..<4, using: &random) == 0 { attempt.isVerifierRight = false }
            if Int.random(in: 0..<4, using: &random) == 0 { attempt.resources = Bool.random(using: &random) ? [Self.resources[0]] : ["https://x"] }
            attempt.wait = Int64.random(in: 0...6, using: &random)
            now = now.after(attempt.wait)

            let decision = redeem(
                kept, by: attempt.client, redirectURI: attempt.uri, verifier: attempt.isVerifierRight ? verifier : .random(),
                resources: attempt.resources, at: now)
            let isRight =
                attempt.client == "c" && attempt.uri == "http://127.0.0.1:5000/cb" && attempt.isVerifierRight && attempt.resources != ["https://x"]
                && now.microseconds - Timestamp.start.microseconds < 60_000_000
            switch decision {
            case .redeemed(let redeemed, let resources):
                #expect(isRight && !isSpent)
                #expect(resources == (attempt.resources.isEmpty ? Self.resources : attempt.resources))
                isSpent = true
                kept = redeemed
            case .replayed: #expect(isSpent)
            case .refused: #expect(!isRight && !isSpent)
            }
        }
    }
}
