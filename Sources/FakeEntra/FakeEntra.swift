package import Gateway
import Synchronization

/// The issuer of evaluation mode: as far as a relying party can tell it behaves as Entra ID does, so that a whole sign-in
/// runs offline. Nobody is asked for a password, so it serves loopback only and is never part of production.
///
/// What it knows stands in a `Realm`, a value that answers one request after the other; this class holds the value, the
/// clock and the lock. State is in memory and bounded: after a restart everybody signs in again.
package final class FakeEntra: Sendable {
    /// How long what it issues is good for.
    package struct Lifetimes: Hashable, Sendable {
        /// Entra chooses 60 to 90 minutes.
        package var accessToken: Duration
        package var code: Duration
        /// Of a refresh token that is not used; a used one stays good as long as any other.
        package var refreshToken: Duration
        /// Of a sign-in page that was shown and not answered.
        package var page: Duration

        package init(
            accessToken: Duration = .seconds(75 * 60), code: Duration = .seconds(600), refreshToken: Duration = .seconds(90 * 86_400),
            page: Duration = .seconds(900)
        ) {
            self.accessToken = accessToken
            self.code = code
            self.refreshToken = refreshToken
            self.page = page
        }
    }

    /// What a relying party has to be configured with.
    package struct Registration: Sendable {
        /// Scheme, host and port; in production `https://login.microsoftonline.com`.
        package let authority: String
        package let tenantID: String
        package let clientID: String
        package let clientSecret: Secret<String>
        package let appIDURI: String
        /// The scopes of its own API by their full names, as a request has to ask for them.
        package let scopes: [String]
        /// In production `https://graph.microsoft.com/v1.0`.
        package let graph: String
    }

    private let realm: Mutex<Realm>
    private let clock: @Sendable () -> Timestamp

    /// - Parameters:
    ///   - authority: where it can be reached, until `application` finds out which port it got.
    ///   - v1Issuer: what stands before the tenant in the issuer of v1 tokens, where it is not to be the authority itself;
    ///     in production `https://sts.windows.net`.
    ///   - signingKey: nil makes one, which takes some hundred milliseconds.
    package init(
        directory: Directory = .evaluation(), lifetimes: Lifetimes = Lifetimes(), authority: String = "http://127.0.0.1", v1Issuer: String? = nil,
        signingKey: SigningKey? = nil, clock: @escaping @Sendable () -> Timestamp
    ) throws {
        let key = try signingKey ?? .generate()
        realm = Mutex(Realm(directory: directory, lifetimes: lifetimes, authority: authority, v1Issuer: v1Issuer, keys: KeyRing(key)))
        self.clock = clock
    }

    /// Answers one request. Nothing is read or written but its own memory.
    package func answer(_ incoming: Incoming) -> Outcome {
        let now = clock()
        return realm.withLock { $0.answer(incoming, at: now) }
    }

    package var authority: String { realm.withLock { $0.authority } }

    func announce(authority: String) { realm.withLock { $0.authority = authority } }

    /// Registers a relying party's redirect URIs with the application the directory names first, and says how to
    /// configure it. Before `application` listens, the authority is the one given at the start.
    package func registration(redirectURIs: [String]) -> Registration {
        realm.withLock { realm in
            realm.directory.applications[0].redirectURIs = redirectURIs
            let application = realm.directory.applications[0]
            return Registration(
                authority: realm.authority, tenantID: application.tenant, clientID: application.clientID,
                clientSecret: application.secrets.first?.value ?? Secret(""), appIDURI: application.appIDURI,
                scopes: application.scopes.map { application.fullName(of: $0) }, graph: realm.graph)
        }
    }

    /// Changes a user, by the short name: disables, gives other roles, revokes what was issued before a moment.
    ///
    /// - Returns: whether there is such a user.
    @discardableResult
    package func change(_ user: String, _ change: (inout Directory.User) -> Void) -> Bool {
        realm.withLock { $0.change(user, change) }
    }

    /// Changes the application of that client id.
    ///
    /// - Returns: whether there is one.
    @discardableResult
    package func change(application clientID: String, _ change: (inout Directory.AppRegistration) -> Void) -> Bool {
        realm.withLock { realm in
            guard let index = realm.directory.applications.firstIndex(where: { $0.clientID == clientID }) else { return false }
            change(&realm.directory.applications[index])
            return true
        }
    }

    /// Lets something go wrong with the next requests of an endpoint. Of more than 100 troubles the newest are forgotten.
    package func cause(_ trouble: Trouble) { realm.withLock { $0.cause(trouble) } }

    /// Signs with a new key from now on.
    ///
    /// - Parameter overlap: whether the key before it stays published, so that its tokens stay good.
    package func rotateKeys(overlap: Bool = true) throws {
        let key = try SigningKey.generate()
        realm.withLock { $0.keys.rotate(to: key, overlap: overlap) }
    }

    /// The last 100 requests, the latest last; without secrets.
    package var requests: [RequestRecord] { realm.withLock { $0.log.records } }

    /// A token of any claims, signed with the current key: for relying parties that have to refuse it.
    ///
    /// - Parameter header: added to `typ`, `alg` and `kid`, or in their place. The algorithm stays RS256 whatever it says.
    package func token(claims: [String: Value], header: [String: Value] = [:]) throws -> String {
        try realm.withLock { try $0.keys.current.sign(claims: claims, header: header) }
    }
}
