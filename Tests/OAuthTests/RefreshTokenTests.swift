import Gateway
import Testing

@testable import OAuth

struct RefreshTokenTests {
    static let key = RefreshTokenKey(Secret([UInt8](repeating: 9, count: 32)))
    let family = RefreshFamily(
        grant: GrantID(0x0102_0304_0506_0708), salt: Array(0..<16), generation: 5, rotatedAt: .start, isRevoked: false, expiresAt: .start.after(1000))

    static func rotated(_ decision: RefreshFamily.Decision) throws -> RefreshFamily {
        guard case .rotate(let next) = decision else { throw OAuthError(.serverError, "\(decision)") }
        return next
    }

    @Test func `a token is the same whenever it is asked for, and in every version to come`() throws {
        let text = family.token(key: Self.key).text.revealed
        #expect(text == "mrr_AQIDBAUGBwgAAAAF_YBrRcuBegJWUBIGY_lPHO7mhI8vE3WlfOAABfWma9U")
        let read = try #require(RefreshToken(text))
        #expect(read.grant == family.grant)
        #expect(read.generation == 5)
        #expect(read.text.revealed == text)
    }

    @Test func `a token is rotated, answered again for ten seconds, and then gives itself away`() throws {
        let token = family.token(key: Self.key)
        let now = Timestamp.start.after(100)
        let next = try Self.rotated(family.redeem(token, key: Self.key, at: now))
        #expect(next.generation == 6)
        #expect(next.rotatedAt == now)
        #expect(next.expiresAt == now.advanced(by: .seconds(30 * 86_400)))
        #expect(next.redeem(token, key: Self.key, at: now) == .repeat)
        #expect(next.redeem(token, key: Self.key, at: now.after(10)) == .repeat)
        // The clock was read before the other request was recorded.
        #expect(next.redeem(token, key: Self.key, at: now.after(-1)) == .repeat)
        #expect(next.redeem(token, key: Self.key, at: now.after(10).advanced(by: .microseconds(1))) == .reused)
        #expect(next.redeem(token, key: Self.key, at: now.after(-11)) == .reused)
        let last = try Self.rotated(next.redeem(next.token(key: Self.key), key: Self.key, at: now.after(1)))
        #expect(last.redeem(token, key: Self.key, at: now.after(1)) == .reused)
        #expect(last.redeem(next.token(key: Self.key), key: Self.key, at: now.after(2)) == .repeat)
    }

    @Test func `nothing is answered after revocation or expiry`() {
        let token = family.token(key: Self.key)
        #expect(family.revoked.redeem(token, key: Self.key, at: .start) == .revoked)
        #expect(family.redeem(token, key: Self.key, at: .start.after(1000)) == .expired)
        let last = RefreshFamily(
            grant: family.grant, salt: family.salt, generation: .max, rotatedAt: .start, isRevoked: false, expiresAt: .start.after(1000))
        #expect(last.redeem(last.token(key: Self.key), key: Self.key, at: .start) == .expired)
    }

