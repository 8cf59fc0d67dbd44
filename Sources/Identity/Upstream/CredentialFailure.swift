import Gateway

/// Why there is nothing to show a server, and who can do something about it. The sentence is for whoever called, so it holds
/// nothing that an authorization server wrote.
package struct CredentialFailure: Error, Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// The user connects an account, or signs in anew.
        case user
        /// The server's owner, or an administrator, changes how it is registered.
        case owner
        /// Nobody: it may go in a while.
        case later
    }

    package let kind: Kind
    package let sentence: String

    package init(_ kind: Kind, _ sentence: String) {
        self.kind = kind
        self.sentence = sentence
    }
}

extension CredentialFailure {
    /// What an authorization server's failure means for whoever called a tool.
    init(_ failure: IssuerFailure, of server: ServerRecord) {
        switch failure.kind {
        case .later:
            self.init(.later, "The authorization server of “\(server.alias)” gives no token at the moment; try again in a while.")
        default:
            self.init(
                .owner, "The authorization server of “\(server.alias)” gives the gateway no token; an administrator finds out why in its log.")
        }
    }

    static func turnedAway(_ server: ServerRecord) -> Self {
        Self(.owner, "“\(server.alias)” no longer takes the credential it is registered with; its owner has to give a new one.")
    }
}
