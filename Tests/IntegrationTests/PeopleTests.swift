import FoundationEssentials
import Gateway
import MCP
import NIOHTTP1
import Testing

@testable import mreg

/// Users, their keys, and clients: what is taken away is gone with the next request.
struct PeopleTests {
    private static let ping = #"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
    private static let keys = "/api/v1/keys"

    // MARK: Keys

    @Test func `a key is shown once, works at both doors, and is listed by its beginning`() async throws {
        try await RunningGateway.with { gateway in
            let ada = try await gateway.token("ada")
            let body: JSONText = ["name": "ci", "scopes": ["mcp:tools", "registry:read"], "expires_in_days": 7]
            let made = try await gateway.api(.POST, Self.keys, body, token: ada)
            #expect(made.status == 201)
            #expect(made.headers.first(name: "cache-control") == "no-store")
            let key = try #require(made.json?["key"]?.string)
            #expect(key.hasPrefix("mreg_") && key.utf8.count > 43)
            #expect(try await gateway.mcp(Self.ping, token: key).status == 200)
            #expect(try await gateway.tools(key).contains("demo-http__echo"))
            #expect(try await gateway.api(.GET, "/api/v1/servers", token: key).status == 200)

            let listed = try await gateway.api(.GET, Self.keys, token: ada)
            #expect(!listed.text.contains(key))
            let line = try #require(listed.json?["keys"]?.elements.first)
            #expect(line["hint"]?.string.map { key.hasPrefix($0.dropLast()) && $0.count < 16 } == true)
            #expect(line["status"]?.string == "good")
            #expect(line["scopes"]?.elements.compactMap(\.string) == ["mcp:tools", "registry:read"])
            #expect(line["servers"]?.isNull == true && line["tools"]?.isNull == true)
            // Nobody else's.
            #expect(try await gateway.api(.GET, Self.keys, token: try await gateway.token("bob")).json?["keys"]?.elements.isEmpty == true)
            #expect(try await gateway.api(.DELETE, Self.keys + "/1", token: try await gateway.token("bob")).status == 404)
            // One that is nearly right is nobody's.
            #expect(try await gateway.mcp(Self.ping, token: String(key.dropLast()) + (key.hasSuffix("0") ? "1" : "0")).status == 401)
        }
    }

