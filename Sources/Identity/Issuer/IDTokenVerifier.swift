import Gateway
import MCP

/// Decides whether an ID token is the issuer's, for this client, for this sign-in, and now; and who it names.
///
/// (OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2.)
struct IDTokenVerifier: Sendable {
    enum Occasion {
        /// The token must answer the authorization request with this nonce.
        case signIn(nonce: String)
        /// No authorization request was made: the token must be of the user who signed in then.
        case refresh(subjectKey: String)
    }

    let settings: IssuerSettings
    let keys: IssuerDocument<IssuerKeySet>

    /// - Throws: `.token` with the first defect; what the keys' document throws if there are no keys.
    func verify(_ text: String, at occasion: Occasion, now: Timestamp) async throws(IssuerFailure) -> ExternalIdentity {
        let token = try SignedToken(text, allowing: settings.algorithms)
        if let defect = try await signatureDefect(of: token) { throw IssuerFailure(defect) }
        return try read(IDClaims(token.claims), at: occasion, now: now)
    }

    /// A key that is not there yet may have been published since; so may another, where keys have no names.
    private func signatureDefect(of token: SignedToken) async throws(IssuerFailure) -> IDTokenDefect? {
        func defect(by set: IssuerKeySet) -> IDTokenDefect? {
            let keys = set.keys(for: token.keyID, token.algorithm)
            if keys.isEmpty { return .unknownKey }
            return keys.contains(where: token.isSigned) ? nil : .signature
        }
        let first = defect(by: try await keys.value())
        guard first == .unknownKey || first == .signature && token.keyID == nil else { return first }
        return defect(by: try await keys.renewed())
    }

    private func read(_ claims: IDClaims, at occasion: Occasion, now: Timestamp) throws(IssuerFailure) -> ExternalIdentity {
        guard let issuer = try claims.optionalText("iss") else { throw .init(.issuer) }
        let tenant = try issuersTenant(issuer, claims)
        try checkAudience(claims)
        try checkTimes(claims, now: now)
        if case .signIn(let nonce) = occasion {
            guard let own = try claims.optionalText("nonce"), !nonce.isEmpty, own.isExactlyInConstantTime(nonce) else { throw .init(.nonce) }
        }
        guard let subject = try claims.optionalText("sub"), (1...255).contains(subject.utf8.count), !subject.hasControls else {
            throw .init(.subject)
        }

        let name = try claims.firstText(of: ["name", "preferred_username", "unique_name"])
        let email = try claims.firstText(of: tenant == nil ? ["email"] : ["email", "preferred_username", "upn"])
        let own: (key: String, subject: String, tenant: String?)
        if let tenant {
            guard let object = try claims.optionalText("oid").flatMap(GUID.init) else { throw .init(.objectID) }
            own = ("\(tenant)/\(object)", object.description, tenant.description)
        } else {
            own = ("\(issuer)|\(subject)", subject, try tenantByClaim(claims))
        }
        if case .refresh(let key) = occasion {
            guard own.key.isExactly(key) else { throw .init(.subject) }
        }
        return ExternalIdentity(
            issuer: issuer, subjectKey: own.key, subject: own.subject, displayName: Self.shown(name ?? own.subject), email: email.map(Self.shown),
            tenantKey: own.tenant, roles: try claims.texts(settings.roleClaim) ?? [], groups: try claims.groups(settings.groupClaim),
            authTime: try claims.time("auth_time"))
    }

    /// The Entra tenant whose issuer this is; nil for an issuer without.
    private func issuersTenant(_ issuer: String, _ claims: IDClaims) throws(IssuerFailure) -> GUID? {
        guard let entra = settings.entra else {
            guard issuer.isExactly(settings.issuer) else { throw .init(.issuer) }
            return nil
        }
        // One set of keys signs for every tenant there is: the signature says nothing yet about whose the user is.
        guard let tenant = try claims.optionalText("tid").flatMap(GUID.init), entra.allowedTenants.contains(tenant.description) else {
            throw .init(.tenant)
        }
        guard let expected = entra.issuer(of: tenant, version: try claims.optionalText("ver") ?? "2.0"), issuer.isExactly(expected) else {
            throw .init(.issuer)
        }
        return tenant
    }

