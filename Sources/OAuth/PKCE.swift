import Crypto
package import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a client shows when it begins (RFC 7636, section 4.2). S256 is the only method: `plain` protects nothing.
package struct CodeChallenge: Hashable, Sendable {
    /// 43 characters of base64url.
    package let text: String

    /// - Throws: `invalid_request`, also for a challenge without a method, for that would mean `plain`.
    package init(_ text: String?, method: String?) throws(OAuthError) {
        guard let text else { throw OAuthError(.invalidRequest, "\"code_challenge\" is missing: this gateway asks everybody for PKCE.") }
        guard method == "S256" else { throw OAuthError(.invalidRequest, "\"code_challenge_method\" is \"S256\".") }
        guard text.utf8.count == 43, Base64URL.decode(text.utf8) != nil else {
            throw OAuthError(.invalidRequest, "\"code_challenge\" is the SHA-256 of the verifier in base64url: 43 characters.")
        }
        self.text = text
    }

    fileprivate init(_ verifier: String) { text = Base64URL.encode(SHA256.hash(data: Array(verifier.utf8))) }

    package func isMet(by verifier: CodeVerifier) -> Bool { verifier.challenge.text.isSame(as: text) }
}

/// What a client shows when it ends (RFC 7636, section 4.1).
package struct CodeVerifier: Sendable {
    package let text: Secret<String>

    /// - Throws: `invalid_request` for what has not 43 to 128 letters, digits, `-`, `.`, `_` and `~`.
    package init(_ text: String) throws(OAuthError) {
        guard (43...128).contains(text.utf8.count), text.utf8.allSatisfy(URIText.isUnreserved) else {
            throw OAuthError(.invalidRequest, "\"code_verifier\" is 43 to 128 letters, digits, -, ., _ and ~.")
        }
        self.text = Secret(text)
    }

    private init(_ text: Secret<String>) { self.text = text }

    /// 32 random bytes: for requests of the gateway's own.
    package static func random() -> Self { Self(Secret(Base64URL.encode(randomBytes(32)))) }

    package var challenge: CodeChallenge { CodeChallenge(text.revealed) }
}

/// From the system's generator, which is good for secrets.
func randomBytes(_ count: Int) -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
}

extension String {
    /// Whether two texts are the same bytes, in a time that tells nothing but their lengths.
    func isSame(as other: String) -> Bool { Array(utf8).isSame(as: Array(other.utf8)) }
}

extension [UInt8] {
    /// Whether they are the same, in a time that tells nothing but their lengths.
    func isSame(as other: [UInt8]) -> Bool {
        count == other.count && zip(self, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
