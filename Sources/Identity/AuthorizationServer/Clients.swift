package import Gateway
package import OAuth

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A client that was found, and where what is known of it comes from.
package struct KnownClient: Sendable {
    package let id: String
    package let kind: ClientRecord.Kind
    package let metadata: ClientMetadata
    /// Of a confidential client; SHA-256.
    let secretHash: [UInt8]?
    let formerSecret: ClientRecord.FormerSecret?
    /// As whom it acts by itself.
    package let user: UserID?
    let createdAt: Timestamp

    init(
        id: String, kind: ClientRecord.Kind, metadata: ClientMetadata, secretHash: [UInt8]? = nil, formerSecret: ClientRecord.FormerSecret? = nil,
        user: UserID? = nil, createdAt: Timestamp
    ) {
        self.id = id
        self.kind = kind
        self.metadata = metadata
        self.secretHash = secretHash
        self.formerSecret = formerSecret
        self.user = user
        self.createdAt = createdAt
    }

    /// Whether that is its secret, or the one before it while that is good. Hashes are compared, and in constant time.
    func isProved(by secret: Secret<String>, at now: Timestamp) -> Bool {
        let digest = RandomToken.digest(secret.revealed)
        if let secretHash, RandomToken.isSame(digest, secretHash) { return true }
        guard let formerSecret, now < formerSecret.goodUntil else { return false }
        return RandomToken.isSame(digest, formerSecret.hash)
    }

    /// What its tokens call it: the id, or its hash where the id is long.
    var fingerprint: String { Self.fingerprint(of: id) }

    package static func fingerprint(of id: String) -> String { id.utf8.count <= 64 ? id : "sha256:" + Base64URL.encode(RandomToken.digest(id)) }

    /// For people: the host that vouches for it, or nil if nothing does but its own word.
    package var voucher: String? {
        switch kind {
        case .document: (try? ClientDocumentURL(id, allowsLoopback: true))?.host
        case .registered, .operator: nil
        }
    }
}

/// Who a client is: by the id that says it itself, by the document that the id is the address of, or by the operator's word.
package struct Clients: Sendable {
    private let key: ClientIDKey
    /// What is kept of a client; what was revoked among it.
    private let record: @Sendable (String) async throws -> ClientRecord?
    private let store: @Sendable (ClientRecord) async throws -> Void
    private let document: @Sendable (ClientDocumentURL, IPAddress?) async throws(OAuthError) -> ClientMetadata
    /// Whether clients may register themselves.
    package let acceptsRegistrations: Bool
    private let isEvaluation: Bool
    private let now: @Sendable () -> Timestamp

    /// - Parameter document: fetches what a client publishes of itself; a refusal tells no detail of the fetch.
    package init(
        instance: InstanceKey, record: @escaping @Sendable (String) async throws -> ClientRecord?,
        store: @escaping @Sendable (ClientRecord) async throws -> Void,
        document: @escaping @Sendable (ClientDocumentURL, IPAddress?) async throws(OAuthError) -> ClientMetadata,
        acceptsRegistrations: Bool = true, isEvaluation: Bool,
        now: @escaping @Sendable () -> Timestamp
    ) {
        key = ClientIDKey(instance.secret(for: "client id"))
        self.record = record
        self.store = store
        self.document = document
        self.acceptsRegistrations = acceptsRegistrations
        self.isEvaluation = isEvaluation
        self.now = now
    }

    /// - Parameter address: whose request asks.
    /// - Throws: `invalid_client` for one that is not known, or not any more.
    package func find(_ id: String, for address: IPAddress?) async throws -> KnownClient {
        let kept = try await record(id)
        guard kept?.revokedAt == nil else { throw OAuthError(.invalidClient, "This client was revoked by an administrator.") }
        if ClientID.isMeant(by: id) {
            let (metadata, issuedAt) = try ClientID.read(id, key: key)
            return KnownClient(id: id, kind: .registered, metadata: metadata, createdAt: issuedAt)
        }
        if ClientDocumentURL.isMeant(by: id) {
            let metadata = try await document(try ClientDocumentURL(id, allowsLoopback: isEvaluation), address)
            return KnownClient(id: id, kind: .document, metadata: metadata, createdAt: kept?.createdAt ?? now())
        }
        guard let kept, kept.kind == .operator, let metadata = try? StoredClient(kept.metadata).metadata() else {
            throw OAuthError(.invalidClient, "This client id is not known here; register again.")
        }
        return KnownClient(
            id: id, kind: .operator, metadata: metadata, secretHash: kept.secretHash, formerSecret: kept.formerSecret, user: kept.user,
            createdAt: kept.createdAt)
    }

    /// Registers a client that asks for it (RFC 7591). Its id says all there is to know, so nothing is kept.
    ///
    /// - Throws: `access_denied` where clients may not; whoever registered before that is known all the same.
    package func register(_ body: [UInt8]) throws(OAuthError) -> (id: ClientID, metadata: ClientMetadata, issuedAt: Timestamp) {
        guard acceptsRegistrations else {
            throw OAuthError(
                .accessDenied,
                "Clients cannot register themselves at this gateway. Its operator can make one (mreg client add), or set MREG_ENABLE_DYNAMIC_REGISTRATION to true."
            )
        }
        let metadata = try ClientMetadata(registration: body)
        let moment = now()
        return (try ClientID.issue(metadata, at: moment, key: key), metadata, moment)
    }

    /// Notes that a client was allowed something, so that an administrator sees it and can take it back.
    func note(_ client: KnownClient) async throws {
        try await store(
            ClientRecord(
                id: client.id, kind: client.kind, name: client.metadata.name, metadata: StoredClient(client.metadata).text,
                createdAt: client.createdAt, lastUsedAt: now()))
    }
}

/// A client's metadata as the record keeps it.
package struct StoredClient: Codable, Sendable {
    let name: String
    let redirectURIs: [String]
    let type: String
    let authentication: String
    let grants: [String]
    let scopes: [String]
    let keys: String?
    let keysURI: String?

    package init(_ metadata: ClientMetadata) {
        name = metadata.name
        redirectURIs = metadata.redirectURIs.map(\.text)
        type = metadata.applicationType.rawValue
        authentication = metadata.authentication.rawValue
        grants = metadata.grantTypes.map(\.rawValue)
        scopes = metadata.scopes.names
        (keys, keysURI) =
            switch metadata.keys {
            case .inline(let set)?: (set, nil)
            case .published(let url)?: (nil, url)
            case nil: (nil, nil)
            }
    }

    package var text: String { (try? JSONEncoder().encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}" }

    init(_ text: String) throws { self = try JSONDecoder().decode(Self.self, from: Data(text.utf8)) }

    func metadata() throws -> ClientMetadata {
        guard let type = ApplicationType(rawValue: type), let authentication = ClientAuthentication(rawValue: authentication) else {
            throw OAuthError(.invalidClient, "What is kept of this client cannot be read.")
        }
        return try ClientMetadata(
            name: name, redirectURIs: redirectURIs.map { try RedirectURI($0) }, applicationType: type, authentication: authentication,
            grantTypes: grants.compactMap(GrantType.init), scopes: ScopeList(scopes),
            keys: keys.map { .inline($0) } ?? keysURI.map { .published(at: $0) }, isEvaluation: true)
    }
}
