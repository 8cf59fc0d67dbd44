package import Gateway

/// A client as the record of truth keeps it.
package struct ClientRecord: Hashable, Sendable {
    package enum Kind: String, Sendable {
        /// By itself (RFC 7591): its id says what it is.
        case registered
        /// By the document that its id is the address of.
        case document
        /// By the operator.
        case `operator`
    }

    package let id: String
    package let kind: Kind
    package let name: String
    /// JSON, as `ClientMetadata` writes it.
    package let metadata: String
    /// A secret that another took the place of.
    package struct FormerSecret: Hashable, Sendable {
        /// SHA-256.
        package let hash: [UInt8]
        package let goodUntil: Timestamp

        package init(hash: [UInt8], goodUntil: Timestamp) {
            self.hash = hash
            self.goodUntil = goodUntil
        }
    }

    /// SHA-256 of a confidential client's secret.
    package let secretHash: [UInt8]?
    package let formerSecret: FormerSecret?
    /// As whom it acts by itself.
    package let user: UserID?
    package let createdAt: Timestamp
    package let lastUsedAt: Timestamp
    package let revokedAt: Timestamp?

    package init(
        id: String, kind: Kind, name: String, metadata: String, secretHash: [UInt8]? = nil, formerSecret: FormerSecret? = nil,
        user: UserID? = nil, createdAt: Timestamp, lastUsedAt: Timestamp, revokedAt: Timestamp? = nil
    ) {
        self.id = id
        self.kind = kind
        self.name = name
        self.metadata = metadata
        self.secretHash = secretHash
        self.formerSecret = formerSecret
        self.user = user
        self.createdAt = createdAt
        self.lastUsedAt = lastUsedAt
        self.revokedAt = revokedAt
    }
}
