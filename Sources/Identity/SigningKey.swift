import Crypto
package import Gateway
import JWTKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The gateway's ES256 key: signs its tokens and is published for whoever wants to verify them.
package struct SigningKey: Sendable {
    private let key: P256.Signing.PrivateKey
    private let keys: JWTKeyCollection

    /// The RFC 7638 thumbprint of the public key.
    package let id: String

    package init(pem: Secret<String>) async throws {
        try await self.init(P256.Signing.PrivateKey(pemRepresentation: pem.revealed))
    }

    package static func generate() async throws -> Self { try await Self(P256.Signing.PrivateKey()) }

    package var pem: Secret<String> { Secret(key.pemRepresentation) }

    private init(_ key: P256.Signing.PrivateKey) async throws {
        self.key = key
        let point = key.publicKey.rawRepresentation
        let (x, y) = (Base64URL.encode(point.prefix(32)), Base64URL.encode(point.suffix(32)))
        id = Base64URL.encode(SHA256.hash(data: Data(#"{"crv":"P-256","kty":"EC","x":"\#(x)","y":"\#(y)"}"#.utf8)))
        keys = JWTKeyCollection()
        await keys.add(ecdsa: try ES256PrivateKey(backing: key), kid: JWKIdentifier(string: id))
    }

    /// The public half as the members of a JSON Web Key.
    package var publicMembers: [(name: String, value: String)] {
        let point = key.publicKey.rawRepresentation
        return [
            ("kty", "EC"), ("crv", "P-256"), ("alg", "ES256"), ("use", "sig"), ("kid", id), ("x", Base64URL.encode(point.prefix(32))),
            ("y", Base64URL.encode(point.suffix(32))),
        ]
    }

    /// An ECDSA signature over the SHA-256 of the bytes, in DER: what `openssl dgst -verify` reads.
    package func signature(of bytes: [UInt8]) throws -> [UInt8] {
        Array(try key.signature(for: bytes).derRepresentation)
    }

    package func isSignature(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
        guard let signature = try? P256.Signing.ECDSASignature(derRepresentation: signature) else { return false }
        return key.publicKey.isValidSignature(signature, for: bytes)
    }

    /// The public half in PEM.
    package var publicPEM: String { key.publicKey.pemRepresentation }

    func sign(_ payload: some JWTPayload, type: String) async throws -> String {
        try await keys.sign(payload, kid: JWKIdentifier(string: id), header: ["typ": .string(type)])
    }

    /// The claims of a token whose header names this key, this algorithm and this type, and whose signature holds.
    ///
    /// Nothing else in a header is looked at: not `jku`, not `x5u`, and an unknown `crit` refuses the token.
    func verify(_ token: String) async throws(Refusal) -> AccessToken {
        let header = try Self.header(of: token)
        guard header.alg == "ES256", header.kid == id, header.typ == AccessToken.type, header.crit == nil else { throw .unauthenticated(.unknown) }
        do { return try await keys.verify(token, as: AccessToken.self) } catch { throw .unauthenticated(.unknown) }
    }

    /// Which key a token says it is signed with: not believed before that key has verified it.
    static func keyID(of token: String) throws(Refusal) -> String {
        guard let id = try header(of: token).kid, id.utf8.count <= 128 else { throw .unauthenticated(.unknown) }
        return id
    }

    private static func header(of token: String) throws(Refusal) -> Header {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let json = Base64URL.decode(parts[0]), let header = try? JSONDecoder().decode(Header.self, from: json) else {
            throw .unauthenticated(.malformed)
        }
        return header
    }

    private struct Header: Decodable {
        let alg: String
        let kid: String?
        let typ: String?
        let crit: [String]?
    }
}

/// Base64 for URLs without padding (RFC 4648, section 5).
enum Base64URL {
    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    static func decode(_ text: Substring) -> Data? {
        guard !text.contains(where: { $0 == "+" || $0 == "/" || $0 == "=" }) else { return nil }
        let padding = String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        return Data(base64Encoded: text.replacing("-", with: "+").replacing("_", with: "/") + padding)
    }
}
