import JWTKit
import MCP

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// An issuer's public keys (RFC 7517): those the gateway could verify a signature with. The others are passed over, for an
/// issuer may publish keys for other uses beside them.
struct IssuerKeySet: Sendable {
    struct Key: Sendable {
        let id: String?
        let algorithm: SignatureAlgorithm
        let verifier: any JWTAlgorithm
    }

    static let largest = 256 << 10
    static let longestID = 128
    private static let mostKeys = 100

    let keys: [Key]

    /// - Throws: `.configuration`, also if no key is left.
    init(reading bytes: [UInt8], allowing algorithms: Set<SignatureAlgorithm>) async throws(IssuerFailure) {
        let json: JSON
        do throws(JSONError) { json = try JSON(parsing: bytes, limits: JSON.Limits(depth: 16, nodes: 20_000)) } catch {
            throw IssuerFailure(.configuration, "The issuer's key set is not JSON: \(error.reason.rawValue) (byte \(error.offset)).")
        }
        guard let list = json["keys"], list.kind == .array else { throw IssuerFailure(.configuration, "The issuer's key set has no list of keys.") }
        let elements = list.elements
        guard elements.count <= Self.mostKeys else {
            throw IssuerFailure(.configuration, "The issuer's key set has \(elements.count) keys; the gateway reads at most \(Self.mostKeys).")
        }
        var keys: [Key] = []
        for element in elements { keys += await Self.read(element, allowing: algorithms) }
        self.keys = keys
        guard !keys.isEmpty else {
            let names = algorithms.map(\.rawValue).sorted().joined(separator: ", ")
            throw IssuerFailure(
                .configuration,
                "None of the issuer's \(elements.count) keys can verify a signature by an allowed algorithm (\(names)); RSA keys need 2048 bits.")
        }
    }

    /// The keys a token's header may mean. One that names no key means the only one there is, or none; and so does one that
    /// names a key in a set whose only key has no name.
    func keys(for id: String?, _ algorithm: SignatureAlgorithm) -> [Key] {
        let fitting = keys.filter { $0.algorithm == algorithm }
        if let id {
            let named = fitting.filter { $0.id?.isExactly(id) == true }
            if !named.isEmpty { return named }
            return fitting.count == 1 && fitting[0].id == nil ? fitting : []
        }
        return fitting.count == 1 ? fitting : []
    }

    private static func read(_ key: JSON, allowing algorithms: Set<SignatureAlgorithm>) async -> [Key] {
        guard key.isObject, let type = key["kty"]?.string else { return [] }
        if let use = key["use"], use.string != "sig" { return [] }
        if let operations = key["key_ops"], !operations.elements.contains(where: { $0.string == "verify" }) { return [] }
        // A key whose private half is published is everybody's.
        guard key["d"] == nil, key["k"] == nil else { return [] }
        let id = key["kid"]?.string
        guard key["kid"] == nil || id != nil, (id?.utf8.count ?? 0) <= longestID else { return [] }

        let fitting: [SignatureAlgorithm]
        switch (type, key["crv"]?.string) {
        case ("RSA", _): fitting = [.rs256, .rs384, .rs512, .ps256, .ps384, .ps512]
        case ("EC", "P-256"): fitting = [.es256]
        case ("EC", "P-384"): fitting = [.es384]
        case ("EC", "P-521"): fitting = [.es512]
        case ("OKP", "Ed25519"): fitting = [.edDSA]
        default: return []
        }
        var wanted = fitting.filter(algorithms.contains)
        if let algorithm = key["alg"] { wanted = wanted.filter { $0.rawValue == algorithm.string } }
        var keys: [Key] = []
        for algorithm in wanted {
            guard let verifier = try? await verifier(algorithm, key) else { continue }
            keys.append(Key(id: id, algorithm: algorithm, verifier: verifier))
        }
        return keys
    }

    private struct Unusable: Error {}

    private static func verifier(_ algorithm: SignatureAlgorithm, _ key: JSON) async throws -> any JWTAlgorithm {
        func number(_ name: String, bytes: ClosedRange<Int>) throws -> String {
            guard let text = key[name]?.string, let value = Base64URL.decode(text[...]), bytes.contains(value.count) else { throw Unusable() }
            return text
        }
        let collection = JWTKeyCollection()
        switch algorithm {
        case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512:
            // 8192 bits are more than anybody uses, and what a verification may cost.
            let rsa = try Insecure.RSA.PublicKey(modulus: number("n", bytes: 256...1025), exponent: number("e", bytes: 1...4))
            switch algorithm {
            case .rs384: await collection.add(rsa: rsa, digestAlgorithm: .sha384)
            case .rs512: await collection.add(rsa: rsa, digestAlgorithm: .sha512)
            case .ps256: await collection.add(pss: rsa, digestAlgorithm: .sha256)
            case .ps384: await collection.add(pss: rsa, digestAlgorithm: .sha384)
            case .ps512: await collection.add(pss: rsa, digestAlgorithm: .sha512)
            default: await collection.add(rsa: rsa, digestAlgorithm: .sha256)
            }
        case .es256: await collection.add(ecdsa: try ES256PublicKey(parameters: (number("x", bytes: 32...32), number("y", bytes: 32...32))))
        case .es384: await collection.add(ecdsa: try ES384PublicKey(parameters: (number("x", bytes: 48...48), number("y", bytes: 48...48))))
        case .es512: await collection.add(ecdsa: try ES512PublicKey(parameters: (number("x", bytes: 66...66), number("y", bytes: 66...66))))
        case .edDSA: await collection.add(eddsa: try EdDSA.PublicKey(x: number("x", bytes: 32...32), curve: .ed25519))
        }
        return try await collection.getKey()
    }
}
