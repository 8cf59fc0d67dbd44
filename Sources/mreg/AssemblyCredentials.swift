import Gateway
import Identity
import Logging
import OAuth
import Storage
import Upstreams

/// What servers are shown.
extension Assembly {
    static func credentials(
        _ vault: TokenVault, _ fetchers: Fetchers, _ logger: Logger, _ now: @escaping @Sendable () -> Moment
    ) -> UpstreamCredentials {
        UpstreamCredentials(store: CredentialStore(secret: { try vault.secret(of: $0) }), fetcher: fetchers.strangers, now: now) { server, reason in
            logger.warning("there is nothing to show a server", metadata: ["server.alias": "\(server.alias)", "reason": "\(reason)"])
        }
    }
}

extension UpstreamCredentials {
    /// The same, as conversations with servers ask for it.
    var shown: Credentials {
        Credentials { _ throws(UpstreamFailure) in
            nil
        } show: { server, user throws(UpstreamFailure) in
            do throws(CredentialFailure) { return try await self.show(server, for: user) } catch { throw .credential(error.sentence) }
        } turnedAway: { why, server, user throws(UpstreamFailure) in
            do throws(CredentialFailure) { try await self.turnedAway(why, by: server, for: user) } catch { throw .credential(error.sentence) }
        }
    }
}

extension TokenVault {
    /// Keeps what a server's owner gave in place of what was given before, for the places it was given for.
    func keep(_ secret: Secret<String>?, of server: ServerRecord) throws {
        guard let secret else { return try forgetSecret(of: server.id) }
        try storeSecret(PlacedSecret(secret, for: server.credential.places(of: server)).bytes, of: server.id)
    }
}
