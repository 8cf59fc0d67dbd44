package import Gateway
import JWTKit
import OAuth

/// How the gateway proves at others' token endpoints that it is the client whose document it publishes (`private_key_jwt`:
/// RFC 7523, section 2.2): with the key that signs its tokens, for that is published already.
///
/// What is signed here passes for no access token: it is of another type.
package struct ClientProof: Sendable {
    private let keys: TokenKeys
    private let now: @Sendable () -> Moment

    /// `client_assertion_type`.
    static let type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    /// Some take assertions of a few minutes at most; it is used at once.
    private static let lifetime = Duration.seconds(60)

    package init(keys: TokenKeys, now: @escaping @Sendable () -> Moment) {
        self.keys = keys
        self.now = now
    }

    /// Good once, at that authorization server alone.
    ///
    /// - Throws: `.later` if it cannot be signed.
    func assertion(of client: String, for issuer: String) async throws(IssuerFailure) -> String {
        let moment = now().wall
        let claims = Claims(
            iss: client, sub: client, aud: issuer, jti: RandomToken.make(), iat: moment.seconds, exp: moment.advanced(by: Self.lifetime).seconds)
        do { return try await keys.sign(claims, type: "JWT") } catch {
            throw IssuerFailure(.later(after: nil), "The gateway could not sign who it is.")
        }
    }

    private struct Claims: JWTPayload {
        let iss, sub, aud, jti: String
        let iat, exp: Int64

        func verify(using algorithm: some JWTAlgorithm) throws {}
    }
}