    @Test func `a key lacks what it was not made for, and hears of all of it at once`() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let key = try await gateway.key(["name": "tools only"], owner)
            #expect(try await gateway.mcp(Self.ping, token: key).status == 200)
            let body: JSONText = ["alias": "mine", "endpoint": .string(try await gateway.demoEndpoint())]
            for (method, path, body, scopes) in [
                (.GET, "/api/v1/servers", nil, "registry:read"), (.POST, "/api/v1/servers", body, "registry:read registry:write"),
                (.GET, Self.keys, nil, "account"),
            ] as [(HTTPMethod, String, JSONText?, String)] {
                let answer = try await gateway.api(method, path, body, token: key)
                #expect(answer.status == 403)
                #expect(answer.json?["code"]?.string == "insufficient_scope")
                let challenge = answer.headers.first(name: "www-authenticate") ?? ""
                #expect(challenge.contains(#"error="insufficient_scope""#) && challenge.contains(#"scope="\#(scopes)""#), "\(challenge)")
            }
            // And at the other door.
            let reader = try await gateway.key(["name": "reads only", "scopes": ["registry:read"]], owner)
            let answer = try await gateway.modern("tools/list", token: reader)
            #expect(answer.status == 403)
            #expect(answer.headers.first(name: "www-authenticate")?.contains(#"scope="mcp:tools""#) == true)
        }
    }

    @Test func `whoever is not known yet hears of the scopes that whoever lacks them hears of`() async throws {
        try await RunningGateway.with { gateway in
            let key = try await gateway.key(["name": "tools only"], try await gateway.token("admin", .admin))
            for (method, path) in [
                (.GET, "/api/v1/servers"), (.POST, "/api/v1/servers"), (.GET, Self.keys), (.POST, Self.keys), (.POST, Self.keys + "/1/rotate"),
                (.DELETE, Self.keys + "/1"), (.GET, "/api/v1/connections"), (.DELETE, "/api/v1/connections/demo"), (.GET, "/api/v1/admin/audit"),
                (.GET, "/api/v1/admin/tool-rules"), (.POST, "/api/v1/admin/users/admin/sign-out"),
            ] as [(HTTPMethod, String)] {
                let challenges = [
                    try await gateway.api(method, path, [:], token: nil), try await gateway.api(method, path, [:], token: key),
                ].map { $0.headers.first(name: "www-authenticate")?.firstMatch(of: #/scope="([^"]*)"/#).map { String($0.1) } }
                #expect(challenges[0] != nil && challenges[0] == challenges[1], "\(method) \(path)")
            }
        }
    }

    @Test func `a key makes no key that is good for more than itself`() async throws {
        try await RunningGateway.with { gateway in
            let ada = try await gateway.token("ada")
            let key = try await gateway.key(
                ["name": "narrow", "scopes": ["account", "mcp:tools"], "servers": ["git"], "tools": ["demo__echo"]], ada)
            for (body, status) in [
                (["name": "x", "servers": ["git"], "scopes": ["mcp:tools", "registry:read"]], 403), (["name": "x"], 403),
                (["name": "x", "servers": ["demo"]], 403), (["name": "x", "tools": ["demo__slow"]], 403),
                (["name": "x", "servers": ["git", "files"]], 403), (["name": "x", "tools": ["git__log", "demo__echo"]], 201),
                (["name": "x", "servers": ["git"]], 201), (["name": "x", "servers": []], 422), (["name": "x", "tools": []], 422),
                (["name": "x", "servers": [], "tools": []], 422), (["name": "x", "servers": [], "tools": ["demo__echo"]], 201),
            ] as [(JSONText, Int)] {
                #expect(try await gateway.api(.POST, Self.keys, body, token: key).status == status, "\(body)")
            }
            // A broader one of the same user is not its to replace either.
            let broad = try await gateway.api(.POST, Self.keys, ["name": "broad"], token: ada).json?["id"]?.integer ?? 0
            #expect(try await gateway.api(.POST, Self.keys + "/\(broad)/rotate", token: key).status == 403)
        }
    }

    @Test func `a key for one server sees, changes and registers no other`() async throws {
        try await RunningGateway.with { gateway in
            let owner = try await gateway.token("server_owner", .serverOwner)
            let endpoint = JSONText.string(try await gateway.demoEndpoint())
            func made(_ alias: JSONText, by token: String) async throws -> Answer {
                try await gateway.api(.POST, "/api/v1/servers", ["alias": alias, "endpoint": endpoint], token: token)
            }
            let mine = try #require(try await made("mine", by: owner).json?["id"]?.integer)
            let other = try #require(try await made("other", by: owner).json?["id"]?.integer)
            let scopes: JSONText = ["registry:read", "registry:write", "account"]
            let whole = try await gateway.key(["name": "whole", "scopes": scopes, "servers": ["mine", "later"]], owner)
            let part = try await gateway.key(["name": "part", "scopes": scopes, "tools": ["mine__echo"]], owner)
            for (key, write) in [(whole, 200), (part, 403)] {
                let listed = try await gateway.api(.GET, "/api/v1/servers", token: key).json?["servers"]?.elements ?? []
                #expect(listed.map { $0["alias"]?.string } == ["mine"])
                #expect(try await gateway.api(.GET, "/api/v1/servers/\(mine)", token: key).status == 200)
                #expect(try await gateway.api(.PATCH, "/api/v1/servers/\(mine)", ["title": "Mine"], token: key).status == write)
                for (method, path, body) in [
                    (.GET, "\(other)", nil), (.PATCH, "\(other)", ["title": "Taken"]), (.DELETE, "\(other)", nil), (.POST, "\(other)/check", nil),
                ] as [(HTTPMethod, String, JSONText?)] {
                    #expect(try await gateway.api(method, "/api/v1/servers/" + path, body, token: key).status == 404, "\(method) \(path)")
                }
                #expect(try await made("third", by: key).status == 403)
            }
            #expect(try await made("later", by: whole).status == 201)
            #expect(try await gateway.api(.GET, "/api/v1/servers/\(other)", token: owner).json?["title"]?.string == "other")
        }
    }

    @Test func `one server or one tool is what is kept of a key for it`() async throws {
        try await RunningGateway.with { gateway in
            let ada = try await gateway.token("ada")
            let key = try await gateway.api(.POST, Self.keys, ["name": "one", "servers": ["demo-http"], "tools": ["git__log"]], token: ada).json
            #expect(key?["servers"]?.elements.compactMap(\.string) == ["demo-http"])
            #expect(key?["tools"]?.elements.compactMap(\.string) == ["git__log"])
            let listed = try await gateway.api(.GET, Self.keys, token: ada).json?["keys"]?.elements.first
            #expect(listed?["servers"]?.elements.compactMap(\.string) == ["demo-http"])
            #expect(listed?["tools"]?.elements.compactMap(\.string) == ["git__log"])
        }
    }

    @Test func `a key and its successor are good side by side, until one is revoked`() async throws {
        try await RunningGateway.with { gateway in
            let ada = try await gateway.token("ada")
            let old = try await gateway.key(["name": "ci", "expires_in_days": 30], ada)
            let made = try await gateway.api(.POST, Self.keys + "/1/rotate", token: ada)
            let new = try #require(made.json?["key"]?.string)
            #expect(new != old)
            #expect(try await gateway.mcp(Self.ping, token: old).status == 200)
            #expect(try await gateway.mcp(Self.ping, token: new).status == 200)
            let listed = try await gateway.api(.GET, Self.keys, token: ada).json?["keys"]?.elements ?? []
            #expect(listed.map { $0["status"]?.string } == ["good", "replaced"])
            #expect(listed.last?["replaced_by"]?.integer == 2)
            #expect(try await gateway.api(.POST, Self.keys + "/1/rotate", token: ada).status == 409)

            #expect(try await gateway.api(.DELETE, Self.keys + "/1", token: ada).status == 204)
            #expect(try await gateway.mcp(Self.ping, token: old).status == 401)
            #expect(try await gateway.mcp(Self.ping, token: new).status == 200)
        }
    }

    @Test func `what a key is doing ends when it is revoked, and what its owner does goes on`() async throws {
        try await RunningGateway.with { gateway in
            let ada = try await gateway.token("ada")
            let key = try await gateway.key(["name": "ci"], ada)
            let answer = try await gateway.longCall(key) {
                let status = try await gateway.api(.DELETE, Self.keys + "/1", token: ada).status
                #expect(status == 204)
            }
            #expect(answer.isEnded)
            #expect(try await gateway.mcp(Self.ping, token: key).status == 401)
            #expect(try await gateway.mcp(Self.ping, token: ada).status == 200)
        }
    }

    @Test func `the operator makes, replaces and revokes keys of users, each in their tenant`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "acme"])
            _ = try await gateway.control("POST", "/users", ["name": "bots", "tenant": "acme"])
            let made = try await gateway.control("POST", "/keys", ["name": "ci", "user": "bots", "tenant": "acme", "tools": ["demo-http__echo"]])
            let key = try #require(made?["key"]?.string)
            #expect(try await gateway.mcp(Self.ping, token: key).status == 200)
            for request in [("DELETE", "/keys/1"), ("POST", "/keys/1/rotate"), ("GET", "/keys?user=bots")] {
                await #expect(throws: OperatorError.self) { _ = try await gateway.control(request.0, request.1) }
            }
            let next = try #require(try await gateway.control("POST", "/keys/1/rotate?tenant=acme")?["key"]?.string)
            #expect(try await gateway.mcp(Self.ping, token: next).status == 200)
            let listed = try await gateway.control("GET", "/keys?user=bots&tenant=acme")
            #expect(listed?["keys"]?.elements.count == 2)
            #expect(listed.map { !$0.text.description.contains(key) && !$0.text.description.contains(next) } == true)
            _ = try await gateway.control("DELETE", "/keys/1?tenant=acme")
            #expect(try await gateway.mcp(Self.ping, token: key).status == 401)
            #expect(try await gateway.mcp(Self.ping, token: next).status == 200)
        }
    }

    // MARK: Users

    @Test func `a role that the operator gives holds with the next request, and after a restart`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await RunningGateway.with(folder: folder) { gateway in
            let user = try await gateway.token("user")
            #expect(try await gateway.api(.GET, "/api/v1/admin/sessions", token: user).status == 403)
            let changed = try await gateway.control("POST", "/users/user/role", ["role": "auditor"])
            #expect(changed?["role"]?.string == "auditor")
            #expect(try await gateway.api(.GET, "/api/v1/admin/sessions", token: user).status == 200)
        }
        // Evaluation makes this user at each start, as a user.
        try await RunningGateway.with(folder: folder) { gateway in
            let user = try await gateway.control("GET", "/users/user")
            #expect(user?["role"]?.string == "auditor" && user?["role_from"]?.string == "operator")
            let token = try #require(try await gateway.control("POST", "/tokens", ["user": "user"])?["access_token"]?.string)
            #expect(try await gateway.api(.GET, "/api/v1/admin/sessions", token: token).status == 200)
        }
    }

    @Test func `whoever is disabled is out with all they have, and begins anew when enabled`() async throws {
        try await RunningGateway.with { gateway in
            let ada = try await gateway.token("ada")
            let key = try await gateway.key(["name": "ci"], ada)
            let client = try await gateway.client(["name": "robot", "user": "ada"])
            let robot = try #require(try await gateway.tokens(of: client).json?["access_token"]?.string)
            let all = [ada, key, robot]
            for token in all { #expect(try await gateway.mcp(Self.ping, token: token).status == 200) }
            let answer = try await gateway.longCall(ada) { _ = try await gateway.control("POST", "/users/ada/disable") }
            #expect(answer.isEnded)
            for token in all { #expect(try await gateway.mcp(Self.ping, token: token).status == 401) }
            #expect(try await gateway.tokens(of: client).status == 401)
            for (path, body) in [("/tokens", ["user": "ada"]), ("/keys", ["name": "x", "user": "ada"]), ("/clients", ["name": "x", "user": "ada"])]
                as [(String, JSONText)]
            {
                let error = await #expect(throws: OperatorError.self) { _ = try await gateway.control("POST", path, body) }
                #expect(error?.description.contains("disabled") == true)
            }

            _ = try await gateway.control("POST", "/users/ada/enable")
            for token in all { #expect(try await gateway.mcp(Self.ping, token: token).status == 401) }
            #expect(try await gateway.mcp(Self.ping, token: try await gateway.token("ada")).status == 200)
            #expect(try await gateway.tokens(of: client).status == 200)
        }
    }

    @Test func `whoever is signed out is out with all they have, and may sign in again at once`() async throws {
        try await RunningGateway.with { gateway in
            let (ada, bob) = (try await gateway.token("ada"), try await gateway.token("bob"))
            let key = try await gateway.key(["name": "ci"], ada)
            let answer = try await gateway.longCall(ada) { _ = try await gateway.control("POST", "/sign-outs", ["user": "ada"]) }
            #expect(answer.isEnded)
            for token in [ada, key] { #expect(try await gateway.mcp(Self.ping, token: token).status == 401) }
            #expect(try await gateway.mcp(Self.ping, token: bob).status == 200)
            #expect(try await gateway.mcp(Self.ping, token: try await gateway.token("ada")).status == 200)
        }
    }

    @Test func `users are listed and shown with who they are, each tenant's alone`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "acme"])
            _ = try await gateway.control("POST", "/users", ["name": "ö @#", "tenant": "acme", "role": "server_owner"])
            #expect(
                try await gateway.control("GET", "/users?tenant=acme")?["users"]?.elements.compactMap { $0["user"]?.string } == ["operator", "ö @#"])
            let shown = try await gateway.control("GET", "/users/%C3%B6%20%40%23?tenant=acme")
            #expect(shown?["role"]?.string == "server_owner" && shown?["identity"]?.isNull == true && shown?["keys"]?.integer == 0)
            #expect(shown?["clients"]?.elements.isEmpty == true)
            for (method, path, body) in [
                ("GET", "/users/nobody", nil), ("GET", "/users/%C3%B6%20%40%23", nil), ("POST", "/users/user/role", ["role": "anonymous"]),
                ("POST", "/users/user/role", [:]), ("POST", "/users", ["name": "user"]), ("POST", "/users", ["name": "x", "role": "king"]),
                ("POST", "/users", ["name": "x", "tenant": "nowhere"]),
            ] as [(String, String, JSONText?)] {
                await #expect(throws: OperatorError.self, "\(path)") { _ = try await gateway.control(method, path, body) }
            }
        }
    }

    // MARK: Clients

    @Test func `a client of the operator's acts by itself, in header and form, within its scopes`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/users", ["name": "reports"])
            let client = try await gateway.client(["name": "nightly", "user": "reports", "scopes": ["mcp:tools", "registry:read"]])
            #expect(client.id.hasPrefix("mreg-client-") && client.id.count == 28)
            #expect(client.secret.hasPrefix("mreg_cs_") && client.secret.count == 51)
            let answer = try await gateway.tokens(of: client)
            #expect(answer.status == 200)
            #expect(answer.json?["scope"]?.string == "mcp:tools registry:read")
            #expect(answer.json?["refresh_token"] == nil)
            #expect(try await gateway.tokens(of: client, inForm: true).status == 200)
            #expect(try await gateway.tokens(of: client, "&scope=mcp:tools").json?["scope"]?.string == "mcp:tools")
            #expect(try await gateway.tokens(of: client, "&scope=admin").status == 400)
            #expect(try await gateway.tokens(of: (client.id, "mreg_cs_wrong")).status == 401)
            #expect(try await gateway.tokens(of: (client.id, "")).status == 401)
            let token = try #require(answer.json?["access_token"]?.string)
            #expect(try await gateway.mcp(Self.ping, token: token).status == 200)
            let who = try await gateway.send(.GET, "/oauth/userinfo", headers: [("Authorization", "Bearer \(token)")])
            #expect(who.json?["preferred_username"]?.string == "reports")
        }
    }

    @Test func `a client's secret goes on for a day beside its successor, unless it is refused at once, and nothing of it is kept`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let clock = PassingTime()
        let mode = try Evaluation.mode(isWithStdioDemo: false, now: clock.now)
        let secrets = try await RunningGateway.with(mode: mode, folder: folder) { gateway in
            let client = try await gateway.client(["name": "robot", "user": "user"])
            let token = try #require(try await gateway.tokens(of: client).json?["access_token"]?.string)
            let renewed = try await gateway.control("POST", "/clients/rotate", ["client_id": .string(client.id)])
            let secret = try #require(renewed?["client_secret"]?.string)
            #expect(renewed?["former_secret_until"]?.string != nil)
            #expect(try await gateway.tokens(of: client).status == 200)
            #expect(try await gateway.tokens(of: (client.id, secret)).status == 200)
            #expect(try await gateway.tokens(of: (client.id, secret + "x")).status == 401)
            #expect(try await gateway.mcp(Self.ping, token: token).status == 200)
            clock.pass(.seconds(86_400))
            #expect(try await gateway.tokens(of: client).status == 401)
            #expect(try await gateway.tokens(of: (client.id, secret)).status == 200)
            // One that somebody else has is good no more.
            let again = try await gateway.control("POST", "/clients/rotate", ["client_id": .string(client.id), "at_once": true])
            let last = try #require(again?["client_secret"]?.string)
            #expect(again?["former_secret_until"]?.isNull == true)
            for old in [client.secret, secret] { #expect(try await gateway.tokens(of: (client.id, old)).status == 401) }
            #expect(try await gateway.tokens(of: (client.id, last)).status == 200)
            let listed = try #require(try await gateway.control("GET", "/clients"))
            #expect(listed["clients"]?.elements.first?["acts_as"]?.string == "user")
            #expect(!listed.text.description.contains("mreg_cs_"))
            return [client.secret, secret, last]
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/state") where name.hasPrefix("gateway") {
            let bytes = try #require(FileManager.default.contents(atPath: folder + "/state/" + name))
            for secret in secrets { #expect(bytes.firstRange(of: Data(secret.utf8)) == nil, "\(name)") }
        }
    }

    @Test func `with a client ends all it has: tokens, what it is doing, and its way to more, also after a restart`() async throws {
        let folder = try RunningGateway.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (token, other, port) = try await RunningGateway.with(folder: folder) { gateway in
            let client = try await gateway.client(["name": "robot", "user": "user"])
            let second = try await gateway.client(["name": "another", "user": "user"])
            let token = try #require(try await gateway.tokens(of: client).json?["access_token"]?.string)
            let unused = try #require(try await gateway.tokens(of: client).json?["access_token"]?.string)
            let other = try #require(try await gateway.tokens(of: second).json?["access_token"]?.string)
            let answer = try await gateway.longCall(token) {
                _ = try await gateway.control("POST", "/clients/revoke", ["client_id": .string(client.id)])
            }
            #expect(answer.isEnded)
            for token in [token, unused] { #expect(try await gateway.mcp(Self.ping, token: token).status == 401) }
            let refused = try await gateway.tokens(of: client)
            #expect(refused.status == 401 && refused.json?["error"]?.string == "invalid_client")
            #expect(try await gateway.mcp(Self.ping, token: other).status == 200)
            // The user it acted as is as they were.
            #expect(try await gateway.mcp(Self.ping, token: try await gateway.token("user")).status == 200)
            await #expect(throws: OperatorError.self) {
                _ = try await gateway.control("POST", "/clients/rotate", ["client_id": .string(client.id)])
            }
            return (unused, other, gateway.port)
        }
        try await RunningGateway.with(["MREG_PORT": String(port)], folder: folder) { gateway in
            let statuses = (try await gateway.mcp(Self.ping, token: token).status, try await gateway.mcp(Self.ping, token: other).status)
            #expect(statuses == (401, 200))
        }
    }

    @Test(arguments: [
        (#"{"user":"user"}"#, "name"), (#"{"name":"x"}"#, "redirect URI"), (#"{"name":"x","user":"nobody"}"#, "mreg user add"),
        (#"{"name":"x","user":"user","auth":"none"}"#, "client_credentials"), (#"{"name":"x","user":"user","auth":"magic"}"#, "private_key_jwt"),
        (#"{"name":"x","user":"user","auth":"private_key_jwt"}"#, "jwks"), (#"{"name":"x","user":"user","scopes":["all"]}"#, "mcp:tools"),
        (#"{"name":"x","redirect_uris":["http://portal.example/"]}"#, "https"),
        (#"{"name":"x","redirect_uris":["https://a.example/*"]}"#, "wildcards"),
        (#"{"name":"x","user":"user","jwks":"{\"keys\":[{\"kty\":\"EC\",\"d\":\"x\"}]}"}"#, "public keys only"),
        (#"{"name":"x","user":"user","jwks":"{\"keys\":[{\"kty\":\"oct\",\"k\":\"x\"}]}"}"#, "public keys only"),
        (#"{"name":"x","user":"user","jwks":"{}","jwks_uri":"https://a.example/"}"#, "not both"),
        (#"{"name":"x","user":"user","jwks_uri":"http://a.example/"}"#, "https"), (#"{"name":"x","user":"user","tenant":"nowhere"}"#, "nowhere"),
        (#"{"name":"x","user":"user","secret":"mine"}"#, "secret"),
    ])
    func `a client that cannot be is refused with what is wrong`(_ body: String, word: String) async throws {
        try await RunningGateway.with { gateway in
            let json = try JSON(parsing: Array(body.utf8))
            let error = await #expect(throws: OperatorError.self) { _ = try await gateway.control("POST", "/clients", json.text) }
            #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
            #expect(try await gateway.control("GET", "/clients")?["clients"]?.elements.isEmpty == true)
        }
    }

    @Test func `what a client is made for is what it says`() async throws {
        try await RunningGateway.with { gateway in
            let both = try await gateway.control("POST", "/clients", ["name": "x", "user": "user", "redirect_uris": ["https://a.example/back"]])
            #expect(both?["grant_types"]?.elements.compactMap(\.string) == ["authorization_code", "refresh_token", "client_credentials"])
            #expect(both?["token_endpoint_auth_method"]?.string == "client_secret_basic")
            let open = try await gateway.control("POST", "/clients", ["name": "x", "redirect_uris": ["http://localhost/back"], "auth": "none"])
            #expect(open?["client_secret"] == nil && open?["client_id"]?.string != nil)
            #expect(open?["grant_types"]?.elements.compactMap(\.string) == ["authorization_code", "refresh_token"])
            // Nobody acts as a user through one that was not made to.
            let portal = try await gateway.client(["name": "x", "redirect_uris": ["https://a.example/back"]])
            let refused = try await gateway.tokens(of: portal)
            #expect(refused.status == 400 && refused.json?["error"]?.string == "unauthorized_client")
            // It may ask its users.
            let query = "response_type=code&client_id=\(portal.id)&redirect_uri=https://a.example/back&code_challenge_method=S256&state=s"
            let asked = try await gateway.send(.GET, "/authorize?\(query)&code_challenge=\(String(repeating: "A", count: 43))")
            #expect(asked.status == 200 && asked.text.contains("a.example"))
            let elsewhere = try await gateway.send(.GET, "/authorize?\(query)x&code_challenge=\(String(repeating: "A", count: 43))")
            #expect(elsewhere.status == 200)
        }
    }

    // MARK: Limits of keys

    @Test func `a key asks no more than it was made for, and gives no more on`() async throws {
        try await RunningGateway.with { gateway in
            let ada = try await gateway.token("ada")
            for rate in [0, -1, 10_000_001] as [Int] {
                let body: JSONText = ["name": "ci", "requests_per_minute": .number(rate)]
                #expect(try await gateway.api(.POST, Self.keys, body, token: ada).status == 422)
            }
            let body: JSONText = ["name": "ci", "scopes": ["mcp:tools", "account"], "requests_per_minute": 4]
            let made = try await gateway.api(.POST, Self.keys, body, token: ada)
            #expect(made.json?["requests_per_minute"]?.integer == 4)
            let key = try #require(made.json?["key"]?.string)
            let id = try #require(made.json?["id"]?.integer)
            let first = try await gateway.mcp(Self.ping, token: key)
            #expect(first.status == 200 && first.headers.first(name: "RateLimit-Policy")?.contains(#""key";q=8;w=120"#) == true)

            let more: JSONText = ["name": "more", "scopes": ["mcp:tools"]]
            let refused = try await gateway.api(.POST, Self.keys, more, token: key)
            #expect(refused.status == 403 && refused.text.contains("requests a minute"))
            let less: JSONText = ["name": "less", "scopes": ["mcp:tools"], "requests_per_minute": 4]
            #expect(try await gateway.api(.POST, Self.keys, less, token: key).status == 201)
            let next = try await gateway.api(.POST, Self.keys + "/\(id)/rotate", token: ada)
            #expect(next.json?["requests_per_minute"]?.integer == 4)

            // Two minutes' worth at once, of which three are gone.
            for _ in 0..<5 { #expect(try await gateway.mcp(Self.ping, token: key).status == 200) }
            let over = try await gateway.mcp(Self.ping, token: key)
            #expect(over.status == 429 && over.json?["error"]?["data"]?["limit"]?.string == "key", "\(over.text)")
            #expect(over.json?["error"]?["data"]?["whose"]?.string == "\(id)" && over.text.contains("The API key \(id) has used up its own limit"))
            // Its owner, and their other keys, have their own.
            #expect(try await gateway.mcp(Self.ping, token: ada).status == 200)
            #expect(try await gateway.mcp(Self.ping, token: try #require(next.json?["key"]?.string)).status == 200)
        }
    }

    // MARK: The record

    @Test func `everything that the operator does is on record, under the tenant's operator`() async throws {
        try await RunningGateway.with { gateway in
            _ = try await gateway.control("POST", "/tenants", ["name": "acme"])
            _ = try await gateway.control("POST", "/users", ["name": "bots", "tenant": "acme"])
            _ = try await gateway.control("POST", "/users/bots/role?tenant=acme", ["role": "server_owner"])
            let made = try await gateway.control("POST", "/clients", ["name": "robot", "user": "bots", "tenant": "acme"])
            let id = JSONText.string(try #require(made?["client_id"]?.string))
            _ = try await gateway.control("POST", "/clients/rotate", ["client_id": id, "tenant": "acme"])
            _ = try await gateway.control("POST", "/clients/revoke", ["client_id": id, "tenant": "acme"])
            let key = try await gateway.control("POST", "/keys", ["name": "ci", "user": "bots", "tenant": "acme"])
            _ = try await gateway.control("POST", "/keys/1/rotate?tenant=acme")
            _ = try await gateway.control("DELETE", "/keys/2?tenant=acme")
            _ = try await gateway.control("POST", "/sign-outs", ["user": "bots", "tenant": "acme"])
            _ = try await gateway.control("POST", "/users/bots/disable?tenant=acme")
            _ = try await gateway.control("POST", "/users/bots/enable?tenant=acme")

            let operatorUser = try #require(try await gateway.control("GET", "/users/operator?tenant=acme")?["id"]?.integer)
            let answer = try await gateway.api(.GET, "/api/v1/admin/audit?tenant=acme&limit=100", token: try await gateway.token("admin", .admin))
            let rows = (answer.json?["rows"]?.elements ?? []).reversed().filter { $0["user_id"]?.integer == operatorUser }
            #expect(rows.allSatisfy { $0["address"]?.string == "control" && $0["outcome"]?.string == "ok" })
            let lines = rows.compactMap { row in row["action"]?.string.map { "\($0) \(row["target"]?.string ?? "")" } }
            let client = "robot \(made?["client_id"]?.string ?? "")"
            #expect(
                lines.filter { !$0.hasPrefix("user.create") } == [
                    "user.role bots server_owner", "client.create \(client)", "client.rotate \(client)",
                    "client.revoke \(made?["client_id"]?.string ?? "")", "key.create ci (1)", "key.rotate ci (2)", "key.revoke ci (2)",
                    "user.sign_out bots", "user.disable bots", "user.enable bots",
                ])
            for secret in [made?["client_secret"], key?["key"]] { #expect(secret?.string.map { !answer.text.contains($0) } == true) }
        }
    }
}

extension Answer {
    /// Whether a call was ended under way, and whoever waited was told that it may have taken effect.
    fileprivate var isEnded: Bool {
        let last = events.last
        return status == 200 && last?["result"] == nil && last?["error"]?["data"]?["code"]?.string == "outcome_unknown"
    }
}

extension RunningGateway {
    /// A call that would take half a minute; what is to happen meanwhile begins when it is surely under way.
    fileprivate func longCall(_ token: String, _ meanwhile: () async throws -> Void) async throws -> Answer {
        var failure: (any Error)?
        let call =
            #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo-http__slow","arguments":{"seconds":30,"steps":20},"#
            + #""_meta":{"progressToken":1}}}"#
        let answer = try await mcp(call, token: token) {
            do { try await meanwhile() } catch { failure = error }
        }
        if let failure { throw failure }
        return answer
    }

    fileprivate func key(_ body: JSONText, _ token: String) async throws -> String {
        let answer = try await api(.POST, "/api/v1/keys", body, token: token)
        guard let key = answer.json?["key"]?.string else { throw Failed("no key: \(answer.text)") }
        return key
    }

    fileprivate func client(_ body: JSONText) async throws -> (id: String, secret: String) {
        let made = try await control("POST", "/clients", body)
        guard let id = made?["client_id"]?.string, let secret = made?["client_secret"]?.string else { throw Failed("no client") }
        return (id, secret)
    }

    /// Asks for tokens as a client that acts by itself.
    fileprivate func tokens(of client: (id: String, secret: String), _ more: String = "", inForm: Bool = false) async throws -> Answer {
        var headers = [("Content-Type", "application/x-www-form-urlencoded")]
        var form = "grant_type=client_credentials" + more
        if inForm {
            form += "&client_id=\(client.id)&client_secret=\(client.secret)"
        } else {
            headers.append(("Authorization", "Basic " + Data("\(client.id):\(client.secret)".utf8).base64EncodedString()))
        }
        return try await send(.POST, "/token", headers: headers, body: Array(form.utf8))
    }
}
