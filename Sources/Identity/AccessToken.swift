import JWTKit

/// The claims of the gateway's own access tokens (RFC 9068).
struct AccessToken: JWTPayload {
    /// `typ` of their header: an ID token or a refresh token never passes for one.
    static let type = "at+jwt"

    let iss: String
    let sub: String
    let aud: [String]
    let iat: Int64
    let exp: Int64
    let jti: String
    /// The session the token belongs to; what is issued anew in it carries the same.
    let sid: String?

    /// Time and audience are checked by `Authenticator`, which can say which of them was wrong.
    func verify(using algorithm: some JWTAlgorithm) throws {}
}
