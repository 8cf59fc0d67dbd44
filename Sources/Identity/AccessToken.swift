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
    /// Never issued; heeded where it is there.
    var nbf: Int64?
    let jti: String
    /// The session the token belongs to; what is issued anew in it carries the same.
    let sid: String?
    /// Which client it was issued to; nobody's for those of the command line and of evaluation.
    let client_id: String?
    /// What it was given for (RFC 6749, section 3.3).
    let scope: String

    /// Time and audience are checked by `Authenticator`, which can say which of them was wrong.
    func verify(using algorithm: some JWTAlgorithm) throws {}
}
