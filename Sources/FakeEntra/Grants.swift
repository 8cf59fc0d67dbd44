import Crypto
import Gateway

/// What a refresh token stands for: a user and a client, and no resource (Entra's are good for all of them).
struct RefreshGrant: Sendable {
    let user: String
    let clientID: String
    /// Those of the sign-in, for a refresh that names none.
    let scopes: Scopes
    let issuedAt: Timestamp
}

extension Realm {
    /// The answer of the token endpoint (RFC 6749, section 5).
    mutating func token(
        _ incoming: FakeEntra.Incoming, at tenant: TenantChoice, _ trace: Failure.Trace, idToken: [String: FakeEntra.Value]
    ) throws(Failure) -> FakeEntra.Value {
        let form = Parameters(String(decoding: incoming.body, as: UTF8.self))
        if let name = form.duplicate { throw Failure(.parameterRepeated, "The parameter '\(name.cut(64))' stands there more than once.") }
        let grantType = try form.required("grant_type")
        let redeem: (inout Self, FakeEntra.Directory.AppRegistration) throws(Failure) -> FakeEntra.Value
        switch grantType {
        case "authorization_code":
            redeem = { realm, client throws(Failure) in try realm.redeemCode(form, client, at: trace.at, idToken) }
        case "refresh_token":
            redeem = { realm, client throws(Failure) in try realm.refresh(form, client, tenant, at: trace.at, idToken) }
        case "client_credentials":
            redeem = { realm, client throws(Failure) in try realm.clientCredentials(form, client, tenant, at: trace.at) }
        case "urn:ietf:params:oauth:grant-type:jwt-bearer":
            redeem = { realm, client throws(Failure) in try realm.onBehalfOf(form, client, at: trace.at, idToken) }
        default: throw Failure(.grantTypeUnsupported, "The grant type '\(grantType.cut(64))' is not supported.")
        }
        return try redeem(&self, try client(incoming, form, tenant, at: trace.at))
    }

