import Gateway
import OAuth
import Testing

@testable import Identity

struct TokenKeysTests {
    private static func record(_ id: String, signsFrom: Duration, until: Duration? = nil) -> SigningKeyRecord {
        SigningKeyRecord(id: id, createdAt: .now, signsFrom: .now + signsFrom, publishedUntil: until.map { .now + $0 })
    }

    @Test func `a token of the last key is good while the next one signs, until the last is taken back`() async throws {
        let (first, second) = (try await SigningKey.generate(), try await SigningKey.generate())
        let keys = TokenKeys(signing: first)
        let authenticator = Authenticator(keys: keys, instance: .fixed, users: .fixed(.ada)) { Gatehouse.origin }
        let old = ["Bearer " + (try await authenticator.issue(to: .ada, for: [.mcp], at: .now).revealed)]
        keys.replace(signing: second, published: [first])
        let new = ["Bearer " + (try await authenticator.issue(to: .ada, for: [.mcp], at: .now).revealed)]
        #expect(keys.published.map(\.id) == [second.id, first.id])
        for header in [old, new] { #expect(try await authenticator.verify(header, for: .mcp, at: .now) == User.ada.principal) }
        keys.replace(signing: second, published: [])
        authenticator.forget(User.ada.id)
        await #expect(throws: Refusal.unauthenticated(.unknown)) { try await authenticator.verify(old, for: .mcp, at: .now) }
        #expect(try await authenticator.verify(new, for: .mcp, at: .now) == User.ada.principal)
    }

    @Test func `a key signs for ninety days, and the next is published an hour before it does`() {
        let day = Duration.seconds(86_400)
        let only = Self.record("a", signsFrom: .zero - day * 89)
        #expect(!TokenKeyRotation([only], at: .now).isNextDue)
        #expect(TokenKeyRotation([only], at: .now + day).isNextDue)
        let next = Self.record("b", signsFrom: TokenKeyRotation.notice)
        let before = TokenKeyRotation([only, next], at: .now + day)
        #expect(before.signing?.id == "b" && before.retiring.map(\.id) == ["a"])
        let during = TokenKeyRotation([only, next], at: .now)
        #expect(during.signing?.id == "a" && during.others.map(\.id) == ["b"] && during.retiring.isEmpty && !during.isNextDue)
    }

    @Test func `what signed is published for as long as its tokens live, and then no more`() {
        let (old, new) = (Self.record("a", signsFrom: .seconds(-100), until: .seconds(10)), Self.record("b", signsFrom: .seconds(-50)))
        #expect(TokenKeyRotation([old, new], at: .now).others.map(\.id) == ["a"])
        #expect(TokenKeyRotation([old, new], at: .now + .seconds(10)).others.isEmpty)
        let end = TokenKeyRotation.publishedUntil(lastSigned: .now)
        #expect(end >= .now + Authenticator.lifetime + .seconds(60))
    }

    @Test func `without any key nothing signs, and a clock that went back makes none`() {
        #expect(TokenKeyRotation([], at: .now).signing == nil)
        let rotation = TokenKeyRotation([Self.record("a", signsFrom: .seconds(3600))], at: .now)
        #expect(rotation.signing == nil && !rotation.isNextDue)
    }
}
