import Foundation
import Gateway
import OAuth
import Sealing
import Synchronization
import Testing

@testable import Storage

struct TokenVaultTests {
    let user = UserID(7)
    let other = UserID(70)

    @Test(arguments: [true, false], [true, false])
    func `what was stored is there, also after a restart`(refresh: Bool, hint: Bool) throws {
        try withVaultFolder { path in
            let tokens = vaultTokens("a", refresh: refresh, hint: hint)
            do {
                let vault = try TokenVault(path)
                #expect(try vault.tokens(of: user, at: signIn) == nil)
                #expect(try vault.metadata(of: user, at: signIn) == nil)
                try vault.store(tokens, for: user, at: signIn)
                #expect(try vault.tokens(of: user, at: signIn)?.revealed == tokens.revealed)
            }
            let vault = try TokenVault(path)
            #expect(try vault.tokens(of: user, at: signIn)?.revealed == tokens.revealed)
            #expect(
                try vault.metadata(of: user, at: signIn)
                    == IssuerTokenMetadata(
                        issuer: tokens.issuer, scope: tokens.scope, obtainedAt: signIn, expiresAt: tokens.expiresAt, hasRefreshToken: refresh))
            #expect(try vault.tokens(of: other, at: signIn) == nil)
        }
    }

    @Test func `a new sign-in replaces everything of the earlier one`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            _ = try vault.beginRefresh(of: user, at: signIn)
            let second = vaultTokens("b", refresh: false, hint: false, at: later(10))
            try vault.store(second, for: user, at: later(10))
            #expect(try vault.tokens(of: user, at: later(10))?.revealed == second.revealed)
            #expect(try vault.metadata(of: user, at: later(10))?.hasRefreshToken == false)
            #expect(try vault.openRefreshes().isEmpty)
        }
    }

    @Test func `what is forgotten is gone, and only that`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            for user in [user, other] {
                try vault.store(vaultTokens("a"), for: user, at: signIn)
                _ = try vault.beginRefresh(of: user, at: signIn)
                try vault.storeCredential(Secret([1]), of: user, for: ServerID(1))
            }
            try vault.forget(user)
            try vault.forget(user)
            #expect(try vault.tokens(of: user, at: signIn) == nil)
            #expect(try vault.metadata(of: user, at: signIn) == nil)
            #expect(try vault.beginRefresh(of: user, at: signIn) == nil)
            #expect(try vault.openRefreshes().map(\.user) == [other])
            #expect(try vault.tokens(of: other, at: signIn) != nil)
            #expect(try vault.credential(of: user, for: ServerID(1))?.revealed == [1])
        }
    }

    @Test func `an access token lasts to its end, and its metadata five minutes longer`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            #expect(try vault.tokens(of: user, at: later(3599.999999)) != nil)
            #expect(try vault.tokens(of: user, at: later(3600)) == nil)
            #expect(try vault.metadata(of: user, at: later(3600)) != nil)
            #expect(try vault.metadata(of: user, at: later(3899.999999)) != nil)
            #expect(try vault.metadata(of: user, at: later(3900)) == nil)
            // The refresh token is not bound by it.
            #expect(try vault.beginRefresh(of: user, at: later(1_000_000))?.refreshToken.revealed == "refresh-a")
        }
    }

    @Test func `what is left when all but the refresh token is over is of the same moment, whenever it is looked at`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            let obtainedAt = try #require(try vault.tokens(of: user, at: signIn)).obtainedAt
            for seconds in [3600, 3899, 3900, 10_000, 1_000_000] as [Double] {
                let held = try #require(try vault.heldTokens(of: user, at: later(seconds)))
                #expect(held.obtainedAt == obtainedAt && held.expiresAt <= later(seconds) && held.refreshToken?.revealed == "refresh-a")
                #expect(try vault.metadataOfAll(at: later(seconds)).holders.map(\.obtainedAt) == [obtainedAt])
            }
        }
    }

    @Test func `what is over is swept, and nothing else`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            for number in 1...3 { try vault.store(vaultTokens("a"), for: UserID(Int64(number)), at: signIn) }
            #expect(try vault.sweep(1000, at: later(3599)) == 0)
            #expect(try vault.sweep(1000, at: later(3600)) == 3)
            #expect(try vault.sweep(1000, at: later(3600)) == 0)
            #expect(try vault.sweep(1000, at: later(3900)) == 3)
            #expect(try vault.metadataOfAll(at: later(3900)).holders.map(\.metadata) == [nil, nil, nil])
            #expect(try vault.beginRefresh(of: UserID(2), at: later(3900)) != nil)
        }
    }

    @Test func `sweeping goes on where it stopped, and storing pays for some of it`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            for number in 1...20 { try vault.store(vaultTokens("a", refresh: false, hint: false), for: UserID(Int64(number)), at: signIn) }
            var swept = 0
            for _ in 0..<100 { swept += try vault.sweep(1, at: later(4000)) }
            #expect(swept == 40)
            for number in 1...20 { try vault.store(vaultTokens("a", refresh: false, hint: false), for: UserID(Int64(number)), at: signIn) }
            for _ in 0..<40 { try vault.store(vaultTokens("b", at: later(4000)), for: user, at: later(4000)) }
            #expect(try vault.sweep(1000, at: later(4000)) == 0)
        }
    }

    @Test func `tokens and metadata are written together or not at all`() throws {
        try withVaultFolder { path in
            do { try TokenVault(path).store(vaultTokens("old"), for: user, at: signIn) }
            var step = 0
            while true {
                step += 1
                let steps = Steps(failing: step)
                do {
                    let vault = try TokenVault(path, failPoint: { _ in try steps.step() })
                    try vault.store(vaultTokens("new"), for: user, at: signIn)
                    break
                } catch is Steps.Stop {
                    let vault = try TokenVault(path)
                    #expect(try vault.tokens(of: user, at: signIn)?.revealed == vaultTokens("old").revealed)
                    #expect(try vault.beginRefresh(of: user, at: signIn)?.refreshToken.revealed == "refresh-old")
                    try vault.store(vaultTokens("old"), for: user, at: signIn)
                }
            }
            // Four deletions, or five with the note of a refresh, four entries, and the end.
            #expect(step > 8)
            #expect(try TokenVault(path).tokens(of: user, at: signIn)?.revealed == vaultTokens("new").revealed)
        }
    }

    @Test func `all users are walked over once, page by page, without a token being opened`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            let numbers: [Int64] = [1, 2, 9, 10, 11, 100, 101, 99, 1_000_000, .max]
            for number in numbers { try vault.store(vaultTokens("\(number)"), for: UserID(number), at: signIn) }
            try vault.store(vaultTokens("20", refresh: false), for: UserID(20), at: signIn)
            try vault.store(vaultTokens("21", at: later(-86_400)), for: UserID(21), at: signIn)
            try vault.store(vaultTokens("22", refresh: false, at: later(-86_400)), for: UserID(22), at: signIn)
            for number in [1, 100] { try vault.storeCredential(Secret([1]), of: UserID(Int64(number)), for: ServerID(1)) }
            for limit in [1, 2, 3, 5, 100] {
                var seen: [TokenHolder] = []
                var next: UserID?
                repeat {
                    let page = try vault.metadataOfAll(from: next, limit: limit, at: signIn)
                    #expect(page.spoiled.isEmpty && page.holders.count <= limit)
                    seen += page.holders
                    next = page.next
                } while next != nil && seen.count < 100
                #expect(seen.map(\.user.rawValue).sorted() == (numbers + [20, 21]).sorted())
                #expect(seen.filter { !$0.hasRefreshToken }.map(\.user.rawValue) == [20])
                #expect(seen.filter { $0.expiresAt == nil }.map(\.user.rawValue) == [21])
                #expect(seen.allSatisfy { $0.expiresAt == nil || $0.expiresAt == later(3600) })
            }
        }
    }

    @Test func `an entry that does not open stops nobody else's refresh`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            for number in 1...3 { try vault.store(vaultTokens("a"), for: UserID(Int64(number)), at: signIn) }
            try vault.move(.tokenMetadata(UserID(1)), to: .tokenMetadata(UserID(2)))
            let page = try vault.metadataOfAll(at: signIn)
            #expect(page.holders.map(\.user.rawValue) == [1, 3])
            #expect(page.spoiled == [.entry("token_metadata:2", .notAuthentic)])
        }
    }

    @Test func `credentials are kept by user and server`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            for user in [1, 10, 2] as [Int64] {
                for server in [1, 11, 2] as [Int64] {
                    try vault.storeCredential(Secret([UInt8(user), UInt8(server), 0]), of: UserID(user), for: ServerID(server))
                }
            }
            #expect(try vault.credential(of: UserID(10), for: ServerID(11))?.revealed == [10, 11, 0])
            #expect(try vault.credential(of: UserID(11), for: ServerID(10)) == nil)
            try vault.forgetCredential(of: UserID(10), for: ServerID(11))
            #expect(try vault.credential(of: UserID(10), for: ServerID(11)) == nil)
            try vault.forgetCredentials(of: UserID(1))
            #expect(try vault.credential(of: UserID(1), for: ServerID(1)) == nil)
            #expect(try vault.credential(of: UserID(1), for: ServerID(11)) == nil)
            #expect(try vault.credential(of: UserID(10), for: ServerID(1)) != nil)
            try vault.forgetCredentials(for: ServerID(1))
            #expect(try vault.credential(of: UserID(10), for: ServerID(1)) == nil)
            #expect(try vault.credential(of: UserID(2), for: ServerID(1)) == nil)
            #expect(try vault.credential(of: UserID(2), for: ServerID(11))?.revealed == [2, 11, 0])
        }
    }

    @Test(
        arguments: [
            (.accessToken(UserID(7)), .accessToken(UserID(8))), (.refreshToken(UserID(7)), .accessToken(UserID(7))),
            (.idToken(UserID(7)), .accessToken(UserID(7))), (.tokenMetadata(UserID(8)), .tokenMetadata(UserID(7))),
            (.refreshToken(UserID(8)), .refreshToken(UserID(7))), (.idToken(UserID(8)), .idToken(UserID(7))),
            (.upstreamCredential(UserID(7), ServerID(1)), .upstreamCredential(UserID(7), ServerID(2))),
            (.upstreamCredential(UserID(7), ServerID(1)), .upstreamCredential(UserID(8), ServerID(1))),
            (.upstreamCredential(UserID(7), ServerID(1)), .accessToken(UserID(7))),
            (.refreshIntent(UserID(8)), .refreshIntent(UserID(7))),
        ] as [(VaultKey, VaultKey)])
    func `a value that is moved to another key does not open there`(from: VaultKey, to: VaultKey) throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            for user in [UserID(7), UserID(8)] {
                try vault.store(vaultTokens("a"), for: user, at: signIn)
                _ = try vault.beginRefresh(of: user, at: signIn)
                for server in [ServerID(1), ServerID(2)] { try vault.storeCredential(Secret([1]), of: user, for: server) }
            }
            try vault.move(from, to: to)
            #expect(throws: TokenVaultError.entry(to.name, .notAuthentic)) {
                for user in [UserID(7), UserID(8)] {
                    _ = try vault.tokens(of: user, at: signIn)
                    _ = try vault.beginRefresh(of: user, at: signIn)
                    for server in [ServerID(1), ServerID(2)] { _ = try vault.credential(of: user, for: server) }
                }
            }
        }
    }

    @Test func `no byte of an entry can be changed, not even of its time`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            let bytes = try #require(try vault.file.read { try $0.entry(.accessToken(user)) }).bytes
            func put(_ bytes: [UInt8]) throws {
                try vault.file.write { try $0.put(bytes.withUnsafeBytes { SealedEntry($0) }, under: .accessToken(user)) }
            }
            let keyID = 9..<17
            for index in bytes.indices {
                for bit in 0..<8 {
                    var changed = bytes
                    changed[index] ^= 1 << bit
                    try put(changed)
                    #expect(throws: TokenVaultError.self) { _ = try vault.tokens(of: user, at: signIn) }
                    // Where it names an unknown key nobody can judge it, and what is over is let go.
                    guard !keyID.contains(index) else { continue }
                    #expect(throws: TokenVaultError.self) { _ = try vault.tokens(of: user, at: later(3700)) }
                    #expect(try vault.sweep(1000, at: later(3700)) == 0)
                }
            }
            for count in bytes.indices {
                try put(Array(bytes.prefix(count)))
                #expect(throws: TokenVaultError.self) { _ = try vault.tokens(of: user, at: signIn) }
            }
            try put(bytes)
            #expect(try vault.tokens(of: user, at: signIn) != nil)
        }
    }

    @Test func `a token without its metadata is an error, not an absent one`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            try vault.file.write { try vault.delete(.tokenMetadata(user), in: $0) }
            #expect(throws: TokenVaultError.missing("token_metadata:7")) { _ = try vault.tokens(of: user, at: signIn) }
        }
    }

    @Test func `what is too long is not kept, and what was there stays`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            var long = vaultTokens("b")
            long.refreshToken = Secret(String(repeating: "x", count: TokenVault.longestSecret))
            #expect(throws: TokenVaultError.tooLong("refresh_token:7", bytes: TokenVault.longestSecret)) {
                try vault.store(long, for: user, at: signIn)
            }
            #expect(try vault.tokens(of: user, at: signIn)?.revealed == vaultTokens("a").revealed)
            let longest = [UInt8](repeating: 1, count: TokenVault.longestSecret - 5)
            try vault.storeCredential(Secret(longest), of: user, for: ServerID(1))
            #expect(try vault.credential(of: user, for: ServerID(1))?.revealed == longest)
        }
    }

    @Test func `no secret stands in the file, nor what could be guessed from it`() throws {
        try withVaultFolder { path in
            let canary = "c4n4ry-7Q"
            do {
                let vault = try TokenVault(path)
                for number in 1...50 { try vault.store(vaultTokens(canary), for: UserID(Int64(number)), at: signIn) }
                let attempt = try #require(try vault.beginRefresh(of: user, at: signIn))
                try vault.storeCredential(Secret(Array("credential-\(canary)".utf8)), of: user, for: ServerID(1))
                #expect(try vault.finishRefresh(attempt, with: vaultTokens("new-\(canary)")))
                _ = try vault.beginRefresh(of: user, at: signIn)
                try vault.forget(UserID(8))
            }
            do { while try !TokenVault(path, sealingKeys(2, 1)).reseal(batch: 1000).isDone {} }
            let files = try FileManager.default.contentsOfDirectory(atPath: path).map { path + "/" + $0 } + [path + ".made"]
            #expect(files.count == 3)
            let fingerprint = digest(of: Array("refresh-new-\(canary)".utf8))
            for file in files {
                let data = try Data(contentsOf: URL(filePath: file))
                for text in [canary, Data(canary.utf8).base64EncodedString(), "issuer.example", "openid", "0102030405060708"] {
                    #expect(data.range(of: Data(text.utf8)) == nil, "\(text) in \(file)")
                }
                #expect(data.range(of: Data(fingerprint)) == nil)
                #expect(data.range(of: Data((1...32).map { UInt8($0) })) == nil)
            }
        }
    }

    @Test func `the uses of a key are counted on after a restart, and at the bound it seals no more`() throws {
        try withVaultFolder { path in
            let (sealer, again) = (Sealer(try sealingKeys(1)), Sealer(try sealingKeys(1)))
            func open(_ sealer: Sealer) throws -> TokenVault { try TokenVault(path: path, sealer: sealer, firstBytes: 1 << 20, mostBytes: 1 << 20) }
            do { try open(sealer).store(vaultTokens("a"), for: user, at: signIn) }
            #expect(sealer.uses == 4)
            do {
                let vault = try open(again)
                #expect(again.uses == 4)
                again.countUses(atLeast: Sealer.mostUses - 4)
                try vault.store(vaultTokens("b"), for: user, at: signIn)
                #expect(throws: TokenVaultError.self) { try vault.store(vaultTokens("c"), for: user, at: signIn) }
                #expect(try vault.tokens(of: user, at: signIn)?.revealed == vaultTokens("b").revealed)
            }
            do {
                let vault = try TokenVault(path)
                #expect(throws: TokenVaultError.self) { try vault.storeCredential(Secret([1]), of: user, for: ServerID(1)) }
                try vault.forget(user)
            }
            // Another key has a count of its own.
            let next = Sealer(try sealingKeys(2, 1))
            do { try open(next).store(vaultTokens("d"), for: user, at: signIn) }
            #expect(next.uses == 4)
        }
    }
}

