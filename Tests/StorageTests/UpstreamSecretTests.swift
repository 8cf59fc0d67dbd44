import Foundation
import Gateway
import Testing

@testable import Storage

struct UpstreamSecretTests {
    @Test func `what servers are shown is sealed, each for its own place, and goes with its server`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            let canary = "canary-\(RequestID.random())"
            let secret = Secret(Array(canary.utf8))
            try vault.storeSecret(secret, of: ServerID(1))
            try vault.storeRegistration(secret, for: ServerID(1))
            try vault.storeSecret(Secret([2]), of: ServerID(2))
            try vault.storeCredential(secret, of: UserID(7), for: ServerID(1))
            #expect(try vault.secret(of: ServerID(1))?.revealed == secret.revealed)
            let data = try Data(contentsOf: URL(filePath: path + "/data.mdb"))
            #expect(data.range(of: Data(canary.utf8)) == nil)

            try vault.forgetCredentials(for: ServerID(1))
            #expect(try vault.secret(of: ServerID(1)) == nil)
            #expect(try vault.registration(for: ServerID(1)) == nil)
            #expect(try vault.credential(of: UserID(7), for: ServerID(1)) == nil)
            #expect(try vault.secret(of: ServerID(2)) != nil)
        }
    }

    @Test func `a program's variables are sealed, replaced whole, and go with its server`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            let canary = "canary-\(RequestID.random())"
            #expect(try vault.environment(of: ServerID(1)).isEmpty)
            try vault.storeEnvironment(["TOKEN": Secret(canary), "B": Secret("é\n=")], of: ServerID(1))
            #expect(try vault.environment(of: ServerID(1)).mapValues(\.revealed) == ["TOKEN": canary, "B": "é\n="])
            #expect(try Data(contentsOf: URL(filePath: path + "/data.mdb")).range(of: Data(canary.utf8)) == nil)
            try vault.move(.serverEnvironment(ServerID(1)), to: .serverEnvironment(ServerID(2)))
            #expect(throws: TokenVaultError.self) { try vault.environment(of: ServerID(2)) }
            try vault.storeEnvironment(["C": Secret("d")], of: ServerID(1))
            #expect(try vault.environment(of: ServerID(1)).keys.sorted() == ["C"])
            try vault.forgetCredentials(for: ServerID(1))
            #expect(try vault.environment(of: ServerID(1)).isEmpty)
        }
    }

    @Test func `a sealed secret that is put in another's place does not open`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            try vault.storeSecret(Secret([1]), of: ServerID(1))
            try vault.storeSecret(Secret([2]), of: ServerID(2))
            try vault.storeRegistration(Secret([3]), for: ServerID(1))
            for place in [VaultKey.serverSecret(ServerID(2)), .clientRegistration(ServerID(1))] {
                try vault.move(.serverSecret(ServerID(1)), to: place)
            }
            #expect(throws: TokenVaultError.self) { try vault.secret(of: ServerID(2)) }
            #expect(throws: TokenVaultError.self) { try vault.registration(for: ServerID(1)) }
            #expect(try vault.secret(of: ServerID(1)) != nil)
        }
    }

    @Test func `a refreshed credential takes the place of the one it came of, and of no other`() throws {
        try withVaultFolder { path in
            let vault = try TokenVault(path)
            let (user, server) = (UserID(1), ServerID(1))
            try vault.storeCredential(Secret([1]), of: user, for: server)
            #expect(try vault.replaceCredential(Secret([1]), with: Secret([2]), of: user, for: server))
            #expect(try !vault.replaceCredential(Secret([1]), with: Secret([3]), of: user, for: server))
            #expect(try vault.credential(of: user, for: server)?.revealed == [2])
            try vault.forgetCredential(of: user, for: server)
            #expect(try !vault.replaceCredential(Secret([2]), with: Secret([3]), of: user, for: server))
            #expect(try vault.credential(of: user, for: server) == nil)
        }
    }
}
