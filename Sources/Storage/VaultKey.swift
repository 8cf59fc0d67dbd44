import Gateway
import Sealing

/// What the vault keeps something under. Each value is bound to its key and its owner.
enum VaultKey: Hashable, Sendable {
    case accessToken(UserID)
    case tokenMetadata(UserID)
    case refreshToken(UserID)
    case idToken(UserID)
    case refreshIntent(UserID)
    case upstreamCredential(UserID, ServerID)
    case serverSecret(ServerID)
    case clientRegistration(ServerID)
    case serverEnvironment(ServerID)

    /// A kind and its owner's number, as the contract names them.
    var name: String {
        switch self {
        case .accessToken(let user): "access_token:\(user.rawValue)"
        case .tokenMetadata(let user): "\(Self.metadataPrefix)\(user.rawValue)"
        case .refreshToken(let user): "\(Self.refreshPrefix)\(user.rawValue)"
        case .idToken(let user): "id_token:\(user.rawValue)"
        case .refreshIntent(let user): "\(Self.intentPrefix)\(user.rawValue)"
        case .upstreamCredential(let user, let server): "\(Self.credentialPrefix)\(user.rawValue):\(server.rawValue)"
        case .serverSecret(let server): "server_secret:\(server.rawValue)"
        case .clientRegistration(let server): "client_registration:\(server.rawValue)"
        case .serverEnvironment(let server): "server_environment:\(server.rawValue)"
        }
    }

    static let metadataPrefix = "token_metadata:"
    static let refreshPrefix = "refresh_token:"
    static let intentPrefix = "refresh_intent:"
    static let credentialPrefix = "upstream_credential:"

    /// All that one sign-in leaves behind.
    static func ofSignIn(_ user: UserID) -> [Self] {
        [.accessToken(user), .tokenMetadata(user), .refreshToken(user), .idToken(user), .refreshIntent(user)]
    }

    /// What belongs to a server is nobody's own.
    var owner: UserID? {
        switch self {
        case .accessToken(let user), .tokenMetadata(let user), .refreshToken(let user), .idToken(let user), .refreshIntent(let user),
            .upstreamCredential(let user, _):
            user
        case .serverSecret, .clientRegistration, .serverEnvironment: nil
        }
    }

    /// As it lies in the map.
    var bytes: [UInt8] { Array(name.utf8) }

    /// Nil for anything that `bytes` would not spell the same.
    init?(_ bytes: some Collection<UInt8>) {
        let text = String(decoding: bytes, as: UTF8.self)
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count > 1, let number = Int64(parts[1]) else { return nil }
        let user = UserID(number)
        switch (parts[0], parts.count) {
        case ("access_token", 2): self = .accessToken(user)
        case ("token_metadata", 2): self = .tokenMetadata(user)
        case ("refresh_token", 2): self = .refreshToken(user)
        case ("id_token", 2): self = .idToken(user)
        case ("refresh_intent", 2): self = .refreshIntent(user)
        case ("upstream_credential", 3):
            guard let server = Int64(parts[2]).map(ServerID.init) else { return nil }
            self = .upstreamCredential(user, server)
        case ("server_secret", 2): self = .serverSecret(ServerID(number))
        case ("client_registration", 2): self = .clientRegistration(ServerID(number))
        case ("server_environment", 2): self = .serverEnvironment(ServerID(number))
        default: return nil
        }
        guard name.utf8.elementsEqual(bytes) else { return nil }
    }

    /// What a value under this key is sealed for.
    func binding(_ expiresAt: Timestamp) -> [UInt8] {
        let expiry = withUnsafeBytes(of: expiresAt.microseconds.bigEndian) { Array($0) }
        switch self {
        case .serverSecret(let server), .clientRegistration(let server), .serverEnvironment(let server):
            return Binding(kind: "server", owner: String(server.rawValue), place: name, detail: expiry).bytes
        default: return Binding(kind: "user", owner: owner.map { String($0.rawValue) } ?? "", place: name, detail: expiry).bytes
        }
    }
}

/// A value as it lies in the map: when it is over, in the clear so that sweeping opens nothing, and the sealed rest. The
/// time is part of what is sealed for, so it cannot be put off.
struct SealedEntry: Sendable {
    let expiresAt: Timestamp
    let sealed: [UInt8]

    init(expiresAt: Timestamp, sealed: [UInt8]) {
        self.expiresAt = expiresAt
        self.sealed = sealed
    }

    /// What is too short is no entry: it is never over, and does not open.
    init(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 8 else {
            self.init(expiresAt: .never, sealed: [])
            return
        }
        self.init(expiresAt: Timestamp(microseconds: Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))), sealed: Array(bytes.dropFirst(8)))
    }

    var bytes: [UInt8] { withUnsafeBytes(of: expiresAt.microseconds.bigEndian) { Array($0) } + sealed }
    var keyID: SealingKey.ID? { Sealer.keyID(of: sealed) }
}

extension Timestamp {
    /// Of what does not expire.
    static let never = Timestamp(microseconds: .max)
}
