package import Gateway

/// A client that a user lets act for them, by one or more sign-ins that are good.
package struct AllowedClient: Hashable, Sendable {
    package let id: String
    /// As it calls itself; its id if that was not kept.
    package let name: String
    /// The first of those sign-ins.
    package let since: Timestamp
    /// When it last got tokens.
    package let lastAt: Timestamp
    package let signIns: Int

    package init(id: String, name: String, since: Timestamp, lastAt: Timestamp, signIns: Int) {
        self.id = id
        self.name = name
        self.since = since
        self.lastAt = lastAt
        self.signIns = signIns
    }
}
