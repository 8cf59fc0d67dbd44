package import Gateway
package import OAuth

/// Where what is shown to servers lies: live, the vault and the record of truth; in a test, dictionaries. What is stored is on
/// disk when the call returns.
package struct CredentialStore: Sendable {
    /// What a server's owner gave.
    package var secret: @Sendable (ServerID) throws -> Secret<[UInt8]>?
    /// What the gateway is at a server's authorization server.
    package var registration: @Sendable (ServerID) throws -> Secret<[UInt8]>?
    package var keepRegistration: @Sendable (Secret<[UInt8]>, ServerID) throws -> Void
    package var forgetRegistration: @Sendable (ServerID) throws -> Void

    package var tokens: @Sendable (UserID, ServerID) throws -> Secret<[UInt8]>?
    /// Puts tokens in the place of those they came of; false, and nothing was changed, if others are there by now.
    package var replaceTokens: @Sendable (_ old: Secret<[UInt8]>, _ new: Secret<[UInt8]>, UserID, ServerID) throws -> Bool
    /// Keeps tokens, that the user is connected, and the record of it. Without tokens only the latter two.
    package var connect: @Sendable (ConnectionRecord, Secret<[UInt8]>?, AuditRecord) async throws -> Void
    /// - Throws: `Refusal.notFound` if there is nothing to end.
    package var disconnect: @Sendable (UserID, ServerID, AuditRecord) async throws -> Void
    /// Notes that an access token was renewed, or why it cannot be.
    package var note: @Sendable (UserID, ServerID, _ expiresAt: Timestamp?, _ lastError: String?) async throws -> Void
    package var connections: @Sendable (UserID) async throws -> [ConnectionRecord]
    /// Whose connection to a server is of use, in the order in which they connected.
    package var connectedUsers: @Sendable (ServerID) async throws -> [UserID]
    /// A token for another API in exchange for the one that the issuer gave for the user at sign-in; nil if it gave none that is
    /// still good.
    package var exchange: @Sendable (UserID, _ scope: String) async throws -> IssuerTokens?

    package init(
        secret: @escaping @Sendable (ServerID) throws -> Secret<[UInt8]>?,
        registration: @escaping @Sendable (ServerID) throws -> Secret<[UInt8]>?,
        keepRegistration: @escaping @Sendable (Secret<[UInt8]>, ServerID) throws -> Void,
        forgetRegistration: @escaping @Sendable (ServerID) throws -> Void,
        tokens: @escaping @Sendable (UserID, ServerID) throws -> Secret<[UInt8]>?,
        replaceTokens: @escaping @Sendable (_ old: Secret<[UInt8]>, _ new: Secret<[UInt8]>, UserID, ServerID) throws -> Bool,
        connect: @escaping @Sendable (ConnectionRecord, Secret<[UInt8]>?, AuditRecord) async throws -> Void,
        disconnect: @escaping @Sendable (UserID, ServerID, AuditRecord) async throws -> Void,
        note: @escaping @Sendable (UserID, ServerID, _ expiresAt: Timestamp?, _ lastError: String?) async throws -> Void,
        connections: @escaping @Sendable (UserID) async throws -> [ConnectionRecord],
        connectedUsers: @escaping @Sendable (ServerID) async throws -> [UserID],
        exchange: @escaping @Sendable (UserID, _ scope: String) async throws -> IssuerTokens?
    ) {
        self.secret = secret
        self.registration = registration
        self.keepRegistration = keepRegistration
        self.forgetRegistration = forgetRegistration
        self.tokens = tokens
        self.replaceTokens = replaceTokens
        self.connect = connect
        self.disconnect = disconnect
        self.note = note
        self.connections = connections
        self.connectedUsers = connectedUsers
        self.exchange = exchange
    }
}
