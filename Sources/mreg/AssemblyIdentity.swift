import Forwarding
import FoundationEssentials
import Gateway
import Identity
import Logging
import OAuth
import Sealing
import Serving
import Storage

/// The keys of the instance, and what takes credentials away.
extension Assembly {
    /// What the gateway marks things with that come back to it, made at its first start.
    static func instanceKey(in state: StateDirectory, environment: [String: String]) throws -> InstanceKey {
        if let folder = environment["CREDENTIALS_DIRECTORY"], let key = try KeyFile.read("\(folder)/instance-key", InstanceKey.init) { return key }
        let path = state.path + "/keys/instance-key"
        if let key = try KeyFile.read(path, InstanceKey.init) { return key }
        let bytes = InstanceKey.randomBytes()
        try PrivateFile.write(Secret(Data(bytes.revealed).base64EncodedString() + "\n"), to: path)
        guard let key = InstanceKey(bytes) else { preconditionFailure("a random key has the right length") }
        return key
    }

    /// The tokens of the issuer, sealed.
    static func vault(_ settings: Settings, _ state: StateDirectory, _ mode: Mode, _ environment: [String: String], _ logger: Logger) throws
        -> TokenVault
    {
        let file = SealingKeyFile(
            named: settings.hotState.sealingKeyFile, credentials: environment["CREDENTIALS_DIRECTORY"], stateDirectory: state.path)
        let ring = try file.readOrMake(isEvaluation: mode.acceptsShorthand, logger: logger)
        let vault = try TokenVault(path: state.path + "/tokens", sealer: Sealer(ring))
        if let complaint = file.complaint(about: try vault.missingKeys()) { logger.warning("\(complaint)") }
        return vault
    }

    static func grants(
        _ database: Storage.Database, _ authenticator: Authenticator, _ sessions: SessionTable, _ running: RunningCalls,
        keep: @escaping @Sendable (IssuerTokens, UserID) throws -> Void, _ now: @escaping @Sendable () -> Moment
    ) -> GrantStore {
        GrantStore(
            signIn: { person, grant, audit in
                let user = try await database.signIn(
                    issuer: person.issuer, subject: person.subject, name: person.name, displayName: person.displayName, role: person.role,
                    tenant: person.tenant, grant: grant, audit: audit)
                // What the issuer says of them may have changed.
                authenticator.forget(user.id)
                if let tokens = person.tokens { try keep(tokens, user.id) }
                return user
            },
            redeemCode: { try await database.redeem(code: $0, $1) }, redeem: { try await database.redeem($0, $1) },
            user: { try await database.user($0) },
            endSession: { session, user, tenant, audit in
                try await database.endSession(session, of: user, in: tenant, audit: audit)
                authenticator.end(session, at: now().wall)
                running.end { $0.session == session }
                sessions.forget(session)
            },
            record: { try await database.append([$0]) })
    }

    static func people(
        _ database: Storage.Database, _ authenticator: Authenticator, _ sessions: SessionTable, _ running: RunningCalls,
        forgetTokens: @escaping @Sendable (UserID) throws -> Void
    ) -> PeopleQueries {
        PeopleQueries(
            createKey: { draft, user, old, audit in
                let (key, hash, hint) = authenticator.makeKey()
                return (try await database.createKey(draft, hash: hash, hint: hint, of: user, replacing: old, audit: audit), key)
            },
            keys: { try await database.keys(of: $0) }, key: { try await database.key($0) },
            revokeKey: { id, user, tenant, audit in
                let key = try await database.revokeKey(id, of: user, in: tenant, audit: audit)
                authenticator.end(key.id)
                running.end { $0.key == key.id }
            },
            user: { try await database.user($0) }, profile: { try await database.profile($0) },
            profiles: { try await database.profiles(of: $0, after: $1, limit: $2) },
            allowedClients: { try await database.allowedClients(of: $0, at: $1) },
            setRole: { role, user, audit in
                let changed = try await database.setRole(role, of: user, in: nil, audit: audit)
                authenticator.forget(user)
                return changed
            },
            setDisabled: { isDisabled, user, audit in
                try await sessions.flush()
                let changed = try await database.setDisabled(isDisabled, user, in: nil, audit: audit)
                authenticator.forget(user)
                if isDisabled {
                    sessions.forget(user)
                    running.end { $0.user == user }
                    try forgetTokens(user)
                }
                return changed
            },
            clients: { try await database.clients(limit: $0) }, client: { try await database.client($0) },
            storeClient: { try await database.store($0, audit: $1) },
            revokeClient: { id, audit in
                try await sessions.flush()
                let ended = try await database.revokeClient(id, audit: audit)
                let client = KnownClient.fingerprint(of: id)
                // Those that it has by itself are of no session that was allowed it.
                authenticator.end(client: client, at: audit.at)
                running.end { $0.client == client }
                for session in ended { sessions.forget(session) }
            })
    }
}

enum KeyFile {
    /// The key in a file of 32 bytes in base64; nil if there is no such file.
    static func read<Key>(_ path: String, _ make: (Secret<[UInt8]>) -> Key?) throws -> Key? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        guard let bytes = Data(base64Encoded: String(text.prefix { $0 != "\n" })), let key = make(Secret([UInt8](bytes))) else {
            throw OperatorError("\(path) holds no key (32 bytes in base64). Restore it from where you keep your keys.")
        }
        return key
    }
}
