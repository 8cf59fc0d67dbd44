import JWTKit
import MCP

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A JWT of an issuer's, taken apart (RFC 7515, compact form). Nothing in it is to be believed before its signature holds.
///
/// Of the header, `alg`, `kid`, `typ` and `crit` are read; where it says keys could be found (`jku`, `x5u`, `jwk`, `x5c`)
/// is nobody's business. Members that stand twice make the token malformed, as does base64 that could be written otherwise.
struct SignedToken {
    let algorithm: SignatureAlgorithm
    let keyID: String?
    let claims: JSON
    private let signed: Data
    private let signature: Data

    /// Two hundred groups make some 12 KiB.
    static let largest = 32 << 10

    init(_ token: String, allowing algorithms: Set<SignatureAlgorithm>) throws(IssuerFailure) {
        guard token.utf8.count <= Self.largest else { throw .init(.oversized) }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .init(.malformed) }
        let header = try Self.object(parts[0])
        guard header["crit"] == nil else { throw .init(.critical) }
        if let type = header["typ"], type.string?.lowercased() != "jwt" { throw .init(.type) }
        guard let name = header["alg"]?.string, let algorithm = SignatureAlgorithm(rawValue: name), algorithms.contains(algorithm) else {
            throw .init(.algorithm)
        }
        self.algorithm = algorithm
        keyID = header["kid"]?.string
        guard header["kid"] == nil || keyID != nil else { throw .init(.malformed) }
        guard (keyID?.utf8.count ?? 0) <= IssuerKeySet.longestID else { throw .init(.keyID) }
        claims = try Self.object(parts[1])
        guard let signature = Self.decode(parts[2]), !signature.isEmpty else { throw .init(.signature) }
        self.signature = signature
        signed = Data(token[..<parts[1].endIndex].utf8)
    }

    func isSigned(by key: IssuerKeySet.Key) -> Bool {
        key.algorithm == algorithm && (try? key.verifier.verify(signature, signs: signed)) == true
    }

    private static func object(_ part: Substring) throws(IssuerFailure) -> JSON {
        guard let bytes = decode(part), let json = try? JSON(parsing: Array(bytes), limits: JSON.Limits(depth: 16, nodes: 5000)), json.isObject else {
            throw .init(.malformed)
        }
        return json
    }

    private static func decode(_ part: Substring) -> Data? {
        guard let data = Base64URL.decode(part), Base64URL.encode(data).utf8.elementsEqual(part.utf8) else { return nil }
        return data
    }
}
