import Gateway
import OAuth
import Sealing
import Testing

@testable import Storage

struct ResealingTests {
    private static let users = (1...6).map { UserID($0) }

    /// 26 entries: four of each user, two credentials.
    private func fill(_ path: String, _ ring: KeyRing) throws {
        let vault = try TokenVault(path, ring)
        for user in Self.users { try vault.store(vaultTokens("\(user.rawValue)"), for: user, at: signIn) }
        for server in [ServerID(1), ServerID(2)] { try vault.storeCredential(Secret([1, 2, 3]), of: UserID(1), for: server) }
    }

    private func expectWhole(_ vault: TokenVault) throws {
        for user in Self.users {
            #expect(try vault.tokens(of: user, at: signIn)?.revealed == vaultTokens("\(user.rawValue)").revealed)
            #expect(try vault.tokens(of: user, at: later(3600)) == nil)
        }
        for server in [ServerID(1), ServerID(2)] { #expect(try vault.credential(of: UserID(1), for: server)?.revealed == [1, 2, 3]) }
    }

    @Test(arguments: [1, 2, 7, 26, 1000])
    func `everything is sealed anew with the current key, and then the old one may go`(batch: Int) throws {
        try withVaultFolder { path in
            try fill(path, sealingKeys(1))
            do {
                let vault = try TokenVault(path, sealingKeys(2, 1))
                let old = try sealingKeys(1).current.id
                #expect(try vault.oldKeysInUse() == [old: 26])
                #expect(try vault.missingKeys().isEmpty)
                var count = 0
                while true {
                    let step = try vault.reseal(batch: batch)
                    #expect(step.count <= batch && step.spoiled.isEmpty)
                    count += step.count
                    if step.isDone { break }
                }
                #expect(count == 26)
                #expect(try vault.oldKeysInUse().isEmpty)
                while true {
                    let step = try vault.reseal(batch: batch)
                    #expect(step.count == 0)
                    if step.isDone { break }
                }
            }
            try expectWhole(TokenVault(path, sealingKeys(2)))
        }
    }

    @Test func `resealing that is interrupted within any transaction is taken up again`() throws {
        try withVaultFolder { path in
            var (step, interruptions) = (0, 0)
            // The two keys take turns, so that each round has all of it to do.
            while true {
                step += 1
                let (new, old): (UInt8, UInt8) = step % 2 == 1 ? (2, 1) : (1, 2)
                if step == 1 { try fill(path, sealingKeys(old)) }
                let steps = Steps(failing: step)
                var isDone = false
                do {
                    let vault = try TokenVault(path, sealingKeys(new, old), failPoint: { _ in try steps.step() })
                    do {
                        while !isDone { isDone = try vault.reseal(batch: 3).isDone }
                    } catch is Steps.Stop {
                        interruptions += 1
                        try expectWhole(vault)
                    }
                }
                do {
                    let vault = try TokenVault(path, sealingKeys(new, old))
                    try expectWhole(vault)
                    while try !vault.reseal(batch: 5).isDone {}
                    #expect(try vault.oldKeysInUse().isEmpty)
                }
                try expectWhole(TokenVault(path, sealingKeys(new)))
                if isDone { break }
            }
            // Each entry, and each of ten batches.
            #expect(interruptions >= 26 + 9)
        }
    }

    @Test(arguments: 0..<10)
    func `resealing that stops between two batches leaves both keys in use, and a restart goes on`(batches: Int) throws {
        try withVaultFolder { path in
            try fill(path, sealingKeys(1))
            do {
                let vault = try TokenVault(path, sealingKeys(2, 1))
                for _ in 0..<batches { _ = try vault.reseal(batch: 3) }
                try expectWhole(vault)
            }
            do {
                let vault = try TokenVault(path, sealingKeys(3, 2, 1))
                let old = try vault.oldKeysInUse()
                #expect(old.values.reduce(0, +) == 26)
                while try !vault.reseal(batch: 4).isDone {}
                #expect(try vault.oldKeysInUse().isEmpty)
            }
            try expectWhole(TokenVault(path, sealingKeys(3)))
        }
    }

    @Test func `what is stored while resealing goes on is sealed with the current key`() throws {
        try withVaultFolder { path in
            try fill(path, sealingKeys(1))
            let vault = try TokenVault(path, sealingKeys(2, 1))
            _ = try vault.reseal(batch: 13)
            // Before and after where it stands.
            for number in [0, 1, 3, 9] { try vault.store(vaultTokens("\(number)"), for: UserID(Int64(number)), at: signIn) }
            while try !vault.reseal(batch: 13).isDone {}
            #expect(try vault.oldKeysInUse().isEmpty)
            try expectWhole(vault)
        }
    }

    @Test func `an entry that does not open is named, and holds up no other`() throws {
        try withVaultFolder { path in
            try fill(path, sealingKeys(1))
            do { try TokenVault(path, sealingKeys(1)).move(.accessToken(UserID(1)), to: .accessToken(UserID(2))) }
            let vault = try TokenVault(path, sealingKeys(2, 1))
            let step = try vault.reseal(batch: 1000)
            #expect(step.isDone)
            #expect(step.count == 25)
            #expect(step.spoiled == [.entry("access_token:2", .notAuthentic)])
            #expect(try vault.oldKeysInUse() == [sealingKeys(1).current.id: 1])
        }
    }

    @Test func `a key that is missing is named, and what it sealed is an error, not absent`() throws {
        try withVaultFolder { path in
            try fill(path, sealingKeys(1))
            let vault = try TokenVault(path, sealingKeys(2))
            let missing = try sealingKeys(1).current.id
            #expect(try vault.missingKeys() == [missing: 26])
            #expect(throws: TokenVaultError.entry("access_token:1", .unknownKey(missing))) { _ = try vault.tokens(of: UserID(1), at: signIn) }
            #expect(throws: TokenVaultError.entry("refresh_token:1", .unknownKey(missing))) { _ = try vault.beginRefresh(of: UserID(1), at: signIn) }
            let step = try vault.reseal()
            #expect((step.count, step.spoiled.count, step.isDone) == (0, 26, true))
            // A new sign-in needs nothing of the old one.
            try vault.store(vaultTokens("1"), for: UserID(1), at: signIn)
            #expect(try vault.tokens(of: UserID(1), at: signIn) != nil)
            // What is over goes without its key.
            #expect(try (1...2).reduce(0) { sum, _ in try sum + vault.sweep(1000, at: later(3900)) } == 12)
        }
    }
}
