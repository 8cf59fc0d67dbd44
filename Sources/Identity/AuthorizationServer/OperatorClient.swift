package import Gateway
package import OAuth

/// A client that the operator made, with the secret it was given.
package struct OperatorClient: Sendable {
    package let record: ClientRecord
    /// 256 random bits, to be shown this once, for only its SHA-256 is kept. Nil for a client that has none: it is public, or
    /// has a key of its own.
    package let secret: Secret<String>?

    private static let idPrefix = "mreg-client-"
    private static let secretPrefix = "mreg_cs_"
    /// How long a secret goes on beside the one that takes its place: as long as an API key does.
    package static let overlap = APIKeyDraft.overlap

    /// A new one.
    ///
    /// - Parameter user: as whom it acts by itself; there if and only if that is one of its grant types.
    package init(_ metadata: ClientMetadata, user: UserID?, at now: Timestamp) {
        precondition((user != nil) == metadata.grantTypes.contains(.clientCredentials), "a client acts by itself as somebody")
        self.init(
            id: "\(Self.idPrefix)\(RequestID.random())", name: metadata.name, metadata: StoredClient(metadata).text,
            hasSecret: [.clientSecretBasic, .clientSecretPost].contains(metadata.authentication), user: user, createdAt: now, at: now)
    }

    /// The same client with a new secret. The one before it, and no other, is good for the overlap.
    ///
    /// - Parameter overlap: zero to refuse it at once.
    /// - Throws: `Refusal.conflict` for one that has no secret or was revoked.
    package init(renewing record: ClientRecord, overlap: Duration = overlap, at now: Timestamp) throws(Refusal) {
        guard record.revokedAt == nil else { throw .conflict("The client \(record.id.cut(64)) was revoked; make another.") }
        guard let hash = record.secretHash else {
            throw .conflict("The client \(record.id.cut(64)) has no secret: it is public, or proves itself with a key of its own.")
        }
        self.init(
            id: record.id, name: record.name, metadata: record.metadata, hasSecret: true,
            former: overlap > .zero ? ClientRecord.FormerSecret(hash: hash, goodUntil: now.advanced(by: overlap)) : nil, user: record.user,
            createdAt: record.createdAt, at: now)
    }

    private init(
        id: String, name: String, metadata: String, hasSecret: Bool, former: ClientRecord.FormerSecret? = nil, user: UserID?, createdAt: Timestamp,
        at now: Timestamp
    ) {
        let text = hasSecret ? Self.secretPrefix + RandomToken.make() : nil
        secret = text.map { Secret($0) }
        record = ClientRecord(
            id: id, kind: .operator, name: name, metadata: metadata, secretHash: text.map(RandomToken.digest), formerSecret: former,
            user: user, createdAt: createdAt, lastUsedAt: now)
    }
}
