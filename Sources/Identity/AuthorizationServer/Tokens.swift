import Crypto
package import Gateway
package import OAuth

/// What the token endpoint answers (RFC 6749, section 5.1).
package struct IssuedTokens: Sendable {
    package let accessToken: Secret<String>
    package let refreshToken: Secret<String>?
    package let scope: String
    package let lifetime: Duration
}

extension AuthorizationServer {
    /// Answers a request for tokens. The record of it is written with what it changes.
    ///
    /// - Throws: `OAuthError`; any other error is the gateway's own.
    package func tokens(_ parameters: Parameters, authorization: [String], audit: AuditRecord) async throws -> IssuedTokens {
        let origin = origin()
        let request = try TokenRequest(parameters, authorization: authorization) { Resource.canonical($0, at: origin) }
        let client = try await authenticated(request.client, for: IPAddress(audit.address))
        switch request.grant {
        case .authorizationCode(let code, let redirectURI, let verifier):
            return try await exchange(code, redirectURI, verifier, request.resources, client, audit)
        case .refresh(let token, let scopes): return try await refresh(token, scopes, request.resources, client, audit)
        case .clientCredentials(let scopes): return try await issueToItself(client, scopes, request.resources, audit)
        }
    }

    /// The client a request comes from, proved as it registered to.
    func authenticated(_ credentials: ClientCredentials, for address: IPAddress?) async throws -> KnownClient {
        let refused = OAuthError(.invalidClient, "The client could not be authenticated.")
        let id: String
        if let named = credentials.clientID {
            id = named
        } else if case .assertion(let assertion) = credentials.proof, let subject = ClientAssertions.subject(of: assertion) {
            id = subject
        } else {
            throw refused
        }
        let client = try await clients.find(id, for: address)
        switch (client.metadata.authentication, credentials.proof) {
        case (.none, .none): break
        case (.clientSecretBasic, .basic(let secret)), (.clientSecretBasic, .post(let secret)), (.clientSecretPost, .basic(let secret)),
            (.clientSecretPost, .post(let secret)):
            // The secret proves as much in a form as in a header, and libraries differ in what they send.
            guard client.isProved(by: secret, at: now()) else { throw refused }
        case (.privateKeyJWT, .assertion(let assertion)):
            let origin = origin()
            try await assertions.verify(assertion, of: client, audiences: origin.spellings.flatMap { [$0, $0 + "/token"] }, at: now())
        default: throw refused
        }
        return client
    }

    private func exchange(
        _ text: Secret<String>, _ redirectURI: String?, _ verifier: CodeVerifier, _ resources: [String], _ client: KnownClient, _ audit: AuditRecord
    ) async throws -> IssuedTokens {
        guard client.metadata.grantTypes.contains(.authorizationCode) else {
            throw OAuthError(.unauthorizedClient, "This client is not registered for \"authorization_code\".")
        }
        guard let code = AuthorizationCode(text.revealed) else { throw OAuthError.unknownGrant }
        let moment = now()
        let outcome = try await grants.redeemCode(code.digest) { grant in
            guard var found = grant else { return (.refused(.unknownGrant), nil) }
            if found.family.isRevoked { return (.refused(.unknownGrant), nil) }
            switch found.code.redeem(code, by: client.id, redirectURI: redirectURI, verifier: verifier, resources: resources, at: moment) {
            case .redeemed(let redeemed, let resources):
                found.code = redeemed
                grant = found
                return (.good(found, resources: resources), Self.record(audit, "token.issue", found, client.metadata.name))
            case .replayed:
                found.family = found.family.revoked
                grant = found
                return (.reused(found), Self.record(audit, "token.reuse", found, client.metadata.name, isRefused: true))
            case .refused(let error): return (.refused(error), nil)
            }
        }
        let (grant, allowed) = try await good(outcome)
        return try await issue(grant, client, Scopes(names: grant.scope.split(separator: " ")), allowed, grant.family, at: moment)
    }

    private func refresh(
        _ text: Secret<String>, _ scopes: ScopeList?, _ resources: [String], _ client: KnownClient, _ audit: AuditRecord
    ) async throws -> IssuedTokens {
        guard let token = RefreshToken(text.revealed) else { throw OAuthError.unknownGrant }
        let (moment, key) = (now(), refreshKey)
        let outcome = try await grants.redeem(token.grant) { grant in
            guard var found = grant, found.code.clientID.utf8.elementsEqual(client.id.utf8), found.code.redeemedAt != nil else {
                return (.refused(.unknownGrant), nil)
            }
            let asked = resources.isEmpty ? found.code.resources : resources
            guard asked.allSatisfy(found.code.resources.contains) else {
                return (.refused(OAuthError(.invalidTarget, "\"resource\" names one that the user was not asked about.")), nil)
            }
            if let scopes, !scopes.isSubset(of: ScopeList(found.scope.split(separator: " ").map(String.init))) {
                return (.refused(OAuthError(.invalidScope, "\"scope\" names more than the user allowed.")), nil)
            }
            switch found.family.redeem(token, key: key, at: moment) {
            case .rotate(let next):
                found.family = next
                grant = found
                return (.good(found, resources: asked), Self.record(audit, "token.refresh", found, client.metadata.name))
            case .repeat: return (.good(found, resources: asked), nil)
            case .reused:
                found.family = found.family.revoked
                grant = found
                return (.reused(found), Self.record(audit, "token.reuse", found, client.metadata.name, isRefused: true))
            case .unknown, .revoked, .expired: return (.refused(.unknownGrant), nil)
            }
        }
        let (grant, allowed) = try await good(outcome)
        let given = Scopes(names: grant.scope.split(separator: " "))
        let narrowed = scopes.map { Scopes(names: $0.names).intersection(given) } ?? given
        return try await issue(grant, client, narrowed, allowed, grant.family, at: moment)
    }

