package import Gateway

/// A token-signing key as the record of truth keeps it.
package struct SigningKeyRecord: Hashable, Sendable {
    package let id: String
    package let createdAt: Timestamp
    /// Published before, so that nobody meets a key that they do not know.
    package let signsFrom: Timestamp
    /// Nil while it signs, or is to.
    package let publishedUntil: Timestamp?

    package init(id: String, createdAt: Timestamp, signsFrom: Timestamp, publishedUntil: Timestamp?) {
        self.id = id
        self.createdAt = createdAt
        self.signsFrom = signsFrom
        self.publishedUntil = publishedUntil
    }
}
