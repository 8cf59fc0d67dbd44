/// Why the issuer gave nothing, and who can do something about it.
///
/// The sentence is the gateway's own, for its operator. Of what the issuer wrote it repeats known error codes and numbers
/// only: an error text can hold what the request held.
package struct IssuerFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        /// The code or refresh token is good no more. Repeating is useless; signing in again helps.
        case grantOver
        /// A person has to do something on the issuer's own page: a second factor, a consent. Repeating is useless.
        case interactionRequired
        /// Worth repeating: after this long, if the issuer said so (at most an hour).
        case later(after: Duration?)
        /// Somebody has to change a setting, here or at the issuer.
        case configuration
        /// The ID token was not believed.
        case token(IDTokenDefect)
        /// The answer may come from another issuer than was asked (RFC 9207).
        case mixUp
    }

    package let kind: Kind
    /// The issuer's `error`, if it is one of the known.
    package let code: String?
    /// The number after `AADSTS`, by which Entra ID documents what is wrong.
    package let azureCode: Int?
    package let sentence: String

    package init(_ kind: Kind, _ sentence: String, code: String? = nil, azureCode: Int? = nil) {
        self.kind = kind
        self.sentence = sentence
        self.code = code
        self.azureCode = azureCode
    }

    init(_ defect: IDTokenDefect) { self.init(.token(defect), "The issuer's ID token was not believed: \(defect.rawValue).") }

    /// Whether the user has to sign in again, whatever else happens.
    package var isTerminal: Bool { kind == .grantOver || kind == .interactionRequired }

    package var isWorthRepeating: Bool {
        if case .later = kind { true } else { false }
    }

    package var description: String { sentence }
}