    private func tenantByClaim(_ claims: IDClaims) throws(IssuerFailure) -> String? {
        guard let name = settings.tenantClaim else { return nil }
        guard let values = try claims.texts(name), values.count == 1, (1...255).contains(values[0].utf8.count), !values[0].hasControls else {
            throw .init(.tenant)
        }
        return values[0]
    }

    private func checkAudience(_ claims: IDClaims) throws(IssuerFailure) {
        let audience = try claims.texts("aud", mayBePath: false) ?? []
        guard audience.contains(where: settings.clientID.isExactly) else { throw .init(.audience) }
        let party = try claims.optionalText("azp")
        guard audience.count == 1 || party != nil, party?.isExactly(settings.clientID) != false else { throw .init(.authorizedParty) }
    }

    private func checkTimes(_ claims: IDClaims, now: Timestamp) throws(IssuerFailure) {
        guard let expiry = try claims.time("exp"), let issued = try claims.time("iat") else { throw .init(.claims) }
        guard now < expiry.advanced(by: settings.skew) else { throw .init(.expired) }
        let latest = now.advanced(by: settings.skew)
        guard issued <= latest, try claims.time("nbf") ?? issued <= latest else { throw .init(.notYetValid) }
    }

    private static func shown(_ text: String) -> String { text.withoutControls.cut(256) }
}

/// The claims of a token whose signature held. A claim of the wrong kind makes the whole token a defect: guessing what was
/// meant is how one is admitted for somebody else.
struct IDClaims {
    private let json: JSON
    init(_ json: JSON) { self.json = json }

    func optionalText(_ name: String) throws(IssuerFailure) -> String? {
        guard let claim = json[name], !claim.isNull else { return nil }
        guard let text = claim.string else { throw .init(.claims) }
        return text
    }

    func firstText(of names: [String]) throws(IssuerFailure) -> String? {
        for name in names {
            if let text = try optionalText(name), !text.isEmpty { return text }
        }
        return nil
    }

    /// A list of strings, or one string for a list of one; nil if there is no such claim.
    ///
    /// - Parameter mayBePath: whether `a.b` means the member b of the claim a, unless there is a claim of that very name.
    func texts(_ name: String, mayBePath: Bool = true) throws(IssuerFailure) -> [String]? {
        guard let claim = json[name] ?? (mayBePath ? member(at: name) : nil), !claim.isNull else { return nil }
        if let text = claim.string { return [text] }
        let texts = claim.elements.compactMap(\.string)
        guard claim.kind == .array, texts.count == claim.elements.count else { throw .init(.claims) }
        return texts
    }

    private func member(at path: String) -> JSON? {
        var found: JSON? = json
        for name in path.split(separator: ".", omittingEmptySubsequences: false) { found = found?[String(name)] }
        return found
    }

    /// Seconds since 1970, whole or not (RFC 7519, NumericDate).
    func time(_ name: String) throws(IssuerFailure) -> Timestamp? {
        guard let claim = json[name], !claim.isNull else { return nil }
        guard let seconds = claim.double, seconds.magnitude < 1e12 else { throw .init(.claims) }
        return Timestamp(microseconds: Int64(seconds * 1_000_000))
    }

    /// A token that says that there are more groups than it holds is believed in that, whatever else it lists.
    func groups(_ name: String) throws(IssuerFailure) -> ExternalIdentity.GroupMembership {
        if let names = json["_claim_names"], names[name] != nil || !names.isObject { return .overage }
        if let marker = json["hasgroups"], !marker.isNull, marker.bool != false, marker.string != "false" { return .overage }
        return try texts(name).map { .listed($0) } ?? .absent
    }
}
