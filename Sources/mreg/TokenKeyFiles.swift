import FoundationEssentials
import Gateway
import Identity
import OAuth
import Serving
import Storage

/// The private halves of the token-signing keys, as files: the instance's own key first, its successors in a folder beside
/// it. Which signs when stands in the record.
///
/// What changes them goes one after another, so that what was found out earlier never replaces what was found out later.
actor TokenKeyFiles {
    /// The key of the instance: it signs the heads of the record for ever, and tokens until its first successor does.
    let own: SigningKey
    let folder: String
    let database: Storage.Database
    private var last: Task<Void, Never>?

    /// Keys that may be published at the same time: each turn adds one, and takes one away when its tokens are over.
    static let mostPublished = 8

    init(_ own: SigningKey, in state: StateDirectory, _ database: Storage.Database) {
        self.own = own
        folder = state.path + "/keys"
        self.database = database
    }

    /// The keys as they stand, put in order for this moment.
    func keys(at now: Timestamp) async throws -> TokenKeys {
        let (signing, published) = try await settle(at: now)
        return TokenKeys(signing: signing, published: published)
    }

    /// Puts the keys in order for this moment, and makes the next one when it is time.
    func keep(_ keys: TokenKeys, at now: Timestamp) async throws {
        try await inTurn {
            let (signing, published) = try await self.settle(at: now)
            keys.replace(signing: signing, published: published)
        }
    }

    /// Signs with a new key from this moment on. What the former signed stays good to its end.
    ///
    /// - Parameter audit: the operator's record; the key is put in.
    /// - Throws: `Refusal.conflict` if as many keys are published as may be.
    func turn(_ keys: TokenKeys, audit: AuditRecord, at now: Timestamp) async throws -> SigningKeyTurn {
        try await inTurn {
            guard keys.published.count < Self.mostPublished else {
                throw Refusal.conflict(
                    "\(Self.mostPublished) signing keys are published already, because tokens of each may be about. Within the hour there is room for another."
                )
            }
            let former = keys.published.first?.id ?? ""
            var audit = audit
            try await self.make(signsFrom: now) { id in
                audit.target = id
                return audit
            }
            let (signing, published) = try await self.settle(at: now)
            keys.replace(signing: signing, published: published)
            return SigningKeyTurn(signing: signing.id, former: former, formerUntil: TokenKeyRotation.publishedUntil(lastSigned: now))
        }
    }

    private func inTurn<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let earlier = last
        let task = Task {
            await earlier?.value
            return try await body()
        }
        last = Task { _ = try? await task.value }
        return try await task.value
    }

    /// - Returns: what signs, and what is published besides.
    private func settle(at now: Timestamp) async throws -> (signing: SigningKey, published: [SigningKey]) {
        if try await database.signingKeys(at: now).isEmpty {
            try await database.storeSigningKey(own.id, publicPEM: own.publicPEM, signsFrom: now, audit: record("key.sign", own.id, now))
        }
        var rotation = TokenKeyRotation(try await database.signingKeys(at: now), at: now)
        if rotation.isNextDue {
            try await make(signsFrom: now.advanced(by: TokenKeyRotation.notice)) { record("key.publish", $0, now) }
            rotation = TokenKeyRotation(try await database.signingKeys(at: now), at: now)
        }
        try await database.retireSigningKeys(rotation.retiring.map(\.id), publishedUntil: TokenKeyRotation.publishedUntil(lastSigned: now))
        var published: [SigningKey] = []
        for other in rotation.others { if let key = try await key(other.id) { published.append(key) } }
        // A file that is lost ends its tokens, not the gateway.
        guard let id = rotation.signing?.id, let signing = try await key(id) else { return (own, published) }
        return (signing, published)
    }

    /// Makes a key: its private half is on disk before anybody hears of its public one.
    private func make(signsFrom: Timestamp, _ audit: (_ id: String) -> AuditRecord) async throws {
        let next = try await SigningKey.generate()
        try PrivateFile.write(next.pem, to: path(next.id))
        try await database.storeSigningKey(next.id, publicPEM: next.publicPEM, signsFrom: signsFrom, audit: audit(next.id))
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
