import Forwarding
import Gateway
import Identity
import Logging
import OAuth
import Serving
import Storage
import Upstreams

/// What servers are shown.
extension Assembly {
    static func credentials(
        _ database: Storage.Database, _ vault: TokenVault, _ issuer: SharedIssuer, _ refresher: TokenRefresher, _ fetchers: Fetchers,
        _ instance: InstanceKey, _ keys: TokenKeys, _ origin: SharedOrigin, _ logger: Logger, _ now: @escaping @Sendable () -> Moment
    ) -> UpstreamCredentials {
        let store = CredentialStore(
            secret: { try vault.secret(of: $0) }, registration: { try vault.registration(for: $0) },
            keepRegistration: { try vault.storeRegistration($0, for: $1) }, forgetRegistration: { try vault.forgetRegistration(for: $0) },
            tokens: { try vault.credential(of: $0, for: $1) },
            replaceTokens: { try vault.replaceCredential($0, with: $1, of: $2, for: $3) },
            connect: { connection, tokens, audit in
                // Tokens that nobody knows of are of no harm; a connection without tokens would be of no use.
                if let tokens { try vault.storeCredential(tokens, of: connection.user, for: connection.server) }
                do { try await database.connect(connection, audit: audit) } catch {
                    try? vault.forgetCredential(of: connection.user, for: connection.server)
                    throw error
                }
            },
            disconnect: { user, server, audit in
                try vault.forgetCredential(of: user, for: server)
                try await database.disconnect(user, from: server, audit: audit)
            },
            note: { try await database.noteConnection(of: $0, to: $1, expiresAt: $2, lastError: $3) },
            connections: { try await database.connections(of: $0) }, connectedUsers: { try await database.connectedUsers(at: $0) },
            exchange: { user, scope in
                let tokens: IssuerTokens
                do { tokens = try await refresher.current(user) } catch TokensUnavailable.signInAgain { return nil } catch let failure
                    as TokensUnavailable
                {
                    throw IssuerFailure(failure)
                }
                return try await issuer.value().onBehalfOf(assertion: tokens.accessToken, scope: scope)
            })
        return UpstreamCredentials(
            store: store, fetcher: fetchers.strangers, instance: instance, proof: ClientProof(keys: keys, now: now),
            origin: { origin.withLock { $0 } }, now: now
        ) { server, reason in
            logger.warning("a server's credential", metadata: ["server.alias": "\(server.alias)", "reason": "\(reason)"])
        }
    }

    static func connectHouse(
        _ database: Storage.Database, _ authenticator: Authenticator, _ catalogue: Catalogue, _ registry: Registry,
        _ credentials: UpstreamCredentials, _ issuer: SignInIssuer, _ instance: InstanceKey, _ settings: Settings,
        keep: @escaping @Sendable (IssuerTokens, UserID) throws -> Void
    ) -> ConnectHouse {
        let changed: @Sendable (UserID, ServerRecord) async -> Void = { user, server in
            await catalogue.endConversation(of: user, with: server.id)
            catalogue.recheck(server.id)
        }
        let doors = ConnectDesk.Doors(
            signIn: { person, audit in
                let user = try await database.signIn(
                    issuer: person.issuer, subject: person.subject, name: person.name, displayName: person.displayName, role: person.role,
                    tenant: person.tenant, grant: nil, audit: audit)
                authenticator.forget(user.id)
                if let tokens = person.tokens { try keep(tokens, user.id) }
                return user
            }, user: { try await database.user($0) }, server: registry.named, changed: changed, record: { try await database.append([$0]) })
        let desk = ConnectDesk(credentials: credentials, issuer: issuer, doors: doors, instance: instance) { issuer in
            settings.upstreams.issuersWithoutPKCEMetadata.contains(.url(issuer))
        }
        return ConnectHouse(credentials: credentials, desk: desk, changed: changed)
    }
}

extension UpstreamCredentials {
    /// The same, as conversations with servers ask for it.
    var shown: Credentials {
        Credentials { server throws(UpstreamFailure) in
            do throws(CredentialFailure) { return try await self.lister(of: server) } catch { throw .credential(error.sentence) }
        } show: { server, user throws(UpstreamFailure) in
            do throws(CredentialFailure) { return try await self.show(server, for: user) } catch { throw .credential(error.sentence) }
        } turnedAway: { why, server, user throws(UpstreamFailure) in
            do throws(CredentialFailure) { try await self.turnedAway(why, by: server, for: user) } catch { throw .credential(error.sentence) }
        }
    }
}

extension IssuerFailure {
    /// What it means for whoever needs the issuer's tokens that they cannot be had now.
    init(_ why: TokensUnavailable) {
        let wait: Duration? = if case .later(let wait) = why { wait } else { nil }
        self.init(.later(after: wait), "The issuer's tokens of the user have expired, and cannot be renewed at the moment.")
    }
}

extension TokenVault {
    /// Keeps what a server's owner gave in place of what was given before, for the places it was given for.
    func keep(_ secret: Secret<String>?, of server: ServerRecord) throws {
        guard let secret else { return try forgetSecret(of: server.id) }
        try storeSecret(PlacedSecret(secret, for: server.credential.places(of: server)).bytes, of: server.id)
    }

    /// The sealed variables that a change leaves as they are. Where they cannot be read any more, a change that gives all of them anew
    /// needs none.
    func held(for change: ServerChange) throws -> [String: Secret<String>] {
        let isWhole = change.server.transport.sealedNames.allSatisfy { name in change.sealedEnvironment[name] != nil }
        return isWhole ? [:] : try environment(of: change.server.id)
    }
}
