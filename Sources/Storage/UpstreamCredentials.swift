package import Gateway
import LMDB
import Sealing

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

    package func forgetCredential(of user: UserID, for server: ServerID) throws {
        try write(isDeletion: true) { try delete(.upstreamCredential(user, server), in: $0) }
    }

    /// All of a user who leaves.
    package func forgetCredentials(of user: UserID) throws {
        try forgetCredentials(from: "\(VaultKey.credentialPrefix)\(user.rawValue):") { owner, _ in owner == user }
    }

    /// All users' for a server that is removed.
    package func forgetCredentials(for server: ServerID) throws {
        try forgetCredentials(from: VaultKey.credentialPrefix) { _, other in other == server }
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
