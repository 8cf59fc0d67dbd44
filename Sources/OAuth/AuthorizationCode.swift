import Crypto
package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a client exchanges for tokens: `mrc_` and 32 random bytes. Only its digest is kept.
package struct AuthorizationCode: Sendable {
    package let text: Secret<String>
    /// The SHA-256 of its text: what it is kept and found under.
    package let digest: [UInt8]

    private static let prefix = "mrc_"

    package static func random() -> Self { Self(text: prefix + Base64URL.encode(randomBytes(32))) }

    /// - Parameter text: as presented; nil for what is no code of ours by its form.
    package init?(_ text: String) {
        guard text.utf8.count == 47, text.utf8.starts(with: Self.prefix.utf8), Base64URL.decode(text.utf8.dropFirst(4)) != nil else { return nil }
        self.init(text: text)
    }

    private init(text: String) {
        self.text = Secret(text)
        digest = Array(SHA256.hash(data: Array(text.utf8)))
    }
}

/// What a code was issued for.
package struct CodeGrant: Hashable, Sendable {
    /// Of the code.
    package let digest: [UInt8]
    package let clientID: String
    /// Nil if the request did not name one.
    package let redirectURI: String?
    package let challenge: CodeChallenge
    /// Canonical.
    package let resources: [String]
    package let issuedAt: Timestamp
    /// Nil until it is redeemed.
    package let redeemedAt: Timestamp?

    package static let lifetime = Duration.seconds(60)
    /// How far the wall clock may have been set back since.
    private static let skew = Duration.seconds(5)

    package init(
        digest: [UInt8], clientID: String, redirectURI: String?, challenge: CodeChallenge, resources: [String], issuedAt: Timestamp,
        redeemedAt: Timestamp? = nil
    ) {
        self.digest = digest
        self.clientID = clientID
        self.redirectURI = redirectURI
        self.challenge = challenge
        self.resources = resources
        self.issuedAt = issuedAt
        self.redeemedAt = redeemedAt
    }

    package init(_ code: AuthorizationCode, for request: AuthorizationRequest, at now: Timestamp) {
        self.init(
            digest: code.digest, clientID: request.clientID, redirectURI: request.isRedirectURINamed ? request.redirectURI.text : nil,
            challenge: request.challenge, resources: request.resources, issuedAt: now)
    }

    package enum Decision: Hashable, Sendable {
        /// To be kept as redeemed, before the answer leaves.
        case redeemed(CodeGrant, resources: [String])
        /// It was redeemed before, so somebody has it who should not: what was issued for it is revoked.
        case replayed
        /// It stays as it is: whoever has it without the verifier cannot use it up for its owner.
        case refused(OAuthError)
    }

    /// Whether a code is good for tokens, for the client that authenticated.
    ///
    /// - Parameter resources: canonical; none stands for all of the code's.
    package func redeem(
        _ code: AuthorizationCode, by client: String, redirectURI: String?, verifier: CodeVerifier, resources: [String], at now: Timestamp
    ) -> Decision {
        guard code.digest.isSame(as: digest) else { return .refused(.unknownGrant) }
        guard redeemedAt == nil else { return .replayed }
        guard now >= issuedAt.advanced(by: .zero - Self.skew), now < issuedAt.advanced(by: Self.lifetime) else { return .refused(.unknownGrant) }
        guard client.utf8.elementsEqual(clientID.utf8) else { return .refused(.unknownGrant) }
        guard redirectURI.map({ Array($0.utf8) }) == self.redirectURI.map({ Array($0.utf8) }) else {
            return .refused(OAuthError(.invalidGrant, "\"redirect_uri\" is not the one that the code was asked for with."))
        }
        guard challenge.isMet(by: verifier) else { return .refused(OAuthError(.invalidGrant, "\"code_verifier\" does not fit the challenge.")) }
        guard resources.allSatisfy(self.resources.contains) else {
            return .refused(OAuthError(.invalidTarget, "\"resource\" names one that the user was not asked about."))
        }
        let redeemed = Self(
            digest: digest, clientID: clientID, redirectURI: self.redirectURI, challenge: challenge, resources: self.resources, issuedAt: issuedAt,
            redeemedAt: now)
        return .redeemed(redeemed, resources: resources.isEmpty ? self.resources : resources)
    }
}

extension OAuthError {
    /// The same for every code and token that is not good, so that nobody learns which ones ever were.
    package static let unknownGrant = OAuthError(.invalidGrant, "This code or token is not known here, or not good any more.")
}
