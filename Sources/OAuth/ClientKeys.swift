import Gateway

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Where a client's public keys are.
package enum ClientKeys: Hashable, Sendable {
    /// A JSON Web Key Set, as the client wrote it.
    case inline(String)
    /// Where it is published: https.
    case published(at: String)

    package static let longestKeySet = 8 << 10
    package static let mostKeys = 10

    /// - Throws: `invalid_client_metadata` if this cannot be a set of public keys, or a place of one.
    func check(isEvaluation: Bool) throws(OAuthError) {
        switch self {
        case .published(let text):
            guard ClientMetadata.isWebPage(text, isEvaluation: isEvaluation) else {
                throw Self.invalid("\"jwks_uri\" is an https URL of at most 512 bytes.")
            }
        case .inline(let text):
            let bytes = Array(text.utf8)
            guard bytes.count <= Self.longestKeySet, JSONOutline(bytes) != nil, let set = try? JSONDecoder().decode(KeySet.self, from: Data(bytes)),
                (1...Self.mostKeys).contains(set.keys.count)
            else { throw Self.invalid("\"jwks\" is a JSON Web Key Set of 1 to \(Self.mostKeys) keys in at most \(Self.longestKeySet) bytes.") }
            guard set.keys.allSatisfy({ ["RSA", "EC", "OKP"].contains($0.kty) && $0.d == nil && $0.k == nil }) else {
                throw Self.invalid("\"jwks\" holds public keys only; a key that was sent here with its private part should be replaced.")
            }
        }
    }

    private struct KeySet: Decodable {
        let keys: [Key]

        struct Key: Decodable {
            let kty: String
            /// Private parts.
            let d: String?
            let k: String?
        }
    }

    private static func invalid(_ sentence: String) -> OAuthError { OAuthError(.invalidClientMetadata, sentence) }
}
