import Access
import Forwarding
import FoundationEssentials
import Gateway
import Identity
import Logging
import NIOPosix
import OAuth
import Serving
import Storage
import Upstreams

/// The issuer that people sign in at, made when it is first needed: only then are the gateway's own address, and that of
/// evaluation's issuer, known.
actor SharedIssuer {
    private let make: @Sendable () async throws -> Issuer?
    private var issuer: Issuer??

    init(_ make: @escaping @Sendable () async throws -> Issuer?) { self.make = make }

    /// - Throws: `Refusal` if none is configured, or the settings do not fit.
    func value() async throws -> Issuer {
        if issuer == nil { issuer = try await make() }
        guard let issuer = issuer ?? nil else {
            throw Refusal.overloaded("Nobody can sign in yet: no issuer is configured. The operator sets MREG_AZURE_TENANT_ID or MREG_OIDC_ISSUER.")
        }
        return issuer
    }
}

extension Assembly {
    static func sharedIssuer(
        _ settings: Settings, _ mode: Mode, _ fetchers: Fetchers, _ origin: SharedOrigin, _ logger: Logger, _ now: @escaping @Sendable () -> Moment
    ) -> SharedIssuer {
        SharedIssuer {
            let own = origin.withLock { $0 }
            let isCallbackNamed = settings.sources["MREG_FASTMCP_OAUTH_CALLBACK_URL"] != nil
            let callback = isCallbackNamed ? settings.oauth.callbackURL : "\(own)/oauth/callback"
            let configured = try settings.issuer(callback: callback)
            let evaluated = configured == nil ? try await mode.issuer?(callback) : nil
            guard let chosen = configured ?? evaluated else { return nil }
            return Issuer(chosen, fetcher: fetchers.issuer, now: now) { failure in
                logger.warning("the issuer cannot be asked anew", metadata: ["reason": "\(failure.sentence)"])
            }
        }
    }

    struct Fetchers: Sendable {
        /// To the issuer, which the operator named: wherever it is.
        let issuer: Fetcher
        /// To wherever a client says.
        let strangers: Fetcher
    }

    static func fetchers(_ egress: EgressPolicy) throws -> Fetchers {
        Fetchers(
            issuer: try issuerFetcher(),
            strangers: try HTTPFetcher(group: MultiThreadedEventLoopGroup.singleton, egress: egress, urlsOf: .strangers).fetcher)
    }

    /// The operator named the issuer, so it may be anywhere; its settings see to it that it is https, or on this machine.
    static func issuerFetcher() throws -> Fetcher {
        let everywhere = EgressPolicy(allowed: ["0.0.0.0/0", "::/0"].compactMap { AddressRange($0) })
        return try HTTPFetcher(group: MultiThreadedEventLoopGroup.singleton, egress: everywhere, urlsOf: .operators).fetcher
    }

    /// What clients publish of themselves.
    static func documents(
        _ fetchers: Fetchers, _ domains: [ClientDomain], _ mode: Mode, _ logger: Logger, _ now: @escaping @Sendable () -> Moment
    ) -> @Sendable (ClientDocumentURL, IPAddress?) async throws(OAuthError) -> ClientMetadata {
        let isEvaluation = mode.acceptsShorthand
        let documents = ClientDocuments<ClientMetadata>(
            policy: ClientDocumentPolicy(domains: domains.isEmpty ? nil : domains, allowsLoopback: isEvaluation), fetcher: fetchers.strangers,
            now: now
        ) { bytes, url in
            try ClientMetadata(document: bytes, at: ClientDocumentURL(url, allowsLoopback: isEvaluation), isEvaluation: isEvaluation)
        }
        guard let local = IPAddress("127.0.0.1") else { preconditionFailure("127.0.0.1 is an address") }
        return { url, address throws(OAuthError) in
            do throws(ClientDocumentFailure) { return try await documents.document(of: url.text, askedFrom: address ?? local) } catch {
                logger.info("a client's metadata document was not taken", metadata: ["url": "\(url)", "reason": "\(error.reason)"])
                throw OAuthError(error)
            }
        }
    }

    /// A set of keys that a client publishes.
    static func keySet(_ url: String, _ fetchers: Fetchers) async throws -> [UInt8] {
        guard let endpoint = Endpoint(url) else { throw OAuthError(.invalidClient, "The client's keys could not be fetched.") }
        let answer = try await fetchers.strangers.send(
            FetchRequest(.get, endpoint, headers: [("accept", "application/json")], largestAnswer: ClientKeys.longestKeySet, deadline: .seconds(5)))
        guard answer.status == 200 else { throw OAuthError(.invalidClient, "The client's keys could not be fetched.") }
        return answer.body
    }
}

