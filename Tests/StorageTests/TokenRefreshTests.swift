import Gateway
import OAuth
import Testing

@testable import Storage

struct TokenRefreshTests {
    let user = UserID(7)

    @Test func `a refresh is noted before its token is handed out, and the note survives a restart`() throws {
        try withVaultFolder { path in
            do {
                let vault = try TokenVault(path)
                #expect(try vault.beginRefresh(of: user, at: signIn) == nil)
                try vault.store(vaultTokens("a"), for: user, at: signIn)
                try vault.store(vaultTokens("b"), for: UserID(8), at: signIn)
                let attempt = try #require(try vault.beginRefresh(of: user, at: later(60)))
                #expect(attempt.refreshToken.revealed == "refresh-a")
                #expect((attempt.issuer, attempt.scope, attempt.number) == ("https://issuer.example/a", "openid a", 1))
            }
            let vault = try TokenVault(path)
            #expect(try vault.openRefreshes() == [OpenRefresh(user: user, attempts: 1, begunAt: later(60))])
            // The same token is tried again; nobody knows whether it is still good.
            let attempt = try #require(try vault.beginRefresh(of: user, at: later(120)))
            #expect(attempt.refreshToken.revealed == "refresh-a")
            #expect((attempt.number, attempt.begunAt) == (2, later(60)))
            #expect(try vault.finishRefresh(attempt, with: vaultTokens("c", at: later(120))))
            #expect(try vault.openRefreshes().isEmpty)
            #expect(try vault.tokens(of: user, at: later(120))?.revealed == vaultTokens("c", at: later(120)).revealed)
            let next = try #require(try vault.beginRefresh(of: user, at: later(180)))
            #expect((next.refreshToken.revealed, next.number, next.begunAt) == ("refresh-c", 1, later(180)))
        }
    }

    @Test func `the new token is there before the old one is gone, wherever it is interrupted`() throws {
        try withVaultFolder { path in
            var step = 0
            while true {
                step += 1
                let steps = Steps(failing: step)
                let vault: TokenVault
                do {
                    let before = try TokenVault(path)
                    try before.store(vaultTokens("old"), for: user, at: signIn)
                    _ = try before.beginRefresh(of: user, at: signIn)
                }
                let isFinished: Bool
                do {
                    let failing = try TokenVault(path, failPoint: { _ in try steps.step() })
                    do {
                        let attempt = try #require(try failing.beginRefresh(of: user, at: signIn))
                        isFinished = try failing.finishRefresh(attempt, with: vaultTokens("new", hint: false))
                    } catch is Steps.Stop {
                        isFinished = false
                    }
                }
                vault = try TokenVault(path)
                let held = try #require(try vault.tokens(of: user, at: signIn))
                let isOpen = try vault.openRefreshes().count == 1
                #expect(held.refreshToken?.revealed == (isFinished ? "refresh-new" : "refresh-old"))
                #expect(held.accessToken.revealed == (isFinished ? "access-new" : "access-old"))
                #expect(isOpen == !isFinished)
                // The hint for signing out stays when the issuer gives no new one.
                #expect(held.idTokenHint?.revealed == "hint-old")
                if isFinished { break }
            }
            // The note and its end; access token, metadata, refresh token, the note again, the end.
            #expect(step == 8)
        }
    }

    @Test func `an issuer that gives no new refresh token leaves the old one good`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            let attempt = try #require(try vault.beginRefresh(of: user, at: signIn))
            #expect(try vault.finishRefresh(attempt, with: vaultTokens("b", refresh: false)))
            #expect(try vault.tokens(of: user, at: signIn)?.revealed.prefix(2) == ["access-b", "refresh-a"])
        }
    }

    @Test func `what comes after a sign-out or a new sign-in is not kept`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            let attempt = try #require(try vault.beginRefresh(of: user, at: signIn))
            try vault.forget(user)
            #expect(try !vault.finishRefresh(attempt, with: vaultTokens("b")))
            #expect(try !vault.refuseRefresh(attempt))
            #expect(try vault.tokens(of: user, at: signIn) == nil)

            try vault.store(vaultTokens("c"), for: user, at: signIn)
            _ = try vault.beginRefresh(of: user, at: signIn)
            #expect(try !vault.finishRefresh(attempt, with: vaultTokens("b")))
            #expect(try !vault.refuseRefresh(attempt))
            try vault.cancelRefresh(attempt)
            #expect(try vault.tokens(of: user, at: signIn)?.revealed == vaultTokens("c").revealed)
            #expect(try vault.openRefreshes().map(\.attempts) == [1])
        }
    }

    @Test func `a refresh ends once`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            let attempt = try #require(try vault.beginRefresh(of: user, at: signIn))
            #expect(try vault.finishRefresh(attempt, with: vaultTokens("b")))
            #expect(try !vault.finishRefresh(attempt, with: vaultTokens("c")))
            #expect(try vault.tokens(of: user, at: signIn)?.revealed == vaultTokens("b").revealed)
        }
    }

    @Test func `a refresh token that was refused is forgotten, and the access token stays`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            let attempt = try #require(try vault.beginRefresh(of: user, at: signIn))
            #expect(try vault.refuseRefresh(attempt))
            #expect(try vault.beginRefresh(of: user, at: signIn) == nil)
            #expect(try vault.openRefreshes().isEmpty)
            #expect(try vault.tokens(of: user, at: signIn)?.revealed.prefix(2) == ["access-a", nil])
            #expect(try vault.metadata(of: user, at: signIn)?.hasRefreshToken == false)
        }
    }

    @Test func `an attempt that the issuer never saw leaves what is known of earlier ones`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            try vault.cancelRefresh(try #require(try vault.beginRefresh(of: user, at: signIn)))
            #expect(try vault.openRefreshes().isEmpty)
            _ = try vault.beginRefresh(of: user, at: signIn)
            try vault.cancelRefresh(try #require(try vault.beginRefresh(of: user, at: later(60))))
            #expect(try vault.openRefreshes() == [OpenRefresh(user: user, attempts: 1, begunAt: signIn)])
        }
    }

    @Test func `many open refreshes are all found`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            for number in 1...300 { try vault.store(vaultTokens("a"), for: UserID(Int64(number)), at: signIn) }
            for number in 1...300 { _ = try vault.beginRefresh(of: UserID(Int64(number)), at: signIn) }
            #expect(Set(try vault.openRefreshes().map(\.user.rawValue)) == Set(1...300))
        }
    }
}
