import Gateway
import MCP
import OAuth
import Synchronization

@testable import Identity

/// Credentials over dictionaries instead of a vault, with a fetcher that is a closure.
final class UpstreamRig: Sendable {
    struct Held: Sendable {
        var secrets: [ServerID: Secret<[UInt8]>] = [:]
        var registrations: [ServerID: Secret<[UInt8]>] = [:]
        var tokens: [TokenShelf.Key: Secret<[UInt8]>] = [:]
        var errors: [TokenShelf.Key: String] = [:]
        var requests: [FetchRequest] = []
        var reports: [String] = []
    }

    let clock = MovedClock()
    let held = Mutex(Held())
    let fetch: @Sendable (FetchRequest) async throws(FetchFailure) -> FetchedAnswer

    init(
        fetch: @escaping @Sendable (FetchRequest) async throws(FetchFailure) -> FetchedAnswer = { _ throws(FetchFailure) in
            throw .unreachable("nobody is there")
        }
    ) {
        self.fetch = fetch
    }

    var requests: [FetchRequest] { held.withLock { $0.requests } }

    /// - Parameter keys: those that the gateway proves itself with; nil for none.
    func credentials(keys: TokenKeys? = nil) throws -> UpstreamCredentials {
        guard let instance = InstanceKey(Secret([UInt8](repeating: 7, count: 32))), let origin = Origin("https://gateway.example") else {
            throw FetchFailure.tooLarge
        }
        @Sendable func key(_ user: UserID, _ server: ServerID) -> TokenShelf.Key { TokenShelf.Key(server: server, user: user) }
        let store = CredentialStore(
            secret: { server in self.held.withLock { $0.secrets[server] } },
            registration: { server in self.held.withLock { $0.registrations[server] } },
            keepRegistration: { bytes, server in self.held.withLock { $0.registrations[server] = bytes } },
            forgetRegistration: { server in self.held.withLock { $0.registrations[server] = nil } },
            tokens: { user, server in self.held.withLock { $0.tokens[key(user, server)] } },
            replaceTokens: { old, new, user, server in
                self.held.withLock { held in
                    guard held.tokens[key(user, server)]?.revealed == old.revealed else { return false }
                    held.tokens[key(user, server)] = new
                    return true
                }
            },
            connect: { record, bytes, _ in self.held.withLock { $0.tokens[key(record.user, record.server)] = bytes } },
            disconnect: { user, server, _ in self.held.withLock { $0.tokens[key(user, server)] = nil } },
            note: { user, server, _, error in self.held.withLock { $0.errors[key(user, server)] = error } },
            connections: { _ in [] }, connectedUsers: { _ in [] }, exchange: { _, _ in nil })
        return UpstreamCredentials(
            store: store,
            fetcher: Fetcher { request throws(FetchFailure) in
                self.held.withLock { $0.requests.append(request) }
                return try await self.fetch(request)
            }, instance: instance, proof: keys.map { ClientProof(keys: $0, now: { self.clock.now }) }, origin: { origin }, now: { self.clock.now }
        ) { _, reason in self.held.withLock { $0.reports.append(reason) } }
    }

    /// Connects a user, as the desk does.
    func connect(
        _ user: Int64, to server: ServerRecord, life: Duration? = .seconds(3600), refresh: Bool = true, clientID: String = "client",
        authentication: GatewayClient.Authentication = .none
    ) {
        let tokens = UpstreamTokens(
            issuer: "https://as.example", tokenEndpoint: "https://as.example/token", clientID: clientID,
            authentication: authentication,
            server: "https://server.example", resource: "https://server.example/mcp", scope: "read", accessToken: Secret("access-of-\(user)"),
            refreshToken: refresh ? Secret("refresh-of-\(user)") : nil, obtainedAt: clock.now.wall,
            expiresAt: life.map { clock.now.wall.advanced(by: $0) })
        held.withLock { $0.tokens[TokenShelf.Key(server: server.id, user: UserID(user))] = tokens.bytes }
    }

    static func server(_ credential: UpstreamCredential, endpoint: String = "https://server.example/mcp", id: Int64 = 1) throws -> ServerRecord {
        guard let alias = ServerAlias("up") else { throw FetchFailure.tooLarge }
        return ServerRecord(
            id: ServerID(id), tenant: TenantID(1), owner: UserID(1), alias: alias, title: "Up", transport: .http(endpoint: endpoint),
            status: .active, era: .auto, tags: [], credential: credential, createdAt: MovedClock.start, updatedAt: MovedClock.start)
    }

    static func answer(_ json: JSONText, status: Int = 200, headers: [(name: String, value: String)] = []) -> FetchedAnswer {
        FetchedAnswer(status: status, headers: headers, body: json.bytes)
    }
}

extension ShownCredential {
    /// As it would be written, to be compared.
    var written: String { headers.map { "\($0.name): \($0.value.revealed)" }.joined(separator: ", ") }
}
