import FoundationEssentials
import Gateway
import Identity
import OAuth
import Storage

/// The private halves of the token-signing keys, as files: the instance's own key first, its successors in a folder beside
/// it. Which signs when stands in the record.
struct TokenKeyFiles: Sendable {
    /// The key of the instance: it signs the heads of the record for ever, and tokens until its first successor does.
    let own: SigningKey
    let folder: String
    let database: Storage.Database

    init(_ own: SigningKey, in state: StateDirectory, _ database: Storage.Database) {
        self.own = own
        folder = state.path + "/keys"
        self.database = database
    }

    /// Puts the keys in order for this moment, and makes the next one when it is time.
    ///
    /// - Returns: what signs, and what is published besides.
    func settle(at now: Timestamp) async throws -> (signing: SigningKey, published: [SigningKey]) {
        if try await database.signingKeys(at: now).isEmpty {
            try await database.storeSigningKey(own.id, publicPEM: own.publicPEM, signsFrom: now, audit: record("key.sign", own.id, now))
        }
        var rotation = TokenKeyRotation(try await database.signingKeys(at: now), at: now)
        if rotation.isNextDue {
            let next = try await SigningKey.generate()
            try PrivateFile.write(next.pem, to: path(next.id))
            try await database.storeSigningKey(
                next.id, publicPEM: next.publicPEM, signsFrom: now.advanced(by: TokenKeyRotation.notice), audit: record("key.publish", next.id, now))
            rotation = TokenKeyRotation(try await database.signingKeys(at: now), at: now)
        }
        try await database.retireSigningKeys(rotation.retiring.map(\.id), publishedUntil: TokenKeyRotation.publishedUntil(lastSigned: now))
        var published: [SigningKey] = []
        for other in rotation.others { if let key = try await key(other.id) { published.append(key) } }
        // A file that is lost ends its tokens, not the gateway.
        guard let id = rotation.signing?.id, let signing = try await key(id) else { return (own, published) }
        return (signing, published)
    }

    private func key(_ id: String) async throws -> SigningKey? {
        if id == own.id { return own }
        guard FileManager.default.fileExists(atPath: path(id)) else { return nil }
        return try await SigningKey(pem: Secret(try String(contentsOfFile: path(id), encoding: .utf8)))
    }

    /// Ids are thumbprints: letters, digits, `-` and `_`.
    private func path(_ id: String) -> String { "\(folder)/token-key-\(id).pem" }

    private func record(_ action: String, _ target: String, _ now: Timestamp) -> AuditRecord {
        AuditRecord(requestID: .random(), at: now, action: action, target: target, address: "schedule")
    }
}
