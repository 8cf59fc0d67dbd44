import Crypto
import Foundation
import Gateway
import Identity

extension Timestamp {
    /// Not a whole second, as no real moment is.
    static let now = Timestamp(microseconds: 1_800_000_000_500_000)

    static func + (moment: Self, duration: Duration) -> Self { moment.advanced(by: duration) }
}

extension User {
    static func number(_ id: Int64, role: Role = .user, revokedBefore: Timestamp = Timestamp(microseconds: 0)) -> User {
        User(id: UserID(id), name: "user-\(id)", tenant: TenantID(1), role: role, revokedBefore: revokedBefore)
    }

    static let ada = number(7)
    static let grace = number(8)
    /// Signed out everywhere a minute ago.
    static let revoked = number(9, revokedBefore: .now + .seconds(-60))
}

extension InstanceKey {
    static let fixed = InstanceKey(Secret(Array(repeating: 7, count: 32)))!
    static let other = InstanceKey(Secret(Array(repeating: 8, count: 32)))!
}

extension UserDirectory {
    static func fixed(_ users: User...) -> Self {
        Self { id in users.first { $0.id == id } }
    }
}

/// An authenticator at http://localhost:8001, and the means to write tokens it never issued.
struct Gatehouse {
    static let origin = Origin("http://localhost:8001")!

    let key: SigningKey
    let authenticator: Authenticator

    init(users: UserDirectory = .fixed(.ada, .grace, .revoked), origin: Origin = Self.origin, instance: InstanceKey = .fixed) async throws {
        key = try await SigningKey.generate()
        authenticator = Authenticator(keys: TokenKeys(signing: key), instance: instance, users: users) { origin }
    }

    func token(for user: User = .ada, _ resources: [Resource] = [.mcp], at now: Timestamp = .now) async throws -> [String] {
        ["Bearer " + (try await authenticator.issue(to: user, for: resources, at: now).revealed)]
    }

    var privateKey: P256.Signing.PrivateKey { get throws { try P256.Signing.PrivateKey(pemRepresentation: key.pem.revealed) } }

    /// A token with these members changed, each given as JSON; nil leaves one out.
    ///
    /// - Parameter sign: makes the signature from the text to be signed; nil signs as the gateway does.
    func forged(
        header headerChanges: [String: String?] = [:], claims claimChanges: [String: String?] = [:],
        sign: ((Data) throws -> Data)? = nil
    ) throws -> String {
        let header: [String: String?] = ["alg": #""ES256""#, "typ": #""at+jwt""#, "kid": "\"\(key.id)\""]
        let claims: [String: String?] = [
            "iss": #""http://localhost:8001""#, "sub": #""7""#, "aud": #"["http://localhost:8001/mcp"]"#, "iat": "1800000000",
            "exp": "1800003600", "jti": #""one""#, "scope": #""mcp:tools registry:read registry:write admin account""#,
        ]
        let text = Self.part(header.merging(headerChanges) { $1 }) + "." + Self.part(claims.merging(claimChanges) { $1 })
        let privateKey = try privateKey
        let signature = try (sign ?? { try privateKey.signature(for: $0).rawRepresentation })(Data(text.utf8))
        return text + "." + Self.base64URL(signature)
    }

    private static func part(_ members: [String: String?]) -> String {
        let written = members.compactMap { name, value in value.map { "\"\(name)\":\($0)" } }
        return base64URL(Data("{\(written.sorted().joined(separator: ","))}".utf8))
    }

    static func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
