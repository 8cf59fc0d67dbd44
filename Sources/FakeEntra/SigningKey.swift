import Crypto
import CryptoExtras

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension FakeEntra {
    /// An RSA key of 2048 bits that signs with RS256 (RFC 7518, 3.3).
    package struct SigningKey: Sendable {
        private let key: _RSA.Signing.PrivateKey
        /// `kid`: derived from the modulus.
        package let id: String
        private let modulus: String
        private let exponent: String

        package static func generate() throws -> Self {
            let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
            return Self(key, try key.publicKey.getKeyPrimitives())
        }

        private init(_ key: _RSA.Signing.PrivateKey, _ primitives: _RSA.Signing.PublicKey.Primitives) {
            self.key = key
            modulus = Base64URL.encode(primitives.modulus)
            exponent = Base64URL.encode(primitives.publicExponent)
            id = Base64URL.encode(SHA256.hash(data: primitives.modulus).prefix(20))
        }

        /// A JSON Web Key as Entra publishes it, with the issuer it signs for. (It has `x5c` too, a certificate; it has no `alg`.)
        func published(issuer: String) -> Value {
            [
                "kty": "RSA", "use": "sig", "kid": .string(id), "x5t": .string(id), "n": .string(modulus), "e": .string(exponent),
                "issuer": .string(issuer), "cloud_instance_name": "microsoftonline.com",
            ]
        }

        func sign(claims: [String: Value], header: [String: Value] = [:]) throws -> String {
            let whole = (["typ": "JWT", "alg": "RS256", "kid": .string(id)] as [String: Value]).merging(header) { $1 }
            let signed = Base64URL.encode(Value.object(whole).json) + "." + Base64URL.encode(Value.object(claims).json)
            let signature = try key.signature(for: Data(signed.utf8), padding: .insecurePKCS1v1_5)
            return signed + "." + Base64URL.encode(signature.rawRepresentation)
        }

        func isSignature(_ signature: [UInt8], of text: Substring) -> Bool {
            key.publicKey.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: Data(signature)), for: Data(text.utf8), padding: .insecurePKCS1v1_5)
        }
    }
}

/// The key that signs, and those before it whose tokens are still good.
struct KeyRing: Sendable {
    private static let mostBefore = 2

    private(set) var current: FakeEntra.SigningKey
    private var before: [FakeEntra.SigningKey] = []

    init(_ key: FakeEntra.SigningKey) { current = key }

    var published: [FakeEntra.SigningKey] { [current] + before }

    mutating func rotate(to key: FakeEntra.SigningKey, overlap: Bool) {
        before = overlap ? Array(([current] + before).prefix(Self.mostBefore)) : []
        current = key
    }

    /// The claims of a token of ours, whatever they say; nil if its signature is not by a published key.
    func claims(of token: String) -> [String: FakeEntra.Value]? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let signature = Base64URL.decode(parts[2]),
            let header = Base64URL.decode(parts[0]).flatMap({ FakeEntra.Value(parsing: $0) }), header["alg"]?.string == "RS256",
            let key = published.first(where: { $0.id == header["kid"]?.string }),
            key.isSignature(signature, of: token[..<parts[1].endIndex])
        else { return nil }
        return Base64URL.decode(parts[1]).flatMap { FakeEntra.Value(parsing: $0) }?.members
    }
}
