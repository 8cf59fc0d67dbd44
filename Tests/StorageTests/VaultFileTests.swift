import Foundation
import Gateway
import OAuth
import Synchronization
import Testing

@testable import Storage

struct VaultFileTests {
    let user = UserID(7)

    private func mode(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    @Test func `the folder and its files are for their owner only`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            #expect(try mode(path) == 0o700)
            for file in ["/data.mdb", "/lock.mdb", ".made"] { #expect(try mode(path + file) == 0o600) }
        }
    }

    @Test func `a folder that others can look into is refused`() throws {
        try withVaultFolder { path in
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
            #expect(throws: StateDirectory.Unusable.self) { _ = try TokenVault(path) }
        }
    }

    @Test func `a folder that was deleted between two starts is a loss that is told`() throws {
        try withVaultFolder { path in
            do { try TokenVault(path).store(vaultTokens("a"), for: user, at: signIn) }
            try FileManager.default.removeItem(atPath: path)
            for _ in 0..<2 {
                let error = #expect(throws: TokenVaultError.gone(path)) { _ = try TokenVault(path) }
                #expect(error?.description.contains("everybody signs in again") == true)
            }
            // What the sentence says helps.
            try FileManager.default.removeItem(atPath: path + ".made")
            #expect(try TokenVault(path).tokens(of: user, at: signIn) == nil)
        }
    }

    @Test func `a folder that is deleted under the gateway is an error from then on`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            try FileManager.default.removeItem(atPath: path)
            #expect(throws: TokenVaultError.gone(path)) { try vault.store(vaultTokens("b"), for: user, at: signIn) }
            #expect(throws: TokenVaultError.gone(path)) { _ = try vault.tokens(of: user, at: signIn) }
            #expect(throws: TokenVaultError.gone(path)) { try vault.probe() }
        }
    }

    @Test func `a folder of another instance is told from the one that was here`() throws {
        try withVaultFolder { path in
            try withVaultFolder { foreign in
                do { try TokenVault(foreign).store(vaultTokens("a"), for: user, at: signIn) }
                do { try TokenVault(path).store(vaultTokens("b"), for: user, at: signIn) }
                try FileManager.default.removeItem(atPath: path + "/data.mdb")
                try FileManager.default.copyItem(atPath: foreign + "/data.mdb", toPath: path + "/data.mdb")
                #expect(throws: TokenVaultError.replaced(path)) { _ = try TokenVault(path) }
                try Data().write(to: URL(filePath: path + "/data.mdb"))
                #expect(throws: TokenVaultError.replaced(path)) { _ = try TokenVault(path) }
            }
        }
    }

    @Test func `a folder that was moved with all that belongs to it is good, and so is one without its mark`() throws {
        try withVaultFolder { path in
            do { try TokenVault(path).store(vaultTokens("a"), for: user, at: signIn) }
            for suffix in ["", ".made"] { try FileManager.default.moveItem(atPath: path + suffix, toPath: path + "-moved" + suffix) }
            do { #expect(try TokenVault(path + "-moved").tokens(of: user, at: signIn) != nil) }
            try FileManager.default.removeItem(atPath: path + "-moved.made")
            do { #expect(try TokenVault(path + "-moved").tokens(of: user, at: signIn) != nil) }
            #expect(FileManager.default.fileExists(atPath: path + "-moved.made"))
        }
    }

    @Test(arguments: [
        Data("this is a letter, not a database\n".utf8), Data(count: 1), Data(count: 8192), Data(count: 100_000), Data(repeating: 0xFF, count: 8192),
    ])
    func `a file that is damaged is an error with a sentence, and is not touched`(content: Data) throws {
        try withVaultFolder { path in
            do { try TokenVault(path).store(vaultTokens("a"), for: user, at: signIn) }
            try content.write(to: URL(filePath: path + "/data.mdb"))
            let error = #expect(throws: TokenVaultError.self) { _ = try TokenVault(path) }
            #expect(error?.description.contains("\(path) is damaged (LMDB: ") == true)
            #expect(try Data(contentsOf: URL(filePath: path + "/data.mdb")) == content)
        }
    }

    @Test func `a file that lost its end is damaged`() throws {
        try withVaultFolder { path in
            do {
                let vault = try TokenVault(path)
                for number in 1...200 {
                    try vault.storeCredential(Secret([UInt8](repeating: 1, count: 2000)), of: user, for: ServerID(Int64(number)))
                }
            }
            try #require(truncate(path + "/data.mdb", 16384) == 0)
            let error = #expect(throws: TokenVaultError.self) { _ = try TokenVault(path) }
            #expect(error?.description.contains("is damaged") == true)
        }
    }

    @Test func `the map grows as it fills, under readers and writers, and opens again as large as it is`() throws {
        try withVaultFolder { path in
            let secret = [UInt8](repeating: 7, count: 10_000)
            do {
                let vault = try TokenVault(path, firstBytes: 64 << 10, mostBytes: 64 << 20)
                let problems = Mutex<[String]>([])
                DispatchQueue.concurrentPerform(iterations: 4) { thread in
                    for number in 0..<50 {
                        let server = ServerID(Int64(thread * 1000 + number))
                        do {
                            try vault.storeCredential(Secret(secret), of: user, for: server)
                            for _ in 0..<20 {
                                guard try vault.credential(of: user, for: server)?.revealed == secret else { throw Steps.Stop() }
                            }
                        } catch {
                            problems.withLock { $0.append("\(error)") }
                        }
                    }
                }
                #expect(problems.withLock { $0 } == [])
            }
            let vault = try TokenVault(path, firstBytes: 64 << 10, mostBytes: 64 << 20)
            #expect(try vault.credential(of: user, for: ServerID(3049))?.revealed == secret)
            try vault.storeCredential(Secret(secret), of: user, for: ServerID(1))
        }
    }

    @Test func `a vault at its bound refuses what is new, keeps what it has, and still forgets`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path, firstBytes: 64 << 10, mostBytes: 256 << 10)
            // Small enough to fill the map to its last page, so that to delete them all takes pages that are not there.
            let secret = [UInt8](repeating: 7, count: 400)
            try vault.store(vaultTokens("a"), for: user, at: signIn)
            var stored: Int64 = 0
            #expect(throws: TokenVaultError.full(path, bytes: 256 << 10)) {
                while stored < 10_000 {
                    try vault.storeCredential(Secret(secret), of: user, for: ServerID(stored))
                    stored += 1
                }
            }
            #expect((100..<640).contains(stored))
            for number in 0..<stored { #expect(try vault.credential(of: user, for: ServerID(number))?.revealed == secret) }
            try vault.forget(user)
            #expect(try vault.tokens(of: user, at: signIn) == nil)
            try vault.forgetCredentials(of: user)
            try vault.store(vaultTokens("b"), for: user, at: signIn)
            #expect(try vault.tokens(of: user, at: signIn) != nil)
        }
    }
}