    private func good(_ outcome: GrantOutcome) async throws -> (AuthorizationGrant, resources: [String]) {
        switch outcome {
        case .good(let grant, let resources): return (grant, resources)
        case .reused(let grant):
            // Whoever holds an access token of it is out too.
            try await grants.endSession(grant.session, grant.user, grant.tenant, nil)
            throw OAuthError.unknownGrant
        case .refused(let error): throw error
        case .done: throw OAuthError.unknownGrant
        }
    }

    private func issue(
        _ grant: AuthorizationGrant, _ client: KnownClient, _ scopes: Scopes, _ resources: [String], _ family: RefreshFamily, at moment: Timestamp
    ) async throws -> IssuedTokens {
        guard let user = try await grants.user(grant.user), user.disabledAt == nil else { throw OAuthError.unknownGrant }
        let origin = origin()
        let named = resources.compactMap { Resource(uri: $0, at: origin) }
        let access = try await authenticator.issue(
            to: user, for: named, scopes: scopes, client: client.fingerprint, session: grant.session, at: moment)
        let isRefreshed = client.metadata.grantTypes.contains(.refreshToken)
        return IssuedTokens(
            accessToken: access, refreshToken: isRefreshed ? family.token(key: refreshKey).text : nil, scope: scopes.names.joined(separator: " "),
            lifetime: Authenticator.lifetime)
    }

    /// A client that acts for itself, as the user the operator gave it (RFC 6749, section 4.4); it gets no refresh token.
    private func issueToItself(_ client: KnownClient, _ scopes: ScopeList?, _ resources: [String], _ audit: AuditRecord) async throws -> IssuedTokens
    {
        guard client.metadata.grantTypes.contains(.clientCredentials), client.metadata.authentication != .none, let id = client.user else {
            throw OAuthError(.unauthorizedClient, "This client is not registered for \"client_credentials\".")
        }
        guard let user = try await grants.user(id), user.disabledAt == nil else {
            throw OAuthError(.invalidClient, "The user that this client acts as is disabled.")
        }
        let allowed = client.metadata.scopes.isEmpty ? Resource.mcp.scopes : Scopes(names: client.metadata.scopes.names)
        let asked = scopes.map { Scopes(names: $0.names) } ?? allowed
        let given = asked.intersection(allowed)
        guard !given.isEmpty else { throw OAuthError(.invalidScope, "None of the scopes asked for is one that this client may have.") }
        let origin = origin()
        let named = resources.isEmpty ? [Resource.mcp] : resources.compactMap { Resource(uri: $0, at: origin) }
        var record = audit
        (record.action, record.target, record.user, record.tenant) = ("token.issue", client.metadata.name, user.id, user.tenant)
        try await grants.record(record)
        try? await clients.note(client)
        let token = try await authenticator.issue(to: user, for: named, scopes: given, client: client.fingerprint, session: .random(), at: now())
        return IssuedTokens(accessToken: token, refreshToken: nil, scope: given.names.joined(separator: " "), lifetime: Authenticator.lifetime)
    }

    // MARK: Giving back

    /// Takes back what a client holds (RFC 7009): with the refresh token or an access token everything of that grant. What
    /// is not known is as good as taken back.
    package func revoke(_ parameters: Parameters, authorization: [String], audit: AuditRecord) async throws {
        let client = try await authenticated(try ClientCredentials(parameters, authorization: authorization), for: IPAddress(audit.address))
        guard let text = try parameters.one("token", longest: 8192) else { throw OAuthError(.invalidRequest, "\"token\" is missing.") }
        let moment = now()
        if let token = RefreshToken(text) {
            let key = refreshKey
            let outcome = try await grants.redeem(token.grant) { grant in
                guard var found = grant, found.code.clientID.utf8.elementsEqual(client.id.utf8), !found.family.isRevoked else { return (.done, nil) }
                switch found.family.redeem(token, key: key, at: moment) {
                case .unknown, .revoked: return (.done, nil)
                case .rotate, .repeat, .reused, .expired:
                    found.family = found.family.revoked
                    grant = found
                    return (.reused(found), Self.record(audit, "token.revoke", found, client.metadata.name))
                }
            }
            if case .reused(let grant) = outcome { try await grants.endSession(grant.session, grant.user, grant.tenant, nil) }
        } else if let holder = try? await authenticator.holder(ofToken: text, issuedTo: client.fingerprint, at: moment) {
            var record = audit
            (record.action, record.target, record.user, record.tenant) = ("token.revoke", client.metadata.name, holder.user, holder.tenant)
            try await grants.endSession(holder.session, holder.user, holder.tenant, record)
        }
    }

    static func record(_ audit: AuditRecord, _ action: String, _ grant: AuthorizationGrant, _ client: String, isRefused: Bool = false) -> AuditRecord
    {
        var record = audit
        (record.action, record.target, record.user, record.tenant) = (action, client, grant.user, grant.tenant)
        if isRefused { (record.outcome, record.reason) = (.refused, "reuse") }
        return record
    }
}
