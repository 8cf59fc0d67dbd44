package import Gateway
package import OAuth

/// Somebody as their issuer vouches for them, and what they are here.
package struct SignedInPerson: Sendable {
    package let issuer: String
    /// Never reused for somebody else at that issuer.
    package let subject: String
    /// What they are called, if nobody else in the tenant is.
    package let name: String
    package let displayName: String
    package let role: Role
    package let tenant: String
    package let tokens: IssuerTokens?

    package init(issuer: String, subject: String, name: String, displayName: String, role: Role, tenant: String, tokens: IssuerTokens?) {
        self.issuer = issuer
        self.subject = subject
        self.name = name
        self.displayName = displayName
        self.role = role
        self.tenant = tenant
        self.tokens = tokens
    }
}

/// The issuer that people sign in at: live, a client of it; in a test, literals.
package struct SignInIssuer: Sendable {
    /// For people: its host.
    package var name: String
    /// Where to send the browser.
    package var begin: @Sendable (_ state: String, _ nonce: String, CodeChallenge) async throws -> String
    /// Whether an answer came from the issuer that was asked (RFC 9207).
    package var checkSender: @Sendable (_ iss: String?) async throws -> Void
    /// Exchanges the code, and says who it is.
    ///
    /// - Throws: `Refusal.forbidden` for somebody who has no business here, with why.
    package var finish: @Sendable (_ code: Secret<String>, CodeVerifier, _ nonce: String) async throws -> SignedInPerson

    package init(
        name: String, begin: @escaping @Sendable (_ state: String, _ nonce: String, CodeChallenge) async throws -> String,
        checkSender: @escaping @Sendable (_ iss: String?) async throws -> Void,
        finish: @escaping @Sendable (_ code: Secret<String>, CodeVerifier, _ nonce: String) async throws -> SignedInPerson
    ) {
        self.name = name
        self.begin = begin
        self.checkSender = checkSender
        self.finish = finish
    }

    /// The error that the issuer sent the browser back with, if it did (RFC 6749, section 4.1.2.1).
    ///
    /// Of Entra ID's description only the numbers are passed on, which `mreg doctor aadsts` explains: the rest is anybody's text.
    static func complaint(in parameters: Parameters) throws(OAuthError) -> OAuthError? {
        guard let error = try parameters.one("error", longest: 256) else { return nil }
        let description = (try? parameters.one("error_description", longest: 4096)) ?? ""
        let names = [error.cut(64).withoutControls] + AADSTS.all(in: description).prefix(2).map(\.name)
        let isDenied = ["access_denied", "consent_required", "interaction_required", "login_required"].contains(error)
        return OAuthError(isDenied ? .accessDenied : .serverError, "The issuer did not sign the user in (\(names.joined(separator: ", "))).")
    }
}

/// Where grants are kept: live, the record of truth; in a test, a dictionary.
package struct GrantStore: Sendable {
    /// Stores the person, as a new user if need be, what they allowed, and the record of it, at once.
    package var signIn: @Sendable (SignedInPerson, @escaping @Sendable (User) -> AuthorizationGrant, AuditRecord) async throws -> User
    /// Lets a closure decide about the grant that a code began, and stores what it made of it before it returns.
    package var redeemCode: @Sendable (_ digest: [UInt8], @escaping GrantDecision) async throws -> GrantOutcome
    package var redeem: @Sendable (GrantID, @escaping GrantDecision) async throws -> GrantOutcome
    package var user: @Sendable (UserID) async throws -> User?
    /// Ends a sign-in everywhere, with the record of it, if it is not recorded already.
    package var endSession: @Sendable (SessionID, UserID, TenantID, AuditRecord?) async throws -> Void
    package var record: @Sendable (AuditRecord) async throws -> Void

    package init(
        signIn: @escaping @Sendable (SignedInPerson, @escaping @Sendable (User) -> AuthorizationGrant, AuditRecord) async throws -> User,
        redeemCode: @escaping @Sendable (_ digest: [UInt8], @escaping GrantDecision) async throws -> GrantOutcome,
        redeem: @escaping @Sendable (GrantID, @escaping GrantDecision) async throws -> GrantOutcome,
        user: @escaping @Sendable (UserID) async throws -> User?,
        endSession: @escaping @Sendable (SessionID, UserID, TenantID, AuditRecord?) async throws -> Void,
        record: @escaping @Sendable (AuditRecord) async throws -> Void
    ) {
        self.signIn = signIn
        self.redeemCode = redeemCode
        self.redeem = redeem
        self.user = user
        self.endSession = endSession
        self.record = record
    }
}

/// May be asked more than once for one change; what it throws at whoever asked is in its outcome.
package typealias GrantDecision = @Sendable (inout AuthorizationGrant?) -> (GrantOutcome, AuditRecord?)

package enum GrantOutcome: Hashable, Sendable {
    /// Good, for these resources.
    case good(AuthorizationGrant, resources: [String])
    /// Two had what one should: everything that came of the grant is over.
    case reused(AuthorizationGrant)
    case refused(OAuthError)
    case done
}
