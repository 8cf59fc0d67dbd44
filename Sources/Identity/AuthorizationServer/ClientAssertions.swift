import Crypto
import Gateway
import JWTKit
import OAuth
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Proof of a client's by its own key (`private_key_jwt`: RFC 7523, section 2.2; OpenID Connect Core, section 9).
///
/// An assertion lives for five minutes at most and is good once: what was seen is remembered for that long, bounded.
package final class ClientAssertions: Sendable {
    private static let longestLife: Int64 = 300
    private static let skew: Int64 = 60
    private static let capacity = 100_000
    private static let algorithms: Set<String> = ["ES256", "ES384", "RS256", "PS256", "EdDSA"]

    /// Fetches a set of keys that a client publishes; a refusal tells no detail of the fetch.
    private let fetch: @Sendable (String) async throws -> [UInt8]
    /// By client and id, until when it would be good.
    private let seen = Mutex<[String: Int64]>([:])

    package init(fetch: @escaping @Sendable (String) async throws -> [UInt8]) { self.fetch = fetch }

    /// - Parameter audiences: what it may be addressed to: the issuer, or its token endpoint.
    /// - Throws: `invalid_client`, the same for everything that is wrong with it.
    func verify(_ assertion: Secret<String>, of client: KnownClient, audiences: [String], at now: Timestamp) async throws {
        let refused = OAuthError(.invalidClient, "The client could not be authenticated.")
        guard let header: Header = Self.part(0, of: assertion.revealed), Self.algorithms.contains(header.alg), header.crit == nil,
            let clientKeys = client.metadata.keys
        else { throw refused }
        let set: [UInt8]
        switch clientKeys {
        case .inline(let text): set = Array(text.utf8)
        case .published(let url): set = try await fetch(url)
        }
        let keys = JWTKeyCollection()
        let claims: Claims
        do {
            let parsed = try JSONDecoder().decode(JWKS.self, from: Data(set))
            guard parsed.keys.count <= ClientKeys.mostKeys else { throw refused }
            // Of several without names, one is tried: a set is to name its keys (RFC 7515, section 4.1.4).
            guard var key = parsed.keys.first(where: { header.kid == nil || $0.keyIdentifier?.string == header.kid }) else { throw refused }
            guard key.privateExponent == nil, key.algorithm == nil || key.algorithm?.rawValue == header.alg else { throw refused }
            // Used for what the header says and this list allows; a key of another kind does not fit it.
            key.algorithm = JWK.Algorithm(rawValue: header.alg)
            key.keyIdentifier = JWKIdentifier(string: header.kid ?? "the only one")
            try await keys.add(jwk: key, isDefault: true)
            claims = try await keys.verify(assertion.revealed, as: Claims.self)
        } catch {
            throw refused
        }
        let moment = now.seconds
        guard claims.iss == client.id, claims.sub == client.id, claims.aud.value.contains(where: audiences.contains),
            claims.exp.magnitude < 1 << 40, moment < claims.exp + Self.skew, claims.exp <= moment + Self.longestLife + Self.skew,
            (claims.nbf ?? 0) <= moment + Self.skew, (claims.iat ?? 0) <= moment + Self.skew, (1...256).contains(claims.jti.utf8.count)
        else { throw refused }
        let isNew = seen.withLock { seen in
            if seen.count >= Self.capacity { seen = seen.filter { $0.value >= moment } }
            // Full of live ones: nothing is let in that could not be remembered.
            guard seen.count < Self.capacity else { return false }
            return seen.updateValue(claims.exp + Self.skew, forKey: client.fingerprint + "\n" + claims.jti) == nil
        }
        guard isNew else { throw refused }
    }

    /// Who an assertion says it is of: not believed before it is verified with that client's keys.
    static func subject(of assertion: Secret<String>) -> String? {
        guard let claims: Subject = part(1, of: assertion.revealed), claims.sub.utf8.count <= ClientID.longest else { return nil }
        return claims.sub
    }

    private static func part<Value: Decodable>(_ number: Int, of token: String) -> Value? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let json = Base64URL.decode(parts[number]) else { return nil }
        return try? JSONDecoder().decode(Value.self, from: json)
    }

    private struct Header: Decodable {
        let alg: String
        let kid: String?
        let crit: [String]?
    }

    private struct Subject: Decodable { let sub: String }

    private struct Claims: JWTPayload {
        let iss: String
        let sub: String
        let aud: AudienceClaim
        let exp: Int64
        let nbf: Int64?
        let iat: Int64?
        let jti: String

        func verify(using algorithm: some JWTAlgorithm) throws {}
    }
}
