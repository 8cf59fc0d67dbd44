/// Why an ID token was not believed. The case names the first thing found wrong; its text is for the record and the
/// operator, not for the browser.
package enum IDTokenDefect: String, Hashable, Sendable {
    case missing = "the issuer gave no ID token"
    case oversized = "the token is larger than any the gateway reads"
    case malformed = "the token is not a signed JWT in canonical form"
    case type = "the token's type is not that of an ID token"
    case algorithm = "the token's algorithm is not one the gateway allows"
    case critical = "the token's header demands an extension the gateway does not know"
    case keyID = "the token's key id is longer than any real one"
    case unknownKey = "the issuer publishes no such key for the token's algorithm"
    case signature = "the signature does not hold"
    case claims = "a claim is missing or of the wrong kind"
    case issuer = "the token is another issuer's"
    case audience = "the token is for another client"
    case authorizedParty = "the token was issued to another client"
    case expired = "the token has expired"
    case notYetValid = "the token is of the future: one of the two clocks is wrong"
    case nonce = "the token does not answer this sign-in"
    case subject = "the token names no subject"
    case tenant = "the token's tenant is not one of the allowed"
    case objectID = "the token names no user of its tenant"
}