    /// The client, shown by its secret in the header or in the form (RFC 6749, 2.3.1).
    private func client(
        _ incoming: FakeEntra.Incoming, _ form: Parameters, _ tenant: TenantChoice, at now: Timestamp
    ) throws(Failure) -> FakeEntra.Directory.AppRegistration {
        var (id, secret) = (form["client_id"], form["client_secret"])
        if let header = incoming["authorization"], header.lowercased().hasPrefix("basic ") {
            let text = Base64URL.decode(
                header.dropFirst(6).replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
            ).map { String(decoding: $0, as: UTF8.self) }
            guard let parts = text?.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false), parts.count == 2 else {
                throw Failure(.requestMalformed)
            }
            (id, secret) = (Parameters.decode(parts[0]), Parameters.decode(parts[1]))
        }
        guard let id else { throw Failure(.parameterMissing, "The request has to carry 'client_id'.") }
        let application = try application(id, at: tenant)
        if application.secrets.isEmpty {
            guard secret == nil else { throw Failure(.clientIsPublic) }
            return application
        }
        guard let secret else { throw Failure(.secretMissing) }
        let digest = SHA256.hash(data: Array(secret.utf8))
        guard let match = application.secrets.first(where: { SHA256.hash(data: Array($0.value.revealed.utf8)) == digest }) else {
            throw Failure(.secretWrong, "The secret of the application '\(application.clientID)' is another.")
        }
        if let expiresAt = match.expiresAt, now >= expiresAt { throw Failure(.secretExpired) }
        return application
    }

    // MARK: - Grants

    private mutating func redeemCode(
        _ form: Parameters, _ client: FakeEntra.Directory.AppRegistration, at now: Timestamp, _ idToken: [String: FakeEntra.Value]
    ) throws(Failure) -> FakeEntra.Value {
        let text = try form.required("code")
        let redirectURI = try form.required("redirect_uri")
        guard let code = codes[text] else { throw Failure(.requestMalformed) }
        guard code.clientID == client.clientID else { throw Failure(.grantInvalid) }
        if code.isRedeemed { throw Failure(.codeRedeemed) }
        guard now < code.issuedAt.advanced(by: lifetimes.code) else { throw Failure(.codeExpired) }
        guard code.redirectURI == redirectURI else { throw Failure(.redirectChanged) }
        try Self.check(form["code_verifier"], code.challenge)
        let user = try user(code.user, since: code.issuedAt)
        let scopes = try scopes(form["scope"], granted: code.scopes, client, user, missing: .scopeMissing)
        codes.update(text) { $0.isRedeemed = true }
        return try answer(user, client, scopes, offline: code.scopes, nonce: code.nonce, at: now, idToken)
    }

    /// RFC 7636, 4.6.
    private static func check(_ verifier: String?, _ challenge: SignIn.Challenge?) throws(Failure) {
        switch (challenge, verifier) {
        case (nil, nil): return
        case (nil, .some): throw Failure(.verifierWrong)
        case (.some, nil): throw Failure(.verifierMissing)
        case (.s256(let digest), let verifier?):
            guard (43...128).contains(verifier.utf8.count), Base64URL.encode(SHA256.hash(data: Array(verifier.utf8))) == digest else {
                throw Failure(.verifierWrong)
            }
        case (.plain(let text), let verifier?): guard text == verifier else { throw Failure(.verifierWrong) }
        }
    }

    private mutating func refresh(
        _ form: Parameters, _ client: FakeEntra.Directory.AppRegistration, _ tenant: TenantChoice, at now: Timestamp,
        _ idToken: [String: FakeEntra.Value]
    ) throws(Failure) -> FakeEntra.Value {
        guard let grant = refreshTokens[try form.required("refresh_token")] else { throw Failure(.requestMalformed) }
        guard grant.clientID == client.clientID else { throw Failure(.grantInvalid) }
        guard now < grant.issuedAt.advanced(by: lifetimes.refreshToken) else {
            throw Failure(.refreshTokenExpired, "The refresh token was issued at \(grant.issuedAt.rfc3339) and not used since.")
        }
        let user = try user(grant.user, since: grant.issuedAt)
        let scopes = try scopes(form["scope"], granted: grant.scopes, client, user, missing: nil)
        // The one that was used stays good; a new one comes with each answer.
        return try answer(user, client, scopes, offline: grant.scopes, nonce: nil, at: now, idToken)
    }

    private func clientCredentials(
        _ form: Parameters, _ client: FakeEntra.Directory.AppRegistration, _ tenant: TenantChoice, at now: Timestamp
    ) throws(Failure) -> FakeEntra.Value {
        guard case .one(let tenant) = tenant else { throw Failure(.tenantNotNamed) }
        guard !client.secrets.isEmpty else { throw Failure(.secretMissing) }
        let text = try form.required("scope")
        guard text.hasSuffix("/" + Scopes.everything), !text.contains(" ") else { throw Failure(.scopeNotDefault) }
        let scopes = try Scopes(text, in: directory)
        return [
            "token_type": "Bearer", "expires_in": .integer(lifetimes.accessToken.components.seconds),
            "ext_expires_in": .integer(lifetimes.accessToken.components.seconds),
            "access_token": .string(try signed(appClaims(client, scopes.resource, tenant: tenant.id, at: now), scopes.resource)),
        ]
    }

    private mutating func onBehalfOf(
        _ form: Parameters, _ client: FakeEntra.Directory.AppRegistration, at now: Timestamp, _ idToken: [String: FakeEntra.Value]
    ) throws(Failure) -> FakeEntra.Value {
        let assertion = try form.required("assertion")
        guard try form.required("requested_token_use") == "on_behalf_of" else {
            throw Failure(.parameterInvalid, "'requested_token_use' is on_behalf_of.")
        }
        let scope = try form.required("scope")
        guard !client.secrets.isEmpty else { throw Failure(.secretMissing) }
        guard let claims = keys.claims(of: assertion) else { throw Failure(.assertionInvalid) }
        guard let expiry = claims["exp"]?.integer, now.seconds < expiry, let issuedAt = claims["iat"]?.integer else {
            throw Failure(.assertionExpired)
        }
        guard [client.clientID, client.appIDURI].contains(claims["aud"]?.string) else { throw Failure(.assertionOfAnother) }
        guard claims["scp"] != nil, let id = claims["oid"]?.string else { throw Failure(.assertionWithoutUser) }
        let user = try user(id, since: Timestamp(microseconds: issuedAt * 1_000_000).advanced(by: Self.backdating))
        let scopes = try Scopes(scope, in: directory)
        guard hasConsent(client, user, scopes) else { throw Failure(.consentMissing) }
        return try answer(user, client, scopes, offline: scopes, nonce: nil, at: now, idToken)
    }

    // MARK: - What they have in common

    private func user(_ id: String, since issuedAt: Timestamp) throws(Failure) -> FakeEntra.Directory.User {
        guard let user = directory.user(id) else { throw Failure(.userUnknown) }
        if user.isDisabled { throw Failure(.userDisabled) }
        guard issuedAt >= user.tokensValidFrom else {
            throw Failure(
                .grantRevoked, "The grant was issued at \(issuedAt.rfc3339), and only those from \(user.tokensValidFrom.rfc3339) on are good.")
        }
        return user
    }

    /// The scopes of one token request: those it names, which have to be consented to, or those granted before.
    ///
    /// - Parameter missing: what becomes of a request without any, where those granted are of another resource than Graph.
    private func scopes(
        _ text: String?, granted: Scopes, _ client: FakeEntra.Directory.AppRegistration, _ user: FakeEntra.Directory.User,
        missing: FakeEntra.ErrorCode?
    ) throws(Failure) -> Scopes {
        guard let text else {
            if granted.namesResource, let missing { throw Failure(missing) }
            if granted.namesResource && granted.resource.clientID == client.clientID { throw Failure(.tokenForItself) }
            return granted
        }
        let scopes = try Scopes(text, in: directory)
        // Seen: one that repeats only the scopes of OpenID Connect is read as if it had none.
        if !scopes.namesResource && granted.namesResource && granted.resource.clientID == client.clientID { throw Failure(.tokenForItself) }
        if scopes.isDefault && scopes.resource.clientID == client.clientID && !scopes.isByGUID { throw Failure(.tokenForItself) }
        guard hasConsent(client, user, scopes) else { throw Failure(.consentMissing) }
        return scopes
    }

    /// - Parameter offline: where `offline_access` and `openid` were granted: at the sign-in, whatever is asked for now.
    private mutating func answer(
        _ user: FakeEntra.Directory.User, _ client: FakeEntra.Directory.AppRegistration, _ scopes: Scopes, offline: Scopes, nonce: String?,
        at now: Timestamp, _ changes: [String: FakeEntra.Value]
    ) throws(Failure) -> FakeEntra.Value {
        let lifetime = lifetimes.accessToken.components.seconds
        var members: [String: FakeEntra.Value] = [
            "token_type": "Bearer", "scope": .string(scopes.granted), "expires_in": .integer(lifetime), "ext_expires_in": .integer(lifetime),
            "access_token": .string(try signed(userClaims(user, client, scopes, at: now), scopes.resource)),
        ]
        if offline.identity.contains("openid") || scopes.identity.contains("openid") {
            let identity = offline.identity.union(scopes.identity)
            let claims = idTokenClaims(user, client, identity, nonce: nonce, at: now).merging(changes) { $1 }
            members["id_token"] = .string(try sign(claims.filter { $0.value != .null }))
        }
        if offline.identity.contains("offline_access") || scopes.identity.contains("offline_access") {
            members["refresh_token"] = .string(
                refreshTokens.add(RefreshGrant(user: user.id, clientID: client.clientID, scopes: offline, issuedAt: now)))
        }
        return .object(members)
    }

    /// An access token, whose header names the key twice where the old form is asked for.
    private func signed(
        _ claims: [String: FakeEntra.Value], _ resource: FakeEntra.Directory.AppRegistration
    ) throws(Failure) -> String {
        try sign(claims, header: resource.tokenVersion == 1 ? ["x5t": .string(keys.current.id)] : [:])
    }

    private func sign(_ claims: [String: FakeEntra.Value], header: [String: FakeEntra.Value] = [:]) throws(Failure) -> String {
        do { return try keys.current.sign(claims: claims, header: header) } catch { throw Failure(.directoryUnavailable, "Signing failed: \(error)") }
    }
}
