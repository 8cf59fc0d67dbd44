import Foundation
import Gateway
import OAuth
import Sealing
import Synchronization
import Testing

@testable import Storage

/// Lends the path of a folder for tokens in a new folder, and removes both again.
func withVaultFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "mreg-vault-\(UUID().uuidString)").path()
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder + "/tokens")
}

/// Counts steps, and fails one of them.
final class Steps: Sendable {
    struct Stop: Error {}

    private let counted = Mutex(0)
    private let failing: Int?
    var count: Int { counted.withLock { $0 } }

    init(failing: Int? = nil) { self.failing = failing }

    func step() throws {
        let number = counted.withLock { counted in
            counted += 1
            return counted
        }
        if number == failing { throw Stop() }
    }
}

/// The first is the current one.
func sealingKeys(_ seeds: UInt8...) throws -> KeyRing {
    try KeyRing(
        text: Secret(
            seeds.map { seed in (0..<32).map { (seed &+ $0 < 16 ? "0" : "") + String(seed &+ $0, radix: 16) }.joined() }.joined(separator: "\n")))
}

extension TokenVault {
    convenience init(
        _ path: String, _ ring: KeyRing? = nil, firstBytes: Int = 1 << 20, mostBytes: Int = 64 << 20,
        failPoint: @escaping @Sendable (String) throws -> Void = { _ in }
    ) throws {
        try self.init(
            path: path, sealer: Sealer(ring ?? sealingKeys(1)), firstBytes: firstBytes, mostBytes: mostBytes, failPoint: failPoint)
    }

    /// Puts an entry's value under another key, as somebody could who writes to the disk.
    func move(_ old: VaultKey, to new: VaultKey) throws {
        try file.write { transaction in
            let entry = try #require(try transaction.entry(old))
            try transaction.put(entry, under: new)
        }
    }
}

let signIn = Timestamp(microseconds: 1_790_000_000_000_000)

func later(_ seconds: Double) -> Timestamp { signIn.advanced(by: .microseconds(Int64(seconds * 1_000_000))) }

/// Good for an hour.
func vaultTokens(_ name: String, refresh: Bool = true, hint: Bool = true, at now: Timestamp = signIn) -> IssuerTokens {
    IssuerTokens(
        accessToken: Secret("access-\(name)"), refreshToken: refresh ? Secret("refresh-\(name)") : nil,
        idTokenHint: hint ? Secret("hint-\(name)") : nil, scope: "openid \(name)", expiresAt: now.advanced(by: .seconds(3600)), obtainedAt: now,
        issuer: "https://issuer.example/\(name)")
}

extension IssuerTokens {
    /// All that is in it, to be compared.
    var revealed: [String?] {
        [
            accessToken.revealed, refreshToken?.revealed, idTokenHint?.revealed, issuer, scope, "\(obtainedAt.microseconds)",
            "\(expiresAt.microseconds)",
        ]
    }
}
