import GRDB
import Gateway
import OAuth
import Proof
import Testing

@testable import Storage

/// Who signs in, what they allow clients, and keys: in the real database.
struct IdentityRecordsTests {
    static let issuer = "https://issuer.example"
    static let start = Timestamp(microseconds: 1_700_000_000_000_000)

    // MARK: Sign-in

    @Test func `thirty-two sign-ins at once make one user, and each is on record`() async throws {
        try await withDatabase { database in
            let users = try await withThrowingTaskGroup(of: User.self) { group in
                for _ in 0..<32 { group.addTask { try await database.signIn("ada", subject: "1") } }
                return try await group.reduce(into: Set<User>()) { $0.insert($1) }
            }
            #expect(users.count == 1)
            #expect(users.first?.name == "ada")
            let actions = try await database.actions()
            #expect(actions.filter { $0 != "user.sign_in" } == ["tenant.create", "user.create"])
            #expect(actions.count { $0 == "user.sign_in" } == 32)
        }
    }

    @Test func `people of the same name who come at once are told apart by a number`() async throws {
        try await withDatabase { database in
            let users = try await withThrowingTaskGroup(of: User.self) { group in
                for number in 1...8 { group.addTask { try await database.signIn("ada", subject: "\(number)") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(users.map(\.name)) == Set(["ada"] + (2...8).map { "ada#\($0)" }))
            // Each is found again by who they are, not by what they are called.
            for user in users {
                let profile = try #require(try await database.profile(user.id))
                let again = try await database.signIn("somebody", subject: try #require(profile.identity?.subject))
                #expect(again.id == user.id && again.name == user.name)
            }
        }
    }

    @Test func `a name that the operator gave away is not taken over by who comes with it`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let stranger = try await database.signIn("owner", subject: "1", tenant: "home")
            #expect(stranger.name == "owner#2")
            #expect(stranger.id != home.owner && stranger.role == .user)
            #expect(try await database.user(home.owner)?.role == .serverOwner)
        }
    }

    @Test func `the same subject at another issuer is somebody else`() async throws {
        try await withDatabase { database in
            let one = try await database.signIn("ada", subject: "1")
            let other = try await database.signIn("ada", subject: "1", issuer: "https://other.example")
            #expect(one.id != other.id)
            #expect(try await database.signIn("ada", subject: "1").id == one.id)
        }
    }

    @Test func `a role of the issuer's follows its word, one of the operator's stays`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1", role: .user)
            #expect(try await database.profile(ada.id)?.roleSource == .issuer)
            #expect(try await database.signIn("ada", subject: "1", role: .serverOwner).role == .serverOwner)
            #expect(try await database.setRole(.auditor, of: ada.id, in: nil, audit: audit("user.role")).role == .auditor)
            #expect(try await database.signIn("ada", subject: "1", role: .admin).role == .auditor)
            #expect(try await database.user(ada.id)?.role == .auditor)
            #expect(try await database.profile(ada.id)?.roleSource == .operator)
        }
    }

    @Test func `whoever is disabled is out, cannot sign in, and begins anew when enabled`() async throws {
        try await withDatabase { database in
            let moment = Timestamp(microseconds: 5_000_000)
            let ada = try await database.signIn("ada", subject: "1", grant: Self.grant(1))
            try await database.writeSessions([Self.session(101, of: ada)])
            let disabled = try await database.setDisabled(true, ada.id, in: ada.tenant, audit: audit("user.disable", at: moment.microseconds))
            #expect(disabled.disabledAt == moment && disabled.revokedBefore == moment)
            await #expect(throws: Refusal.self) { try await database.signIn("ada", subject: "1", grant: Self.grant(2)) }
            #expect(try await database.sessions(of: ada.tenant, isActive: true, before: nil, limit: 9).isEmpty)
            #expect(try await database.allowedClients(of: ada.id, at: Self.start).isEmpty)

            let enabled = try await database.setDisabled(false, ada.id, in: ada.tenant, audit: audit("user.enable"))
            #expect(enabled.disabledAt == nil && enabled.revokedBefore == moment)
            #expect(try await database.grants(of: ada.id, at: Self.start).isEmpty)
            #expect(try await database.signIn("ada", subject: "1").id == ada.id)
            // The sign-in that was refused left nothing, not even a grant.
            let actions = try await database.actions()
            #expect(actions == ["tenant.create", "user.create", "user.sign_in", "user.disable", "user.enable", "user.sign_in"])
        }
    }

    @Test func `nobody changes a user of another tenant, or one that is not there`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            let away = try await Household("away", in: database)
            for user in [away.owner, UserID(999)] {
                await #expect(throws: Refusal.notFound("user \(user.rawValue)")) {
                    _ = try await database.setRole(.admin, of: user, in: home.tenant, audit: audit("user.role"))
                }
                await #expect(throws: Refusal.notFound("user \(user.rawValue)")) {
                    _ = try await database.setDisabled(true, user, in: home.tenant, audit: audit("user.disable"))
                }
            }
            #expect(try await database.user(away.owner)?.role == .serverOwner)
            #expect(try await !database.actions().contains { $0.hasPrefix("user.r") || $0.hasPrefix("user.d") })
        }
    }

    @Test func `what cannot be recorded did not happen`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1", grant: Self.grant(1))
            _ = try await database.createKey(Self.key, hash: [1], hint: "h", of: ada, replacing: nil, audit: audit("key.create"))
            try await database.store(Self.client("c"), audit: audit("client.create"))
            let impossible = impossibleAudit()
            await #expect(throws: DatabaseError.self) { _ = try await database.setRole(.admin, of: ada.id, in: nil, audit: impossible) }
            await #expect(throws: DatabaseError.self) { _ = try await database.setDisabled(true, ada.id, in: nil, audit: impossible) }
            await #expect(throws: DatabaseError.self) {
                _ = try await database.createKey(Self.key, hash: [2], hint: "h", of: ada, replacing: nil, audit: impossible)
            }
            await #expect(throws: DatabaseError.self) { _ = try await database.revokeKey(APIKeyID(1), of: nil, in: nil, audit: impossible) }
            await #expect(throws: DatabaseError.self) { _ = try await database.revokeClient("c", audit: impossible) }
            await #expect(throws: DatabaseError.self) { try await database.store(Self.client("other"), audit: impossible) }
            await #expect(throws: DatabaseError.self) {
                try await database.endSession(SessionID(101), of: ada.id, in: ada.tenant, audit: impossible)
            }
            #expect(try await database.user(ada.id) == ada)
            #expect(try await database.keys(of: ada.id).map(\.revokedAt) == [nil])
            #expect(try await database.clients(limit: 9).map(\.id) == ["c"])
            #expect(try await database.grants(of: ada.id, at: Self.start).count == 1)
            #expect(try await database.revokedSessions(since: Timestamp(microseconds: 0)).isEmpty)
        }
    }

    // MARK: Grants

    @Test func `a code is redeemed once, whoever else has it`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1", grant: Self.grant(1))
            let won = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        try await database.redeem(code: [1]) { grant in
                            guard var found = grant, found.code.redeemedAt == nil else { return (false, nil) }
                            found.code = found.code.redeemed(at: Self.start)
                            grant = found
                            return (true, audit("token.issue"))
                        }
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(won == 1)
            #expect(try await database.actions().count { $0 == "token.issue" } == 1)
            let kept = try #require(try await database.grants(of: ada.id, at: Self.start).first)
            #expect(kept == Self.grant(1)(ada).with(redeemedAt: Self.start))
        }
    }

    @Test func `a code without a redirect URI is kept as such, and a stranger's finds nothing`() async throws {
        try await withDatabase { database in
            try await database.signIn("ada", subject: "1", grant: Self.grant(1, redirectURI: nil))
            let uri = try await database.redeem(code: [1]) { ($0.map(\.code.redirectURI), nil) }
            #expect(uri == .some(.none))
            let nothing = try await database.redeem(code: [9]) { ($0, nil) }
            #expect(nothing == nil)
        }
    }

    @Test func `a family turns step by step, and a revoked one stays revoked`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1", grant: Self.grant(1))
            let key = RefreshTokenKey(Secret([UInt8](repeating: 1, count: 32)))
            var token = Self.grant(1)(ada).family.token(key: key)
            let first = token
            for step in 1...3 {
                let moment = Self.start.advanced(by: .seconds(60 * step))
                let presented = token
                token = try #require(
                    try await database.redeem(GrantID(1)) { grant in
                        guard var found = grant, case .rotate(let next) = found.family.redeem(presented, key: key, at: moment) else {
                            return (nil, nil)
                        }
                        found.family = next
                        grant = found
                        return (next.token(key: key), audit("token.refresh"))
                    })
            }
            // The first one again: two have it.
            let isReused = try await database.redeem(GrantID(1)) { grant in
                guard var found = grant, case .reused = found.family.redeem(first, key: key, at: Self.start.advanced(by: .seconds(300))) else {
                    return (false, nil)
                }
                found.family = found.family.revoked
                grant = found
                return (true, audit("token.reuse"))
            }
            #expect(isReused)
            let family = try #require(try await database.redeem(GrantID(1)) { ($0?.family, nil) })
            #expect(family.isRevoked && family.generation == 3)
            #expect(family.redeem(token, key: key, at: Self.start.advanced(by: .seconds(300))) == .revoked)
            // What was revoked is not stored as good again.
            _ = try await database.redeem(GrantID(1)) { grant in
                guard let found = grant else { return (false, nil) }
                grant = Self.grant(1)(ada)
                return (found.family.isRevoked, nil)
            }
            #expect(try await database.redeem(GrantID(1)) { ($0?.family.isRevoked, nil) } == true)
            #expect(try await database.grants(of: ada.id, at: Self.start).isEmpty)
            #expect(try await database.actions().suffix(4) == ["token.refresh", "token.refresh", "token.refresh", "token.reuse"])
        }
    }

    @Test func `a grant goes on after a restart as it was`() async throws {
        try await withTemporaryFolder { folder in
            let before = try Database(folder)
            let ada = try await before.signIn("ada", subject: "1", grant: Self.grant(1))
            try await before.close()
            let after = try Database(folder)
            #expect(try await after.redeem(GrantID(1)) { ($0, nil) } == Self.grant(1)(ada))
            try await after.close()
        }
    }

    @Test func `a session that was never written is ended all the same, and for good`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1", grant: Self.grant(1))
            try await database.signIn("ada", subject: "1", grant: Self.grant(2))
            let moment = Timestamp(microseconds: 9_000_000)
            try await database.endSession(SessionID(101), of: ada.id, in: ada.tenant, audit: audit("token.revoke", at: moment.microseconds))
            let revoked = try await database.revokedSessions(since: Timestamp(microseconds: 0))
            #expect(revoked.map(\.session) == [SessionID(101)] && revoked.first?.at == moment)
            // What is noted of it afterwards does not bring it back, and ending it twice does not move its end.
            try await database.writeSessions([Self.session(101, of: ada)])
            try await database.endSession(SessionID(101), of: ada.id, in: ada.tenant, audit: nil)
            #expect(try await database.sessions(of: ada.tenant, isActive: true, before: nil, limit: 9).isEmpty)
            #expect(try await database.revokedSessions(since: Timestamp(microseconds: 0)).map(\.at) == [moment])
            // The user's other sign-in is untouched.
            #expect(try await database.grants(of: ada.id, at: Self.start).map(\.session) == [SessionID(102)])
            #expect(try await database.actions().last == "token.revoke")
        }
    }

    // MARK: Clients

    @Test func `a client is stored, renewed and found; its secret changes only with another`() async throws {
        try await withDatabase { database in
            try await database.store(Self.client("c", secret: [1]), audit: audit("client.create"))
            try await database.store(Self.client("c", at: Self.start.advanced(by: .seconds(9))), audit: nil)
            #expect(try await database.client("c")?.secretHash == [1])
            #expect(try await database.client("c")?.lastUsedAt == Self.start.advanced(by: .seconds(9)))
            try await database.store(Self.client("c", secret: [2]), audit: audit("client.rotate"))
            let kept = try #require(try await database.client("c"))
            #expect(kept.secretHash == [2])
            #expect(kept.createdAt == Self.start && kept.lastUsedAt == Self.start.advanced(by: .seconds(9)))
            #expect(try await database.client("C") == nil)
            #expect(try await database.actions() == ["client.create", "client.rotate"])
        }
    }

    @Test func `with a client ends what every user allowed it, and nothing else`() async throws {
        try await withDatabase { database in
            try await database.store(Self.client("c"), audit: nil)
            let ada = try await database.signIn("ada", subject: "1", grant: Self.grant(1, client: "c"))
            let bob = try await database.signIn("bob", subject: "2", grant: Self.grant(2, client: "c"))
            try await database.signIn("bob", subject: "2", grant: Self.grant(3, client: "other"))
            try await database.signIn("bob", subject: "2", grant: Self.grant(4, client: "c", at: Self.start.advanced(by: .seconds(-40 * 86_400))))
            try await database.writeSessions([Self.session(101, of: ada), Self.session(103, of: bob)])
            let moment = Self.start.advanced(by: .seconds(60))
            let ended = try await database.revokeClient("c", audit: audit("client.revoke", at: moment.microseconds))
            // One that was over before has no session to end.
            #expect(Set(ended) == [SessionID(101), SessionID(102)])
            #expect(try await database.grants(of: ada.id, at: Self.start).isEmpty)
            #expect(try await database.grants(of: bob.id, at: Self.start).map(\.code.clientID) == ["other"])
            #expect(Set(try await database.revokedSessions(since: Self.start).map(\.session)) == [SessionID(101), SessionID(102)])
            #expect(try await database.sessions(of: ada.tenant, isActive: true, before: nil, limit: 9).map(\.session.id) == [SessionID(103)])
            #expect(try await database.client("c")?.revokedAt == moment)
            let revoked = try await database.revokedClients(since: Self.start)
            #expect(revoked.map(\.client) == ["c"] && revoked.first?.at == moment)

            // Revoked again it ends nothing more, and nothing brings it back.
            #expect(try await database.revokeClient("c", audit: audit("client.revoke")).isEmpty)
            try await database.store(Self.client("c"), audit: nil)
            #expect(try await database.client("c")?.revokedAt == moment)
            #expect(try await database.clients(limit: 9).isEmpty)
            await #expect(throws: Refusal.notFound("client “nobody”")) {
                _ = try await database.revokeClient("nobody", audit: audit("client.revoke"))
            }
            #expect(try await database.actions().count { $0 == "client.revoke" } == 2)
        }
    }

    @Test func `the clients a user allowed are named with since when, once each`() async throws {
        try await withDatabase { database in
            try await database.store(Self.client("c", name: "Editor"), audit: nil)
            let later = Self.start.advanced(by: .seconds(60))
            let ada = try await database.signIn("ada", subject: "1", grant: Self.grant(1, client: "c"))
            try await database.signIn("ada", subject: "1", grant: Self.grant(2, client: "c", at: later))
            try await database.signIn("ada", subject: "1", grant: Self.grant(3, client: "unknown", at: later))
            // Nobody came for this code.
            try await database.signIn("ada", subject: "1", grant: Self.grant(4, client: "never", at: later))
            for grant in 1...3 { try await database.markRedeemed(GrantID(Int64(grant)), at: later) }
            let allowed = try await database.allowedClients(of: ada.id, at: later)
            #expect(
                allowed == [
                    AllowedClient(id: "c", name: "Editor", since: Self.start, lastAt: later, signIns: 2),
                    AllowedClient(id: "unknown", name: "unknown", since: later, lastAt: later, signIns: 1),
                ])
            #expect(try await database.allowedClients(of: ada.id, at: later.advanced(by: .seconds(31 * 86_400))).isEmpty)
        }
    }

    // MARK: Keys

    @Test func `a hundred keys are the bound; one that ended or was revoked makes room`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1")
            func make(_ number: Int, at moment: Timestamp = Self.start, replacing old: APIKeyID? = nil) async throws -> APIKey {
                try await database.createKey(
                    Self.key, hash: [UInt8(number)], hint: "h", of: ada, replacing: old, audit: audit("key.create", at: moment.microseconds))
            }
            var keys: [APIKey] = []
            for number in 0..<100 { keys.append(try await make(number)) }
            let conflict = await #expect(throws: Refusal.self) { _ = try await make(100) }
            #expect(conflict?.code == "conflict")
            // A successor would be the hundred and first.
            await #expect(throws: Refusal.self) { _ = try await make(100, replacing: keys[0].id) }
            #expect(try await database.key(hash: [100]) == nil)
            _ = try await database.revokeKey(keys[0].id, of: ada.id, in: ada.tenant, audit: audit("key.revoke", at: Self.start.microseconds))
            _ = try await make(100)
            await #expect(throws: Refusal.self) { _ = try await make(101) }
            _ = try await make(101, at: Self.start.advanced(by: Self.key.lifetime))
            #expect(try await database.actions().count { $0 == "key.create" } == 102)

            // Another's keys are their own.
            let bob = try await database.signIn("bob", subject: "2")
            _ = try await database.createKey(Self.key, hash: [200], hint: "h", of: bob, replacing: nil, audit: audit("key.create"))
        }
    }

    @Test(arguments: [
        Reach.everything, .only(servers: [], tools: ["git__log"]),
        .only(servers: Set(["git", "my-files"].compactMap { ServerAlias($0) }), tools: ["demo__echo", "x__a_b__c"]),
    ])
    func `a key is kept with all it is for`(reach: Reach) async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1")
            let draft = APIKeyDraft(name: "ci", scopes: [.tools, .account], reach: reach, lifetime: .seconds(86_400))
            let key = try await database.createKey(
                draft, hash: [1], hint: "mreg_abc", of: ada, replacing: nil, audit: audit("key.create", at: Self.start.microseconds))
            #expect(try await database.key(hash: [1]) == key)
            #expect(try await database.key(key.id) == key)
            #expect(key.reach == reach && key.scopes == draft.scopes && key.name == "ci" && key.hint == "mreg_abc")
            #expect(key.createdAt == Self.start && key.expiresAt == Self.start.advanced(by: .seconds(86_400)))
            #expect(try await database.auditRecords(of: nil, since: Timestamp(microseconds: .min), limit: 1).map(\.target) == ["ci (1)"])
        }
    }

    @Test func `a key for nothing is not kept, for it would come back as one for everything`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1")
            let draft = APIKeyDraft(name: "ci", scopes: .tools, reach: .only(servers: [], tools: []), lifetime: .seconds(86_400))
            let refusal = await #expect(throws: Refusal.self) {
                _ = try await database.createKey(draft, hash: [1], hint: "h", of: ada, replacing: nil, audit: audit("key.create"))
            }
            #expect(refusal?.code == "invalid")
            #expect(try await database.keys(of: ada.id).isEmpty)
        }
    }

    @Test func `a key and its successor are good side by side for a day, and a key has one successor`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1")
            let old = try await database.createKey(
                Self.key, hash: [1], hint: "h", of: ada, replacing: nil, audit: audit("key.create", at: Self.start.microseconds))
            let new = try await database.createKey(
                APIKeyDraft(replacing: old), hash: [2], hint: "h", of: ada, replacing: old.id, audit: audit("key.rotate", at: Self.start.microseconds)
            )
            let replaced = try #require(try await database.key(old.id))
            #expect(replaced.successor == new.id)
            #expect(replaced.expiresAt == Self.start.advanced(by: .seconds(86_400)))
            #expect(new.expiresAt == old.expiresAt && new.reach == old.reach)
            for (key, refusal) in [
                (old.id, Refusal.conflict("Key 1 was replaced by key 2 already; rotate that one.")), (APIKeyID(99), .notFound("key 99 that is good")),
            ] {
                await #expect(throws: refusal) {
                    _ = try await database.createKey(Self.key, hash: [3], hint: "h", of: ada, replacing: key, audit: audit("key.rotate"))
                }
            }
            #expect(try await database.keys(of: ada.id).count == 2)
        }
    }

    @Test func `a key is revoked by its owner or in its tenant, by nobody else`() async throws {
        try await withDatabase { database in
            let (home, away) = (try await Household("home", in: database), try await Household("away", in: database))
            let owner = try #require(try await database.user(home.owner))
            let key = try await database.createKey(Self.key, hash: [1], hint: "h", of: owner, replacing: nil, audit: audit("key.create")).id
            for (user, tenant) in [(away.owner, nil), (nil, away.tenant), (away.owner, home.tenant)] as [(UserID?, TenantID?)] {
                await #expect(throws: Refusal.notFound("key \(key.rawValue)")) {
                    _ = try await database.revokeKey(key, of: user, in: tenant, audit: audit("key.revoke"))
                }
            }
            _ = try await database.revokeKey(key, of: nil, in: home.tenant, audit: audit("key.revoke", at: 5_000_000))
            _ = try await database.revokeKey(key, of: home.owner, in: nil, audit: audit("key.revoke", at: 6_000_000))
            #expect(try await database.key(key)?.revokedAt == Timestamp(microseconds: 5_000_000))
        }
    }

    @Test func `the last use of a key never goes back`() async throws {
        try await withDatabase { database in
            let ada = try await database.signIn("ada", subject: "1")
            let key = try await database.createKey(Self.key, hash: [1], hint: "h", of: ada, replacing: nil, audit: audit("key.create")).id
            let later = Self.start.advanced(by: .seconds(1))
            try await database.touchKeys([key: later, APIKeyID(99): later])
            try await database.touchKeys([key: Self.start])
            #expect(try await database.key(key)?.lastUsedAt == later)
        }
    }

    // MARK: Lists

    @Test func `users are listed by name, page by page, each tenant's alone`() async throws {
        try await withDatabase { database in
            let home = try await Household("home", in: database)
            _ = try await Household("away", in: database)
            for name in ["zoe", "ada", "Émile", "bob"] { try await database.signIn(name, subject: name, tenant: "home") }
            var names: [String] = []
            while true {
                let page = try await database.profiles(of: home.tenant, after: names.last ?? "", limit: 2)
                if page.isEmpty { break }
                names += page.map(\.user.name)
            }
            #expect(names == ["ada", "bob", "owner", "zoe", "Émile"])
            let ada = try #require(try await database.profiles(of: home.tenant, after: "", limit: 1).first)
            #expect(ada.identity == UserProfile.Identity(issuer: Self.issuer, subject: "ada", displayName: "The ada"))
            #expect(ada.signedInAt == Timestamp(microseconds: 1_000_000))
            let owner = try #require(try await database.profile(home.owner))
            #expect(owner.identity == nil && owner.signedInAt == nil && owner.roleSource == .operator)
        }
    }

    // MARK: Parts

    static let key = APIKeyDraft(name: "ci", scopes: .tools, reach: .everything, lifetime: .seconds(90 * 86_400))

    static func client(_ id: String, name: String = "Client", secret: [UInt8]? = nil, at moment: Timestamp = start) -> ClientRecord {
        ClientRecord(id: id, kind: .operator, name: name, metadata: "{}", secretHash: secret, createdAt: start, lastUsedAt: moment)
    }

    /// What its number says: code, id, salt, and a session that is a hundred higher.
    static func grant(_ number: Int64, client: String = "c", redirectURI: String? = "http://localhost/callback", at moment: Timestamp = start)
        -> @Sendable (User) -> AuthorizationGrant
    {
        { user in
            AuthorizationGrant(
                code: CodeGrant(
                    digest: [UInt8(number)], clientID: client, redirectURI: redirectURI, challenge: challenge,
                    resources: ["https://a/mcp", "https://a/api"],
                    issuedAt: moment),
                family: RefreshFamily(
                    grant: GrantID(number), salt: [UInt8](repeating: UInt8(number), count: 16), generation: 0, rotatedAt: moment, isRevoked: false,
                    expiresAt: moment.advanced(by: RefreshFamily.lifetime)),
                user: user.id, tenant: user.tenant, session: SessionID(100 + number), scope: "mcp:tools", createdAt: moment)
        }
    }

    private static let challenge = CodeVerifier.random().challenge

    static func session(_ id: Int64, of user: User) -> Session {
        Session(
            id: SessionID(id), user: user.id, tenant: user.tenant, startedAt: start, lastActivity: start, client: "", era: "modern", requests: 1,
            errors: 0, isActive: true, activities: [])
    }
}

extension Storage.Database {
    @discardableResult
    fileprivate func signIn(
        _ name: String, subject: String, issuer: String = IdentityRecordsTests.issuer, role: Role = .user, tenant: String = "home",
        grant: (@Sendable (User) -> AuthorizationGrant)? = nil
    ) async throws -> User {
        try await signIn(
            issuer: issuer, subject: subject, name: name, displayName: "The \(name)", role: role, tenant: tenant, grant: grant,
            audit: audit("user.sign_in"))
    }

    fileprivate func markRedeemed(_ grant: GrantID, at moment: Timestamp) async throws {
        try await redeem(grant) { grant in
            grant = grant?.with(redeemedAt: moment)
            return ((), nil)
        }
    }
}

extension AuthorizationGrant {
    fileprivate func with(redeemedAt moment: Timestamp) -> Self {
        var grant = self
        grant.code = code.redeemed(at: moment)
        return grant
    }
}

extension CodeGrant {
    fileprivate func redeemed(at moment: Timestamp) -> Self {
        Self(
            digest: digest, clientID: clientID, redirectURI: redirectURI, challenge: challenge, resources: resources, issuedAt: issuedAt,
            redeemedAt: moment)
    }
}
