package import Gateway
import LMDB
import Sealing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What users gave the gateway for single upstreams; who is connected to which stands in the record of truth.
extension TokenVault {
    /// - Parameter credential: any bytes, at most `longestSecret` with a few for its frame.
    package func storeCredential(_ credential: Secret<[UInt8]>, of user: UserID, for server: ServerID) throws {
        try write { try put([.bytes(credential.revealed)], under: .upstreamCredential(user, server), in: $0) }
    }

    package func credential(of user: UserID, for server: ServerID) throws -> Secret<[UInt8]>? {
        let key = VaultKey.upstreamCredential(user, server)
        return try file.read { try open($0.entry(key), key) { $0.bytes() } }.map(Secret.init)
    }

    /// Puts a credential in the place of the one it came of.
    ///
    /// - Returns: false, and nothing was changed, if another one is there by now, or none.
    package func replaceCredential(
        _ old: Secret<[UInt8]>, with credential: Secret<[UInt8]>, of user: UserID, for server: ServerID
    ) throws -> Bool {
        let key = VaultKey.upstreamCredential(user, server)
        return try write { transaction in
            guard let held = try open(transaction.entry(key), key, { $0.bytes() }), isEqual(held, old.revealed) else { return false }
            try put([.bytes(credential.revealed)], under: key, in: transaction)
            return true
        }
    }

    package func forgetCredential(of user: UserID, for server: ServerID) throws {
        try write(isDeletion: true) { try delete(.upstreamCredential(user, server), in: $0) }
    }

    /// All of a user who leaves.
    package func forgetCredentials(of user: UserID) throws {
        try forgetCredentials(from: "\(VaultKey.credentialPrefix)\(user.rawValue):") { owner, _ in owner == user }
    }

    /// All users' for a server that is removed, and its own.
    package func forgetCredentials(for server: ServerID) throws {
        try forgetCredentials(from: VaultKey.credentialPrefix) { _, other in other == server }
        try write(isDeletion: true) { transaction in
            for key in [VaultKey.serverSecret(server), .clientRegistration(server), .serverEnvironment(server)] { try delete(key, in: transaction) }
        }
    }

    /// What a server's owner gave for everybody who asks it.
    package func storeSecret(_ secret: Secret<[UInt8]>, of server: ServerID) throws { try store(secret, under: .serverSecret(server)) }
    package func secret(of server: ServerID) throws -> Secret<[UInt8]>? { try held(.serverSecret(server)) }
    package func forgetSecret(of server: ServerID) throws { try write(isDeletion: true) { try delete(.serverSecret(server), in: $0) } }

    /// Variables of a server's program, by name, in place of those that were given before.
    package func storeEnvironment(_ variables: [String: Secret<String>], of server: ServerID) throws {
        guard !variables.isEmpty else { return try write(isDeletion: true) { try delete(.serverEnvironment(server), in: $0) } }
        try store(Secret(Array(try JSONEncoder().encode(variables.mapValues(\.revealed)))), under: .serverEnvironment(server))
    }

    /// - Throws: also if what is there is no environment.
    package func environment(of server: ServerID) throws -> [String: Secret<String>] {
        guard let bytes = try held(.serverEnvironment(server)) else { return [:] }
        return try JSONDecoder().decode([String: String].self, from: Data(bytes.revealed)).mapValues(Secret.init)
    }

    /// What a server's authorization server knows the gateway as.
    package func storeRegistration(_ registration: Secret<[UInt8]>, for server: ServerID) throws {
        try store(registration, under: .clientRegistration(server))
    }

    package func registration(for server: ServerID) throws -> Secret<[UInt8]>? { try held(.clientRegistration(server)) }

    package func forgetRegistration(for server: ServerID) throws {
        try write(isDeletion: true) { try delete(.clientRegistration(server), in: $0) }
    }

    private func store(_ bytes: Secret<[UInt8]>, under key: VaultKey) throws { try write { try put([.bytes(bytes.revealed)], under: key, in: $0) } }

    private func held(_ key: VaultKey) throws -> Secret<[UInt8]>? {
        try file.read { try open($0.entry(key), key) { $0.bytes() } }.map(Secret.init)
    }

    private func forgetCredentials(from prefix: String, where isOver: (UserID, ServerID) -> Bool) throws {
        try write(isDeletion: true) { transaction in
            var next: [UInt8]? = Array(prefix.utf8)
            while let start = next, start.starts(with: prefix.utf8) {
                next = try transaction.sweep(from: start, count: 256) { key, _ in
                    guard case .upstreamCredential(let user, let server) = VaultKey(key) else { return false }
                    return isOver(user, server)
                }
            }
        }
    }
}
