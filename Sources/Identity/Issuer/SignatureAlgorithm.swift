/// The signatures an issuer may put under its ID tokens (RFC 7518, RFC 8037). Which of them count is the gateway's own
/// setting: what an issuer announces about itself is never asked. No `none`, and nothing with a shared secret.
package enum SignatureAlgorithm: String, Hashable, Sendable, CaseIterable {
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    case edDSA = "EdDSA"

    /// What holds unless the operator says otherwise.
    package static let usual: Set<Self> = [.rs256, .es256, .edDSA]
}