struct VaultKeyTests {
    @Test func `the names are those of the contract`() {
        #expect(VaultKey.accessToken(UserID(42)).name == "access_token:42")
        #expect(VaultKey.tokenMetadata(UserID(42)).name == "token_metadata:42")
        #expect(VaultKey.refreshToken(UserID(42)).name == "refresh_token:42")
        #expect(VaultKey.upstreamCredential(UserID(42), ServerID(3)).name == "upstream_credential:42:3")
        for key in [VaultKey.serverSecret(ServerID(3)), .clientRegistration(ServerID(3))] {
            #expect(VaultKey(key.bytes) == key && key.owner == nil)
        }
    }

    @Test(arguments: VaultKey.ofSignIn(UserID(.max)) + VaultKey.ofSignIn(UserID(-1)) + [.upstreamCredential(UserID(1), ServerID(2))])
    func `a key is read as it was written`(key: VaultKey) { #expect(VaultKey(key.bytes) == key) }

    @Test(arguments: [
        "", "vault", "access_token", "access_token:", "access_token:x", "access_token:07", "access_token:+7", "access_token:7:", "access_token:7:1",
        "access_token:9223372036854775808", "Access_token:7", "upstream_credential:7", "upstream_credential:7:01", "upstream_credential:7:1:1",
        "key_uses:0000000000000007",
    ])
    func `any other name is no key`(name: String) { #expect(VaultKey(Array(name.utf8)) == nil) }
}

struct VaultFieldTests {
    @Test func `parts are read as they were written, and nothing less or more`() {
        let bytes = VaultField.encode([.text("é"), .bytes([0, 1]), .number(-5), .text("")])
        func read(_ bytes: [UInt8]) -> String? {
            VaultField.decode(bytes) { fields in
                guard let first = fields.text(), let second = fields.bytes(), let third = fields.number(), let last = fields.text() else {
                    return nil
                }
                return "\(first) \(second) \(third) \(last)"
            }
        }
        #expect(read(bytes) == "é [0, 1] -5 ")
        for count in bytes.indices { #expect(read(Array(bytes.prefix(count))) == nil) }
        #expect(read(bytes + [0]) == nil)
        #expect(read([2] + bytes.dropFirst()) == nil)
        #expect(read([1, 0xFF, 0xFF, 0xFF, 0xFF] + bytes) == nil)
        // Not UTF-8.
        #expect(VaultField.decode(VaultField.encode([.bytes([0xFF])])) { $0.text() } == nil)
    }
}
