import Gateway
import Synchronization
import Testing

@testable import Identity

/// A clock that is moved by hand, for both kinds of time.
final class MovedClock: Sendable {
    private let elapsed = Mutex(Duration.zero)
    static let start = Timestamp(microseconds: 1_800_000_000_000_000)

    var now: Moment {
        let elapsed = elapsed.withLock { $0 }
        return Moment(wall: Self.start.advanced(by: elapsed), boot: BootInstant(nanoseconds: 1).advanced(by: elapsed))
    }
    func advance(_ duration: Duration) { elapsed.withLock { $0 += duration } }
}

/// Counts, from several tasks.
final class Count: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    @discardableResult func next() -> Int {
        count.withLock {
            $0 += 1
            return $0
        }
    }
}

struct TokenShelfTests {
    private static let key = TokenShelf.Key(server: ServerID(1), user: UserID(1))
    private static let broken = CredentialFailure(.later, "broken")

    private static func item(_ number: Int, life: Duration? = .seconds(3600), _ clock: MovedClock) -> TokenShelf.Item {
        TokenShelf.Item(value: Secret("token-\(number)"), expiresAt: life.map { clock.now.wall.advanced(by: $0) })
    }

    @Test func `five hundred who want one token cause one question, and all get its answer`() async throws {
        let clock = MovedClock()
        let shelf = TokenShelf { clock.now }
        let asked = Count()
        let (gate, open) = AsyncStream.makeStream(of: Never.self)
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<500 {
                group.addTask {
                    try await shelf.take(Self.key) { _ async throws(CredentialFailure) in
                        for await _ in gate {}
                        return Self.item(asked.next(), clock)
                    }.value.revealed
                }
            }
            open.finish()
            for try await token in group { #expect(token == "token-1") }
        }
        #expect(asked.value == 1)
    }

    @Test func `a token is used until shortly before its end`() async throws {
        let clock = MovedClock()
        let shelf = TokenShelf { clock.now }
        let asked = Count()
        func take() async throws -> String {
            try await shelf.take(Self.key) { _ async throws(CredentialFailure) in Self.item(asked.next(), clock) }.value.revealed
        }
        #expect(try await take() == "token-1")
        clock.advance(.seconds(3569))
        #expect(try await take() == "token-1")
        clock.advance(.seconds(1))
        #expect(try await take() == "token-2")
    }

    @Test func `what failed is not tried again for some seconds`() async throws {
        let clock = MovedClock()
        let shelf = TokenShelf { clock.now }
        let asked = Count()
        func take() async -> CredentialFailure? {
            do throws(CredentialFailure) {
                _ = try await shelf.take(Self.key) { _ async throws(CredentialFailure) in
                    asked.next()
                    throw Self.broken
                }
                return nil
            } catch { return error }
        }
        #expect(await take() == Self.broken)
        #expect(await take() == Self.broken)
        #expect(asked.value == 1)
        clock.advance(.seconds(5))
        #expect(await take() == Self.broken)
        #expect(asked.value == 2)
    }

    @Test func `a token that is turned away is replaced once, and a replacement that is too is the end`() async throws {
        let clock = MovedClock()
        let shelf = TokenShelf { clock.now }
        let asked = Mutex<[Bool]>([])
        func take() async throws -> TokenShelf.Held {
            try await shelf.take(Self.key) { isReplacement async throws(CredentialFailure) in
                let number = asked.withLock { asked in
                    asked.append(isReplacement)
                    return asked.count
                }
                return Self.item(number, clock)
            }
        }
        let first = try await take()
        for _ in 0..<3 { #expect(shelf.turnedAway(Self.key, mark: first.mark, isRenewable: true, otherwise: Self.broken) == .tryAgain) }
        let second = try await take()
        #expect(second.value.revealed == "token-2")
        // Somebody who had the first one hears late that it is no good.
        #expect(shelf.turnedAway(Self.key, mark: first.mark, isRenewable: true, otherwise: Self.broken) == .tryAgain)
        #expect(try await take().mark == second.mark)
        #expect(shelf.turnedAway(Self.key, mark: second.mark, isRenewable: true, otherwise: Self.broken) == .hopeless)
        await #expect(throws: Self.broken) { try await take() }
        #expect(asked.withLock { $0 } == [false, true])
        clock.advance(.seconds(30))
        #expect(try await take().value.revealed == "token-3")
    }

    @Test func `what is forgotten while it is obtained is not kept`() async throws {
        let clock = MovedClock()
        let shelf = TokenShelf { clock.now }
        let asked = Count()
        let first = try await shelf.take(Self.key) { _ async throws(CredentialFailure) in
            shelf.forget(Self.key)
            return Self.item(asked.next(), clock)
        }
        #expect(first.value.revealed == "token-1")
        let second = try await shelf.take(Self.key) { _ async throws(CredentialFailure) in Self.item(asked.next(), clock) }
        #expect(second.value.revealed == "token-2")
    }

    @Test func `two users' tokens lie apart, and a server's go together`() async throws {
        let clock = MovedClock()
        let shelf = TokenShelf { clock.now }
        func take(_ server: Int64, _ user: Int64) async throws -> String {
            try await shelf.take(TokenShelf.Key(server: ServerID(server), user: UserID(user))) { _ async throws(CredentialFailure) in
                TokenShelf.Item(value: Secret("\(server)-\(user)-\(clock.now.boot.nanoseconds)"), expiresAt: nil)
            }.value.revealed
        }
        let before = [try await take(1, 1), try await take(1, 2), try await take(2, 1)]
        #expect(before == ["1-1-1", "1-2-1", "2-1-1"])
        clock.advance(.nanoseconds(1))
        shelf.forget(ServerID(1))
        let after = [try await take(1, 1), try await take(1, 2), try await take(2, 1)]
        #expect(after == ["1-1-2", "1-2-2", "2-1-1"])
    }
}
