import Gateway
import MCP
import OAuth
import Synchronization
import Testing

@testable import Identity

struct UpstreamCredentialsTests {
    private static let perUser = UpstreamCredential.perUser(.init())

    /// Gives each refresh token's user a new pair, after a signal if there is one.
    private static func renewing(_ count: Count, after gate: AsyncStream<Never>? = nil) -> UpstreamRig {
        UpstreamRig { request throws(FetchFailure) in
            if let gate { for await _ in gate {} }
            let form = Dictionary(
                ((try? FormURLEncoded.pairs(request.body)) ?? []).map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
            let user = form["refresh_token"]?.split(separator: "-").last.map(String.init) ?? "nobody"
            let number = count.next()
            return UpstreamRig.answer([
                "access_token": .string("renewed-\(number)-of-\(user)"), "token_type": "Bearer", "expires_in": 3600,
                "refresh_token": .string("next-\(number)-of-\(user)"),
            ])
        }
    }

    private static func failure(_ body: () async throws(CredentialFailure) -> ShownCredential) async -> CredentialFailure? {
        do throws(CredentialFailure) {
            _ = try await body()
            return nil
        } catch { return error }
    }

    @Test func `five hundred calls on one token that is over cause one refresh, whose refresh token is the next`() async throws {
        let count = Count()
        let (gate, open) = AsyncStream.makeStream(of: Never.self)
        let rig = Self.renewing(count, after: gate)
        let (credentials, server) = (try rig.credentials(), try UpstreamRig.server(Self.perUser))
        rig.connect(7, to: server, life: .seconds(-1))
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<500 { group.addTask { try await credentials.show(server, for: UserID(7)).written } }
            open.finish()
            for try await shown in group { #expect(shown == "Authorization: Bearer renewed-1-of-7") }
        }
        #expect(count.value == 1)
        let form = String(decoding: rig.requests[0].body, as: UTF8.self)
        #expect(form.contains("refresh_token=refresh-of-7") && form.contains("resource=https%3A%2F%2Fserver.example%2Fmcp"))
        #expect(rig.requests[0].endpoint.description == "https://as.example/token")
        rig.clock.advance(.seconds(3600))
        #expect(try await credentials.show(server, for: UserID(7)).written == "Authorization: Bearer renewed-2-of-7")
        #expect(String(decoding: rig.requests[1].body, as: UTF8.self).contains("refresh_token=next-1-of-7"))
    }

    @Test func `a hundred users at once get each their own, whatever is renewed meanwhile`() async throws {
        let rig = Self.renewing(Count())
        let (credentials, server) = (try rig.credentials(), try UpstreamRig.server(Self.perUser))
        for user in 1...100 { rig.connect(Int64(user), to: server, life: user % 2 == 0 ? .seconds(3600) : .seconds(10)) }
        try await withThrowingTaskGroup(of: (Int64, String).self) { group in
            for round in 0..<5 {
                for user in 1...100 {
                    group.addTask {
                        let shown = try await credentials.show(server, for: UserID(Int64(user)))
                        if round == 2 { try? await credentials.turnedAway(TurnedAway(mark: shown.mark), by: server, for: UserID(Int64(user))) }
                        return (Int64(user), shown.written)
                    }
                }
            }
            for try await (user, shown) in group { #expect(shown.hasSuffix("-of-\(user)"), "\(user) was shown \(shown)") }
        }
    }

    @Test func `who is not connected is told where, by a link that is theirs alone`() async throws {
        let rig = UpstreamRig()
        let (credentials, server) = (try rig.credentials(), try UpstreamRig.server(Self.perUser))
        let first = await Self.failure { () async throws(CredentialFailure) in try await credentials.show(server, for: UserID(1)) }
        let second = await Self.failure { () async throws(CredentialFailure) in try await credentials.show(server, for: UserID(2)) }
        #expect(first?.kind == .user && first?.sentence.contains("https://gateway.example/connect/up?for=") == true)
        #expect(first != second)
        #expect(credentials.tag(of: UserID(1)) != credentials.tag(of: UserID(2)))
        #expect(rig.requests.isEmpty)
    }

    @Test func `tokens are not shown to a server that has moved`() async throws {
        let rig = UpstreamRig()
        let credentials = try rig.credentials()
        let (server, moved) = (
            try UpstreamRig.server(Self.perUser), try UpstreamRig.server(Self.perUser, endpoint: "https://elsewhere.example/mcp")
        )
        rig.connect(1, to: server)
        #expect(try await credentials.show(server, for: UserID(1)).written == "Authorization: Bearer access-of-1")
        // As the registry does when a server is changed.
        credentials.forget(server.id)
        #expect(await Self.failure { () async throws(CredentialFailure) in try await credentials.show(moved, for: UserID(1)) }?.kind == .user)
    }

    @Test(arguments: [("invalid_grant", CredentialFailure.Kind.user), ("invalid_client", .owner), ("temporarily_unavailable", .later)])
    func `what an authorization server says to a refresh decides who is told to act`(error: String, kind: CredentialFailure.Kind) async throws {
        let rig = UpstreamRig { _ throws(FetchFailure) in
            UpstreamRig.answer(["error": .string(error), "error_description": "secret-words"], status: 400)
        }
        let (credentials, server) = (try rig.credentials(), try UpstreamRig.server(Self.perUser))
        rig.connect(1, to: server, life: .seconds(-1))
        let failure = await Self.failure { () async throws(CredentialFailure) in try await credentials.show(server, for: UserID(1)) }
        #expect(failure?.kind == kind)
        #expect(failure?.sentence.contains("secret-words") == false)
        // Asked once, not with every call.
        _ = await Self.failure { () async throws(CredentialFailure) in try await credentials.show(server, for: UserID(1)) }
        #expect(rig.requests.count == 1)
        let key = TokenShelf.Key(server: server.id, user: UserID(1))
        let left = rig.held.withLock { $0.tokens[key] }.flatMap { UpstreamTokens($0) }
        #expect(left?.isRefused == (kind == .user))
        #expect(rig.held.withLock { $0.errors[key] } == (kind == .user ? error : nil))
    }

    @Test func `while a token is still good, an authorization server that is away does no harm`() async throws {
        let rig = UpstreamRig()
        let (credentials, server) = (try rig.credentials(), try UpstreamRig.server(Self.perUser))
        rig.connect(1, to: server, life: .seconds(50))
        #expect(try await credentials.show(server, for: UserID(1)).written == "Authorization: Bearer access-of-1")
        #expect(rig.requests.count == 1)
    }

    @Test func `whoever connects anew while old tokens are renewed keeps the new ones`() async throws {
        let server = try UpstreamRig.server(Self.perUser)
        let (gate, open) = AsyncStream.makeStream(of: Never.self)
        let (asked, ask) = AsyncStream.makeStream(of: Never.self)
        let rig = UpstreamRig { _ throws(FetchFailure) in
            ask.finish()
            for await _ in gate {}
            return UpstreamRig.answer(["access_token": "stale", "token_type": "Bearer", "expires_in": 3600])
        }
        let credentials = try rig.credentials()
        rig.connect(1, to: server, life: .seconds(-1))
        async let shown = credentials.show(server, for: UserID(1)).written
        for await _ in asked {}
        rig.connect(1, to: server)
        open.finish()
        #expect(try await shown == "Authorization: Bearer access-of-1")
    }
}

struct ConnectionTests {
    private static let now = MovedClock.start

    private static func tokens(life: Duration?, refresh: Bool = true, isRefused: Bool = false) -> UpstreamTokens {
        UpstreamTokens(
            issuer: "i", tokenEndpoint: "t", clientID: "c", authentication: .none, server: "https://s.example", resource: "r", scope: "",
            accessToken: Secret("access"), refreshToken: refresh ? Secret("refresh") : nil, obtainedAt: now,
            expiresAt: life.map { now.advanced(by: $0) }, isRefused: isRefused)
    }

    private static func name(_ step: Connection.Step) -> String {
        switch step {
        case .show: "show"
        case .refresh: "refresh"
        case .ask(let state): "ask \(state)"
        }
    }

    @Test(
        arguments: [
            (tokens(life: .seconds(3600)), false, "show", Connection.State.connected), (tokens(life: nil), false, "show", .connected),
            (tokens(life: .seconds(59)), false, "refresh", .connected), (tokens(life: .seconds(-1)), false, "refresh", .connected),
            (tokens(life: .seconds(59), refresh: false), false, "show", .connected),
            (tokens(life: .zero, refresh: false), false, "ask expired", .expired),
            (tokens(life: .seconds(3600)), true, "refresh", .connected), (tokens(life: nil, refresh: false), true, "ask refused", .connected),
            (tokens(life: .seconds(3600), isRefused: true), false, "ask refused", .refused), (nil, false, "ask notConnected", .notConnected),
        ] as [(UpstreamTokens?, Bool, String, Connection.State)])
    func `how a user stands decides what is done before a call`(tokens: UpstreamTokens?, isTurnedAway: Bool, step: String, state: Connection.State) {
        let connection = Connection(tokens, for: "https://s.example")
        #expect(Self.name(connection.step(at: Self.now, isTurnedAway: isTurnedAway)) == step)
        #expect(connection.state(at: Self.now) == state)
    }

    @Test func `tokens for another server are as none, and a user under way is said to be`() {
        let tokens = Self.tokens(life: nil)
        #expect(Connection(tokens, for: "https://s.example:444").state(at: Self.now) == .notConnected)
        #expect(Connection(tokens, for: "https://other.example", isAsked: true).state(at: Self.now) == .asked)
        #expect(Connection(tokens.refused, for: "https://s.example", isAsked: true).state(at: Self.now) == .asked)
    }

    @Test func `what is sealed comes back, and says nothing in print`() throws {
        let tokens = Self.tokens(life: .seconds(5))
        let read = try #require(UpstreamTokens(tokens.bytes))
        #expect(read.accessToken.revealed == "access" && read.refreshToken?.revealed == "refresh" && read.expiresAt == tokens.expiresAt)
        #expect(!"\(read)".contains("access\"") && !String(reflecting: read).contains("refresh\""))
        #expect(UpstreamTokens(Secret([1, 2, 3])) == nil)
        let refused = try #require(UpstreamTokens(tokens.refused.bytes))
        #expect(refused.isRefused && refused.accessToken.revealed == "" && refused.refreshToken == nil)
    }

    @Test(
        arguments: [
            ("https://a.example", true, true), ("https://a.example", false, true), (nil, false, true), (nil, true, false),
            ("https://a.example/", true, false), ("https://A.example", true, false), ("https://b.example", false, false), ("", false, false),
        ] as [(String?, Bool, Bool)])
    func `an answer counts only from the issuer that was asked`(iss: String?, isAnnounced: Bool, isRight: Bool) {
        #expect(AnswerSender.isRight(iss, issuer: "https://a.example", isAnnounced: isAnnounced) == isRight)
    }
}