extension Settings {
    /// The issuer that the settings name; nil if they name none.
    ///
    /// - Parameter callback: where the issuer sends people back to.
    /// - Throws: `OperatorError` that names the setting.
    func issuer(callback: String) throws -> IssuerSettings? {
        do throws(IssuerFailure) {
            if azure.tenantID != nil, oidc.issuer != nil {
                throw IssuerFailure(
                    .configuration, "MREG_AZURE_TENANT_ID and MREG_OIDC_ISSUER are both set, and there is one: take one of them away.")
            }
            if azure.tenantID == nil, azure.clientID != nil || azure.clientSecret != nil {
                throw IssuerFailure(.configuration, "MREG_AZURE_TENANT_ID is missing.")
            }
            if oidc.issuer == nil, oidc.clientID != nil || oidc.clientSecret != nil {
                throw IssuerFailure(.configuration, "MREG_OIDC_ISSUER is missing.")
            }
            if let tenant = azure.tenantID {
                guard let client = azure.clientID else { throw IssuerFailure(.configuration, "MREG_AZURE_CLIENT_ID is missing.") }
                let allowed = Set(azure.allowedTenants)
                let isSeveral = !allowed.isEmpty
                let kind = IssuerSettings.Kind.entra(
                    try IssuerSettings.Entra(
                        authority: azure.authority ?? "https://login.microsoftonline.com", tenant: isSeveral ? "organizations" : tenant,
                        allowedTenants: isSeveral ? allowed.union([tenant]) : []))
                return try IssuerSettings(
                    kind, clientID: client, clientSecret: azure.clientSecret, redirectURI: callback, scopes: oauth.scopes)
            }
            guard let issuer = oidc.issuer else { return nil }
            guard let client = oidc.clientID else { throw IssuerFailure(.configuration, "MREG_OIDC_CLIENT_ID is missing.") }
            var settings = try IssuerSettings(
                .oidc(issuer: issuer), clientID: client, clientSecret: oidc.clientSecret, redirectURI: callback, scopes: oauth.scopes)
            if let claim = oidc.roleClaim { settings.roleClaim = claim }
            settings.tenantClaim = oidc.tenantClaim
            settings.allowsMissingPKCEMetadata = upstreams.issuersWithoutPKCEMetadata.contains(.url(issuer))
            settings.algorithms.formUnion([.rs512])
            return settings
        } catch {
            throw OperatorError("The issuer that people sign in at is not set up: \(error.sentence)")
        }
    }

    var roleMap: RoleMap {
        get throws { oauth.roleMap.isEmpty ? .byName : try RoleMap(oauth.roleMap) }
    }
}

extension SignInIssuer {
    /// - Parameters:
    ///   - roles: who is what.
    ///   - home: the tenant of an issuer that has but one.
    init(_ shared: SharedIssuer, name: String, roles: RoleMap, home: String, logger: Logger) {
        @Sendable func told<Value: Sendable>(_ what: String, _ body: () async throws(IssuerFailure) -> Value) async throws -> Value {
            do throws(IssuerFailure) { return try await body() } catch {
                logger.warning("\(what) failed", metadata: ["reason": "\(error.sentence)"])
                throw error
            }
        }
        self.init(
            name: name,
            begin: { state, nonce, challenge in
                let issuer = try await shared.value()
                return try await told("sending somebody to the issuer") { () async throws(IssuerFailure) in
                    try await issuer.authorizationURL(state: state, nonce: nonce, codeChallenge: challenge.text)
                }
            },
            checkSender: { iss in
                let issuer = try await shared.value()
                try await told("the issuer's answer") { () async throws(IssuerFailure) in try await issuer.checkResponse(iss: iss) }
            },
            finish: { code, verifier, nonce in
                let issuer = try await shared.value()
                let (identity, tokens) = try await told("redeeming the issuer's code") { () async throws(IssuerFailure) in
                    try await issuer.redeem(code: code, verifier: verifier.text, redirectURI: issuer.settings.redirectURI, nonce: nonce)
                }
                return try await Self.person(identity, tokens, issuer, roles, home, logger)
            })
    }

    /// Who somebody is here. Without a role nobody is let in, and groups that cannot be looked up are not guessed.
    static func person(
        _ identity: ExternalIdentity, _ tokens: IssuerTokens?, _ issuer: Issuer, _ roles: RoleMap, _ home: String, _ logger: Logger
    ) async throws -> SignedInPerson {
        let listed: [String]? =
            switch identity.groups {
            case .listed(let groups): groups
            case .absent: []
            case .overage: nil
            }
        var decision = roles.decide(roles: identity.roles, groups: listed)
        if decision == .groupsNeeded {
            do throws(IssuerFailure) { decision = roles.decide(roles: identity.roles, groups: try await issuer.groups(of: identity)) } catch {
                logger.warning("groups could not be looked up", metadata: ["reason": "\(error.sentence)"])
                throw Refusal.forbidden(
                    needs: "your groups to be known: you are in more of them than the issuer lists, and they could not be looked up")
            }
        }
        guard case .role(let role, _) = decision else {
            throw Refusal.forbidden(needs: "a role in this gateway, which an administrator assigns at the issuer; sign in again afterwards")
        }
        let tenant: String =
            if case .entra(let entra) = issuer.settings.kind, entra.tenant == .one(identity.tenantKey ?? "") { home } else {
                identity.tenantKey ?? home
            }
        let name = (identity.email ?? identity.displayName).withoutControls.cut(200)
        return SignedInPerson(
            issuer: identity.issuer, subject: identity.subjectKey, name: name.isEmpty ? identity.subject.cut(200) : name,
            displayName: identity.displayName.withoutControls.cut(200), role: role, tenant: tenant, tokens: tokens)
    }
}