    @Test func `a token of another family, of the future or with a changed bit is unknown`() throws {
        let text = family.token(key: Self.key).text.revealed
        let others = [
            RefreshFamily(grant: GrantID(2), salt: family.salt, generation: 5, rotatedAt: .start, isRevoked: false, expiresAt: .start.after(1000)),
            RefreshFamily(
                grant: family.grant, salt: Array(1..<17), generation: 5, rotatedAt: .start, isRevoked: false, expiresAt: .start.after(1000)),
            RefreshFamily(
                grant: family.grant, salt: family.salt, generation: 6, rotatedAt: .start, isRevoked: false, expiresAt: .start.after(1000)),
        ]
        for other in others { #expect(family.redeem(other.token(key: Self.key), key: Self.key, at: .start) == .unknown) }
        #expect(family.redeem(family.token(key: RefreshTokenKey(Secret([UInt8](repeating: 1, count: 32)))), key: Self.key, at: .start) == .unknown)
        for index in 0..<text.utf8.count {
            for bit in 0..<8 {
                var bytes = Array(text.utf8)
                bytes[index] ^= 1 << bit
                guard let token = RefreshToken(String(decoding: bytes, as: UTF8.self)) else { continue }
                #expect(family.redeem(token, key: Self.key, at: .start) == .unknown)
            }
        }
    }

    @Test func `a former key is still good`() throws {
        let newer = RefreshTokenKey(Secret([UInt8](repeating: 1, count: 32)), older: [Secret([UInt8](repeating: 9, count: 32))])
        let next = try Self.rotated(family.redeem(family.token(key: Self.key), key: newer, at: .start))
        #expect(next.redeem(next.token(key: newer), key: Self.key, at: .start) == .unknown)
        _ = try Self.rotated(next.redeem(next.token(key: newer), key: newer, at: .start))
    }

    @Test(arguments: ["", "mrr_", "mrc_", "mrr_AAAA", "mrr_" + String(repeating: "=", count: 59), "mrr_" + String(repeating: "A", count: 60)])
    func `what has another form is none of ours`(_ text: String) {
        #expect(RefreshToken(text) == nil)
    }

    @Test func `whatever bytes come, nothing traps and nothing is good`() {
        var random = SplitMix(seed: 23)
        for _ in 0..<5_000 {
            let text = "mrr_" + Base64URL.encode(random.bytes(44))
            if let token = RefreshToken(text) { #expect(family.redeem(token, key: Self.key, at: .start) == .unknown) }
            _ = RefreshToken(String(decoding: random.bytes(upTo: 70), as: UTF8.self))
            _ = AuthorizationCode(String(decoding: random.bytes(upTo: 50), as: UTF8.self))
        }
    }

    /// The history of a family: which token was first used when. What becomes of one follows from that alone.
    struct History {
        var firstUses: [Timestamp] = []
        var isOver = false
        var expiresAt: Timestamp

        mutating func present(_ index: Int, at now: Timestamp) -> String {
            if isOver { return "revoked" }
            if now >= expiresAt { return "expired" }
            if index == firstUses.count {
                firstUses.append(now)
                expiresAt = now.advanced(by: .seconds(30 * 86_400))
                return "rotate"
            }
            if index == firstUses.count - 1, now.microseconds - firstUses[index].microseconds <= 10_000_000 { return "repeat" }
            isOver = true
            return "reused"
        }
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func `over any sequence of uses a family does what its history asks for`(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var family = RefreshFamily.begin(.random(), at: .start)
        var history = History(expiresAt: family.expiresAt)
        var tokens = [family.token(key: Self.key)]
        var now = Timestamp.start
        for _ in 0..<40 {
            now = now.advanced(
                by: .milliseconds(Int64([0, 1, 900, 5_000, 10_000, 10_001, 60_000, 20 * 86_400_000].randomElement(using: &random) ?? 0)))
            // Mostly the two newest, as clients do; now and then any.
            let index =
                Int.random(in: 0..<6, using: &random) == 0
                ? Int.random(in: tokens.indices, using: &random) : max(0, tokens.count - 1 - Int.random(in: 0...3, using: &random) / 3)
            let presented = try #require(RefreshToken(tokens[index].text.revealed))
            let expected = history.present(index, at: now)
            switch family.redeem(presented, key: Self.key, at: now) {
            case .rotate(let next):
                #expect(expected == "rotate")
                family = next
                tokens.append(family.token(key: Self.key))
            case .repeat:
                #expect(expected == "repeat")
                #expect(family.token(key: Self.key).text.revealed == tokens[index + 1].text.revealed)
            case .reused:
                #expect(expected == "reused")
                family = family.revoked
            case .unknown: Issue.record("a genuine token is unknown")
            case .revoked: #expect(expected == "revoked")
            case .expired: #expect(expected == "expired")
            }
        }
    }
}
